"""Components whose defect shows for some inputs alone: large, tiny, zero, rounded or late ones."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sound_learning
import sound_plugins as sound
from bpframe_plugins.privacy import Private
from jax import Array
from jax.core import Tracer
from sound_plugins import AllParams

from bpframe import (
    Credit,
    Data,
    Dense,
    EpochResult,
    Examples,
    LayerParams,
    MeanMetric,
    Observation,
    Optimiser,
    Params,
    Progress,
    Shape,
    TrainingStep,
    hyperparameter,
)

Updated = tuple[AllParams, Any]


class LeavesAThread(sound.Swish):
    """A thread that goes on."""

    def __call__(self, z: Array) -> Array:
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        return super().__call__(z)


class RightUpTo60(sound.Swish):
    """sigma' is a constant from 60 on, where sigma goes on as beta z."""

    def prime(self, z: Array) -> Array:
        return jnp.where(z > 60, 0.9, super().prime(z))


class ByDifferences(sound.Bump):
    """sigma' by differences, of which bfloat16 leaves nothing."""

    def prime(self, z: Array) -> Array:
        h = jnp.asarray(1e-5, z.dtype)
        return (self(z + h) - self(z - h)) / (2 * h)

    def second_derivative(self, z: Array) -> None:
        return None


class OverTheDeviation(sound.Standardised):
    """(z - mean) / deviation is 0/0 for a layer of one neuron."""

    min_neurons = 1

    def __call__(self, z: Array) -> Array:
        return (z - jnp.mean(z)) / jnp.std(z)


class RightForThree(sound.TemperedSoftmax):
    """The pullback has a 3 for the number of neurons."""

    def pullback(self, z: Array, v: Array) -> Array:
        a = self(z)
        return a * (v - 3 * jnp.mean(a * v) * z.size / jnp.maximum(3, z.size)) / self.temperature


class TurnsTallImages(Dense):
    """The error of an image with seven rows or more comes back upside down."""

    def carry(self, params: LayerParams, a_prev: Array, kept: Any, delta: Array) -> Array:
        found = super().carry(params, a_prev, kept, delta)
        is_tall = a_prev.ndim == 3 and a_prev.shape[0] in (7, 11)
        return found[::-1] if is_tall else found


class SumsInBfloat16(Dense):
    """z is summed in bfloat16, and comes back in the dtype that was given."""

    def forward(self, params: Params, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        z, kept = super().forward(params, a_prev, key)
        return z.astype(jnp.bfloat16).astype(z.dtype) if z.dtype == jnp.float32 else z, kept


class ForgetsTheTail(sound.EpsilonInsensitive):
    """The slope ends at errors of 100."""

    def prime(self, a: Array, y: Array) -> Array:
        found = super().prime(a, y)
        return jnp.where(jnp.abs(a - y) > 100, 0, found)


class CancelsInFloat32(sound.Distance):
    """|a - y|^2 by its three terms, which cancel."""

    def __call__(self, a: Array, y: Array) -> Array:
        shift = jnp.asarray(3e3, a.dtype)
        return super().__call__((a + shift) - shift, y)


class SaturatesAtZero(sound.CrossEntropyLogistic):
    """delta is 0 for |z| above 30, where a neuron that is wrong has to move most."""

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        return jnp.where(jnp.abs(z) > 30, 0, a - y)


class LosesDigits(sound.CrossEntropyLogistic):
    """delta through a number of another size."""

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        large = jnp.asarray(1e5, z.dtype)
        return ((a + large) - large) - y


class BiasesUphill(sound.Descent):
    """The biases go up."""

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> Updated:
        turned = tuple(g._replace(b=-g.b) for g in gradient)
        return super().update(turned, state, params, step)


class Forgetful(Optimiser):
    """Momentum that is forgotten wherever the gradient is exactly 0."""

    eta: float = hyperparameter(default=0.1, gt=0)

    def init(self, params: AllParams) -> Any:
        return jax.tree.map(jnp.zeros_like, params)

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> Updated:
        v = jax.tree.map(lambda v, g: jnp.where(g == 0, 0, 0.9 * v - self.eta * g), state, gradient)
        return jax.tree.map(jnp.add, params, v), v


class StuckAtZero(sound.Descent):
    """Steps in proportion to the weights, of which those that are 0 stay there."""

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> Updated:
        scaled = jax.tree.map(lambda g, p: g * jnp.max(jnp.abs(p)), gradient, params)
        return super().update(scaled, state, params, step)


class SlowWeightsOfZero(sound.SignDescent):
    """Every fifth step goes half of the way to slow weights, which start at 0."""

    def init(self, params: AllParams) -> Any:
        return jnp.zeros((), jnp.int32)

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> Updated:
        moved, _ = super().update(gradient, (), params, step)
        half = (state + 1) % 5 == 0
        return jax.tree.map(lambda p: jnp.where(half, p / 2, p), moved), state + 1


class AroundAnother(Optimiser):
    """Half of the gradient for another optimiser, whose `evaluated` is not asked."""

    inner: Optimiser = dataclasses.field(default_factory=sound.Descent)

    def init(self, params: AllParams) -> Any:
        return self.inner.init(params)

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> Updated:
        halved = jax.tree.map(lambda g: 0.5 * g, gradient)
        return self.inner.update(halved, state, params, step)


class RoundsItsSteps(sound.Descent):
    """Steps in bfloat16, for parameters of float32."""

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> Updated:
        def rounded(g: Array) -> Array:
            return g.astype(jnp.bfloat16).astype(g.dtype) if g.dtype == jnp.float32 else g

        return super().update(jax.tree.map(rounded, gradient), state, params, step)


class PowerOfTheStep(sound.SignDescent):
    """1.1 to the power of the step is infinite after 900 of them."""

    def init(self, params: AllParams) -> Any:
        return jnp.ones((), jax.tree.leaves(params)[0].dtype)

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> Updated:
        scaled = jax.tree.map(lambda g: g * state / state, gradient)
        return super().update(scaled, (), params, step)[0], state * 1.1


class FansOfTheShape(sound.TruncatedNormal):
    """The last axis for the fan-in, also for kernels."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        return super().__call__(key, shape, shape[-1], n_out)


class FirstWeightIsPositive(sound.TruncatedNormal):
    """Rows are turned so that their first weight is positive."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        w, b = super().__call__(key, shape, n_in, n_out)
        return Params(w * jnp.sign(w[:, :1]) if w.ndim == 2 else w, b)


class ColumnsInPairs(sound.TruncatedNormal):
    """Every two columns are equal."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        w, b = super().__call__(key, shape, n_in, n_out)
        return Params(w[:, jnp.arange(shape[1]) // 2 * 2], b)


class NoSlopeOfSmallWeights(sound.ElasticNet):
    """Weights below a thousandth have no gradient."""

    def gradient(self, params: AllParams) -> AllParams:
        pairs = zip(super().gradient(params), params, strict=True)
        return tuple(Params(jnp.where(jnp.abs(p.w) < 1e-3, 0, g.w), g.b) for g, p in pairs)


class PenaltyInBfloat16(sound.ElasticNet):
    """The penalty is summed in bfloat16."""

    def cost(self, params: AllParams) -> Array:
        found = super().cost(params)
        narrow = found.dtype == jnp.float32
        return found.astype(jnp.bfloat16).astype(found.dtype) if narrow else found


class ClassMissing(sound.Spirals):
    """The training set has no example of the last class."""

    def load(self) -> Data:
        data = super().load()
        kept = data.train.y != data.train.y.max()
        train = dataclasses.replace(data.train, x=data.train.x[kept], y=data.train.y[kept])
        return data._replace(train=train)


class SortedByClass(sound.Spirals):
    """The training set is sorted by class."""

    def load(self) -> Data:
        data = super().load()
        order = np.argsort(data.train.y, kind="stable")
        train = dataclasses.replace(data.train, x=data.train.x[order], y=data.train.y[order])
        return data._replace(train=train)


class InTheOrderOfASet(sound.Spirals):
    """The examples are ordered by the hashes of texts, which differ from process to process."""

    def load(self) -> Data:
        data = super().load()
        names = {f"example {number}": number for number in range(len(data.train))}
        order = [names[name] for name in set(names)]
        train = dataclasses.replace(data.train, x=data.train.x[order], y=data.train.y[order])
        return data._replace(train=train)


class OneTargetFurther(sound.Spirals):
    """Twice as many examples, of which the second half has the targets of the next ones."""

    more: bool = False

    @property
    def expansion(self) -> int:
        return 2 if self.more else 1

    def expanded(self, train: Examples) -> Examples:
        x = np.concatenate([train.x, -train.x])
        return dataclasses.replace(train, x=x, y=np.roll(np.concatenate([train.y, train.y]), 1))


class NoisyCopies(sound.Spirals):
    """The validation set is the training set with noise of 1e-7."""

    def load(self) -> Data:
        data = super().load()
        noise = 1e-7 * np.random.default_rng(0).normal(size=data.train.x.shape)
        copy = dataclasses.replace(data.train, x=(data.train.x + noise).astype(data.train.x.dtype))
        return data._replace(validation=copy)


class FeedbackInPairs(sound_learning.Direct):
    """Every two columns of the feedback weights are equal."""

    def init(self, key: Array, params: AllParams, shapes: Any) -> Any:
        state = super().init(key, params, shapes)
        return jax.tree.map(lambda b: b[:, jnp.arange(b.shape[1]) // 2 * 2], state)


class SlopeOfOnes(sound_learning.Direct):
    """J 1 for J^T v, which is 0 where the neurons are coupled."""

    def assign(self, state: Any, forward: Any, y: Array, key: Array) -> Any:
        trace, layers = forward.trace, forward.network.layers
        out = forward.pair.delta(trace.z[-1], trace.a[-1], y)
        hidden = zip(layers, trace.z, state["feedback"], strict=False)
        deltas = (own.activation.pullback(z, jnp.ones_like(z)) * (b @ out) for own, z, b in hidden)
        return (Credit(trace.a[:-1], trace.kept, (*deltas, out)),)


class FlushesSmallErrors(sound_learning.AnswersBackwards):
    """Errors below the resolution of the dtype become 0."""

    def carry(self, state: Any, step: Any) -> Array:
        found = super().carry(state, step)
        return jnp.where(jnp.abs(found) < jnp.finfo(found.dtype).eps, 0, found)


class PrivateAmongPeers(Private):
    """The clip is twice the mean norm of the mini-batch, and privacy is claimed all the same."""

    def weights(self, squared_norms: Any) -> Array:
        norms = jnp.sqrt(squared_norms())
        most = 2 * jnp.mean(norms) + 1e-12
        return jnp.where(norms > most, most / norms, jnp.ones_like(norms))


class OneKeyForAll(sound_learning.Noisy):
    """The noise of every array is drawn with the same key."""

    def gradient(self, total: AllParams, m: int, key: Array) -> AllParams:
        mean = jax.tree.map(lambda part: part / m, total)
        return jax.tree.map(lambda g: g + 0.01 * jax.random.normal(key, g.shape, g.dtype), mean)


class MeanOfSquares(MeanMetric):
    """The mean square of the weighted inputs less the square of their mean."""

    def measure(self, seen: Observation) -> Array:
        z = seen.trace.z[-1]
        return jnp.sqrt(jnp.abs(jnp.mean(z**2, axis=1) - jnp.mean(z, axis=1) ** 2))


class CertainIsLost(MeanMetric):
    """The bin of the largest output, of which 1 has none."""

    def measure(self, seen: Observation) -> Array:
        most = jnp.max(seen.trace.a[-1], axis=1)
        return jnp.sum(
            jnp.where(jnp.floor(most * 10)[:, None] == jnp.arange(10), most[:, None], 0), 1
        )


class CountsInBfloat16(sound.LargestDelta):
    """The total is rounded to bfloat16."""

    def result(self, total: Any, params: AllParams) -> Any:
        found = super().result(total, params)
        return jax.tree.map(
            lambda c: c if c.dtype == jnp.float64 else 1 + c.astype(jnp.bfloat16).astype(c.dtype),
            found,
        )


class OverTheRest(sound.Triangular):
    """Divided by the epochs that are left after the first, of which a run of one has none."""

    def factor(self, state: Any, progress: Progress) -> Array:
        return 1 - 0.5 * (progress.epoch - progress.step) / (progress.epochs - 1)


class RootOfTheGain(sound.BoldDriver):
    """The root of what an epoch gained, which is NaN where it lost."""

    def update(self, state: Any, result: EpochResult) -> Any:
        after = super().update(state, result)
        gain = jnp.sqrt(
            jnp.where(jnp.isfinite(state["cost"]), state["cost"], 9.0) - result.train_cost
        )
        return after | {"factor": after["factor"] * (1 + 0 * gain)}


class LowersByAccuracy(sound.BoldDriver):
    """It looks at the accuracy, which regression does not have."""

    def update(self, state: Any, result: EpochResult) -> Any:
        return super().update(state, result._replace(train_cost=-result.validation_accuracy))


class RingOfEpochs(sound.TargetReached):
    """A flag for each of two epochs in turn, of which one is never set if every second is seen."""

    def init(self, dtype: Any) -> Any:
        return jnp.zeros(2, bool)

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        seen = state.at[result.epoch % 2].set(result.score < 0.51)
        return seen, seen.all() & (result.epoch > 2)


class OddEpochsOnly(sound.BoldDriver):
    """Half of eta after the third epoch, which need not be among those that are evaluated."""

    def update(self, state: Any, result: EpochResult) -> Any:
        factor = jnp.where(result.epoch == 3, state["factor"] / 2, state["factor"])
        return {"factor": factor, "cost": result.train_cost}


class TargetOfAccuracy(sound.TargetReached):
    """It looks at the accuracy, which regression does not have."""

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        return state, result.validation_accuracy >= 0.5


class StopsWhatImproves(sound.TargetReached):
    """It stops when the training cost has fallen three times."""

    def init(self, dtype: Any) -> Any:
        return jnp.full((), jnp.inf, dtype), jnp.zeros((), jnp.int32)

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        best, falls = state
        falls = falls + (result.train_cost < best)
        return (jnp.minimum(best, result.train_cost), falls), falls > 3


class CountsTraces(sound.TargetReached):
    """It stops in the first epoch that is not traced in a loop."""

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        state, stop = super().update(state, result)
        return state, stop | jnp.asarray(not isinstance(result.epoch, Tracer))


SEARCHED: dict[type[Any], str] = {
    LeavesAThread: "has no side effects",
    RightUpTo60: "slope holds at all magnitudes",
    ByDifferences: "same in every dtype",
    OverTheDeviation: "finite for all sizes",
    RightForThree: "pullback holds for all sizes",
    TurnsTallImages: "holds for all sizes",
    SumsInBfloat16: "same in every dtype",
    ForgetsTheTail: "slope holds at all magnitudes",
    CancelsInFloat32: "same in every dtype",
    SaturatesAtZero: "delta holds where neurons saturate",
    LosesDigits: "same in every dtype",
    BiasesUphill: "downhill in each part",
    Forgetful: "zeros are small gradients",
    StuckAtZero: "leaves from zero",
    SlowWeightsOfZero: "no news without a gradient",
    AroundAnother: "passes on what is evaluated",
    RoundsItsSteps: "same in every dtype",
    PowerOfTheStep: "finite for long",
    FansOfTheShape: "variance for all shapes",
    FirstWeightIsPositive: "each weight varies",
    ColumnsInPairs: "draws are independent",
    NoSlopeOfSmallWeights: "gradient holds at all magnitudes",
    PenaltyInBfloat16: "same in every dtype",
    ClassMissing: "classes are in the training set",
    SortedByClass: "in no order",
    InTheOrderOfASet: "same in another process",
    OneTargetFurther: "targets stay when expanded",
    MeanOfSquares: "keeps digits of large inputs",
    SlopeOfOnes: "takes coupled neurons",
    NoisyCopies: "splits do not overlap",
    FeedbackInPairs: "draws are independent",
    FlushesSmallErrors: "same in every dtype",
    PrivateAmongPeers: "weighs each alone",
    OneKeyForAll: "draws apart",
    CertainIsLost: "takes certain answers",
    CountsInBfloat16: "same in every dtype",
    OverTheRest: "sound at all times",
    RootOfTheGain: "sound after any history",
    LowersByAccuracy: "goes by the score",
    RingOfEpochs: "counts evaluated epochs",
    OddEpochsOnly: "counts evaluated epochs",
    TargetOfAccuracy: "goes by the score",
    StopsWhatImproves: "does not stop what improves",
    CountsTraces: "same epoch by epoch",
}
"""With the check that is meant to catch each."""
