"""The data of an experiment, loaded and checked against it."""

from __future__ import annotations

import dataclasses

from bpframe.contracts import Dataset
from bpframe.data import Data, middle_of
from bpframe.errors import ConfigError, DataError, described
from bpframe.metrics import STEPS
from bpframe.training import initial_state, memory
from bpframe.training.experiment import Experiment


def load(experiment: Experiment) -> Data:
    """The experiment's data, cut to `data.train_size` and checked against the experiment.

    What the experiment needs besides of this machine, its device and the file of an exact initial
    condition, is looked for as well.

    Raises:
        ConfigError: `data.train_size` or `training.batch_size` is larger than the training set,
            `training.device` is not there, or its memory is too small.
        DataError: a file is missing or corrupt, the data do not have the promised sizes, or they
            find no room.

    """
    data = loaded(experiment.data)
    check(experiment, data)
    return data


def loaded(dataset: Dataset) -> Data:
    """The data of a data set, cut to its `train_size`; see `load`."""
    try:
        return fitting(dataset, dataset.load())
    except (SystemExit, GeneratorExit) as error:  # which would end the process without a word
        raise DataError(f"data: {type(dataset).__name__} raised {described(error)}") from error
    except MemoryError as error:
        raise DataError(
            f"data: {type(dataset).__name__} finds no room in the memory of this machine, "
            f"{memory.shown(memory.machine_bytes())}: {error or 'MemoryError'}; choose smaller data"
        ) from error


def fitting(dataset: Dataset, data: Data) -> Data:
    """Data of the sizes that a data set promises, cut to its `train_size`.

    Raises:
        ConfigError: `data.train_size` is larger than the training set.
        DataError: they are of other sizes, or empty.

    """
    if not isinstance(data, Data):
        raise DataError(
            f"data: {type(dataset).__name__} has {type(data).__name__}; expected "
            "bpframe.Data(train, validation, test)"
        )
    for split, examples in data._asdict().items():
        if not len(examples):
            raise DataError(f"data: the {split} set of {type(dataset).__name__} is empty")
        if (examples.shape, examples.n_out) != (dataset.shape, dataset.n_out):
            raise DataError(
                f"data: the {split} set of {type(dataset).__name__} has inputs of shape "
                f"{examples.shape} and {examples.n_out} outputs; promised were {dataset.shape} and "
                f"{dataset.n_out}"
            )
    middle = middle_of(data.train.y)
    data = Data(*(dataclasses.replace(examples, middle=middle) for examples in data))
    n, k = len(data.train), dataset.train_size
    if k is not None and k > n:
        raise ConfigError(f"data.train_size: {k} is out of range; allowed: 1 to {n} for this data")
    return data if k is None else data._replace(train=data.train.first(k))


def check(experiment: Experiment, data: Data) -> None:
    """Look for what the experiment needs besides its data, and whether it fits them; see `load`."""
    n = len(data.train)
    if (m := experiment.training.m(n)) > n:
        raise ConfigError(
            f"training.batch_size: {m} is out of range; allowed: 1 to {n}, the training set"
        )
    for split, examples in data._asdict().items():
        experiment.cost.cost_function.check_targets(examples.y, f"the {split} set")
    memory.check(experiment, [len(examples) for examples in data])
    _check_metrics(experiment, data)
    initial_state.exact(experiment)


def _check_metrics(experiment: Experiment, data: Data) -> None:
    """Refuse metrics over more examples than there are, or of classes where there are none."""
    for index, monitor in enumerate(experiment.metrics):
        metric = monitor.metric
        if metric.needs_classes and data.train.middle is None:
            raise ConfigError(
                f"metrics[{index}]: {monitor.name} has no meaning for these data, whose targets "
                "are no classes; leave it out"
            )
        n = len(getattr(data, metric.over)) if metric.over != STEPS else 0
        if metric.first is not None and metric.first > n:
            allowed = f"1 to {n}, the {metric.over} set" if n else "none over the steps; set over"
            raise ConfigError(
                f"metrics[{index}].first: {metric.first} is out of range; allowed: {allowed}"
            )
