"""Equilibrium propagation: the error is how far the target's pull moves a settled network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
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
    Settling,
    hyperparameter,
)

States = tuple[Array, ...]


class _Equilibrium(LearningRule):
    """States s^l of the layers 2..L that descend E + pull beta C in `steps` steps of `rate`."""

    steps: int = hyperparameter(default=30, ge=1)
    rate: float = hyperparameter(default=0.5, gt=0, le=1)
    beta: float = hyperparameter(default=0.1, gt=0)
    symmetric: bool = True

    @abstractmethod
    def _start(self, forward: Forward) -> States:
        """The states after the forward pass."""

    def _free(self, forward: Forward) -> States:
        """The states that have settled without a pull; here they stay where they start."""
        return self._start(forward)

    @abstractmethod
    def _energy(self, forward: Forward, s: States) -> Array:
        """E."""

    @abstractmethod
    def _slopes(self, forward: Forward, s: States) -> list[Array]:
        """The gradient of E by the states."""

    @abstractmethod
    def _cost(self, forward: Forward, s: Array, y: Array) -> tuple[Array, Array]:
        """C of the output's state, and its gradient."""

    @abstractmethod
    def _errors(self, forward: Forward, s: States) -> States:
        """The d^l of dE/dw^l = -d^l rho(s^(l-1))^T."""

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        """A term with the target's pull, and one without it or with the opposite one."""
        del state, key
        free = self._free(forward)
        over = jnp.asarray(self.beta, y.dtype) * (2 if self.symmetric else 1)
        terms = []
        for pull, sign in self._phases:
            settled = self._settled(forward, free, y, pull) if pull else free
            deltas = tuple(sign * error / over for error in self._errors(forward, settled))
            terms.append(Credit(_inputs(forward, settled), forward.trace.kept, deltas))
        return tuple(terms)

    def settling(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Settling, ...]:
        """Free, if that takes steps, and then with each pull."""
        del state, key
        start, free = self._start(forward), self._free(forward)
        starts = [] if free is start else [(start, 0.0)]
        starts += [(free, pull) for pull, _ in self._phases if pull]
        return tuple(self._phase(forward, s, y, pull) for s, pull in starts)

    @property
    def _phases(self) -> tuple[tuple[float, float], ...]:
        """Pulls with the sign of their term."""
        return ((1.0, -1.0), (-1.0 if self.symmetric else 0.0, 1.0))

    def _settled(self, forward: Forward, s: States, y: Array, pull: float) -> States:
        """The states after the last step."""

        def step(s: States, _: None) -> tuple[States, None]:
            return self._moved(s, self._pulled(forward, s, y, pull)), None

        return jax.lax.scan(step, s, None, self.steps)[0]

    def _phase(self, forward: Forward, s: States, y: Array, pull: float) -> Settling:
        """What there is to see before each step, and after the last."""

        def step(s: States, _: None) -> tuple[States, Settling]:
            slopes = self._pulled(forward, s, y, pull)
            residual = jnp.stack([jnp.linalg.norm(slope.reshape(-1)) for slope in slopes])
            cost = self._cost(forward, s[-1], y)[0]
            energy = self._energy(forward, s) + pull * jnp.asarray(self.beta, y.dtype) * cost
            return self._moved(s, slopes), Settling(energy, residual)

        return jax.lax.scan(step, s, None, self.steps + 1)[1]

    def _pulled(self, forward: Forward, s: States, y: Array, pull: float) -> list[Array]:
        """The gradient of E + pull beta C."""
        slopes = self._slopes(forward, s)
        if pull:
            beta = jnp.asarray(self.beta, y.dtype)
            slopes[-1] += pull * beta * self._cost(forward, s[-1], y)[1]
        return slopes

    def _moved(self, s: States, slopes: Sequence[Array]) -> States:
        rate = jnp.asarray(self.rate, s[-1].dtype)
        return tuple(own - rate * slope for own, slope in zip(s, slopes, strict=True))


class EquilibriumPropagation(_Equilibrium):
    """(rho(s_0^l) - rho(s_beta^l)) / beta: what settles freely, less what settles with beta C.

    The states s^l of the layers 2..L descend E + beta C from the forward pass on, with E = 1/2
    sum_l |s^l|^2 - sum_l rho(s^l)^T (w^l rho(s^(l-1)) + b^l), rho the activation of the layer and
    rho(s^1) = x, in `steps` steps of `rate`. The network answers with s^L, settled freely.
    dC/dw^l is -rho(s^l) rho(s^(l-1))^T from beta = 0 to beta, over beta; with `symmetric` from
    -beta to beta, over 2 beta, whose error shrinks as beta^2.
    Source: Scellier and Bengio (2017), equations 1, 3 and 12; Laborieux et al. (2021), equation 7.
    """

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

    def answer(self, state: Any, forward: Forward) -> Array:
        """s^L of the network that has settled freely."""
        del state
        return self._free(forward)[-1]

    def _start(self, forward: Forward) -> States:
        return forward.trace.a[1:]

    def _free(self, forward: Forward) -> States:
        y = jnp.zeros_like(forward.trace.a[-1])  # which it does not look at
        return self._settled(forward, self._start(forward), y, 0.0)

    def _energy(self, forward: Forward, s: States) -> Array:
        rho = _rho(forward, s)
        up = zip(rho, self._up(forward, s), strict=True)
        return sum(
            (jnp.sum(own**2) / 2 - r @ z for own, (r, z) in zip(s, up, strict=True)),
            start=jnp.zeros((), s[-1].dtype),
        )

    def _slopes(self, forward: Forward, s: States) -> list[Array]:
        rho, up = _rho(forward, s), self._up(forward, s)
        down = [own.w.T @ after for own, after in zip(forward.params[1:], rho[1:], strict=True)]
        drive = [*map(jnp.add, up, down), up[-1]]
        return [
            own - layer.activation.pullback(own, sum_)
            for layer, own, sum_ in zip(forward.network.layers, s, drive, strict=True)
        ]

    def _cost(self, forward: Forward, s: Array, y: Array) -> tuple[Array, Array]:
        cost = forward.pair.cost_function
        return cost(s, y), cost.prime(s, y)

    def _errors(self, forward: Forward, s: States) -> States:
        return _rho(forward, s)

    def _up(self, forward: Forward, s: States) -> list[Array]:
        """w^l rho(s^(l-1)) + b^l."""
        inputs = _inputs(forward, s)
        parts = zip(forward.params, inputs, strict=True)
        return [own.w @ before.reshape(-1) + own.b for own, before in parts]


class GaussianEquilibriumPropagation(_Equilibrium):
    """-(s^l - z^l) / beta, where the s^l have settled with beta C.

    The states s^l of the layers 2..L descend E + beta C from z^l of the forward pass on, with E =
    1/2 sum_l |s^l - z^l|^2, z^l = T^l(sigma(s^(l-1))), in `steps` steps of `rate`: predictive
    coding whose output layer settles too. Freely they stay where they start, so the network answers
    as usual. dC/dw^l is -(s^l - z^l) sigma(s^(l-1))^T over beta; with `symmetric` half of what
    there is from -beta to beta.
    Source: Scellier and Bengio (2017), equation 12, with the energy of Whittington and Bogacz
    (2017), equation 2.16.
    """

    rate: float = hyperparameter(default=0.1, gt=0, le=1)
    beta: float = hyperparameter(default=0.5, gt=0)

    @property
    def _phases(self) -> tuple[tuple[float, float], ...]:
        return super()._phases if self.symmetric else ((1.0, -1.0),)

    def _start(self, forward: Forward) -> States:
        return forward.trace.z

    def _energy(self, forward: Forward, s: States) -> Array:
        squares = (jnp.sum(error**2) for error in self._errors(forward, s))
        return sum(squares, start=jnp.zeros((), s[-1].dtype)) / 2

    def _slopes(self, forward: Forward, s: States) -> list[Array]:
        inputs, layers = _inputs(forward, s), forward.network.layers
        passed = [
            layer.forward(own, before, None)
            for layer, own, before in zip(layers, forward.params, inputs, strict=True)
        ]
        errors = [own - z for own, (z, _) in zip(s, passed, strict=True)]
        parts = (layers, forward.params, inputs, [kept for _, kept in passed], errors)
        carried = [layer.carry(*rest) for layer, *rest in zip(*(p[1:] for p in parts), strict=True)]
        below = [
            error - layer.activation.pullback(own, after)
            for layer, own, error, after in zip(layers, s, errors, carried, strict=False)
        ]
        return [*below, errors[-1]]

    def _cost(self, forward: Forward, s: Array, y: Array) -> tuple[Array, Array]:
        a = forward.pair.activation(s)
        return forward.pair.cost(s, a, y), forward.pair.delta(s, a, y)

    def _errors(self, forward: Forward, s: States) -> States:
        parts = (forward.network.layers, forward.params, _inputs(forward, s), s)
        return tuple(
            own - layer.forward(params, before, None)[0]
            for layer, params, before, own in zip(*parts, strict=True)
        )


def _inputs(forward: Forward, s: States) -> States:
    """What the layers 2..L see: x and rho(s^l)."""
    return (forward.trace.a[0], *_rho(forward, s)[:-1])


def _rho(forward: Forward, s: States) -> States:
    return tuple(
        layer.activation(own) for layer, own in zip(forward.network.layers, s, strict=True)
    )
