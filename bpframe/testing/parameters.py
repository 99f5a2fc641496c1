"""Parameters to try things on."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.contracts import Params

SIZES = (5, 4, 3)
DEPTHS = ((5, 3), SIZES, (5, 6, 4, 3))
WIDE_DTYPES = ("float32", "float64")

AllParams = tuple[Params, ...]


def some_params(seed: int = 0, dtype: Any = "float64", sizes: tuple[int, ...] = SIZES) -> AllParams:
    """Weights and biases of a small network, with no number near zero."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> jax.Array:
        values = rng.uniform(0.2, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
        return jnp.asarray(values, dtype)

    return tuple(
        Params(draw(n_out, n_in), draw(n_out)) for n_in, n_out in itertools.pairwise(sizes)
    )
