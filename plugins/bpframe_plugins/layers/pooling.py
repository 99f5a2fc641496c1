"""Pooling: a window of an image becomes one number, map by map."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from bpframe import Formula, Initialiser, Layer, Shape, hyperparameter
from bpframe_plugins.layers import windows


class _Pooling(Layer):
    """Windows of `size` by `size`, `stride` apart; by default as far as they are wide."""

    size: int = hyperparameter(default=2, ge=1)
    stride: int | None = hyperparameter(default=None, ge=1)

    is_linear = True
    default_activation = "linear"

    @property
    def _stride(self) -> int:
        return self.size if self.stride is None else self.stride

    def shape(self, shape_prev: Shape) -> Shape:
        """(rows of windows, columns of windows, channels)."""
        what = f"{type(self).__name__} of size {self.size}"
        return (*windows.counts(shape_prev, self.size, self._stride, what), shape_prev[2])

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> tuple[()]:
        """No parameters."""
        del initialiser, key, shape_prev
        return ()

    def gradient(self, params: Any, a_prev: Array, kept: Any, delta: Array) -> tuple[()]:
        """No parameters."""
        del params, a_prev, kept, delta
        return ()


class MaxPooling(_Pooling):
    """z = max a over the window; of equal ones the first has the error.

    Source: Nielsen (2015), chapter 6, pooling layers.
    """

    examples = ({"size": 3, "stride": 1}, {"size": 1})
    formula = Formula("max a over the window", r"\max_{(i,j) \in \text{window}} a_{i,j}")

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, Array]:
        """The largest of each window, and its place there."""
        del params, key
        z, *others = windows.places(a_prev, self.size, self._stride)
        place = jnp.zeros(z.shape, jnp.int32)
        for number, a in enumerate(others, start=1):
            place = jnp.where(a > z, number, place)
            z = jnp.maximum(z, a)
        return z, place

    def carry(self, params: Any, a_prev: Array, kept: Array, delta: Array) -> Array:
        """The error goes to the largest."""
        del params
        places = jnp.arange(self.size**2, dtype=jnp.int32).reshape(self.size, self.size)
        is_largest = kept[:, :, None, None] == places[None, None, :, :, None]
        parts = jnp.where(is_largest, delta[:, :, None, None], jnp.zeros((), delta.dtype))
        return windows.folded(parts, a_prev.shape, self._stride)


class AveragePooling(_Pooling):
    """z = the mean of a over the window. Source: LeCun et al. (1998), subsampling."""

    examples = ({"size": 3, "stride": 1}, {"size": 1})
    formula = Formula("mean of a over the window", r"\frac{1}{s^2} \sum_{\text{window}} a_{i,j}")

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        """The mean of each window."""
        del params, key
        first, *others = windows.places(a_prev, self.size, self._stride)
        return sum(others, start=first) / self.size**2, None

    def carry(self, params: Any, a_prev: Array, kept: None, delta: Array) -> Array:
        """The error is spread evenly."""
        del params, kept
        down, across, channels = delta.shape
        share = delta[:, :, None, None] / self.size**2
        parts = jnp.broadcast_to(share, (down, across, self.size, self.size, channels))
        return windows.folded(parts, a_prev.shape, self._stride)
