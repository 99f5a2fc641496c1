"""Layers of other people, unusual and sound; the kit has to let them pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe import (
    ConfigError,
    Initialiser,
    Layer,
    Params,
    Shape,
    hyperparameter,
    sum_of_deltas,
    sum_of_products,
)


class NoParams(Layer):
    """A layer without parameters."""

    default_activation = "linear"

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Any:
        return ()

    def gradient(self, params: Any, a_prev: Array, kept: Any, delta: Array) -> Any:
        return ()


def image(shape: Shape) -> Shape:
    """The shape, if it is that of an image."""
    if len(shape) != 3:
        raise ConfigError("needs an image (rows x columns x channels)")
    return shape


class LocallyConnected(Layer):
    """Windows of 2 x 2, each with weights of its own: a convolution that shares nothing."""

    maps: int = hyperparameter(default=2, ge=1)

    def shape(self, shape_prev: Shape) -> Shape:
        rows, columns, _ = image(shape_prev)
        return (rows - 1, columns - 1, self.maps)

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Params:
        rows, columns, maps = self.shape(shape_prev)
        area = 4 * shape_prev[2]
        return initialiser(key, (rows * columns * maps, area), area, 4 * maps)

    def forward(self, params: Params, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        seen = self._windows(a_prev)
        w = params.w.reshape(*seen.shape[:2], self.maps, -1)
        z = jnp.einsum("rckp,rcp->rck", w, seen)
        return z + params.b.reshape(z.shape), None

    def carry(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        w = params.w.reshape(*delta.shape, -1)
        parts = jnp.einsum("rckp,rck->rcp", w, delta).reshape(*delta.shape[:2], 4, -1)
        error = jnp.zeros_like(a_prev)
        rows, columns = delta.shape[:2]
        for place, (i, j) in enumerate(np.ndindex(2, 2)):
            error = error.at[i : i + rows, j : j + columns].add(parts[:, :, place])
        return error

    def gradient(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        seen = jax.vmap(self._windows)(a_prev)
        w = jnp.einsum("mrck,mrcp->rckp", delta, seen)
        return Params(w.reshape(params.w.shape), sum_of_deltas(delta.reshape(len(delta), -1)))

    def _windows(self, a: Array) -> Array:
        parts = [a[i : i + len(a) - 1, j : j + a.shape[1] - 1] for i, j in np.ndindex(2, 2)]
        return jnp.concatenate(parts, axis=2)


class Depthwise(Layer):
    """A window of 3 x 3 for each channel by itself, with zeros around the image."""

    def shape(self, shape_prev: Shape) -> Shape:
        return image(shape_prev)

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Params:
        return initialiser(key, (shape_prev[2], 3, 3), 9, 9)

    def forward(self, params: Params, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        return jnp.einsum(
            "rcpk,kp->rck", self._windows(a_prev), self._flat(params.w)
        ) + params.b, None

    def carry(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        flipped = self._flat(params.w[:, ::-1, ::-1])
        return jnp.einsum("rcpk,kp->rck", self._windows(delta), flipped)

    def gradient(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        w = jnp.einsum("mrcpk,mrck->kp", jax.vmap(self._windows)(a_prev), delta)
        b = sum_of_deltas(delta.reshape(-1, delta.shape[-1]))
        return Params(w.reshape(params.w.shape), b)

    def _flat(self, w: Array) -> Array:
        return w.reshape(len(w), 9)

    def _windows(self, a: Array) -> Array:
        rows, columns = a.shape[:2]
        padded = jnp.pad(a, ((1, 1), (1, 1), (0, 0)))
        parts = [padded[i : i + rows, j : j + columns] for i, j in np.ndindex(3, 3)]
        return jnp.stack(parts, axis=2)


class Circular(Layer):
    """w_0 a_j + w_1 a_(j+1) + b, round a circle: two weights and a bias for all neurons."""

    def shape(self, shape_prev: Shape) -> Shape:
        return shape_prev

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Params:
        return initialiser(key, (1, 2), 2, 2)

    def forward(self, params: Params, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        first, second = params.w[0]
        return first * a_prev + second * jnp.roll(a_prev, -1, axis=0) + params.b[0], None

    def carry(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        first, second = params.w[0]
        return first * delta + second * jnp.roll(delta, 1, axis=0)

    def gradient(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        seen = (a_prev, jnp.roll(a_prev, -1, axis=1))
        w = jnp.stack([jnp.sum(delta * part) for part in seen])
        return Params(w[None], jnp.sum(delta)[None])


class GlobalAverage(NoParams):
    """The mean of each channel over the whole image: (rows, columns, channels) to (channels,)."""

    def shape(self, shape_prev: Shape) -> Shape:
        return image(shape_prev)[2:]

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        return jnp.mean(a_prev, axis=(0, 1)), None

    def carry(self, params: Any, a_prev: Array, kept: None, delta: Array) -> Array:
        return jnp.broadcast_to(delta / (a_prev.shape[0] * a_prev.shape[1]), a_prev.shape)


class RandomProjection(NoParams):
    """P a with a fixed random P, which is nobody's parameter."""

    n: int = hyperparameter(default=4, ge=1)

    def shape(self, shape_prev: Shape) -> Shape:
        return (self.n,)

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        return self._matrix(a_prev) @ a_prev.reshape(-1), None

    def carry(self, params: Any, a_prev: Array, kept: None, delta: Array) -> Array:
        return (self._matrix(a_prev).T @ delta).reshape(a_prev.shape)

    def _matrix(self, a: Array) -> Array:
        matrix = np.random.default_rng(0).normal(size=(self.n, a.size)) / np.sqrt(a.size)
        return jnp.asarray(matrix, a.dtype)


class MaxOut(Layer):
    """z_j = max_k (w_jk a + b_jk) over `pieces`. Source: Goodfellow et al. (2013)."""

    n: int = hyperparameter(default=3, ge=1)
    pieces: int = hyperparameter(default=2, ge=2)

    def shape(self, shape_prev: Shape) -> Shape:
        return (self.n,)

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Params:
        n_prev = int(np.prod(shape_prev))
        return initialiser(key, (self.n * self.pieces, n_prev), n_prev, self.n)

    def forward(self, params: Params, a_prev: Array, key: Array | None) -> tuple[Array, Array]:
        each = (params.w @ a_prev.reshape(-1) + params.b).reshape(self.n, self.pieces)
        return jnp.max(each, axis=1), jnp.argmax(each, axis=1)

    def carry(self, params: Params, a_prev: Array, kept: Array, delta: Array) -> Array:
        return (params.w.T @ self._of_pieces(kept, delta)).reshape(a_prev.shape)

    def gradient(self, params: Params, a_prev: Array, kept: Array, delta: Array) -> Params:
        own = jax.vmap(self._of_pieces)(kept, delta)
        return Params(sum_of_products(own, a_prev.reshape(len(a_prev), -1)), sum_of_deltas(own))

    def _of_pieces(self, kept: Array, delta: Array) -> Array:
        return (jax.nn.one_hot(kept, self.pieces, dtype=delta.dtype) * delta[:, None]).reshape(-1)


class Scale(NamedTuple):
    """Its own names: neither is a weight to be penalised."""

    log_scale: Array
    shift: Array


class Affine(Layer):
    """e^s a + t, neuron by neuron, with parameters of its own names."""

    def shape(self, shape_prev: Shape) -> Shape:
        return shape_prev

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Scale:
        return Scale(0.1 * jax.random.normal(key, shape_prev), jnp.zeros(shape_prev))

    def forward(self, params: Scale, a_prev: Array, key: Array | None) -> tuple[Array, Array]:
        scaled = jnp.exp(params.log_scale) * a_prev
        return scaled + params.shift, scaled

    def carry(self, params: Scale, a_prev: Array, kept: Array, delta: Array) -> Array:
        return jnp.exp(params.log_scale) * delta

    def gradient(self, params: Scale, a_prev: Array, kept: Array, delta: Array) -> Scale:
        return Scale(jnp.sum(delta * kept, axis=0), jnp.sum(delta, axis=0))


class GaussianNoise(NoParams):
    """a + strength N(0, 1) in training, a in evaluation. Source: Bishop (1995)."""

    strength: float = hyperparameter(default=0.3, ge=0)

    def shape(self, shape_prev: Shape) -> Shape:
        return shape_prev

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        if key is None:
            return a_prev, None
        noise = jax.random.normal(key, a_prev.shape, a_prev.dtype)
        return a_prev + jnp.asarray(self.strength, a_prev.dtype) * noise, None

    def carry(self, params: Any, a_prev: Array, kept: None, delta: Array) -> Array:
        return delta


class Transposed(NoParams):
    """An image with rows and columns exchanged."""

    def shape(self, shape_prev: Shape) -> Shape:
        rows, columns, channels = image(shape_prev)
        return (columns, rows, channels)

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        return a_prev.transpose(1, 0, 2), None

    def carry(self, params: Any, a_prev: Array, kept: None, delta: Array) -> Array:
        return delta.transpose(1, 0, 2)


LAYERS = (
    LocallyConnected,
    Depthwise,
    Circular,
    GlobalAverage,
    RandomProjection,
    MaxOut,
    Affine,
    GaussianNoise,
    Transposed,
)
