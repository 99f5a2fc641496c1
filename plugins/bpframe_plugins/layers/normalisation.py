"""Layer normalisation. Batch normalisation couples examples, and is no layer of this contract."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import Formula, Initialiser, Layer, Shape, hyperparameter, sum_of_deltas


class Normalisation(NamedTuple):
    """What follows the normalisation, neuron by neuron; neither is penalised."""

    gain: Array
    bias: Array


class LayerNorm(Layer):
    """z = gain (a - mean) / sqrt(var + epsilon) + bias, over all neurons of the layer before.

    Source: Ba, Kiros and Hinton (2016), equations 3 and 4.
    """

    epsilon: float = hyperparameter(default=1e-5, gt=0)

    default_activation = "linear"
    formula = Formula(
        "gain (a - mean(a)) / sqrt(var(a) + epsilon) + bias",
        r"g \odot \frac{a - \bar{a}}{\sqrt{\operatorname{var}(a) + \epsilon}} + \beta",
    )

    gradient_formula = Formula(
        "dC_x/dgain = delta (a - mean(a)) / sqrt(var(a) + epsilon),  dC_x/dbias = delta",
        r"\frac{\partial C_x}{\partial g} = \delta \odot \frac{a - \bar{a}}"
        r"{\sqrt{\operatorname{var}(a) + \epsilon}},\quad "
        r"\frac{\partial C_x}{\partial \beta} = \delta",
    )

    def shape(self, shape_prev: Shape) -> Shape:
        """That of the layer before."""
        return shape_prev

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Normalisation:
        """Gains of 1 and biases of 0, whatever the initialiser."""
        del initialiser, key
        return Normalisation(jnp.ones(shape_prev), jnp.zeros(shape_prev))

    def forward(
        self, params: Normalisation, a_prev: Array, key: Array | None
    ) -> tuple[Array, None]:
        """z for one example."""
        del key
        return params.gain * self._normalised(a_prev)[0] + params.bias, None

    def carry(self, params: Normalisation, a_prev: Array, kept: None, delta: Array) -> Array:
        """(e - mean(e) - n mean(e n)) / sqrt(var + epsilon), e = gain delta, n the normalised a."""
        del kept
        n, scale = self._normalised(a_prev)
        error = params.gain * delta
        return (error - jnp.mean(error) - n * jnp.mean(error * n)) * scale

    def gradient(
        self, params: Normalisation, a_prev: Array, kept: None, delta: Array
    ) -> Normalisation:
        """sum_x delta n for the gains, sum_x delta for the biases."""
        del params, kept
        n = jax.vmap(lambda a: self._normalised(a)[0])(a_prev)
        return Normalisation(sum_of_deltas(delta * n), sum_of_deltas(delta))

    def _normalised(self, a: Array) -> tuple[Array, Array]:
        scale = jax.lax.rsqrt(jnp.var(a) + jnp.asarray(self.epsilon, a.dtype))
        return (a - jnp.mean(a)) * scale, scale
