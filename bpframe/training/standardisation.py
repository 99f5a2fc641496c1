"""Standardisation: inputs with mean 0 and standard deviation 1 over the training set."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from bpframe.data import Data, Examples
from bpframe.tables.streamed import StreamedExamples

_ROWS = 4096
"""How many examples are floats at a time."""


def standardised(data: Data) -> Data:
    """(x - mean) / deviation for all splits, with the figures of the training set.

    There is one mean and one deviation, that of all n examples, for each feature of a row, since
    features have units of their own; and for each channel of an image, over all of its pixels,
    since pixels have one unit: a figure for each would blow up the few grey values of a corner,
    and undo what convolution counts on. What is the same in all training examples becomes
    x - mean, 0 in those.

    Bytes stay bytes, and the figures stand in `Examples.mean` and `scale`; other inputs are
    computed here in float64, for on the device they would lose the digits that they have in common.
    """
    mean, deviation = _figures(data.train)
    return Data(*(_standardised(examples, mean, deviation) for examples in data))


def _figures(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the deviation over all axes but the last, in units of x; 1 of what is constant.

    Computed of the distances from the first example, which are exactly 0 of what is constant.
    """
    portions, width = range(0, len(examples), _ROWS), examples.shape[-1]
    origin = _rows(examples, 0, 1)[0].astype(np.float64)

    def rows(start: int) -> np.ndarray:
        return _rows(examples, start, start + _ROWS).astype(np.float64) - origin

    n = len(examples) * (math.prod(examples.shape) // width)
    mean = sum((rows(start).sum(axis=0) for start in portions), np.zeros(width)) / n
    squares = (((rows(start) - mean) ** 2).sum(axis=0) for start in portions)
    deviation = np.sqrt(sum(squares, np.zeros(width)) / n)
    return origin + mean, np.where(deviation == 0, 1.0, deviation)


def _rows(examples: Examples, start: int, end: int) -> np.ndarray:
    """The inputs of some examples, with all axes but the last as one."""
    if isinstance(examples, StreamedExamples):
        examples, start, end = examples.examples(start, end), 0, end - start
    return examples.x[start:end].reshape(-1, examples.x.shape[-1])


def _standardised(examples: Examples, mean: np.ndarray, deviation: np.ndarray) -> Examples:
    if isinstance(examples, StreamedExamples):
        return examples.standardised(mean, deviation)
    if examples.x.dtype == np.uint8:
        return dataclasses.replace(examples, mean=mean, scale=1 / deviation)
    x = (examples.x - mean) / deviation
    dtype = examples.x.dtype if examples.x.dtype.kind == "f" else np.float64
    x = x.astype(dtype, copy=False)
    return dataclasses.replace(examples, x=x, scale=1.0, standardised_by=(mean, deviation))
