"""Sound learning rules, aggregations and optimisers that use each door of their contracts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    Aggregation,
    BackwardStep,
    ConfigError,
    Credit,
    Forward,
    LayerParams,
    LearningRule,
    Network,
    Optimiser,
    OutputPair,
    Settling,
    Shapes,
    TrainingStep,
    hyperparameter,
    map_weights,
)

AllParams = tuple[LayerParams, ...]


class KolenPollack(LearningRule):
    """Feedback that makes every step that the weights make. Source: Kolen and Pollack (1994)."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> AllParams:
        keys = jax.random.split(key, len(params))

        def drawn(key: Array, own: LayerParams) -> LayerParams:
            return map_weights(lambda w, n: jax.random.normal(key, w.shape, w.dtype) / n, own)

        return tuple(map(drawn, keys[1:], params[1:]))

    def carry(self, state: Any, step: BackwardStep) -> Array:
        return step.layer.carry(state, step.a, step.kept, step.delta)

    def feedback(self, state: Any, params: AllParams) -> Any:
        return tuple(
            (w.w.reshape(-1), b.w.reshape(-1)) for w, b in zip(params[1:], state, strict=True)
        )

    def learn(
        self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams
    ) -> AllParams:
        return jax.tree.map(lambda b, w, new: b + (new - w), state, params[1:], updated[1:])


class Direct(LearningRule):
    """Direct feedback alignment, assigned layer by layer and not carried."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> Any:
        (n_out,) = shapes[-1]
        keys = jax.random.split(key, len(shapes))
        hidden = zip(keys, shapes[1:-1], strict=False)
        return {"feedback": [jax.random.normal(key, (*shape, n_out)) for key, shape in hidden]}

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        trace, layers = forward.trace, forward.network.layers
        out = forward.pair.delta(trace.z[-1], trace.a[-1], y)
        hidden = zip(layers, trace.z, state["feedback"], strict=False)
        deltas = tuple(layer.activation.pullback(z, b @ out) for layer, z, b in hidden)
        return (Credit(trace.a[:-1], trace.kept, (*deltas, out)),)


class DirectInTwoTerms(Direct):
    """The same as the difference of two terms, as contrastive rules have them."""

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        (whole,) = super().assign(state, forward, y, key)
        parts = (jax.tree.map(lambda d, c=c: c * d, whole.delta) for c in (1.5, -0.5))
        return tuple(whole._replace(delta=part) for part in parts)


class NoisySigns(LearningRule):
    """Signs of the weights, each flipped at random in every mini-batch, and noise an example."""

    def carry(self, state: Any, step: BackwardStep) -> Array:
        def signs(w: Array, _: int) -> Array:
            flips = jax.random.bernoulli(step.key, 0.9, w.shape)
            return jnp.where(flips, jnp.sign(w), -jnp.sign(w))

        error = step.layer.carry(map_weights(signs, step.params), step.a, step.kept, step.delta)
        return error + 0.01 * jax.random.normal(step.example_key, error.shape, error.dtype)


class ReadsOut(LearningRule):
    """The answer is that of a readout of the last hidden layer, which learns, and sees its key."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> Any:
        (n_out,), n = shapes[-1], shapes[-2][0]
        return {"readout": jnp.zeros((n_out, n)), "key": key, "steps": jnp.zeros((), jnp.int32)}

    def check(self, network: Network, pair: OutputPair) -> None:
        if any(len(shape) != 1 for shape in network.shapes):
            raise ConfigError("learning_rule: reads_out needs layers that are no images")

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        trace, layers = forward.trace, forward.network.layers
        out = forward.pair.delta(trace.z[-1], trace.a[-1], y)
        error = (state["readout"] @ trace.a[-2].reshape(-1) - y) @ state["readout"]
        deltas = [jnp.zeros_like(z) for z in trace.z[:-1]]
        if deltas:
            deltas[-1] = layers[-2].activation.pullback(trace.z[-2], error)
        return (Credit(trace.a[:-1], trace.kept, (*deltas, out)),)

    def answer(self, state: Any, forward: Forward) -> Array:
        return state["readout"] @ forward.trace.a[-2].reshape(-1)

    def learn(self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams) -> Any:
        readout, a = state["readout"], step.found.trace.a[-2].reshape(len(step.y), -1)
        a, y = a.astype(readout.dtype), step.y.astype(readout.dtype)
        slope = (a @ readout.T - y).T @ a / len(a)
        return state | {"readout": readout - 0.1 * slope, "steps": state["steps"] + 1}


class SettlesOnce(LearningRule):
    """One step of predictive coding on the last hidden layer, and how it settles."""

    rate: float = hyperparameter(default=0.2, gt=0, le=1)

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        trace, layers = forward.trace, forward.network.layers
        deltas = [jnp.zeros_like(z) for z in trace.z]
        deltas[-1] = forward.pair.delta(trace.z[-1], trace.a[-1], y)
        if len(layers) > 1:
            moved = self._slope(forward, deltas[-1]) * jnp.asarray(self.rate, y.dtype)
            deltas[-2] = layers[-2].activation.pullback(trace.z[-2], moved)
        return (Credit(trace.a[:-1], trace.kept, tuple(deltas)),)

    def settling(self, state: Any, forward: Forward, y: Array, key: Array) -> Any:
        trace = forward.trace
        out = forward.pair.delta(trace.z[-1], trace.a[-1], y)
        norm = jnp.linalg.norm(self._slope(forward, out).reshape(-1))
        cost = forward.pair.cost(trace.z[-1], trace.a[-1], y)
        left = jnp.stack([norm, norm * (1 - jnp.asarray(self.rate, y.dtype))])
        return (Settling(jnp.stack([cost, cost]), left[:, None]),)

    def _slope(self, forward: Forward, out: Array) -> Array:
        trace, last = forward.trace, forward.network.layers[-1]
        return last.carry(forward.params[-1], trace.a[-2], trace.kept[-1], out)


class PerturbsWeightedInputs(LearningRule):
    """(v^T delta) v, with v ~ N(0, 1) of each example: a forward gradient of a^l.

    Source: Ren et al. (2022), activity perturbation.
    """

    def carry(self, state: Any, step: BackwardStep) -> Array:
        v = jax.random.normal(step.example_key, step.a.shape, step.a.dtype)
        return jnp.sum(v * step.layer.carry(step.params, step.a, step.kept, step.delta)) * v


class AnswersBackwards(LearningRule):
    """The network's answer is its output the other way round."""

    is_gradient = True

    def answer(self, state: Any, forward: Forward) -> Array:
        return forward.trace.a[-1][::-1]


class Robust(Aggregation):
    """Examples with a large gradient do not count at all."""

    most: float = hyperparameter(default=10.0, gt=0)

    def weights(self, squared_norms: Callable[[], Array]) -> Array:
        norms = squared_norms()
        return (norms < self.most**2).astype(norms.dtype)


class Noisy(Aggregation):
    """The mean, and noise on it."""

    def gradient(self, total: AllParams, m: int, key: Array) -> AllParams:
        mean, structure = jax.tree.flatten(super().gradient(total, m, key))
        keys = jax.random.split(key, len(mean))
        noisy = [
            g + 0.01 * jax.random.normal(own, g.shape, g.dtype)
            for g, own in zip(mean, keys, strict=True)
        ]
        return jax.tree.unflatten(structure, noisy)


class NormalisedByInputs(Optimiser):
    """w - eta g / mean |a^(l-1)|^2: what a step has seen decides how long it is."""

    eta: float = hyperparameter(default=0.1, gt=0)

    def init(self, params: AllParams) -> Any:
        return ()

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        def moved(own: LayerParams, g: LayerParams, a: Array) -> LayerParams:
            size = 1 + jnp.mean(jnp.sum(a.reshape(len(a), -1) ** 2, axis=1))
            return jax.tree.map(lambda w, g: w - self.eta * g / size.astype(w.dtype), own, g)

        seen = (term for term in step.found.credit[:1])
        return tuple(map(moved, params, gradient, next(seen).a)), state


COMPONENTS = (
    KolenPollack,
    Direct,
    DirectInTwoTerms,
    NoisySigns,
    ReadsOut,
    SettlesOnce,
    PerturbsWeightedInputs,
    AnswersBackwards,
    Robust,
    Noisy,
    NormalisedByInputs,
)
