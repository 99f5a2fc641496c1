"""Examples as NumPy holds them, before they go to the device."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from bpframe.errors import ExamplesError


@dataclasses.dataclass(frozen=True)
class Examples:
    """Inputs with their targets.

    Attributes:
        x: rows (n, n_in), or images (n, rows, columns, channels). Floats, or bytes that become
            `x * scale` on the device.
        y: (n,) integer class labels, which become one-hot targets; or (n, n_out) float targets.
        n_out: the number of output neurons.
        scale: what one unit of `x` is worth.
        middle: between the two targets of a single output, 0.5 for 0 and 1; None where targets are
            no classes, so that there is no accuracy. The core works it out from the training set.

    Raises:
        ExamplesError: the arrays do not fit each other.

    """

    x: np.ndarray
    y: np.ndarray
    n_out: int
    scale: float = 1.0
    middle: float | None = 0.5

    def __post_init__(self) -> None:
        if self.x.ndim < 2 or self.y.ndim not in (1, 2) or len(self.x) != len(self.y):
            raise ExamplesError(
                f"examples: x has shape {self.x.shape} and y {self.y.shape}; "
                "expected x (n, n_in) or images, and y (n,) or (n, n_out)"
            )
        if self.y.ndim == 1 and self.y.dtype.kind not in "iub":
            raise ExamplesError(
                f"examples: y has shape {self.y.shape} and dtype {self.y.dtype}; class labels "
                "(n,) are integers, and float targets are (n, n_out), "
                f"here ({len(self.y)}, {self.n_out})"
            )
        if self.y.ndim == 2 and self.y.shape[1] != self.n_out:
            raise ExamplesError(
                f"examples: targets have {self.y.shape[1]} columns, not {self.n_out}"
            )
        if self.y.ndim == 1 and len(self.y) and not 0 <= self.y.min() <= self.y.max() < self.n_out:
            raise ExamplesError(
                f"examples: labels run from {self.y.min()} to {self.y.max()}; "
                f"expected 0 to {self.n_out - 1}"
            )
        for name, array in (("x", self.x), ("y", self.y)):
            if array.dtype.kind not in "biuf":
                raise ExamplesError(f"examples: {name} has dtype {array.dtype}; expected numbers")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ExamplesError(f"examples: {name} holds values that are not finite")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an input."""
        return self.x.shape[1:]

    def first(self, k: int) -> Examples:
        """The first k examples."""
        return dataclasses.replace(self, x=self.x[:k], y=self.y[:k])


def middle_of(y: np.ndarray) -> float | None:
    """The middle between the two values that targets have; None if they are no classes.

    Classes are integer labels, a single output with two values, rows in which one output has one
    value and all others another, and distributions, whose largest entry is the class.
    """
    if y.ndim == 1 or not len(y):
        return 0.5
    if y.shape[1] == 1:
        low, high = y.min(), y.max()
        return float(low + high) / 2 if np.isin(y, (low, high)).all() else None
    ordered = np.sort(y, axis=1)
    low, high = ordered[0, 0], ordered[0, -1]
    one_of_many = (ordered[:, :-1] == low).all() and (ordered[:, -1] == high).all() and high > low
    distributions = (y >= 0).all() and np.allclose(y.sum(1), 1, atol=1e-2)
    return 0.5 if one_of_many or distributions else None


class Data(NamedTuple):
    """A data set in its three parts."""

    train: Examples
    validation: Examples
    test: Examples


def check_batch(x: tuple[int, ...], y: tuple[int, ...], shape: tuple[int, ...], n_out: int) -> None:
    """Raise an ExamplesError unless x is (m, *shape), or flat, and y (m, n_out)."""
    n_in = math.prod(shape)
    if x[1:] not in (shape, (n_in,)) or y != (x[0], n_out):
        images = f"({', '.join(map(str, ('m', *shape)))}) or " if len(shape) > 1 else ""
        raise ExamplesError(
            f"x has shape {x} and y {y}; expected {images}(m, {n_in}) and (m, {n_out}), with "
            "one-hot targets in place of class labels"
        )
