"""The book's optimisers: gradient descent, and momentum."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from bpframe import (
    Formula,
    LayerParams,
    Optimiser,
    TrainingStep,
    gradient_descent_step,
    hyperparameter,
)

AllParams = tuple[LayerParams, ...]


class Sgd(Optimiser):
    """w <- w - eta g. Source: Nielsen (2015), equations 20 and 21."""

    eta: float = hyperparameter(default=0.5, gt=0)

    formula = Formula("w <- w - eta g", r"w \to w - \eta g")

    def init(self, params: AllParams) -> Any:
        """No state."""
        del params
        return ()

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        """w - eta g."""
        del step
        return gradient_descent_step(params, gradient, self.eta), state


class Momentum(Optimiser):
    """v <- mu v - eta g, w <- w + v. Source: Nielsen (2015), equations 107 and 108."""

    eta: float = hyperparameter(default=0.1, gt=0)
    mu: float = hyperparameter(default=0.9, ge=0, lt=1)

    formula = Formula("v <- mu v - eta g,  w <- w + v", r"v \to \mu v - \eta g,\quad w \to w + v")

    def init(self, params: AllParams) -> Any:
        """v = 0."""
        return jax.tree.map(jnp.zeros_like, params)

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        """w + v, with v = mu v - eta g."""
        del step
        v = jax.tree.map(lambda v, g: self.mu * v - self.eta * g, state, gradient)
        return jax.tree.map(jnp.add, params, v), v
