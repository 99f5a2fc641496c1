"""The data of an experiment, loaded and checked against it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bpframe.contracts import Dataset
from bpframe.data import Data, Examples, FittedData
from bpframe.errors import ConfigError, DataError, ExamplesError, described
from bpframe.metrics import STEPS
from bpframe.tables.streamed import StreamedExamples, in_memory, replaced, targets_of
from bpframe.tasks import Task
from bpframe.training import hosts, initial_state, memory, parallel, probes, streaming
from bpframe.training.experiment import Experiment
from bpframe.training.standardisation import standardised


def load(experiment: Experiment) -> FittedData:
    """The experiment's data, cut to `data.train_size` and checked against the experiment.

    What the experiment needs besides of this machine, its device and the file of an exact initial
    condition, is looked for as well.

    Raises:
        ConfigError: `data.train_size` or `training.batch_size` is larger than the training set,
            `training.device` is not there, or its memory is too small.
        DataError: a file is missing or corrupt, the data do not have the promised sizes, their
            targets are not those of their task, or they find no room.

    """
    hosts.join(experiment.training)  # first: JAX has to be told of it before it computes
    parallel.count(experiment.training)
    data = loaded(experiment.data)
    check(experiment, data)
    return data


def loaded(dataset: Dataset) -> FittedData:
    """The data of a data set, as it is configured; see `load`."""
    return fitting(dataset, read(dataset))


def read(dataset: Dataset) -> Data:
    """All of the data of a data set, unchecked; see `load`."""
    with _told_of(dataset):
        return dataset.load()


def read_whole(dataset: Dataset) -> Data:
    """The same with all examples in memory, also where a run would stream them.

    Raises:
        DataError: the memory is too small for them.

    """
    data = read(dataset)
    memory.check_whole(data.train)
    with _told_of(dataset):
        return in_memory(data)


@contextmanager
def _told_of(dataset: Dataset) -> Iterator[None]:
    """Have what ends the process, or finds no room in it, end as one line."""
    try:
        yield
    except (SystemExit, GeneratorExit) as error:  # which would end the process without a word
        raise DataError(f"data: {type(dataset).__name__} raised {described(error)}") from error
    except MemoryError as error:
        raise DataError(
            f"data: {type(dataset).__name__} finds no room in the memory of this machine, "
            f"{memory.shown(memory.machine_bytes())}: {error or 'MemoryError'}; choose smaller data"
        ) from error


def fitting(dataset: Dataset, data: Data) -> FittedData:
    """Data of the sizes that a data set promises, cut to its `train_size`, expanded, standardised.

    Those that are so already stay as they are.

    Raises:
        ConfigError: `data.train_size` is larger than the training set, or what it is expanded to
            is larger than the memory.
        DataError: they are of other sizes, or empty, or their targets are not those of their task.

    """
    _check_sizes(dataset, data)
    if isinstance(data, FittedData):
        return data
    task = _task(data)
    data = Data(*(replaced(examples, task) for examples in data))
    k = dataset.train_size
    train = data.train if k is None else data.train.first(k)
    memory.check_expansion(train, dataset.expansion)
    with _told_of(dataset):
        data = data._replace(train=dataset.expanded(train))
    if (found := len(data.train)) != (promised := len(train) * dataset.expansion):
        raise DataError(
            f"data: {type(dataset).__name__} expands {len(train)} examples to {found}; promised "
            f"were {promised}"
        )
    with _told_of(dataset):
        return FittedData(*(standardised(data) if dataset.standardise else data))


def _check_sizes(dataset: Dataset, data: Data) -> None:
    """Raise an error unless data are of the sizes that a data set promises."""
    if not isinstance(data, Data):
        raise DataError(
            f"data: {type(dataset).__name__} has {type(data).__name__}; expected "
            "bpframe.Data(train, validation, test)"
        )
    for split, examples in data._asdict().items():
        if not isinstance(examples, Examples):
            raise DataError(
                f"data: the {split} set of {type(dataset).__name__} is {type(examples).__name__}; "
                "expected bpframe.Examples"
            )
        if not len(examples):
            raise DataError(f"data: the {split} set of {type(dataset).__name__} is empty")
        if (examples.shape, examples.n_out) != (dataset.shape, dataset.n_out):
            raise DataError(
                f"data: the {split} set has inputs of shape {examples.shape} and {examples.n_out} "
                f"outputs; promised by {type(dataset).__name__}, for which the experiment is made, "
                f"were {dataset.shape} and {dataset.n_out}"
            )
    n, k = len(data.train), dataset.train_size
    if k is not None and k > n:
        raise ConfigError(f"data.train_size: {k} is out of range; allowed: 1 to {n} for this data")


def _task(data: Data) -> Task:
    """The task of the training set, fitted to its targets."""
    if (declared := data.train.task) is None:
        return data.task
    is_streamed = isinstance(data.train, StreamedExamples)  # and looked at when it was read
    for split, examples in data._asdict().items():
        if is_streamed and split == "train":
            continue
        try:
            declared.fitted(examples.y)
        except ExamplesError as error:
            raise ExamplesError(f"data: the {split} set: {error}") from error
    return declared if is_streamed else declared.fitted(data.train.y)


def check(experiment: Experiment, data: Data) -> None:
    """Look for what the experiment needs besides its data, and whether it fits them; see `load`."""
    n = len(data.train)
    parallel.count(experiment.training)
    if (m := experiment.training.m(n)) > n:
        raise ConfigError(
            f"training.batch_size: {m} is out of range; allowed: 1 to {n}, the training set of "
            f"{type(experiment.data).__name__}"
        )
    if isinstance(data.train, StreamedExamples):
        streaming.check(experiment)
    for split, examples in data._asdict().items():
        try:
            for y in targets_of(examples):
                experiment.cost.cost_function.check_targets(y, f"the {split} set")
        except ExamplesError as error:
            if data.task.has_accuracy or getattr(experiment.data, "task", "") is not None:
                raise
            advice = "data.task=regression chooses it, with linear outputs"
            raise ExamplesError(f"{error}; {advice}") from error
    experiment.fitted(n)
    experiment.best.applied(has_accuracy=data.task.has_accuracy)
    memory.check(experiment, [len(examples) for examples in data])
    memory.check_examples(experiment, data)
    _check_metrics(experiment, data)
    probes.check(experiment, data)
    initial_state.exact(experiment)


def _check_metrics(experiment: Experiment, data: Data) -> None:
    """Refuse metrics over more examples than there are, or of classes where there are none."""
    for index, monitor in enumerate(experiment.metrics):
        metric = monitor.metric
        for needs, has, why in (
            (
                metric.needs_accuracy,
                data.task.has_accuracy,
                "which have no accuracy",
            ),
            (metric.needs_classes, data.task.has_classes, "whose answers are no classes"),
        ):
            if needs and not has:
                raise ConfigError(
                    f"metrics[{index}]: {monitor.name} has no meaning for these data, {why}; leave "
                    "it out"
                )
        n = len(getattr(data, metric.over)) if metric.over != STEPS else 0
        if metric.first is not None and metric.first > n:
            allowed = f"1 to {n}, the {metric.over} set" if n else "none over the steps; set over"
            raise ConfigError(
                f"metrics[{index}].first: {metric.first} is out of range; allowed: {allowed}"
            )
