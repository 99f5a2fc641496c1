"""Parameters to try things on."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe import equations
from bpframe.contracts import Cost, ElementwiseActivation, LayerParams, Params, Shapes
from bpframe.equations import EXACT, Dense, Unpaired
from bpframe.learning import LearningRule, TrainingStep
from bpframe.network import Network

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


class Curved(ElementwiseActivation):
    """a = z / sqrt(1 + z^2), smooth and monotonous."""

    def __call__(self, z: jax.Array) -> jax.Array:
        """z / sqrt(1 + z^2)."""
        return z * jax.lax.rsqrt(1 + z * z)

    def prime(self, z: jax.Array) -> jax.Array:
        """(1 + z^2)^(-3/2)."""
        return jax.lax.rsqrt(1 + z * z) ** 3


class SquaredError(Cost):
    """1/2 |a - y|^2."""

    def __call__(self, a: jax.Array, y: jax.Array) -> jax.Array:
        """1/2 |a - y|^2."""
        return 0.5 * jnp.sum((a - y) ** 2)

    def prime(self, a: jax.Array, y: jax.Array) -> jax.Array:
        """a - y."""
        return a - y

    def curvature_root(self, a: jax.Array, y: jax.Array) -> jax.Array:
        """1."""
        del y
        return jnp.eye(len(a), dtype=a.dtype)


def dense_network(params: AllParams) -> Network:
    """A dense network with parameters of these shapes."""
    layers = (Dense(len(own.b), activation=Curved()) for own in params)
    return Network(shapes_of(params)[0], tuple(layers))


def some_step(
    params: AllParams,
    rule: LearningRule = EXACT,
    state: Any = None,
    m: int = 3,
    *,
    network: Network | None = None,
    x: jax.Array | None = None,
    key: jax.Array | None = None,
) -> TrainingStep:
    """A step of training of a dense network on m examples; any of it may be given."""
    rng = np.random.default_rng(11)
    network = network or dense_network(params)
    pair = Unpaired(SquaredError(), Curved())
    dtype = jax.tree.leaves(params)[0].dtype
    drawn, y = (
        jnp.asarray(rng.uniform(-0.9, 0.9, (m, *shape)), dtype)
        for shape in (network.shape, network.shapes[-1])
    )
    x = drawn if x is None else x
    key = jax.random.key(12) if key is None else key
    found = equations.gradient(network, pair, params, x, y, rule, state, key)
    return TrainingStep(network, pair, params, y, found, key)


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
