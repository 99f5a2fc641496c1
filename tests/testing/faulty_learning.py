"""Learning rules, aggregations and optimisers with a defect each, and the check meant for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sound_learning as sound
from jax import Array

from bpframe import (
    Aggregation,
    BackwardStep,
    Credit,
    Forward,
    LayerParams,
    LearningRule,
    Network,
    OutputPair,
    Shapes,
    TrainingStep,
)

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


class SlopeForgotten(sound.Direct):
    """delta^l = B^l delta^L, without sigma'(z^l)."""

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        (whole,) = super().assign(state, forward, y, key)
        out = whole.delta[-1]
        return (whole._replace(delta=(*(b @ out for b in state["feedback"]), out)),)


class OneKeyForAllLayers(sound.Direct):
    """Every B^l is drawn with the same key."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> Any:
        (n_out,) = shapes[-1]
        draw = jax.random.normal
        return {"feedback": [draw(key, (*shape, n_out)) for shape in shapes[1:-1]]}


class KeyOfItsOwn(sound.KolenPollack):
    """The feedback is the same for every seed."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> AllParams:
        return super().init(jax.random.key(0), params, shapes)


class RedrawnAlike(LearningRule):
    """Feedback that is drawn in every step, always with the same key."""

    def carry(self, state: Any, step: BackwardStep) -> Array:
        b = jax.random.normal(jax.random.key(7), (*step.a.shape, len(step.delta)))
        return b.astype(step.delta.dtype) @ step.delta


class RedrawnByNumpy(LearningRule):
    """Feedback that is drawn whenever it is needed, with a generator of its own."""

    def carry(self, state: Any, step: BackwardStep) -> Array:
        b = np.random.default_rng().normal(size=(*step.a.shape, len(step.delta)))
        return jnp.asarray(b, step.delta.dtype) @ step.delta


class LearnsAwayFromTheWeights(sound.KolenPollack):
    """The step of the weights with the wrong sign."""

    def learn(
        self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams
    ) -> AllParams:
        return jax.tree.map(lambda b, w, new: b - (new - w), state, params[1:], updated[1:])


class LearnsFromTheFirst(sound.ReadsOut):
    """The readout learns from the first example of a mini-batch."""

    def learn(self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams) -> Any:
        a = step.found.trace.a[-2].reshape(len(step.y), -1)[0].astype(state["readout"].dtype)
        y = step.y[0].astype(a.dtype)
        slope = jnp.outer(state["readout"] @ a - y, a)
        return state | {"readout": state["readout"] - 0.1 * slope}


class KeepsTheTargets(sound.ReadsOut):
    """The state holds the targets that were seen last, for the answer to look at."""

    def learn(self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams) -> Any:
        return super().learn(state, step, params, updated) | {"targets": step.y}

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> Any:
        return super().init(key, params, shapes) | {"targets": jnp.zeros((3, *shapes[-1]))}


class TellsItTransposed(sound.KolenPollack):
    """`feedback` gives B in the order of B^T."""

    def feedback(self, state: Any, params: AllParams) -> Any:
        return tuple(
            (w.w.reshape(-1), b.w.T.reshape(-1)) for w, b in zip(params[1:], state, strict=True)
        )


class UnitErrors(LearningRule):
    """The error divided by its length, which may be 0."""

    def carry(self, state: Any, step: BackwardStep) -> Array:
        arrived = step.layer.carry(step.params, step.a, step.kept, step.delta)
        return arrived / jnp.linalg.norm(arrived)


COUNT = {"steps": 0}


class CountsInAGlobal(sound.NoisySigns):
    """Weaker feedback in every step, counted where no checkpoint sees it."""

    def carry(self, state: Any, step: BackwardStep) -> Array:
        COUNT["steps"] += 1
        return super().carry(state, step) / COUNT["steps"]


class ReadsAHiddenLayer(LearningRule):
    """A learned readout of the hidden layer, and no word where there is none."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> Any:
        return (None,) * (len(params) - 1)

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        trace, layers = forward.trace, forward.network.layers
        out = forward.pair.delta(trace.z[-1], trace.a[-1], y)
        first = layers[0].activation.pullback(
            trace.z[0], jnp.ones_like(trace.z[-2]).sum() * trace.a[1]
        )
        deltas = [first, *(jnp.zeros_like(z) for z in trace.z[1:-1]), out]
        return (Credit(trace.a[:-1], trace.kept, tuple(deltas)),)


class RefusesWithAnAssertion(sound.ReadsOut):
    """Says no by an assertion."""

    def check(self, network: Network, pair: OutputPair) -> None:
        assert len(network.layers) > 1


class MixesTheMiniBatch(LearningRule):
    """The error of all examples at once, by an axis that only a vmap of a certain name has."""

    def carry(self, state: Any, step: BackwardStep) -> Array:
        mean = jax.lax.pmean(step.delta, "examples")
        return step.layer.carry(step.params, step.a, step.kept, mean)


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


class SumForTheMean(Aggregation):
    """The sum, never divided."""

    def gradient(self, total: AllParams, m: int, key: Array) -> AllParams:
        return total


class DividedTwice(Aggregation):
    """A mean of what is a mean already."""

    def gradient(self, total: AllParams, m: int, key: Array) -> AllParams:
        return jax.tree.map(lambda g: g / m**2, total)


class NoiseWithAMean(Aggregation):
    """Uniform noise that is never below 0."""

    def gradient(self, total: AllParams, m: int, key: Array) -> AllParams:
        return jax.tree.map(lambda g: (g + jax.random.uniform(key, g.shape, g.dtype)) / m, total)


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
    KeepsTheTargets: "state keeps its shapes",
    SlopeForgotten: "no error of a constant layer",
    OneKeyForAllLayers: "layers draw apart",
    KeyOfItsOwn: "draws follow their keys",
    RedrawnAlike: "draws follow their keys",
    RedrawnByNumpy: "has no hidden state",
    LearnsAwayFromTheWeights: "learned feedback comes nearer",
    LearnsFromTheFirst: "every example counts",
    TellsItTransposed: "feedback is that of the error",
    UnitErrors: "finite at zero",
    CountsInAGlobal: "has no hidden state",
    ReadsAHiddenLayer: "works or refuses",
    RefusesWithAnAssertion: "works or refuses",
    MixesTheMiniBatch: "works or refuses",
    DividesByZero: "weights are finite",
    OneWeightForAll: "shapes and dtypes",
    FirstComeFirstServed: "order does not matter",
    SumForTheMean: "keeps the scale",
    DividedTwice: "keeps the scale",
    NoiseWithAMean: "keeps the scale",
    NoiseOfAnyKey: "same key, same gradient",
    EvaluatesTheFirstLayer: "shapes and dtypes",
}
