"""Standardisation: inputs with mean 0 and standard deviation 1 over the training set."""

from __future__ import annotations

import dataclasses

import numpy as np

from bpframe.data import Data, Examples

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
    mean, deviation = _figures(data.train.x)
    return Data(*(_standardised(examples, mean, deviation) for examples in data))


def _figures(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the deviation over all axes but the last, in units of x; 1 of what is constant.

    Computed of the distances from the first example, which are exactly 0 of what is constant.
    """
    origin = x[0].reshape(-1, x.shape[-1])[0].astype(np.float64)
    portions = range(0, len(x), _ROWS)

    def rows(start: int) -> np.ndarray:
        portion = x[start : start + _ROWS].reshape(-1, x.shape[-1])
        return portion.astype(np.float64) - origin

    n = x.size // x.shape[-1]
    mean = sum((rows(start).sum(axis=0) for start in portions), np.zeros(x.shape[-1])) / n
    squares = (((rows(start) - mean) ** 2).sum(axis=0) for start in portions)
    deviation = np.sqrt(sum(squares, np.zeros(x.shape[-1])) / n)
    return origin + mean, np.where(deviation == 0, 1.0, deviation)


def _standardised(examples: Examples, mean: np.ndarray, deviation: np.ndarray) -> Examples:
    if examples.x.dtype == np.uint8:
        return dataclasses.replace(examples, mean=mean, scale=1 / deviation)
    x = (examples.x - mean) / deviation
    dtype = examples.x.dtype if examples.x.dtype.kind == "f" else np.float64
    x = x.astype(dtype, copy=False)
    return dataclasses.replace(examples, x=x, scale=1.0, standardised_by=(mean, deviation))
