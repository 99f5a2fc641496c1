"""Predictive coding: activities settle between what the input and the target ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import Credit, Formula, Forward, LearningRule, Settling, hyperparameter

Activities = tuple[Array, ...]


class _Errors(NamedTuple):
    """At the activities of the hidden layers: what each layer makes of the one before.

    Attributes:
        inputs: the a^(l-1) that the layers 2..L are taken at.
        e: a^l - sigma(z^l), of the layers 2..L-1.
        delta: -e^l * sigma'(z^l), and beta delta^L of the output.
        kept: what the layers 2..L kept.
        energy: F.

    """

    inputs: Activities
    e: Activities
    delta: Activities
    kept: tuple[Any, ...]
    energy: Array


class PredictiveCoding(LearningRule):
    """delta^l = -(a^l - sigma(z^l)) * sigma'(z^l), where the hidden a^l have settled.

    They descend the energy F = 1/2 sum_l |a^l - sigma(z^l)|^2 + beta C, z^l = T^l(a^(l-1)), from
    the forward pass on, in `steps` steps a^l <- a^l - rate dF/da^l; BP3 and BP4 take the settled
    a^(l-1). Deltas are those of F over beta: with beta towards 0 they are those of backpropagation.
    Three ways (`mode`): "settled" is this; "fixed_prediction" keeps z^l, sigma' and the inputs of
    BP4 from the forward pass (Millidge, Tschantz and Buckley, 2022), and gives backpropagation once
    there are as many steps as hidden layers, with a rate of 1; "z_il" takes the delta of layer l
    after L - l steps, however many `steps` are set (Song et al., 2020), which is backpropagation
    with a rate of 1.
    Source: Whittington and Bogacz (2017), equations 2.12 to 2.19.
    """

    mode: str = hyperparameter(default="settled", choices=("settled", "fixed_prediction", "z_il"))
    steps: int = hyperparameter(default=20, ge=1)
    rate: float = hyperparameter(default=0.1, gt=0, le=1)
    beta: float = hyperparameter(default=1.0, gt=0)

    formula = Formula("-(a^l - sigma(z^l)) once a^l has settled", r"-(a^l - \sigma(z^l))")

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        """What the settled activities give."""
        del state
        if self.mode == "z_il":
            return (self._in_turn(forward, y, key),)

        def settle(a: Activities, _: None) -> tuple[Activities, None]:
            return self._settled(forward, a, self._seen(forward, a, y, key)), None

        settled, _ = jax.lax.scan(settle, forward.trace.a[1:-1], None, self.steps)
        seen = self._seen(forward, settled, y, key)
        return (self._credit(seen.inputs, seen.kept, seen.delta),)

    def settling(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Settling]:
        """One phase: F, and its gradient by the hidden activities."""
        del state
        steps = len(forward.network.layers) - 1 if self.mode == "z_il" else self.steps

        def settle(a: Activities, _: None) -> tuple[Activities, Settling]:
            seen = self._seen(forward, a, y, key)
            slopes = self._slopes(forward, seen)
            norms = [jnp.linalg.norm(slope.reshape(-1)) for slope in slopes]
            residual = jnp.stack(norms) if norms else jnp.zeros(0, y.dtype)
            return self._moved(a, slopes), Settling(seen.energy, residual)

        return (jax.lax.scan(settle, forward.trace.a[1:-1], None, steps + 1)[1],)

    def _in_turn(self, forward: Forward, y: Array, key: Array) -> Credit:
        """Layer l's part of what there is after L - l steps."""
        a, parts = forward.trace.a[1:-1], []
        for at in reversed(range(len(forward.network.layers))):
            seen = self._errors(forward, a, y, key)
            parts.append((seen.inputs[at], seen.kept[at], seen.delta[at]))
            a = self._settled(forward, a, seen)
        return self._credit(*zip(*reversed(parts), strict=True))

    def _credit(self, a: Activities, kept: Any, delta: Activities) -> Credit:
        beta = jnp.asarray(self.beta, delta[0].dtype)
        return Credit(a, kept, tuple(part / beta for part in delta))

    def _seen(self, forward: Forward, a: Activities, y: Array, key: Array) -> _Errors:
        """The errors that the activities descend."""
        if self.mode == "fixed_prediction":
            return self._fixed(forward, a, y)
        return self._errors(forward, a, y, key)

    def _errors(self, forward: Forward, a: Activities, y: Array, key: Array) -> _Errors:
        """Those of predictions that follow the activities."""
        inputs = (forward.trace.a[0], *a)
        e, deltas, keeps, costs = [], [], [], []
        parts = zip(forward.network.layers, forward.params, inputs, (*a, None), strict=True)
        for number, (layer, own, before, here) in enumerate(parts, start=2):
            z, kept = layer.forward(own, before, jax.random.fold_in(key, number))
            predicted = layer.activation(z)
            if here is None:
                deltas.append(self._output_delta(forward, z, predicted, y))
                costs.append(forward.pair.cost(z, predicted, y))
            else:
                e.append(here - predicted)
                deltas.append(-layer.activation.pullback(z, e[-1]))
            keeps.append(kept)
        energy = self._energy(e, costs[0])
        return _Errors(inputs, tuple(e), tuple(deltas), tuple(keeps), energy)

    def _fixed(self, forward: Forward, a: Activities, y: Array) -> _Errors:
        """Those of the predictions of the forward pass."""
        trace = forward.trace
        e = tuple(here - predicted for here, predicted in zip(a, trace.a[1:-1], strict=True))
        hidden = zip(forward.network.layers, trace.z, e, strict=False)
        deltas = tuple(-layer.activation.pullback(z, e) for layer, z, e in hidden)
        out = self._output_delta(forward, trace.z[-1], trace.a[-1], y)
        energy = self._energy(e, forward.pair.cost(trace.z[-1], trace.a[-1], y))
        return _Errors(trace.a[:-1], e, (*deltas, out), trace.kept, energy)

    def _energy(self, e: Sequence[Array], cost: Array) -> Array:
        """F."""
        squares = sum((jnp.sum(part**2) for part in e), start=jnp.zeros_like(cost))
        return squares / 2 + jnp.asarray(self.beta, cost.dtype) * cost

    def _output_delta(self, forward: Forward, z: Array, a: Array, y: Array) -> Array:
        return jnp.asarray(self.beta, z.dtype) * forward.pair.delta(z, a, y)

    def _settled(self, forward: Forward, a: Activities, seen: _Errors) -> Activities:
        """The activities after a step down F."""
        return self._moved(a, self._slopes(forward, seen))

    def _moved(self, a: Activities, slopes: Activities) -> Activities:
        return tuple(
            here - jnp.asarray(self.rate, here.dtype) * slope
            for here, slope in zip(a, slopes, strict=True)
        )

    def _slopes(self, forward: Forward, seen: _Errors) -> Activities:
        """The gradient of F by the hidden activities."""
        parts = (forward.network.layers, forward.params, seen.inputs, seen.kept, seen.delta)
        carried = [layer.carry(*rest) for layer, *rest in zip(*(p[1:] for p in parts), strict=True)]
        return tuple(map(jnp.add, seen.e, carried))
