"""Learning rules, aggregations and optimisers with a defect each, and the check meant for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sound_learning as sound
from jax import Array

from bpframe import Aggregation, Credit, Forward, LayerParams, LearningRule, TrainingStep

AllParams = tuple[LayerParams, ...]


class OutputForgotten(sound.Direct):
    """Credit for the hidden layers alone."""

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        (whole,) = super().assign(state, forward, y, key)
        return (whole._replace(delta=whole.delta[:-1]),)


class CreditInFloat32(sound.Direct):
    """Deltas of a dtype of their own."""

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        (whole,) = super().assign(state, forward, y, key)
        deltas = tuple(delta.astype(jnp.float32) for delta in whole.delta)
        return (whole._replace(delta=deltas),)


class BareCredit(sound.Direct):
    """One Credit, and no tuple of them."""

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> Any:
        return super().assign(state, forward, y, key)[0]


class AnswersWithALabel(LearningRule):
    """The answer is the number of a class."""

    is_gradient = True

    def answer(self, state: Any, forward: Forward) -> Array:
        return jnp.argmax(forward.trace.a[-1])


class LearnsInTheDtypeOfProducts(sound.KolenPollack):
    """The state takes the dtype of the products, and is rounded at every step."""

    def learn(
        self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams
    ) -> AllParams:
        new = super().learn(state, step, params, updated)
        return jax.tree.map(lambda b, w: b.astype(w.dtype), new, step.params[1:])


class LearnsADiary(sound.KolenPollack):
    """A state that grows."""

    def learn(self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams) -> Any:
        return (*super().learn(state, step, params, updated), params[0])


class DividesByZero(Aggregation):
    """1 / |g_x|: infinite for an example without a gradient."""

    def weights(self, squared_norms: Callable[[], Array]) -> Array:
        return 1 / jnp.sqrt(squared_norms())


class OneWeightForAll(Aggregation):
    """A scalar."""

    def weights(self, squared_norms: Callable[[], Array]) -> Array:
        return 1 / (1 + jnp.mean(squared_norms()))


class FirstComeFirstServed(Aggregation):
    """Later examples count less."""

    def weights(self, squared_norms: Callable[[], Array]) -> Array:
        norms = squared_norms()
        return (1 / (1 + jnp.arange(len(norms)))).astype(norms.dtype)


class NoiseOfAnyKey(Aggregation):
    """Noise that its key does not decide."""

    def gradient(self, total: AllParams, m: int, key: Array) -> AllParams:
        noise = np.random.default_rng().normal()
        return jax.tree.map(lambda g: g / m + jnp.asarray(noise, g.dtype), total)


class EvaluatesTheFirstLayer(sound.NormalisedByInputs):
    """What is evaluated is no network."""

    def evaluated(self, state: Any, params: AllParams) -> AllParams:
        return params[:1]


COMPONENTS: dict[type[Any], str] = {
    OutputForgotten: "credit is shaped like layers",
    CreditInFloat32: "credit is shaped like layers",
    BareCredit: "credit is shaped like layers",
    AnswersWithALabel: "answer is shaped like the output",
    LearnsInTheDtypeOfProducts: "state keeps its shapes",
    LearnsADiary: "state keeps its shapes",
    DividesByZero: "weights are finite",
    OneWeightForAll: "shapes and dtypes",
    FirstComeFirstServed: "order does not matter",
    NoiseOfAnyKey: "same key, same gradient",
    EvaluatesTheFirstLayer: "shapes and dtypes",
}
