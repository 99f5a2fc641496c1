"""One array of a layer over the times that are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bpframe.runs.arrays import RecordedArray

_BLOCK = 2**24
"""The most bytes that are read at a time."""


@dataclasses.dataclass(frozen=True)
class Track:
    """What was recorded of one array of a layer.

    Attributes:
        steps: (rows,) after how many steps each row was recorded, in order.
        values: (rows, ...) the array, or what is shown of it.

    """

    steps: np.ndarray
    values: np.ndarray

    def row(self, step: int) -> int:
        """The row of the state after so many steps: recorded then, or the last one before."""
        return rows_at(self.steps, [step])[0]

    def at(self, step: int) -> np.ndarray:
        """The values of that row."""
        return self.values[self.row(step)]


def rows_at(recorded: np.ndarray, steps: Sequence[int] | np.ndarray) -> np.ndarray:
    """For each step the place in `recorded`, which begins at step 0, that is not after it."""
    return np.maximum(np.searchsorted(recorded, steps, side="right") - 1, 0)


def track(
    array: RecordedArray, steps: np.ndarray, cut: Callable[[np.ndarray], np.ndarray]
) -> Track:
    """The rows of an array that belong to some steps; `cut` takes of (times, ...) what is shown."""
    rows = np.unique(rows_at(array.steps, steps))
    values = np.concatenate([cut(block) for block in _blocks(array, rows)])
    return Track(array.steps[rows], values)


def _blocks(array: RecordedArray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """These rows, in blocks of what lies in a row: a file is opened once a block."""
    size = max(1, int(np.prod(array.shape[1:], dtype=object)) * array.dtype.itemsize)
    length = max(1, _BLOCK // size)
    for start in range(0, len(array), length):
        wanted = rows[(rows >= start) & (rows < start + length)]
        if len(wanted):
            yield array[int(wanted[0]) : int(wanted[-1]) + 1][wanted - wanted[0]]
