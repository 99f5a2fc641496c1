"""One run: load the data, compile once, train epoch by epoch, record, write the run folder."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe import divergence, starting, training
from bpframe.component import check_fields
from bpframe.contracts import Dataset
from bpframe.data import Data
from bpframe.errors import ConfigError, DataError, DivergenceError
from bpframe.experiment import Experiment
from bpframe.folder import RunFolder
from bpframe.monitoring import STEPS
from bpframe.precision import precision
from bpframe.programs import Programs
from bpframe.provenance import versions
from bpframe.recording import Ending, Recorder, Report, epoch_record
from bpframe.records import EpochRecord, Events, NoEvents, RunInfo, RunResult
from bpframe.training import Epoch


def load(experiment: Experiment) -> Data:
    """The experiment's data, cut to `data.train_size` and checked against the experiment.

    What the experiment needs besides of this machine, its device and the file of an exact initial
    condition, is looked for as well.

    Raises:
        ConfigError: `data.train_size` or `training.batch_size` is larger than the training set, or
            `training.device` is not there.
        DataError: a file is missing or corrupt, or the data do not have the promised sizes.

    """
    data = loaded(experiment.data)
    check(experiment, data)
    return data


def loaded(dataset: Dataset) -> Data:
    """The data of a data set, cut to its `train_size`; see `load`."""
    data = dataset.load()
    if not isinstance(data, Data):
        raise DataError(
            f"data: {type(dataset).__name__}.load returned {type(data).__name__}; expected "
            "bpframe.Data(train, validation, test)"
        )
    for split, examples in data._asdict().items():
        if not len(examples):
            raise DataError(f"data: the {split} set of {type(dataset).__name__} is empty")
        if (examples.n_in, examples.n_out) != (dataset.n_in, dataset.n_out):
            raise DataError(
                f"data: the {split} set of {type(dataset).__name__} has {examples.n_in} inputs and "
                f"{examples.n_out} outputs; promised were {dataset.n_in} and {dataset.n_out}"
            )
    n, k = len(data.train), dataset.train_size
    if k is not None and k > n:
        raise ConfigError(f"data.train_size: {k} is out of range; allowed: 1 to {n} for this data")
    return data if k is None else data._replace(train=data.train.first(k))


def check(experiment: Experiment, data: Data) -> None:
    """Look for what the experiment needs besides its data, and whether it fits them; see `load`."""
    training.on_device(experiment.training.device)
    n = len(data.train)
    if (m := experiment.training.m(n)) > n:
        raise ConfigError(
            f"training.batch_size: {m} is out of range; allowed: 1 to {n}, the training set"
        )
    _check_probes(experiment, data)
    starting.exact(experiment)


def _check_probes(experiment: Experiment, data: Data) -> None:
    """Refuse a metric over the first so many examples of a split that has fewer."""
    for index, monitor in enumerate(experiment.metrics):
        metric = monitor.metric
        n = len(getattr(data, metric.over)) if metric.over != STEPS else 0
        if metric.first is not None and metric.first > n:
            allowed = f"1 to {n}, the {metric.over} set" if n else "none over the steps; set over"
            raise ConfigError(
                f"metrics[{index}].first: {metric.first} is out of range; allowed: {allowed}"
            )


def run(
    experiment: Experiment,
    output_dir: str | Path | None = None,
    *,
    data: Data | None = None,
    report: Report | None = None,
    events: Events | None = None,
    plots: bool = True,
) -> RunResult:
    """Train, and evaluate on the test set at the end.

    Args:
        experiment: what to run, as `bpframe.compose` assembles it.
        output_dir: the run folder to write; nothing is written without one.
        data: the data, if they were loaded already with `load`.
        report: called with the record of each epoch.
        events: who is told what happens.
        plots: whether to draw the learning curves.

    Raises:
        BpframeError: see `bpframe.run`.

    """
    check_fields(experiment, "")
    device = training.on_device(experiment.training.device)
    data = load(experiment) if data is None else data
    folder = RunFolder(Path(output_dir)) if output_dir is not None else None
    with precision(experiment.training.dtype), device:
        try:
            programs = Programs(experiment, data)
        except BaseException:
            if folder:
                folder.release()
            raise
        info = RunInfo(experiment, folder.path if folder else None, programs.n_train)
        recorder = Recorder(
            info,
            folder,
            events or NoEvents(),
            versions=versions(experiment),  # now: a plugin's file may change meanwhile
            report=report,
            plots=plots,
        )
        return _Run(programs, recorder).train()


def epoch_order(experiment: Experiment, epoch: int, n: int) -> np.ndarray:
    """The order in which the n training examples are seen in an epoch, counted from 1.

    It is drawn with the experiment's seed, or with seed 0 if its order is shared.
    """
    seed = 0 if experiment.training.shared_order else experiment.seed
    return np.random.default_rng([seed, epoch]).permutation(n).astype(np.int32)


def epoch_orders(experiment: Experiment, epochs: range, n: int) -> np.ndarray:
    """The orders of some epochs, (epochs, n); see `epoch_order`."""
    orders = [epoch_order(experiment, epoch, n) for epoch in epochs]
    return np.array(orders, np.int32).reshape(-1, n)


class _Run:
    """The epoch loop of one run."""

    def __init__(self, programs: Programs, recorder: Recorder) -> None:
        self.programs = programs
        self.experiment = programs.experiment
        self.recorder = recorder
        self.state = programs.initial
        self.sizes = {split: examples.x.shape[0] for split, examples in programs.sets.items()}

    def train(self) -> RunResult:
        try:
            self.recorder.started()
            stopped = self._epochs()
        except KeyboardInterrupt:
            self._finish("interrupted", error="interrupted by the user")
            raise
        except DivergenceError as error:
            self._finish("diverged", error=str(error))
            raise
        except Exception as error:
            self._finish("failed", error=f"{type(error).__name__}: {error}")
            raise
        return self._finish("completed", stopped=stopped)

    def _epochs(self) -> str | None:
        """Train epoch by epoch; the reason if training stops before the last one."""
        training, epoch = self.experiment.training, 0
        if training.evaluate_start:
            record, _ = self._epochs_to(0, range(0))
            if reason := self.recorder.add(record, stop=False):
                return reason
        while epoch < training.epochs:
            first, epoch = epoch + 1, training.next_evaluated(epoch)
            record, stop = self._epochs_to(epoch, range(first, epoch + 1))
            if reason := self.recorder.add(record, stop=stop):
                return reason
        return None

    def _epochs_to(self, epoch: int, epochs: range) -> tuple[EpochRecord, bool]:
        """Train `epochs`, evaluate the last, `epoch`; its record, and whether the rule stops it.

        Without epochs to train, this is epoch 0: what there is before training.
        """
        started = time.perf_counter()
        orders = epoch_orders(self.experiment, epochs, self.programs.n_train)
        state, train, finite, columns = self._trained(orders)
        validation = self.programs.evaluate("validation", state.params)
        columns = OrderedDict(columns, **self.programs.measure(state))
        stop: Any = False
        if epochs:
            state, stop = self.programs.after_epoch(state, train, validation)
        train, validation, finite, columns, stop = jax.device_get(
            (train, validation, finite, columns, stop)
        )
        if not (finite and np.isfinite(train.cost) and np.isfinite(validation.cost)):
            self._diverged(dict(zip(epochs, orders, strict=True)))
        self.state = state
        seconds = time.perf_counter() - started
        record = epoch_record(epoch, train, validation, columns, sizes=self.sizes, seconds=seconds)
        return record, bool(stop)

    def _trained(self, orders: np.ndarray) -> Epoch:
        if len(orders) == 0:
            train = self.programs.evaluate("train", self.state.params)
            return Epoch(self.state, train, jnp.ones((), bool), {})
        found = self.programs.train(self.state, orders)
        if self.experiment.training.evaluate_train:
            train = self.programs.evaluate("train", found.state.params)
            return found._replace(totals=train)
        return found

    def _diverged(self, orders: Mapping[int, np.ndarray]) -> None:
        train = self.programs.sets["train"]
        found = divergence.locate(self.experiment, self.state, train, orders)
        self.state = self.state._replace(params=found.params)
        raise found.error

    def _finish(
        self, status: str, *, error: str | None = None, stopped: str | None = None
    ) -> RunResult:
        params = self.state.params
        test = None
        if status == "completed":
            test = jax.device_get(self.programs.evaluate("test", params))
        return self.recorder.finish(
            Ending(status, jax.device_get(params), error, stopped, test),
            n_test=self.sizes["test"],
            compile_s=self.programs.seconds,
            device=str(self.programs.sets["train"].x.device),
        )
