"""Optimisers that optax computes."""

from __future__ import annotations

from abc import abstractmethod
from types import ModuleType
from typing import Any, cast

import jax
import jax.numpy as jnp

from bpframe import (
    Formula,
    LayerParams,
    Optimiser,
    TrainingStep,
    hyperparameter,
)

AllParams = tuple[LayerParams, ...]


class _Optax(Optimiser):
    """An optimiser of optax, made anew from the fields at every call: it keeps no state."""

    @abstractmethod
    def transformation(self, optax: ModuleType) -> Any:
        """The transformation of optax that this optimiser is."""

    @property
    def _made(self) -> Any:
        import optax  # a tenth of a second, for those who choose it

        return self.transformation(optax)

    def init(self, params: AllParams) -> Any:
        """The state of the transformation."""
        return self._made.init(params)

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        """Params + the update of the transformation."""
        del step
        # optax raises floats to an integer count, which strict promotion would refuse.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = self._made.update(cast(Any, gradient), state, cast(Any, params))
        return jax.tree.map(jnp.add, params, updates), state


class Nesterov(_Optax):
    """v <- mu v + g, w <- w - eta (g + mu v). Source: Sutskever et al. (2013)."""

    eta: float = hyperparameter(default=0.1, gt=0)
    mu: float = hyperparameter(default=0.9, ge=0, lt=1)

    formula = Formula(
        "v <- mu v + g,  w <- w - eta (g + mu v)",
        r"v \to \mu v + g,\quad w \to w - \eta (g + \mu v)",
    )

    def transformation(self, optax: ModuleType) -> Any:
        """optax.sgd with nesterov=True."""
        return optax.sgd(self.eta, momentum=self.mu, nesterov=True)


class Adam(_Optax):
    """w <- w - eta m_hat / (sqrt(v_hat) + epsilon). Source: Kingma and Ba (2015), algorithm 1."""

    eta: float = hyperparameter(default=0.001, gt=0)
    beta1: float = hyperparameter(default=0.9, ge=0, lt=1)
    beta2: float = hyperparameter(default=0.999, ge=0, lt=1)
    epsilon: float = hyperparameter(default=1e-8, gt=0)

    formula = Formula(
        "w <- w - eta m_hat / (sqrt(v_hat) + epsilon)",
        r"w \to w - \eta\,\hat m / (\sqrt{\hat v} + \epsilon)",
    )

    def transformation(self, optax: ModuleType) -> Any:
        """optax.adam."""
        return optax.adam(self.eta, b1=self.beta1, b2=self.beta2, eps=self.epsilon)


class AdamW(_Optax):
    """w <- w - eta (m_hat / (sqrt(v_hat) + epsilon) + decay w). Source: Loshchilov, Hutter (2019).

    Decay acts on weights and biases alike, as in optax.
    """

    eta: float = hyperparameter(default=0.001, gt=0)
    beta1: float = hyperparameter(default=0.9, ge=0, lt=1)
    beta2: float = hyperparameter(default=0.999, ge=0, lt=1)
    epsilon: float = hyperparameter(default=1e-8, gt=0)
    decay: float = hyperparameter(default=0.01, ge=0)

    formula = Formula(
        "w <- w - eta (m_hat / (sqrt(v_hat) + epsilon) + decay w)",
        r"w \to w - \eta\,(\hat m / (\sqrt{\hat v} + \epsilon) + \text{decay}\, w)",
    )

    def transformation(self, optax: ModuleType) -> Any:
        """optax.adamw."""
        return optax.adamw(
            self.eta,
            b1=self.beta1,
            b2=self.beta2,
            eps=self.epsilon,
            weight_decay=self.decay,
        )


class RmsProp(_Optax):
    """v <- rho v + (1 - rho) g^2, w <- w - eta g / sqrt(v + epsilon). Source: Hinton (2012)."""

    eta: float = hyperparameter(default=0.001, gt=0)
    rho: float = hyperparameter(default=0.9, ge=0, lt=1)
    epsilon: float = hyperparameter(default=1e-8, gt=0)

    formula = Formula(
        "v <- rho v + (1 - rho) g^2,  w <- w - eta g / sqrt(v + epsilon)",
        r"v \to \rho v + (1 - \rho) g^2,\quad w \to w - \eta\, g / \sqrt{v + \epsilon}",
    )

    def transformation(self, optax: ModuleType) -> Any:
        """optax.rmsprop."""
        return optax.rmsprop(self.eta, decay=self.rho, eps=self.epsilon)


class Adagrad(_Optax):
    """v <- v + g^2, w <- w - eta g / sqrt(v + epsilon). Source: Duchi et al. (2011)."""

    eta: float = hyperparameter(default=0.1, gt=0)
    start: float = hyperparameter(default=0.1, ge=0)
    epsilon: float = hyperparameter(default=1e-7, gt=0)

    formula = Formula(
        "v <- v + g^2,  w <- w - eta g / sqrt(v + epsilon),  v = start at first",
        r"v \to v + g^2,\quad w \to w - \eta\, g / \sqrt{v + \epsilon}",
    )

    def transformation(self, optax: ModuleType) -> Any:
        """optax.adagrad."""
        return optax.adagrad(self.eta, initial_accumulator_value=self.start, eps=self.epsilon)


class Lion(_Optax):
    """w <- w - eta sign(beta1 v + (1 - beta1) g). Source: Chen et al. (2023), algorithm 2."""

    eta: float = hyperparameter(default=0.0003, gt=0)
    beta1: float = hyperparameter(default=0.9, ge=0, lt=1)
    beta2: float = hyperparameter(default=0.99, ge=0, lt=1)
    decay: float = hyperparameter(default=0.0, ge=0)

    formula = Formula(
        "w <- w - eta (sign(beta1 v + (1 - beta1) g) + decay w),  v <- beta2 v + (1 - beta2) g",
        r"w \to w - \eta\,(\operatorname{sign}(\beta_1 v + (1 - \beta_1) g) + \text{decay}\, w)",
    )

    def transformation(self, optax: ModuleType) -> Any:
        """optax.lion."""
        return optax.lion(self.eta, b1=self.beta1, b2=self.beta2, weight_decay=self.decay)
