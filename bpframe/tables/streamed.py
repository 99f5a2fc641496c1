"""Training examples that stay in their files, since they may be larger than the memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bpframe.data import Data, Examples
from bpframe.errors import DataError
from bpframe.tables.rows import PORTION_BYTES, Rows
from bpframe.tasks import Task


class Targets(NamedTuple):
    """How targets in files become targets of training.

    Attributes:
        task: what an answer is.
        n_out: the output neurons.
        classes: the classes (n_out,) in the order of their labels; None of numbers.

    """

    task: Task
    n_out: int
    classes: np.ndarray | None

    def of(self, y: np.ndarray) -> np.ndarray:
        """Labels (k,), or numbers (k, n_out), of what files hold."""
        if self.classes is None:
            return y.astype(np.float64).reshape(len(y), -1)
        if self.classes.dtype.kind in "iu" and np.array_equal(self.classes, np.arange(self.n_out)):
            return y.astype(np.int64)
        return np.searchsorted(self.classes, y)


class StreamedExamples(Examples):
    """The rows of files but for some, read a portion at a time and never held.

    The same as `Examples` but that `x` and `y` cannot be had: what asks for all of them at once is
    refused, unless it knows to ask for portions.

    Attributes:
        rows_x: the inputs as the files have them: (n, n_in), or images.
        rows_y: the targets as the files have them.
        targets: what becomes of those.
        left_out: (k,) the numbers of the rows that belong to other sets, in ascending order.
        n: how many examples these are: the first of the rows that are left.
        checksum: that of the files, by which other data are noticed.

    """

    def __init__(
        self,
        rows_x: Rows,
        rows_y: Rows,
        targets: Targets,
        left_out: np.ndarray,
        *,
        n: int,
        checksum: str,
        mean: np.ndarray | None = None,
        scale: float | np.ndarray = 1.0,
        standardised_by: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        fields = {
            **{"rows_x": rows_x, "rows_y": rows_y, "targets": targets, "left_out": left_out},
            **{"n": n, "checksum": checksum, "features": ()},
            **{"mean": mean, "scale": scale, "standardised_by": standardised_by},
            **{"n_out": targets.n_out, "task": targets.task},
        }
        for name, value in fields.items():  # as dataclasses that are frozen do
            object.__setattr__(self, name, value)

    rows_x: Rows
    rows_y: Rows
    targets: Targets
    left_out: np.ndarray
    n: int
    checksum: str

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"StreamedExamples({self.n} of {self.rows_x}, n_out={self.n_out})"

    def __len__(self) -> int:
        return self.n

    @property
    def x(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Refused: see `take`."""
        raise _asked_for_all(self.n)

    @property
    def y(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Refused: see `take`."""
        raise _asked_for_all(self.n)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an input; images of grey values have one channel."""
        shape = self.rows_x.shape[1:]
        return (*shape, 1) if len(shape) == 2 else shape

    def first(self, k: int) -> StreamedExamples:
        """The first k examples, in the order of the files."""
        return self._with(n=min(k, self.n))

    def standardised(self, mean: np.ndarray, deviation: np.ndarray) -> StreamedExamples:
        """(x - mean) / deviation: of bytes on the device, of other inputs as they are read."""
        if self.rows_x.dtype == np.uint8:
            return self._with(mean=mean, scale=1 / deviation)
        return self._with(standardised_by=(mean, deviation))

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of some examples, by their numbers (k,) in ascending order."""
        places = self._places(rows)
        x = inputs(self.rows_x.take(places))
        if self.standardised_by is not None:
            mean, deviation = self.standardised_by
            x = ((x - mean) / deviation).astype(x.dtype, copy=False)
        return x, self.targets.of(self.rows_y.take(places))

    def examples(self, start: int, end: int) -> Examples:
        """Those from `start` up to before `end`, in memory."""
        x, y = self.take(np.arange(start, min(end, self.n)))
        return Examples(
            *(x, y, self.n_out, self.scale, self.task, self.mean),
            standardised_by=self.standardised_by,
        )

    def portions(self) -> Iterator[Examples]:
        """All examples in order, some at a time."""
        length = max(1, PORTION_BYTES // self.rows_x.row_bytes)
        for start in range(0, self.n, length):
            yield self.examples(start, start + length)

    def targets_in_portions(self) -> Iterator[np.ndarray]:
        """The targets of all examples in order, some at a time."""
        length = max(1, PORTION_BYTES // (8 * self.n_out))
        for start in range(0, self.n, length):
            rows = np.arange(start, min(start + length, self.n))
            yield self.targets.of(self.rows_y.take(self._places(rows)))

    def _places(self, rows: np.ndarray) -> np.ndarray:
        """Which rows of the files some examples are, by their numbers in ascending order."""
        places = rows.astype(np.int64, copy=False)
        if not len(self.left_out):
            return places
        # Of an example, how many rows before it belong to other sets.
        before = self.left_out - np.arange(len(self.left_out))
        begins = np.searchsorted(places, before)
        return places + np.cumsum(np.bincount(begins, minlength=len(places))[: len(places)])

    def _with(self, **changes: Any) -> StreamedExamples:
        return StreamedExamples(**{name: getattr(self, name) for name in _FIELDS} | changes)


_FIELDS = (
    *("rows_x", "rows_y", "targets", "left_out", "n", "checksum"),
    *("mean", "scale", "standardised_by"),
)


def inputs(x: np.ndarray) -> np.ndarray:
    """Inputs as files have them, as training takes them: bytes or floats, images with channels."""
    if x.dtype.kind != "f" and x.dtype != np.uint8:
        x = x.astype(np.float64)
    return x[..., None] if x.ndim == 3 else x


def in_memory(data: Data) -> Data:
    """The same data with all examples in memory."""
    train = data.train
    if not isinstance(train, StreamedExamples):
        return data
    return data._replace(train=train.examples(0, len(train)))


def _asked_for_all(n: int) -> DataError:
    return DataError(
        f"data: {n:,} training examples stay in their files, and this asks for all of them at "
        "once; choose data that are read into the memory, such as data=npz"
    )


def in_portions(examples: Examples) -> Iterator[Examples]:
    """All examples as they are where they are in memory, else some at a time."""
    if isinstance(examples, StreamedExamples):
        yield from examples.portions()
    else:
        yield examples


def targets_of(examples: Examples) -> Iterator[np.ndarray]:
    """All targets, likewise."""
    if isinstance(examples, StreamedExamples):
        yield from examples.targets_in_portions()
    else:
        yield examples.y


def replaced(examples: Examples, task: Task) -> Examples:
    """Examples with another task; those that are streamed have theirs since they were read."""
    if isinstance(examples, StreamedExamples):
        return examples
    return dataclasses.replace(examples, task=task)
