"""Feedback weights that learn: they come to agree with the weights of the forward pass."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    ConfigError,
    Layer,
    LayerParams,
    Network,
    OutputPair,
    TrainingStep,
    hyperparameter,
    weights,
)
from bpframe_plugins.learning_rules.feedback import LayerFeedback

AllParams = tuple[LayerParams, ...]


class KolenPollack(LayerFeedback):
    """B^l delta^(l+1), where B^l makes every step that (w^(l+1))^T makes, whatever the optimiser.

    B^l <- B^l + (the step of w^(l+1) + decay (w^(l+1) - B^l))^T, so that after t steps their
    difference is (1 - decay)^t of the first one. With `optimiser=sgd regulariser=l2` and a decay of
    eta lambda / n, as the penalty has it, this is decay of both alike, and neither sees the other.
    Source: Kolen and Pollack (1994); Akrout et al. (2019), equations 16 and 17.
    """

    decay: float = hyperparameter(default=0.0, ge=0, lt=1)

    def learn(
        self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams
    ) -> tuple[LayerParams, ...]:
        """B after the step from `params` to `updated`."""
        del step

        def moved(b: Array, w: Array, new: Array) -> Array:
            return b + (new - w) + jnp.asarray(self.decay, b.dtype) * (w - b)

        return jax.tree.map(moved, tuple(state), params[1:], updated[1:])


class WeightMirror(LayerFeedback):
    """B^l delta^(l+1), where B^l learns from what noise makes of the layer: it sees no error.

    After every step B^l <- (1 - decay) B^l + (rate/m) sum over m draws of xi sigma(T^(l+1)(xi))^T,
    with xi ~ N(0, noise^2): on average rate noise^2 (w^(l+1))^T diag E sigma'(z) (Stein's lemma).
    Source: Akrout et al. (2019), equation 11 and algorithm 1.
    """

    rate: float = hyperparameter(default=0.01, gt=0)
    noise: float = hyperparameter(default=1.0, gt=0)
    decay: float = hyperparameter(default=0.01, ge=0, lt=1)

    def check(self, network: Network, pair: OutputPair) -> None:
        """Noise goes through one layer at a time.

        Raises:
            ConfigError: a layer holds other layers.

        """
        del pair
        for number, own in enumerate(network.params, start=2):
            if weights(own) and not hasattr(own, "w"):
                raise ConfigError(
                    f"learning_rule: weight_mirror cannot work with layer {number}, which holds "
                    "other layers; set learning_rule=kolen_pollack"
                )

    def learn(
        self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams
    ) -> tuple[LayerParams, ...]:
        """B after the noise, of which there are as many draws as the mini-batch has examples."""
        del params, updated
        m = len(step.y)

        def mirrored(at: int, layer: Layer, own: LayerParams, like: Array, b: Any) -> Any:
            key = jax.random.fold_in(step.key, at)
            noise = jnp.asarray(self.noise, like.dtype)
            xi = noise * jax.random.normal(key, like.shape, like.dtype)
            z, kept = jax.vmap(layer.forward, in_axes=(None, 0, None))(own, xi, key)
            product = layer.gradient(own, xi, kept, jax.vmap(layer.activation)(z))

            def mixed(b: Array, total: Array) -> Array:
                rate, decay = (jnp.asarray(v, b.dtype) for v in (self.rate, self.decay))
                return (1 - decay) * b + rate * (total / m).astype(b.dtype)

            return jax.tree.map(mixed, b, product)

        after = zip(
            step.network.layers[1:], step.params[1:], step.found.trace.a[1:-1], state, strict=True
        )
        return tuple(mirrored(at, *parts) for at, parts in enumerate(after))
