"""Training examples that stay in their files, since they may be larger than the memory."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import NamedTuple

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


@dataclasses.dataclass(frozen=True, eq=False)
class Files:
    """What files hold, looked at once.

    Attributes:
        x: the inputs as the files have them: (n, n_in), or images.
        y: the targets as the files have them.
        targets: what becomes of those.
        left_out: (k,) the numbers of the rows that belong to other sets, in ascending order.
        checksum: by which other files are noticed.

    """

    x: Rows
    y: Rows
    targets: Targets
    left_out: np.ndarray
    checksum: str

    def places(self, numbers: np.ndarray) -> np.ndarray:
        """Which rows some examples are, by their numbers (k,) in ascending order."""
        places = numbers.astype(np.int64, copy=False)
        if not len(self.left_out):
            return places
        # Of an example, how many rows before it belong to other sets.
        before = self.left_out - np.arange(len(self.left_out))
        begins = np.searchsorted(places, before)
        return places + np.cumsum(np.bincount(begins, minlength=len(places))[: len(places)])


class StreamedExamples(Examples):
    """The rows of files but for some, read a portion at a time and never held.

    The same as `Examples` but that `x` and `y` cannot be had: what asks for all of them at once is
    refused, unless it knows to ask for portions.

    Attributes:
        files: where they are.
        n: how many: the first of the rows that are left.

    """

    files: Files
    n: int

    def __init__(
        self,
        files: Files,
        n: int,
        *,
        scale: float | np.ndarray = 1.0,
        mean: np.ndarray | None = None,
        standardised_by: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        settled = functools.partial(object.__setattr__, self)  # as dataclasses that are frozen do
        settled("files", files)
        settled("n", n)
        settled("n_out", files.targets.n_out)
        settled("task", files.targets.task)
        settled("features", files.x.columns)
        settled("scale", scale)
        settled("mean", mean)
        settled("standardised_by", standardised_by)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"StreamedExamples({self.n} of {self.files.x}, n_out={self.n_out})"

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
        shape = self.files.x.shape[1:]
        return (*shape, 1) if len(shape) == 2 else shape

    def first(self, k: int) -> StreamedExamples:
        """The first k examples, in the order of the files."""
        return StreamedExamples(
            *(self.files, min(k, self.n)),
            scale=self.scale,
            mean=self.mean,
            standardised_by=self.standardised_by,
        )

    def standardised(self, mean: np.ndarray, deviation: np.ndarray) -> StreamedExamples:
        """(x - mean) / deviation: of bytes on the device, of other inputs as they are read."""
        if self.files.x.dtype == np.uint8:
            return StreamedExamples(self.files, self.n, mean=mean, scale=1 / deviation)
        figures = mean, deviation
        return StreamedExamples(self.files, self.n, standardised_by=figures)

    def take(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of some examples, by their numbers (k,) in ascending order."""
        places = self.files.places(numbers)
        x = inputs(self.files.x.take(places))
        if self.standardised_by is not None:
            mean, deviation = self.standardised_by
            x = ((x - mean) / deviation).astype(x.dtype, copy=False)
        return x, self.files.targets.of(self.files.y.take(places))

    def examples(self, start: int, end: int) -> Examples:
        """Those from `start` up to before `end`, in memory."""
        x, y = self.take(np.arange(start, min(end, self.n)))
        return Examples(
            *(x, y, self.n_out, self.scale, self.task, self.mean),
            features=self.features,
            standardised_by=self.standardised_by,
        )

    def portions(self) -> Iterator[Examples]:
        """All examples in order, some at a time."""
        length = max(1, PORTION_BYTES // self.files.x.row_bytes)
        for start in range(0, self.n, length):
            yield self.examples(start, start + length)

    def targets_in_portions(self) -> Iterator[np.ndarray]:
        """The targets of all examples in order, some at a time."""
        length = max(1, PORTION_BYTES // (8 * self.n_out))
        for start in range(0, self.n, length):
            numbers = np.arange(start, min(start + length, self.n))
            yield self.files.targets.of(self.files.y.take(self.files.places(numbers)))


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
        "once; ask for the validation or the test set, or choose data that are read into the "
        "memory, such as data=npz"
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
