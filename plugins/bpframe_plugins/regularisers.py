"""Regularisers R(params); the core adds R / n to the cost. Biases are not regularised."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from bpframe import Formula, Params, Regulariser, hookimpl, hyperparameter

BPFRAME_API_VERSION = 1


class NoRegulariser(Regulariser):
    """R = 0."""

    formula = Formula("0", "0")

    def cost(self, params: tuple[Params, ...]) -> Array:
        """0."""
        return jnp.zeros((), params[0].w.dtype)

    def gradient(self, params: tuple[Params, ...]) -> tuple[Params, ...]:
        """0."""
        return tuple(Params(jnp.zeros_like(w), jnp.zeros_like(b)) for w, b in params)


class L2(Regulariser):
    """R = strength/2 sum w^2, strength the book's lambda. Source: Nielsen (2015), eq. 87."""

    strength: float = hyperparameter(default=1.0, ge=0)

    formula = Formula("strength/2 sum w^2", r"\frac{\lambda}{2} \sum w^2")

    def cost(self, params: tuple[Params, ...]) -> Array:
        """strength/2 sum w^2."""
        return 0.5 * self.strength * jnp.sum(jnp.stack([jnp.sum(w**2) for w, _ in params]))

    def gradient(self, params: tuple[Params, ...]) -> tuple[Params, ...]:
        """Strength w for the weights, 0 for the biases."""
        return tuple(Params(self.strength * w, jnp.zeros_like(b)) for w, b in params)


class L1(Regulariser):
    """R = strength sum |w|, strength the book's lambda. Source: Nielsen (2015), eq. 95."""

    strength: float = hyperparameter(default=1.0, ge=0)

    formula = Formula("strength sum |w|", r"\lambda \sum |w|")

    def cost(self, params: tuple[Params, ...]) -> Array:
        """Strength sum |w|."""
        return self.strength * jnp.sum(jnp.stack([jnp.sum(jnp.abs(w)) for w, _ in params]))

    def gradient(self, params: tuple[Params, ...]) -> tuple[Params, ...]:
        """Strength sign(w) for the weights, 0 at w = 0 as the book advises; 0 for the biases."""
        return tuple(Params(self.strength * jnp.sign(w), jnp.zeros_like(b)) for w, b in params)


@hookimpl
def bpframe_regularisers() -> dict[str, type[Regulariser]]:
    """The regularisers by name."""
    return {"none": NoRegulariser, "l2": L2, "l1": L1}
