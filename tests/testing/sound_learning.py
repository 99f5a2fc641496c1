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
    Credit,
    Forward,
    LayerParams,
    LearningRule,
    Optimiser,
    Shapes,
    TrainingStep,
    hyperparameter,
    map_weights,
)

AllParams = tuple[LayerParams, ...]


class KolenPollack(LearningRule):
    """Feedback that makes every step that the weights make. Source: Kolen and Pollack (1994)."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> AllParams:
        return map_weights(lambda w, n: jax.random.normal(key, w.shape, w.dtype) / n, params[1:])

    def carry(self, state: Any, step: BackwardStep) -> Array:
        return step.layer.carry(state, step.a, step.kept, step.delta)

    def learn(
        self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams
    ) -> AllParams:
        return jax.tree.map(lambda b, w, new: b + (new - w), state, params[1:], updated[1:])


class Direct(LearningRule):
    """Direct feedback alignment, assigned layer by layer and not carried."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> Any:
        (n_out,) = shapes[-1]
        draw = jax.random.normal
        return {"feedback": [draw(key, (*shape, n_out)) for shape in shapes[1:-1]]}

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
        mean = super().gradient(total, m, key)
        return jax.tree.map(lambda g: g + 0.01 * jax.random.normal(key, g.shape, g.dtype), mean)


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
    AnswersBackwards,
    Robust,
    Noisy,
    NormalisedByInputs,
)
