"""Dropout: neurons that are left out at random."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import Formula, Initialiser, Layer, Shape, hyperparameter


class Dropout(Layer):
    """z = mask a / (1 - rate) with a mask of its own for every example and step; z = a without.

    Inverted dropout: what is kept is scaled up in training, where the book halves the weights after
    it. Both give the same network, but here evaluation and saved weights need no correction.

    Source: Srivastava et al. (2014); Nielsen (2015), chapter 3.
    """

    rate: float = hyperparameter(default=0.5, ge=0, lt=1)

    is_linear = True
    default_activation = "linear"
    formula = Formula("mask a / (1 - rate)", r"\frac{\text{mask} \odot a}{1 - \text{rate}}")

    def shape(self, shape_prev: Shape) -> Shape:
        """That of the layer before."""
        return shape_prev

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> tuple[()]:
        """No parameters."""
        del initialiser, key, shape_prev
        return ()

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, Array | None]:
        """a with some neurons at 0, and which ones are not."""
        del params
        if key is None:
            return a_prev, None
        drawn = jax.random.uniform(key, a_prev.shape, jnp.float32)
        mask = drawn >= jnp.asarray(self.rate, jnp.float32)
        return self._masked(a_prev, mask), mask

    def carry(self, params: Any, a_prev: Array, kept: Array | None, delta: Array) -> Array:
        """The same neurons get no error."""
        del params, a_prev
        return delta if kept is None else self._masked(delta, kept)

    def gradient(self, params: Any, a_prev: Array, kept: Any, delta: Array) -> tuple[()]:
        """No parameters."""
        del params, a_prev, kept, delta
        return ()

    def _masked(self, values: Array, mask: Array) -> Array:
        scale = jnp.asarray(1 / (1 - self.rate), values.dtype)
        return jnp.where(mask, values * scale, jnp.zeros((), values.dtype))
