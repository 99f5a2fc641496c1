"""What a run has to know of its data to answer for new examples, once the data are gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from bpframe.component import hyperparameters
from bpframe.contracts import Shape
from bpframe.data import Data, Examples, Feature
from bpframe.errors import DataError
from bpframe.runs.checksums import of_arrays
from bpframe.tables.streamed import StreamedExamples
from bpframe.tasks import Classification, MultiLabel, Regression, Task

_TASKS = {task.__name__: task for task in (Classification, MultiLabel, Regression)}


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """The data of a run without their examples.

    Attributes:
        shape: of an input.
        n_out: the output neurons.
        n_train: the training examples.
        task: what an answer is; None if a plugin's own.
        features: what the entries of a row are called.
        mean: what is subtracted from an input, one number for each feature or channel, or 0.
        scale: what the difference is multiplied with, likewise, or 1.
        checksum: that of all examples, by which other data are noticed; see `data_checksum`.

    """

    shape: Shape
    n_out: int
    n_train: int
    task: Task | None
    features: tuple[Feature, ...] = ()
    mean: Any = 0.0
    scale: Any = 1.0
    checksum: str | None = None

    @classmethod
    def of(cls, data: Data) -> DataInfo:
        """What is to be known of data as they are trained on."""
        train = data.train
        mean = 0.0 if train.mean is None else np.asarray(train.mean, float)
        scale: Any = np.asarray(train.scale, float)
        if train.standardised_by is not None:
            mean, deviation = train.standardised_by
            scale = scale / deviation
        return cls(
            *(train.shape, train.n_out, len(train), data.task, train.features),
            *(np.asarray(mean).tolist(), np.asarray(scale).tolist(), data_checksum(data)),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `read` is the way back."""
        task = self.task if type(self.task) in _TASKS.values() else None
        described = None
        if task is not None:
            fields = {
                name: value.item() if hasattr(value, "item") else value
                for name, value in hyperparameters(task)
            }
            described = {"name": type(task).__name__, **fields}
        return {**vars(self), "task": described}

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> DataInfo:
        """What `as_dict` has written."""
        task = None
        if found["task"] is not None:
            fields: Any = {
                k: tuple(v) if isinstance(v, list) else v for k, v in found["task"].items()
            }
            task = _TASKS[fields.pop("name")](**fields)
        features = tuple(f if isinstance(f, str) else tuple(f) for f in found["features"])
        return cls(**{**found, "shape": tuple(found["shape"]), "task": task, "features": features})

    def examples(self, x: np.ndarray, y: np.ndarray, task: Task) -> Examples:
        """Inputs as the data set has them, made like those that were trained on."""
        scaled = (np.asarray(x, np.float64) - self.mean) * self.scale
        return Examples(scaled, y, self.n_out, task=task, features=self.features)

    def adapted(self, examples: Examples, task: Task) -> Examples:
        """Examples of another data set, as it loads them, made like those that were trained on.

        Columns and classes are found by their names where they have any.

        Raises:
            DataError: they are of other sizes, or have a column or a class that is not known.

        """
        x = examples.x
        if self.features and examples.features:
            x = self._columns(x, examples.features)
        if x.shape[1:] != self.shape:
            raise DataError(f"data: have inputs of shape {x.shape[1:]}; this run has {self.shape}")
        if self.mean == 0.0 and examples.mean is None:  # each data set has units of its own
            scaled = np.asarray(x, np.float64) * examples.scale
        else:
            scaled = (np.asarray(x, np.float64) - self.mean) * self.scale
        y = _renamed(examples, task) if examples.y.ndim == 1 else examples.y
        if isinstance(task, Regression):
            own = examples.task if isinstance(examples.task, Regression) else Regression()
            y = task.encoded(own.decoded(y))
        return Examples(scaled, y, self.n_out, task=task, features=self.features)

    def _columns(self, x: np.ndarray, features: tuple[Feature, ...]) -> np.ndarray:
        places = {feature: at for at, feature in enumerate(features)}
        known = set(self.features)
        if new := [f for f in features if isinstance(f, tuple) and f not in known]:
            raise DataError(f"data: column {new[0][0]!r} holds {new[0][1]!r}, not trained on")
        if lost := [f for f in self.features if isinstance(f, str) and f not in places]:
            raise DataError(f"data: have no column {lost[0]!r}, which this run was trained on")
        none = np.zeros(len(x))
        return np.stack([x[:, places[f]] if f in places else none for f in self.features], axis=1)


def data_checksum(data: Data) -> str:
    """The checksum of the examples of all splits, with how they are scaled.

    Of files that are streamed it is their own, with how many examples are used of them.
    """
    return of_arrays(
        np.asarray(part)
        for examples in data
        for part in (*_content(examples), examples.scale, examples.mean)
        if part is not None
    )


def _content(examples: Examples) -> tuple[np.ndarray, ...]:
    if isinstance(examples, StreamedExamples):
        return np.frombuffer(examples.files.checksum.encode(), np.uint8), np.asarray(len(examples))
    return examples.x, examples.y


def _renamed(examples: Examples, task: Task) -> np.ndarray:
    """Labels (n,) as numbers of the classes of a task."""
    own = examples.task.names if examples.task is not None else ()
    if own == task.names:
        return examples.y
    places = {name: at for at, name in enumerate(task.names or range(examples.n_out))}
    names = own or tuple(range(examples.n_out))
    if new := [name for name in names if name not in places]:
        shown = ", ".join(map(str, list(places)[:10]))
        raise DataError(f"data: have the class {new[0]!r}; those of this run are {shown}")
    return np.array([places[name] for name in names])[examples.y]
