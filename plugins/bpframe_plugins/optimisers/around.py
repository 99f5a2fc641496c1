"""Optimisers around another one: they change what goes in, or what comes out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    ConfigError,
    Formula,
    LayerParams,
    Network,
    Optimiser,
    OutputPair,
    TrainingStep,
    hyperparameter,
    map_weights,
)
from bpframe_plugins.optimisers.book import Sgd

AllParams = tuple[LayerParams, ...]


class _Around(Optimiser):
    """Another optimiser, `inner`, does the step."""

    inner: Optimiser = hyperparameter(default=Sgd(), named="sgd")

    def check(self, network: Network, pair: OutputPair) -> None:
        """The other can work with these."""
        self.inner.check(network, pair)

    def init(self, params: AllParams) -> Any:
        """The state of the other."""
        return self.inner.init(params)

    @property
    def sees_examples(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the other does."""
        return self.inner.sees_examples

    def evaluated(self, state: Any, params: AllParams) -> AllParams:
        """As the other has it."""
        return self.inner.evaluated(state, params)


class ClipByGlobalNorm(_Around):
    """g min(1, max_norm / |g|), |g| over the parameters of all layers, before the other's step.

    Source: Pascanu, Mikolov and Bengio (2013), algorithm 1.
    """

    max_norm: float = hyperparameter(default=1.0, gt=0)

    formula = Formula("g <- g min(1, max_norm / |g|)", r"g \to g \min(1, \text{max\_norm} / |g|)")

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        """The other's step along the clipped gradient."""
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradient)))
        scale = jnp.where(norm > self.max_norm, self.max_norm / norm, jnp.ones_like(norm))
        clipped = jax.tree.map(lambda g: g * scale, gradient)
        return self.inner.update(clipped, state, params, step)


class LayerRates(_Around):
    """The other's step, times a rate of its own for each of the layers 2..L; 1 for all if empty."""

    rates: tuple[float, ...] = hyperparameter(default=(), ge=0)

    formula = Formula(
        "w^l <- w^l + rate^l * step^l", r"w^l \to w^l + \text{rate}^l \cdot \text{step}^l"
    )

    def init(self, params: AllParams) -> Any:
        """The state of the other.

        Raises:
            ConfigError: there are rates, but not one for each layer.

        """
        if self.rates and len(self.rates) != len(params):
            raise ConfigError(
                f"optimiser.rates: has {len(self.rates)} rates, and the network the layers 2 to "
                f"{len(params) + 1}; give {len(params)} rates, one for each layer"
            )
        return super().init(params)

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        """The other's step, layer by layer shorter or longer."""
        new, state = self.inner.update(gradient, state, params, step)
        rates = self.rates or (1.0,) * len(params)

        def moved(rate: Any, old: LayerParams, new: LayerParams) -> LayerParams:
            return jax.tree.map(lambda p, q: p + rate * (q - p), old, new)

        return tuple(map(moved, rates, params, new)), state


class MaxNorm(_Around):
    """After the other's step no neuron's incoming weights have a norm above `most`.

    Longer ones are scaled down to it; biases are free. Source: Srivastava et al. (2014).
    """

    most: float = hyperparameter(default=3.0, gt=0)

    formula = Formula(
        "w_j <- w_j min(1, most / |w_j|) for every neuron j",
        r"w_j \to w_j \min(1, \text{most} / |w_j|)",
    )

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        """The other's step, with the norms brought down."""
        new, state = self.inner.update(gradient, state, params, step)
        return jax.tree.map(jnp.subtract, new, map_weights(self._excess, new)), state

    def _excess(self, w: Array, fan_in: int) -> Array:
        rows = w.reshape(-1, fan_in)
        norms = jnp.linalg.norm(rows, axis=1, keepdims=True)
        kept = jnp.where(norms > self.most, self.most / norms, jnp.ones_like(norms))
        return (rows * (1 - kept)).reshape(w.shape)


class ParameterAverage(_Around):
    """The other trains, and an average of its parameters over time is evaluated and saved.

    Source: Polyak and Juditsky (1992); with a decay as in Adam's section 7.2 (Kingma, Ba, 2015).
    """

    decay: float = hyperparameter(default=0.99, ge=0, lt=1)

    formula = Formula(
        "average <- decay average + (1 - decay) w",
        r"\bar w \to \text{decay}\, \bar w + (1 - \text{decay})\, w",
    )

    def init(self, params: AllParams) -> Any:
        """The average, which begins as the parameters, and the state of the other."""
        return params, self.inner.init(params)

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        """The other's step."""
        average, inner = state
        new, inner = self.inner.update(gradient, inner, params, step)
        average = jax.tree.map(lambda old, p: old + (1 - self.decay) * (p - old), average, new)
        return new, (average, inner)

    def evaluated(self, state: Any, params: AllParams) -> AllParams:
        """The average."""
        del params
        return state[0]
