"""Parameters to try things on."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.contracts import ElementwiseActivation, LayerParams, Params, Shapes

SIZES = (5, 4, 3)
DEPTHS = ((5, 3), SIZES, (5, 6, 4, 3))
WIDE_DTYPES = ("float32", "float64")

AllParams = tuple[LayerParams, ...]


class Straight(ElementwiseActivation):
    """a = z, for layers of which nobody asks for a."""

    def __call__(self, z: jax.Array) -> jax.Array:
        """z."""
        return z

    def prime(self, z: jax.Array) -> jax.Array:
        """1."""
        return jnp.ones_like(z)


def shapes_of(params: AllParams) -> Shapes:
    """The shapes of the layers 1..L of a dense network with these parameters."""
    return ((params[0].w.shape[1],), *(own.b.shape for own in params))


def some_params(seed: int = 0, dtype: Any = "float64", sizes: tuple[int, ...] = SIZES) -> AllParams:
    """Weights and biases of a small network, with no number near zero."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> jax.Array:
        values = rng.uniform(0.2, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
        return jnp.asarray(values, dtype)

    return tuple(
        Params(draw(n_out, n_in), draw(n_out)) for n_in, n_out in itertools.pairwise(sizes)
    )
