"""Initialisers: the weights and biases that training starts from."""

from __future__ import annotations

import math
from abc import abstractmethod

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import Formula, Initialiser, Params, Shape, hookimpl, hyperparameter

BPFRAME_API_VERSION = 2


class _NormalBiases(Initialiser):
    """Normal weights with the stated variance, and standard normal biases, as in the book."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        """w ~ N(0, variance), b ~ N(0, 1)."""
        w_key, b_key = jax.random.split(key)
        w = jax.random.normal(w_key, shape) * math.sqrt(self.variance(n_in, n_out))
        return Params(w, jax.random.normal(b_key, shape[:1]))


class Scaled(_NormalBiases):
    """w ~ N(0, 1/n_in), b ~ N(0, 1). Source: Nielsen (2015), chapter 3, weight initialization."""

    formula = Formula("w ~ N(0, 1/n_in), b ~ N(0, 1)", r"w \sim N(0, 1/n_{in}),\ b \sim N(0, 1)")

    def variance(self, n_in: int, n_out: int) -> float:
        """1 / n_in."""
        del n_out
        return 1 / n_in


class Large(_NormalBiases):
    """w ~ N(0, 1), b ~ N(0, 1). Source: Nielsen (2015), chapter 1."""

    formula = Formula("w ~ N(0, 1), b ~ N(0, 1)", r"w \sim N(0, 1),\ b \sim N(0, 1)")

    def variance(self, n_in: int, n_out: int) -> float:
        """1."""
        del n_in, n_out
        return 1.0


class _ZeroBiases(Initialiser):
    """Weights with the stated variance, and biases of zero."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        """w as `weights` draws them, b = 0."""
        w = self.weights(key, shape, n_in, n_out)
        return Params(w, jnp.zeros(shape[:1], w.dtype))

    @abstractmethod
    def weights(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Array:
        """w, of the given shape."""


class XavierNormal(_ZeroBiases):
    """w ~ N(0, 2 gain^2/(n_in + n_out)), b = 0. Source: Glorot and Bengio (2010)."""

    gain: float = hyperparameter(default=1.0, gt=0)

    formula = Formula(
        "w ~ N(0, 2 gain^2/(n_in + n_out)), b = 0",
        r"w \sim N(0, 2\, \text{gain}^2/(n_{in} + n_{out})),\ b = 0",
    )

    def weights(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Array:
        """N(0, 2 gain^2/(n_in + n_out))."""
        w = jax.random.normal(key, shape) * math.sqrt(2 / (n_in + n_out))
        return w * jnp.asarray(self.gain, w.dtype)

    def variance(self, n_in: int, n_out: int) -> float:
        """2 gain^2 / (n_in + n_out)."""
        return 2 * self.gain**2 / (n_in + n_out)


class XavierUniform(_ZeroBiases):
    """w ~ U(-r, r), r^2 = 6/(n_in + n_out), b = 0. Source: Glorot and Bengio (2010)."""

    formula = Formula(
        "w ~ U(-r, r), r^2 = 6/(n_in + n_out), b = 0",
        r"w \sim U(-r, r),\ r^2 = 6/(n_{in} + n_{out}),\ b = 0",
    )

    def weights(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Array:
        """U(-r, r)."""
        r = math.sqrt(3 * self.variance(n_in, n_out))
        return jax.random.uniform(key, shape, minval=-r, maxval=r)

    def variance(self, n_in: int, n_out: int) -> float:
        """2 / (n_in + n_out)."""
        return 2 / (n_in + n_out)


class HeNormal(_ZeroBiases):
    """w ~ N(0, 2/n_in), b = 0. Source: He et al. (2015), equation 10."""

    formula = Formula("w ~ N(0, 2/n_in), b = 0", r"w \sim N(0, 2/n_{in}),\ b = 0")

    def weights(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Array:
        """N(0, 2/n_in)."""
        return jax.random.normal(key, shape) * math.sqrt(self.variance(n_in, n_out))

    def variance(self, n_in: int, n_out: int) -> float:
        """2 / n_in."""
        del n_out
        return 2 / n_in


class FanInUniform(Initialiser):
    """w, b ~ U(-r, r), r^2 = 1/n_in: what a linear layer of PyTorch starts from."""

    formula = Formula("w, b ~ U(-r, r), r^2 = 1/n_in", r"w, b \sim U(-r, r),\ r^2 = 1/n_{in}")

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        """U(-r, r)."""
        del n_out
        w_key, b_key = jax.random.split(key)
        r = 1 / math.sqrt(n_in)
        w = jax.random.uniform(w_key, shape, minval=-r, maxval=r)
        return Params(w, jax.random.uniform(b_key, shape[:1], minval=-r, maxval=r))

    def variance(self, n_in: int, n_out: int) -> float:
        """1 / (3 n_in)."""
        del n_out
        return 1 / (3 * n_in)


class Orthogonal(_ZeroBiases):
    """w with orthonormal rows, or columns if they are fewer, b = 0. Source: Saxe et al. (2014)."""

    by_shape = True

    formula = Formula("w^T w = I or w w^T = I, b = 0", r"w^T w = I \text{ or } w w^T = I,\ b = 0")

    def weights(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Array:
        """Uniform among the matrices with orthonormal rows or columns."""
        del n_in, n_out
        matrix = (shape[0], math.prod(shape[1:]))
        return jax.nn.initializers.orthogonal()(key, matrix).reshape(shape)

    def variance(self, n_in: int, n_out: int) -> float:
        """1 / max(n_in, n_out)."""
        return 1 / max(n_in, n_out)


class Zeros(_ZeroBiases):
    """w = 0, b = 0: every hidden neuron stays equal to its neighbours."""

    is_random = False
    formula = Formula("w = 0, b = 0", "w = 0,\\ b = 0")

    def weights(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Array:
        """0."""
        del key, n_in, n_out
        return jnp.zeros(shape)

    def variance(self, n_in: int, n_out: int) -> float:
        """0."""
        del n_in, n_out
        return 0.0


@hookimpl
def bpframe_initialisers() -> dict[str, type[Initialiser]]:
    """The initialisers by name."""
    return {
        "scaled": Scaled,
        "large": Large,
        "xavier_normal": XavierNormal,
        "xavier_uniform": XavierUniform,
        "he_normal": HeNormal,
        "fan_in_uniform": FanInUniform,
        "orthogonal": Orthogonal,
        "zeros": Zeros,
    }
