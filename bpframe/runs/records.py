"""What a run gives, in host values: no device arrays, no config objects."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bpframe.contracts import LayerParams
from bpframe.data import Examples
from bpframe.errors import DataError
from bpframe.runs.arrays import NOTHING, Recording
from bpframe.runs.data_info import DataInfo
from bpframe.runs.trained import Trained
from bpframe.tasks import Classification, Task
from bpframe.training.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """One line of metrics.jsonl: what is known after an epoch that is evaluated.

    Attributes:
        epoch: counted from 1; 0 is what there is before training.
        train_cost: the mean cost per example with its penalty R / n. By default each example
            counts as its mini-batch saw it during the epoch, and the penalty as it is at the end.
        validation_cost: the same over the validation set, after the epoch.
        train_accuracy: share of examples answered rightly, counted like `train_cost`; None where
            no answer is right or wrong, as in regression.
        validation_accuracy: the same over the validation set.
        seconds: wall time since the record before, evaluation included.
        metrics: what the chosen metrics gave, by column: a number, or nested lists of numbers
            where a metric has more than one; None in place of a number that is not finite.

    """

    epoch: int
    train_cost: float
    validation_cost: float
    train_accuracy: float | None
    validation_accuracy: float | None
    seconds: float
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def scalars(self) -> dict[str, float]:
        """The numbers by name, without the epoch, as trackers show them beside it.

        A column of a layer has a name like delta_norm.steps/layer_2. Lists of up to 32 numbers
        are told one by one, as name/0, ...; longer ones, matrices, and what is not finite are left
        out.
        """
        found: dict[str, float] = {}
        for name, value in self.as_dict().items():
            metric, *column = name.split(".", 2)
            whole = ".".join((metric, *column[:1])) + "".join(f"/{part}" for part in column[1:])
            listed = {f"{whole}/{index}": part for index, part in enumerate(_few(value))}
            found.update({whole: value} if isinstance(value, int | float) else listed)
        del found["epoch"]
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, with the metrics' columns beside the others.

        Where there is no accuracy, there is no column for it.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        metrics = fields.pop("metrics")
        for name in ("train_accuracy", "validation_accuracy"):
            if fields[name] is None:
                del fields[name]
        return {**fields, **metrics}

    @classmethod
    def read(cls, line: Mapping[str, Any]) -> EpochRecord:
        """What `as_dict` has written."""
        own = {field.name for field in dataclasses.fields(cls)} - {"metrics"}
        fields: dict[str, Any] = {name: line.get(name) for name in own}
        return cls(**fields, metrics={k: v for k, v in line.items() if k not in own})


def _few(value: Any) -> list[Any]:
    """The entries of a short list of numbers; none of anything else."""
    few = value if isinstance(value, list) and len(value) <= 32 else []
    return few if all(isinstance(part, int | float) for part in few) else []


@dataclasses.dataclass(frozen=True)
class History:
    """The records of a run as arrays, one entry per epoch; see EpochRecord for their meaning.

    `metrics` holds one array a column, whose first axis is the epoch; NaN where there is no number,
    such as over the steps before there were any, or an accuracy in regression.
    """

    epoch: np.ndarray
    train_cost: np.ndarray
    validation_cost: np.ndarray
    train_accuracy: np.ndarray
    validation_accuracy: np.ndarray
    seconds: np.ndarray
    metrics: Mapping[str, np.ndarray]

    def last(self) -> dict[str, Any]:
        """The last line of metrics.jsonl: `EpochRecord.as_dict`, of a run that has any."""
        columns = {**vars(self), **self.metrics}
        del columns["metrics"]
        for name in ("train_accuracy", "validation_accuracy"):
            if np.isnan(columns[name][-1]):
                del columns[name]
        return {name: finite(column[-1].tolist()) for name, column in columns.items()}

    def curves(self) -> Any:
        """Cost and accuracy over the epochs, as a figure of matplotlib."""
        from bpframe.runs.curves import curves

        return curves(self)

    def to_frame(self) -> Any:
        """A pandas frame with a row an epoch, and a column for each number of a metric."""
        import pandas as pd  # here, since few need it

        columns: dict[str, Any] = {k: v for k, v in vars(self).items() if k != "metrics"}
        for name, column in self.metrics.items():
            parts = column.reshape(len(column), -1)
            names = [name] if column.ndim == 1 else [f"{name}_{at}" for at in range(parts.shape[1])]
            columns |= dict(zip(names, parts.T, strict=True))
        return pd.DataFrame(columns).set_index("epoch")

    @classmethod
    def of(cls, records: list[EpochRecord]) -> History:
        """The records, column by column."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "metrics"]
        columns = {name: _numbers([getattr(r, name) for r in records]) for name in names}
        metrics = {
            name: _column([r.metrics.get(name) for r in records])
            for name in (records[-1].metrics if records else ())
        }
        return cls(**columns, metrics=metrics)


def finite(value: Any) -> Any:
    """A number, or nested lists of them, with None for what is not finite: JSON has no NaN."""
    if isinstance(value, list):
        return [finite(part) for part in value]
    return value if math.isfinite(value) else None


def _numbers(values: list[Any]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])


def _column(values: list[Any]) -> np.ndarray:
    """Numbers or nested lists of one shape as an array; NaN where an epoch has none."""
    shape = np.shape(values[-1])
    return np.array([np.full(shape, np.nan) if v is None else v for v in values], float)


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds: for compiling everything once, and for each record."""

    compile_s: float
    epoch_s: list[float]


@dataclasses.dataclass(frozen=True)
class Summary:
    """summary.json: how a run ended.

    Attributes:
        status: "completed", "diverged", "interrupted" or "failed" (an error in a callback, say).
        epochs: how many epochs were finished.
        test_accuracy: of the last parameters; None if the run was not completed.
        test_cost: likewise.
        best_validation_accuracy: the highest after any epoch; None if none was finished.
        best_validation_cost: the lowest after any epoch; None if none was finished.
        best_epoch: the epoch whose parameters are the best by the objective; of equals
            that with the least validation cost.
        metrics: what the chosen metrics gave in the last finished epoch, by column.
        stopped: why training ended before its last epoch; None if it did not.
        error: what ended a run that was not completed.
        timing: seconds.
        seed: the seed.
        sizes: neurons in each layer.
        device: the device that trained.
        versions: of bpframe and what it runs on.
        changed: how code, data or versions have changed since the run began, if it was resumed all
            the same; None if they have not.
        privacy: what may be claimed of the parameters, as `Aggregation.privacy` has it; None, and
            in no file, where that is nothing.
        has_accuracy: whether answers are right or wrong; in regression they are not, and both
            accuracies are None and stand in no file.
        data: what is to be known of the data to answer for new examples: the shape and the names
            of inputs, their mean and scale, the classes.

    """

    status: str
    epochs: int
    test_accuracy: float | None
    test_cost: float | None
    best_validation_accuracy: float | None
    best_validation_cost: float | None
    best_epoch: int | None
    metrics: Mapping[str, Any]
    stopped: str | None
    error: str | None
    timing: Timing
    seed: int
    sizes: tuple[int, ...]
    device: str
    versions: dict[str, str]
    changed: str | None = None
    privacy: Mapping[str, Any] | None = None
    has_accuracy: bool = True
    data: DataInfo | None = None

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Summary:
        """What `as_dict` has written, among what else stands in summary.json."""
        names = {field.name for field in dataclasses.fields(cls)}
        fields: dict[str, Any] = {k: v for k, v in written.items() if k in names}
        data = fields.pop("data", None)
        absent = {"test_accuracy": None, "best_validation_accuracy": None}
        return cls(
            **{
                **absent,
                **fields,
                "has_accuracy": "test_accuracy" in fields,
                "timing": Timing(**fields["timing"]),
                "sizes": tuple(fields["sizes"]),
                "data": data and DataInfo.read(data),
            }
        )

    @property
    def line(self) -> str:
        """What was trained, and how it ended."""
        sizes = "-".join(map(str, self.sizes))
        error = f": {self.error}" if self.error else ""
        return f"{sizes}, {self.epochs} epochs, seed {self.seed}, {self.status}{error}"

    def shown(self) -> list[tuple[str, Any]]:
        """The figures that people ask for first, by their names."""
        names = ("test_accuracy", "test_cost", "best_validation_accuracy", "best_validation_cost")
        figures = [(name, getattr(self, name)) for name in (*names, "best_epoch")]
        return [(name.replace("_", " "), value) for name, value in figures if value is not None]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        fields = dataclasses.asdict(dataclasses.replace(self, data=None))
        fields["data"] = self.data and self.data.as_dict()
        if not fields.pop("has_accuracy"):
            del fields["test_accuracy"], fields["best_validation_accuracy"]
        if self.privacy is None:
            del fields["privacy"]
        return fields


@dataclasses.dataclass(frozen=True)
class RunResult(Trained):
    """What `bpframe.run` returns; what it answers, see `Trained`.

    Attributes:
        history: one array a quantity, one entry an epoch.
        params: weights and biases of the layers 2..L after the last epoch, as NumPy arrays.
        best_params: the same after the best epoch; after the last if none was finished.
        summary: how the run ended.
        info: what was run.
        recording: what recorders kept over time.

    """

    history: History
    params: tuple[LayerParams, ...]
    best_params: tuple[LayerParams, ...]
    summary: Summary
    info: RunInfo
    recording: Recording = NOTHING

    @property
    def experiment(self) -> Experiment:
        """What was run."""
        return self.info.experiment

    @property
    def task(self) -> Task:
        """What an answer is."""
        return self.info.task

    @property
    def _info(self) -> DataInfo:
        assert self.info.data is not None
        return self.info.data

    def _chosen(self, best: bool) -> tuple[LayerParams, ...]:
        return self.best_params if best else self.params

    def _test_set(self) -> Examples:
        raise DataError("evaluate: a result holds no examples; give x and y")

    def curves(self) -> Any:
        """Cost and accuracy over the epochs, as a figure of matplotlib."""
        return self.history.curves()

    def __repr__(self) -> str:
        return f"RunResult({self.summary.line})"

    def _repr_html_(self) -> str:
        from bpframe.runs.html import params_table, table

        return table(self.summary.shown(), caption=self.summary.line) + params_table(self.params)


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """What the event hooks are told about a run.

    Attributes:
        experiment: all parts of the run.
        output_dir: the run folder; None if nothing is written.
        n_train: the number of training examples.
        task: what an answer is.
        data: what is to be known of the data to answer for new examples.
        earlier: the records so far of a run that goes on; None of one that begins.
        settings: told to trackers alone: the configuration by key, such as optimiser.eta, with
            interpolations as they were written, since what they stand for may be a secret; without
            what says how a run is shown and kept.
        sweep: told to trackers alone: the folder of the sweep that the run is a job of, if it is.

    """

    experiment: Experiment
    output_dir: Path | None
    n_train: int
    task: Task = dataclasses.field(default_factory=Classification)
    data: DataInfo | None = None
    earlier: tuple[EpochRecord, ...] | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sweep: Path | None = None
