"""Optimisers: plain gradient descent and the book's momentum written out, the rest from optax.

`eta` is the learning rate in all of them, as in the book; g is the mean gradient.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from bpframe import Formula, Optimiser, Params, gradient_descent_step, hookimpl, hyperparameter

BPFRAME_API_VERSION = 2
AllParams = tuple[Params, ...]


class Sgd(Optimiser):
    """w <- w - eta g. Source: Nielsen (2015), equations 20 and 21."""

    eta: float = hyperparameter(default=0.5, gt=0)

    formula = Formula("w <- w - eta g", r"w \to w - \eta g")

    def init(self, params: AllParams) -> Any:
        """No state."""
        del params
        return ()

    def update(self, gradient: AllParams, state: Any, params: AllParams) -> tuple[AllParams, Any]:
        """w - eta g."""
        return gradient_descent_step(params, gradient, self.eta), state


class Momentum(Optimiser):
    """v <- mu v - eta g, w <- w + v. Source: Nielsen (2015), equations 107 and 108."""

    eta: float = hyperparameter(default=0.1, gt=0)
    mu: float = hyperparameter(default=0.9, ge=0, lt=1)

    formula = Formula("v <- mu v - eta g,  w <- w + v", r"v \to \mu v - \eta g,\quad w \to w + v")

    def init(self, params: AllParams) -> Any:
        """v = 0."""
        return jax.tree.map(jnp.zeros_like, params)

    def update(self, gradient: AllParams, state: Any, params: AllParams) -> tuple[AllParams, Any]:
        """w + v, with v = mu v - eta g."""
        v = jax.tree.map(lambda v, g: self.mu * v - self.eta * g, state, gradient)
        return jax.tree.map(jnp.add, params, v), v


class _Optax(Optimiser):
    """An optimiser of optax, made anew from the fields at every call: it keeps no state."""

    @abstractmethod
    def transformation(self) -> optax.GradientTransformation:
        """The transformation of optax that this optimiser is."""

    def init(self, params: AllParams) -> Any:
        """The state of the transformation."""
        return self.transformation().init(params)

    def update(self, gradient: AllParams, state: Any, params: AllParams) -> tuple[AllParams, Any]:
        """Params + the update of the transformation."""
        # optax raises floats to an integer count, which strict promotion would refuse.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = self.transformation().update(
                cast(Any, gradient), state, cast(Any, params)
            )
        return jax.tree.map(jnp.add, params, updates), state


class Nesterov(_Optax):
    """v <- mu v + g, w <- w - eta (g + mu v). Source: Sutskever et al. (2013)."""

    eta: float = hyperparameter(default=0.1, gt=0)
    mu: float = hyperparameter(default=0.9, ge=0, lt=1)

    formula = Formula(
        "v <- mu v + g,  w <- w - eta (g + mu v)",
        r"v \to \mu v + g,\quad w \to w - \eta (g + \mu v)",
    )

    def transformation(self) -> optax.GradientTransformation:
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

    def transformation(self) -> optax.GradientTransformation:
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

    def transformation(self) -> optax.GradientTransformation:
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

    def transformation(self) -> optax.GradientTransformation:
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

    def transformation(self) -> optax.GradientTransformation:
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

    def transformation(self) -> optax.GradientTransformation:
        """optax.lion."""
        return optax.lion(self.eta, b1=self.beta1, b2=self.beta2, weight_decay=self.decay)


@hookimpl
def bpframe_optimisers() -> dict[str, type[Optimiser]]:
    """The optimisers by name."""
    return {
        "sgd": Sgd,
        "momentum": Momentum,
        "nesterov": Nesterov,
        "adam": Adam,
        "adamw": AdamW,
        "rmsprop": RmsProp,
        "adagrad": Adagrad,
        "lion": Lion,
    }
