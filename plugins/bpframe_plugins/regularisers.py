"""Regularisers R(params); the core adds R / n to the cost. They concern weights alone."""

from __future__ import annotations

from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    Formula,
    LayerParams,
    Regulariser,
    hookimpl,
    hyperparameter,
    map_weights,
    weights,
)

BPFRAME_API_VERSION = 2


class NoRegulariser(Regulariser):
    """R = 0."""

    formula = Formula("0", "0")

    def cost(self, params: tuple[LayerParams, ...]) -> Array:
        """0."""
        return jnp.zeros((), jax.tree.leaves(params)[0].dtype)

    def gradient(self, params: tuple[LayerParams, ...]) -> tuple[LayerParams, ...]:
        """0."""
        return jax.tree.map(jnp.zeros_like, params)


class L2(Regulariser):
    """R = strength/2 sum w^2, strength the book's lambda. Source: Nielsen (2015), eq. 87."""

    strength: float = hyperparameter(default=1.0, ge=0)

    formula = Formula("strength/2 sum w^2", r"\frac{\lambda}{2} \sum w^2")

    def cost(self, params: tuple[LayerParams, ...]) -> Array:
        """strength/2 sum w^2."""
        return 0.5 * self.strength * _total(jnp.sum(w**2) for w in weights(params))

    def gradient(self, params: tuple[LayerParams, ...]) -> tuple[LayerParams, ...]:
        """Strength w for the weights, 0 for all else."""
        return map_weights(lambda w, _: self.strength * w, params)


class L1(Regulariser):
    """R = strength sum |w|, strength the book's lambda. Source: Nielsen (2015), eq. 95."""

    strength: float = hyperparameter(default=1.0, ge=0)

    formula = Formula("strength sum |w|", r"\lambda \sum |w|")

    def cost(self, params: tuple[LayerParams, ...]) -> Array:
        """Strength sum |w|."""
        return self.strength * _total(jnp.sum(jnp.abs(w)) for w in weights(params))

    def gradient(self, params: tuple[LayerParams, ...]) -> tuple[LayerParams, ...]:
        """Strength sign(w) for the weights, 0 at w = 0 as the book advises; 0 for all else."""
        return map_weights(lambda w, _: self.strength * jnp.sign(w), params)


def _total(parts: Iterable[Array]) -> Array:
    return jnp.sum(jnp.stack(list(parts)))


@hookimpl
def bpframe_regularisers() -> dict[str, type[Regulariser]]:
    """The regularisers by name."""
    return {"none": NoRegulariser, "l2": L2, "l1": L1}
