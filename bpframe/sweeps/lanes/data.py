"""The data of a sweep: loaded once, and on the devices that train while they do."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bpframe.contracts import Dataset
from bpframe.data import Data
from bpframe.runs.data_info import DataInfo
from bpframe.training import loading
from bpframe.training.devices import Device, DeviceExamples, shapes, to_device
from bpframe.training.experiment import Experiment

LANES = "lanes"
"""The axis of the mesh: lanes are spread over the devices, examples are on each of them."""


class DataCache:
    """The data sets that unfinished groups need, and the one that was used last.

    Groups that differ in `data.train_size` or `data.standardise` share what was read. On the
    devices there are those of one group at a time, one copy on each.
    """

    def __init__(self) -> None:
        self._loaded: dict[Dataset, Data] = {}
        self._fitting: tuple[Dataset, Data] | None = None
        self._groups: Counter[Dataset] = Counter()
        self._placed_of: tuple[Dataset, str] | None = None
        self._placed: dict[Device, Mapping[str, DeviceExamples]] = {}
        self._replicated: dict[Mesh, Mapping[str, DeviceExamples]] = {}

    def acquire(self, experiment: Experiment) -> Data:
        """The data of a group, checked; call `release` when the group is done.

        Raises:
            ConfigError, DataError: see `loading.load`.

        """
        data = self.data(experiment)
        loading.check(experiment, data)
        self._groups[_whole(experiment.data)] += 1
        return data

    def release(self, experiment: Experiment) -> None:
        """A group is done; what no other needs is forgotten, but for what was used last."""
        whole = _whole(experiment.data)
        self._groups[whole] -= 1
        for dataset in list(self._loaded):
            if not self._groups[dataset] and dataset != whole:
                del self._loaded[dataset]
                if self._fitting and _whole(self._fitting[0]) == dataset:
                    self._fitting = None

    def data(self, experiment: Experiment) -> Data:
        """The data of an experiment on the host."""
        dataset, whole = experiment.data, _whole(experiment.data)
        if whole not in self._loaded:
            self._loaded[whole] = loading.read_whole(whole)
        if self._fitting is None or self._fitting[0] != dataset:
            self._fitting = dataset, loading.fitting(dataset, self._loaded[whole])
        return self._fitting[1]

    def placed(self, experiment: Experiment, mesh: Mesh) -> Mapping[str, DeviceExamples]:
        """The same on every device of a mesh; those of other experiments leave the devices."""
        dtype = experiment.training.dtype
        if self._placed_of != (experiment.data, dtype):
            self._placed, self._replicated = {}, {}
            self._placed_of = (experiment.data, dtype)
        if mesh not in self._replicated:
            data = self.data(experiment)
            for device in mesh.devices.flat:
                if device not in self._placed:
                    self._placed[device] = {
                        split: to_device(part, dtype, device)
                        for split, part in data._asdict().items()
                    }
            copies = [self._placed[device] for device in mesh.devices.flat]
            everywhere = NamedSharding(mesh, PartitionSpec())
            self._replicated[mesh] = jax.tree.map(
                lambda *arrays: jax.make_array_from_single_device_arrays(
                    arrays[0].shape, everywhere, arrays
                ),
                *copies,
            )
        return self._replicated[mesh]


class LaneData:
    """The examples of all splits for the lanes on some devices.

    Attributes:
        mesh: the devices.
        sizes: how many examples each split has.
        shapes: what `sets` will be, to trace with.
        task: what an answer is.
        info: what a run keeps of its data.

    """

    def __init__(self, experiment: Experiment, cache: DataCache, devices: Sequence[Device]) -> None:
        self.mesh = jax.make_mesh(
            (len(devices),), (LANES,), axis_types=(AxisType.Auto,), devices=devices
        )
        whole = cache.data(experiment)
        self.task, self.info, data = whole.task, DataInfo.of(whole), whole._asdict()
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        dtype = experiment.training.dtype
        self.sizes = {split: len(examples) for split, examples in data.items()}
        self.shapes = {split: shapes(part, dtype, everywhere) for split, part in data.items()}
        self._experiment = experiment
        self._cache = cache

    @property
    def sets(self) -> Mapping[str, DeviceExamples]:
        """The examples, on every device."""
        return self._cache.placed(self._experiment, self.mesh)


def _whole(dataset: Dataset) -> Dataset:
    """The data set as it is read: not cut to its `train_size`, not standardised."""
    return dataclasses.replace(dataset, train_size=None, standardise=False)
