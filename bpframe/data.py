"""Examples as NumPy holds them, before they go to the device."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple, TypeAlias

import numpy as np

from bpframe.component import arrays_shown
from bpframe.errors import ExamplesError
from bpframe.tasks import Task, implied

Feature: TypeAlias = str | tuple[str, str]
"""What an entry of a row is called: see `Examples.features`."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """Inputs with their targets.

    Attributes:
        x: rows (n, n_in), or images (n, rows, columns, channels). Floats, or bytes that become
            `x * scale` on the device, `(x - mean) * scale` where there is a mean.
        y: (n,) integer class labels, which become one-hot targets; or (n, n_out) float targets.
        n_out: the number of output neurons.
        scale: what one unit of `x` is worth: one number, or one for each feature of a row or
            channel of an image.
        task: what an answer is; None: worked out from the training targets (`tasks.implied`).
        mean: what is subtracted from `x` before it is scaled, like `scale`; None: nothing.
        features: what the entries of a row are called, in their order: a column, or a column with
            the value for which it is 1 and else 0; empty where they have no names.
        standardised_by: the mean and the deviation with which `x` was standardised already; None
            if it was not.

    Raises:
        DataError: the arrays do not fit each other.

    """

    x: np.ndarray
    y: np.ndarray
    n_out: int
    scale: float | np.ndarray = 1.0
    task: Task | None = None
    mean: np.ndarray | None = None
    features: tuple[Feature, ...] = ()
    standardised_by: tuple[np.ndarray, np.ndarray] | None = None

    def __repr__(self) -> str:
        named = f", features={len(self.features)} names" if self.features else ""
        shown = ", ".join(f"{name}={arrays_shown(getattr(self, name))}" for name in ("x", "y"))
        return f"Examples({shown}, n_out={self.n_out}{named})"

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray):
                raise ExamplesError(
                    f"examples: {name} is {type(array).__name__}; expected a NumPy array"
                )
            are_labels = name == "y" and array.ndim == 1  # of which there is more to say
            if array.dtype.kind not in "biuf" and not are_labels:
                raise ExamplesError(f"examples: {name} has dtype {array.dtype}; expected numbers")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ExamplesError(f"examples: {name} holds values that are not finite")
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
        if not isinstance(self.n_out, int | np.integer) or self.n_out < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ExamplesError(f"examples: n_out is {self.n_out!r}; allowed: integers from 1")
        if self.y.ndim == 2 and self.y.shape[1] != self.n_out:
            raise ExamplesError(
                f"examples: targets have {self.y.shape[1]} columns, not {self.n_out}"
            )
        if self.y.ndim == 1 and len(self.y) and not 0 <= self.y.min() <= self.y.max() < self.n_out:
            raise ExamplesError(
                f"examples: labels run from {self.y.min()} to {self.y.max()}; "
                f"expected 0 to {self.n_out - 1}"
            )
        if self.task is not None and not isinstance(self.task, Task):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ExamplesError(
                f"examples: task is {self.task!r}; expected a bpframe.Task, such as "
                "bpframe.Regression()"
            )
        if self.features and len(self.features) != self.x.shape[-1]:
            raise ExamplesError(
                f"examples: {len(self.features)} features are named, and x has shape "
                f"{self.x.shape}; name all {self.x.shape[-1]}, or none"
            )
        for name in ("scale", "mean"):
            figure = np.asarray(0.0 if getattr(self, name) is None else getattr(self, name))
            if figure.shape not in ((), self.x.shape[-1:]) or not np.isfinite(figure).all():
                raise ExamplesError(
                    f"examples: {name} has shape {figure.shape}, or is not finite; expected one "
                    f"number, or {self.x.shape[-1]}, one for each feature or channel"
                )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an input."""
        return self.x.shape[1:]

    def first(self, k: int) -> Examples:
        """The first k examples."""
        return dataclasses.replace(self, x=self.x[:k], y=self.y[:k])


class Data(NamedTuple):
    """A data set in its three parts."""

    train: Examples
    validation: Examples
    test: Examples

    @property
    def task(self) -> Task:
        """What an answer is: as the training set says, or as its targets imply."""
        return implied(self.train.y) if self.train.task is None else self.train.task


class FittedData(Data):
    """Data as an experiment trains on them: cut, expanded and standardised already."""

    __slots__ = ()


def check_batch(x: tuple[int, ...], y: tuple[int, ...], shape: tuple[int, ...], n_out: int) -> None:
    """Raise an ExamplesError unless x is (m, *shape), or flat, and y (m, n_out), with m > 0."""
    n_in = math.prod(shape)
    if not all(x):
        raise ExamplesError(f"x has shape {x}, which holds nothing; give one example at least")
    if x[1:] not in (shape, (n_in,)) or y != (x[0], n_out):
        images = f"({', '.join(map(str, ('m', *shape)))}) or " if len(shape) > 1 else ""
        raise ExamplesError(
            f"x has shape {x} and y {y}; expected {images}(m, {n_in}) and (m, {n_out}), with "
            "one-hot targets in place of class labels"
        )
