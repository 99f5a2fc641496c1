"""Places where a layer can stand: after layers of several shapes, with examples and errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.contracts import Initialiser, Layer, Params, Shape
from bpframe.errors import ConfigError
from bpframe.network import shown_shape
from bpframe.testing.expect import expect

SHAPES: tuple[Shape, ...] = ((6,), (8, 6, 2), (5, 5, 1))
ODD: tuple[Shape, ...] = ((1,), (7,), (6, 9, 1), (7, 4, 3), (1, 1, 1), (11, 11, 2))
"""Shapes of the layer before that are tried, too: narrow, not square, of odd sizes."""
M = 3


class _Normal(Initialiser):
    """w and b ~ N(0, 1), in the default float dtype."""

    def __call__(self, key: jax.Array, shape: Shape, n_in: int, n_out: int) -> Params:
        """Standard normal numbers."""
        del n_in, n_out
        w_key, b_key = jax.random.split(key)
        return Params(jax.random.normal(w_key, shape), jax.random.normal(b_key, shape[:1]))

    def variance(self, n_in: int, n_out: int) -> float:
        """1."""
        del n_in, n_out
        return 1.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Place:
    """A layer at a place where it can stand, with m examples before it and errors behind it."""

    layer: Layer
    shape_prev: Shape = dataclasses.field(metadata={"static": True})
    params: Any
    a_prev: jax.Array
    delta: jax.Array
    key: jax.Array

    @property
    def given(self) -> str:
        """What a message says of it."""
        return f"{self.layer} after a layer of {shown_shape(self.shape_prev)}"

    def forward(self, a_prev: jax.Array, params: Any = None) -> tuple[jax.Array, Any]:
        """z and what is kept, for one example or, with a leading axis, for m of them."""
        params = self.params if params is None else params
        if a_prev.ndim == len(self.shape_prev):
            return self.layer.forward(params, a_prev, self.key)
        keys = jax.random.split(self.key, len(a_prev))
        return jax.vmap(self.layer.forward, in_axes=(None, 0, 0))(params, a_prev, keys)


def places(
    layer: Layer, shapes: tuple[Shape, ...] = SHAPES, m: int = M, size: float = 1.0
) -> Iterator[Place]:
    """The layer after every shape that it takes.

    Raises:
        CheckFailedError: it takes none, and there are more than one.

    """
    found = 0
    for shape in shapes:
        try:
            after = layer.shape(shape)
        except ConfigError:
            continue
        if min(after) < 1:  # it does not fit there
            continue
        found += 1
        rng = np.random.default_rng(found)
        key, draw_key = jax.random.split(jax.random.key(5))
        params = layer.init(_Normal(), key, shape)
        a_prev, delta = (size * jnp.asarray(rng.normal(size=(m, *each))) for each in (shape, after))
        yield Place(layer, shape, params, a_prev, delta, draw_key)
    expect(
        found or shapes is not SHAPES,
        "stands after none of the layers that the kit knows",
        given=f"{layer} after layers of {', '.join(map(shown_shape, SHAPES))}",
        method="shape",
    )
