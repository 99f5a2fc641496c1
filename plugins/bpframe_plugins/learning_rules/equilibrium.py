"""Equilibrium propagation: the error is how far the target's pull moves a settled network."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    ConfigError,
    Credit,
    Dense,
    ElementwiseActivation,
    Forward,
    LearningRule,
    Network,
    OutputPair,
    hyperparameter,
)

States = tuple[Array, ...]


class EquilibriumPropagation(LearningRule):
    """(rho(s_0^l) - rho(s_beta^l)) / beta: what settles freely, less what settles with beta C.

    The states s^l of the layers 2..L descend E + beta C from the forward pass on, with E = 1/2
    sum_l |s^l|^2 - sum_l rho(s^l)^T (w^l rho(s^(l-1)) + b^l), rho the activation of the layer and
    rho(s^1) = x, in `steps` steps of `rate`. The network answers with s^L, settled freely.
    dC/dw^l is -rho(s^l) rho(s^(l-1))^T from beta = 0 to beta, over beta; with `symmetric` from
    -beta to beta, over 2 beta, whose error shrinks as beta^2.
    Source: Scellier and Bengio (2017), equations 1, 3 and 12; Laborieux et al. (2021), equation 7.
    """

    steps: int = hyperparameter(default=30, ge=1)
    rate: float = hyperparameter(default=0.5, gt=0, le=1)
    beta: float = hyperparameter(default=0.1, gt=0)
    symmetric: bool = True

    def check(self, network: Network, pair: OutputPair) -> None:
        """The energy has products of neurons, and a cost of any outputs.

        Raises:
            ConfigError: a layer is not dense, has coupled neurons, or the cost has a domain.

        """
        for number, layer in enumerate(network.layers, start=2):
            if not isinstance(layer, Dense):
                what = type(layer).__name__
            elif not isinstance(layer.activation, ElementwiseActivation):
                what = type(layer.activation).__name__
            else:
                continue
            raise ConfigError(
                f"learning_rule: equilibrium_propagation has no energy for layer {number}, {what}; "
                "it needs dense layers whose neurons are not coupled"
            )
        low, high = pair.cost_function.domain
        if (low, high) != (-float("inf"), float("inf")):
            raise ConfigError(
                f"learning_rule: equilibrium_propagation answers with any number, and the cost "
                f"{type(pair.cost_function).__name__} is defined from {low:g} to {high:g}; set "
                "cost=quadratic"
            )

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        """Two terms: with the target's pull, and without it or with the opposite one."""
        del state, key
        free = self._settled(forward, forward.trace.a[1:], y, 0.0)
        pulls = (1.0, -1.0) if self.symmetric else (1.0, 0.0)
        beta = jnp.asarray(self.beta, y.dtype)
        over = beta * (pulls[0] - pulls[1])
        terms = []
        for pull, sign in zip(pulls, (-1.0, 1.0), strict=True):
            settled = self._settled(forward, free, y, pull) if pull else free
            rho = _rho(forward, settled)
            deltas = tuple(sign * r / over for r in rho)
            terms.append(Credit((forward.trace.a[0], *rho[:-1]), forward.trace.kept, deltas))
        return tuple(terms)

    def answer(self, state: Any, forward: Forward) -> Array:
        """s^L of the network that has settled freely."""
        del state
        y = jnp.zeros_like(forward.trace.a[-1])  # which it does not look at
        return self._settled(forward, forward.trace.a[1:], y, 0.0)[-1]

    def _settled(self, forward: Forward, s: States, y: Array, pull: float) -> States:
        """The states after `steps` steps down E + pull beta C."""
        rate, beta = (jnp.asarray(value, y.dtype) for value in (self.rate, self.beta))
        x, params = forward.trace.a[0].reshape(-1), forward.params
        layers = forward.network.layers

        def step(s: States, _: None) -> tuple[States, None]:
            rho = (x, *_rho(forward, s))
            up = [own.w @ before + own.b for own, before in zip(params, rho[:-1], strict=True)]
            down = [own.w.T @ after for own, after in zip(params[1:], rho[2:], strict=True)]
            drive = [*map(jnp.add, up, down), up[-1]]
            moves = [
                layer.activation.pullback(own, sum_) - own
                for layer, own, sum_ in zip(layers, s, drive, strict=True)
            ]
            if pull:
                moves[-1] -= pull * beta * forward.pair.cost_function.prime(s[-1], y)
            return tuple(own + rate * move for own, move in zip(s, moves, strict=True)), None

        return jax.lax.scan(step, s, None, self.steps)[0]


def _rho(forward: Forward, s: States) -> States:
    return tuple(
        layer.activation(own) for layer, own in zip(forward.network.layers, s, strict=True)
    )
