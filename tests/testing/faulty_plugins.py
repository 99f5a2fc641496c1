"""Plugins with one defect each, such as people make, and the check that is meant to catch it.

Nearly all derive from a sound plugin and replace what is wrong. Docstrings name the defect.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import os
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import faulty_layers
import faulty_learning
import faulty_recorders
import faulty_searched
import faulty_trackers
import jax
import jax.numpy as jnp
import numpy as np
import sound_plugins as sound
from jax import Array
from jax.core import Tracer
from sound_plugins import AllParams, offering, plugin

from bpframe import (
    API_VERSION,
    Activation,
    BackwardStep,
    Classification,
    Data,
    Dataset,
    ElementwiseActivation,
    EpochRecord,
    EpochResult,
    Examples,
    LearningRule,
    MeanMetric,
    Metric,
    Observation,
    Params,
    Progress,
    RunInfo,
    Shape,
    Shapes,
    TrainingStep,
    hookimpl,
    hyperparameter,
)


class Faulty(NamedTuple):
    """A builder of a plugin, and the name of the check that is meant to catch its defect."""

    build: Callable[[], Any]
    check: str


# Activations.


class SignOfPrime(sound.Logistic):
    """sigma' has the wrong sign."""

    def prime(self, z: Array) -> Array:
        a = self(z)
        return a * (a - 1)


class FactorOfPrime(sound.Siren):
    """sigma' forgets the inner derivative."""

    def prime(self, z: Array) -> Array:
        return jnp.cos(30 * z)


class NoSlope(sound.Prelu):
    """sigma' forgets alpha, as if this were max(0, z)."""

    def prime(self, z: Array) -> Array:
        return (z > 0).astype(z.dtype)


class RightForBetaOneOnly(sound.Swish):
    """sigma' is right for the default value of beta alone."""

    def prime(self, z: Array) -> Array:
        s = jax.nn.sigmoid(self.beta * z)
        return s + z * s * (1 - s)


class NoProductRule(sound.Swish):
    """sigma' misses a term of the product rule."""

    def prime(self, z: Array) -> Array:
        return jax.nn.sigmoid(self.beta * z)


class PrimeOfTheOutput(sound.Logistic):
    """sigma' is written for a = sigma(z), and given z."""

    def prime(self, z: Array) -> Array:
        return z * (1 - z)


class DiagonalOfTheJacobian(sound.TemperedSoftmax):
    """The pullback misses the coupling of the neurons."""

    def pullback(self, z: Array, v: Array) -> Array:
        a = self(z)
        return v * a * (1 - a) / self.temperature


class TransposedJacobian(sound.NormalisedSoftplus):
    """J v in place of J^T v."""

    def pullback(self, z: Array, v: Array) -> Array:
        s = jax.nn.softplus(z) + 1e-3
        dv = jax.nn.sigmoid(z) * v
        return (dv - s / jnp.sum(s) * jnp.sum(dv)) / jnp.sum(s)


class SecondDerivativeOfAnother(sound.Logistic):
    """sigma'' misses its sign."""

    def second_derivative(self, z: Array) -> Array:
        return self.prime(z) * jnp.tanh(z / 2)


class DeadAbove(ElementwiseActivation):
    """sigma' is 0 for large z, where autodiff is NaN and does not tell."""

    def __call__(self, z: Array) -> Array:
        return jnp.where(z > 30, z, jnp.log1p(jnp.exp(20 * jnp.maximum(z, -30))) / 20)

    def prime(self, z: Array) -> Array:
        return jnp.where(z > 40, 0, jax.nn.sigmoid(20 * z))


class StraightThrough(ElementwiseActivation):
    """sigma' is that of a surrogate, and so is what autodiff gives."""

    def __call__(self, z: Array) -> Array:
        return z + jax.lax.stop_gradient(0.1 * jnp.sin(z))

    def prime(self, z: Array) -> Array:
        return jnp.ones_like(z)


class KinkNotDeclared(sound.SoftShrink):
    """Two kinks that `kinks` does not name."""

    @property
    def kinks(self) -> tuple[float, ...]:
        return ()


class KinkOfTheDefault(sound.SoftShrink):
    """`kinks` is right for the default threshold alone."""

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-0.37, 0.37)


class MeanAtTheKink(sound.Prelu):
    """At its kink sigma' is the mean of its one-sided values."""

    def prime(self, z: Array) -> Array:
        return jnp.where(z == 0, (1 + self.alpha) / 2, super().prime(z))


class JumpAtTheKink(sound.SoftShrink):
    """Hard and not soft shrinking: sigma itself jumps."""

    def __call__(self, z: Array) -> Array:
        return jnp.where(jnp.abs(z) > self.threshold, z, 0)


class RangeTooNarrow(sound.Swish):
    """The range forgets that it falls below 0."""

    range = (0.0, math.inf)


class RangeOfAnother(sound.Snake):
    """The range is that of the sine."""

    range = (-1.0, 1.0)


class TanhByExponentials(ElementwiseActivation):
    """Infinity by infinity for large z."""

    range = (-1.0, 1.0)

    def __call__(self, z: Array) -> Array:
        return (jnp.exp(z) - jnp.exp(-z)) / (jnp.exp(z) + jnp.exp(-z))

    def prime(self, z: Array) -> Array:
        return 4 * jax.nn.sigmoid(2 * z) * jax.nn.sigmoid(-2 * z)


class PrimeOverflows(sound.Logistic):
    """sigma' is infinity by infinity for large negative z."""

    def prime(self, z: Array) -> Array:
        return jnp.exp(-z) / (1 + jnp.exp(-z)) ** 2


class WideConstant(sound.Snake):
    """A constant of NumPy makes float64 of float32."""

    def __call__(self, z: Array) -> Array:
        return z + jnp.asarray(np.sqrt(1.0)) * jnp.sin(self.alpha * z) ** 2 / self.alpha


class ConstantPrime(ElementwiseActivation):
    """sigma' is a number and no array."""

    slope: float = 1.0

    def __call__(self, z: Array) -> Array:
        return self.slope * z

    def prime(self, z: Array) -> Any:
        return self.slope


class BranchOnAValue(sound.Bump):
    """`if` on a value that is traced."""

    def __call__(self, z: Array) -> Array:
        return jnp.zeros_like(z) if jnp.abs(z).max() > 1e8 else jnp.exp(-0.5 * z * z)


class BranchOnAField(sound.Prelu):
    """`if` on a hyperparameter, which is traced."""

    def prime(self, z: Array) -> Array:
        if self.alpha == 0:
            return (z > 0).astype(z.dtype)
        return super().prime(z)


class ChecksItself(sound.Snake):
    """A check of values in __post_init__, which runs under tracing too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha <= 0:
            raise ValueError("alpha must be above 0")


class NumpyOnATracer(sound.Bump):
    """np.exp in place of jnp.exp."""

    def __call__(self, z: Array) -> Any:
        return jnp.asarray(np.exp(-0.5 * np.square(z)), z.dtype)


class OnTheHost(sound.Bump):
    """A callback to NumPy that no mini-batch can go through."""

    def __call__(self, z: Array) -> Array:
        shape = jax.ShapeDtypeStruct(z.shape, z.dtype)
        return jax.pure_callback(lambda z: np.exp(-0.5 * np.square(z)), shape, z)


class CentredNeurons(sound.Bump):
    """Every neuron looks at the mean of its layer."""

    def __call__(self, z: Array) -> Array:
        return super().__call__(z - jnp.mean(z))


class PlaceInTheLayer(sound.Siren):
    """The slope depends on the place of a neuron."""

    def prime(self, z: Array) -> Array:
        return super().prime(z) * jnp.linspace(1, 1.1, z.size, dtype=z.dtype).reshape(z.shape)


class NoDistribution(sound.NormalisedSoftplus):
    """The outputs sum to less than one."""

    def __call__(self, z: Array) -> Array:
        s = jax.nn.softplus(z)
        return s / (1 + jnp.sum(s))

    def pullback(self, z: Array, v: Array) -> Array:
        total = 1 + jnp.sum(jax.nn.softplus(z))
        return jax.nn.sigmoid(z) * (v - jnp.sum(self(z) * v)) / total


class Noisy(sound.Swish):
    """Noise of the global generator."""

    def __call__(self, z: Array) -> Array:
        return super().__call__(z) + 1e-3 * np.random.normal()


class RunningScale(sound.Swish):
    """The largest output so far, kept on the class."""

    largest = 1e-3

    def __call__(self, z: Array) -> Array:
        a = super().__call__(z) / type(self).largest
        if not isinstance(z, Tracer):
            type(self).largest = max(type(self).largest, float(jnp.max(jnp.abs(a))))
        return a


class Printing(sound.Mish):
    """A forgotten print."""

    def prime(self, z: Array) -> Array:
        print("prime", z.shape)
        return super().prime(z)


class Undocumented(sound.Mish):
    __doc__ = None


class ListField(sound.Mish):
    """An example with a list, which cannot be hashed, for a tuple."""

    knots: tuple[int, ...] = (1,)
    examples = ({"knots": [1, 2]},)


class FloatOfNoType(sound.Mish):
    """A float field that is not annotated as such, so that it is static."""

    scale: Any = 1.0


class DefaultOutOfRange(sound.Snake):
    """The default value is outside the range of its own field."""

    alpha: float = hyperparameter(default=0.0, gt=0)


class NoDefault(sound.Mish):
    """A field without a default, and no examples to check."""

    scale: float


class IntOrFloat(sound.Mish):
    """A leaf that is an int at first and a float later."""

    scale: float | None = 1
    examples = ({"scale": 2.5},)


# Costs and output pairs.


class MeanInTheCost(sound.Distance):
    """C is a mean over the neurons, and its gradient that of a sum."""

    def __call__(self, a: Array, y: Array) -> Array:
        return 0.5 * jnp.mean((a - y) ** 2)


class TargetsOutOfReach(sound.PoissonDeviance):
    """Targets beside what any output can be, and a = y said to be best."""

    targets = (-1.0, math.inf)


class BoundaryBesideTheOutputs(sound.PoissonDeviance):
    """A decision boundary that every output lies above."""

    decision_boundary = 0.0


class SignOfTheGradient(sound.Distance):
    """y - a in place of a - y."""

    def prime(self, a: Array, y: Array) -> Array:
        return y - a


class TauTheOtherWay(sound.Pinball):
    """tau and 1 - tau exchanged, which are equal by default."""

    def prime(self, a: Array, y: Array) -> Array:
        return jnp.where(y > a, (self.tau - 1) * jnp.ones_like(a), self.tau * jnp.ones_like(a))


class DetachedWeight(sound.Distance):
    """A weight that depends on a, and that autodiff does not see either."""

    def __call__(self, a: Array, y: Array) -> Array:
        return 0.5 * jnp.sum(jax.lax.stop_gradient(1 + jnp.abs(a - y)) * (a - y) ** 2)

    def prime(self, a: Array, y: Array) -> Array:
        return (1 + jnp.abs(a - y)) * (a - y)


class ForAMiniBatch(sound.Distance):
    """Written for a mini-batch, so that each neuron has a C of its own."""

    def __call__(self, a: Array, y: Array) -> Array:
        return 0.5 * (a - y) ** 2


class ZeroTimesInfinity(sound.PoissonDeviance):
    """0 ln 0 is NaN."""

    def __call__(self, a: Array, y: Array) -> Array:
        return jnp.sum(a - y * jnp.log(a))


class RewardForErrors(sound.Distance):
    """A sign that makes the target the worst place; the gradient agrees."""

    def __call__(self, a: Array, y: Array) -> Array:
        return -super().__call__(a, y)

    def prime(self, a: Array, y: Array) -> Array:
        return -super().prime(a, y)


class CurvatureWithoutARoot(sound.PoissonDeviance):
    """d^2 C/da^2 itself, where its root is asked for."""

    def curvature_root(self, a: Array, y: Array) -> Array:
        return jnp.diag(y / a**2)


class CostOnTheHost(sound.Distance):
    """A callback to NumPy that no mini-batch can go through."""

    def prime(self, a: Array, y: Array) -> Array:
        return jax.pure_callback(lambda a, y: a - y, jax.ShapeDtypeStruct(a.shape, a.dtype), a, y)


class FloatOfAField(sound.EpsilonInsensitive):
    """float() of a hyperparameter, which is traced in a sweep."""

    def __call__(self, a: Array, y: Array) -> Array:
        return jnp.sum(jnp.maximum(0, jnp.abs(a - y) - float(self.epsilon)))


class SignOfDelta(sound.CrossEntropyLogistic):
    """y - a in place of a - y."""

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        return y - a


class CurvatureOfTheTargets(sound.CrossEntropyLogistic):
    """y (1 - y) in place of a (1 - a)."""

    def curvature_root(self, z: Array, a: Array, y: Array) -> Array:
        return jnp.diag(jnp.sqrt(y * (1 - y)))


class AnotherCost(sound.CrossEntropyLogistic):
    """A mean over the neurons, where the cost without the pair is a sum; delta agrees."""

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        return (a - y) / z.size

    def cost(self, z: Array, a: Array, y: Array) -> Array:
        return super().cost(z, a, y) / z.size


class ConvexWithoutCurvature(sound.CrossEntropyLogistic):
    """It says that its curvature is whole, and tells none."""

    is_convex = True


class OverflowingPair(sound.CrossEntropyLogistic):
    """ln(1 + e^z) as it stands in books."""

    def cost(self, z: Array, a: Array, y: Array) -> Array:
        return jnp.sum(jnp.log(1 + jnp.exp(z)) - y * z)


class OneDelta(sound.CrossEntropyLogistic):
    """One delta for the whole layer."""

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        return jnp.sum(a - y)


# Optimisers.


class Ascent(sound.Descent):
    """Uphill."""

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        return jax.tree.map(lambda p, g: p + self.eta * g, params, gradient), state


class NoBiases(sound.SignDescent):
    """The biases stay where they are."""

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        moved, state = super().update(gradient, state, params, step)
        return tuple(p._replace(w=q.w) for p, q in zip(params, moved, strict=True)), state


class ListOfNumbers(sound.Descent):
    """The state is a list of Python numbers."""

    def init(self, params: AllParams) -> Any:
        return [0.0 for _ in params]


class StateOfNone(sound.Descent):
    """The state has another structure after the first step."""

    def init(self, params: AllParams) -> Any:
        return None

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        if state is None:
            state = jax.tree.map(jnp.zeros_like, params)
        return super().update(gradient, state, params, step)


class WideState(sound.ByHandAdam):
    """Moments in float64 for parameters in float32."""

    def init(self, params: AllParams) -> Any:
        zeros = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float64), params)
        return {"moments": {"first": zeros, "second": zeros}, "step": jnp.zeros((), jnp.int32)}


class NoEpsilon(sound.ByHandAdam):
    """0 / 0 where the gradient is zero."""

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        change = jax.tree.map(lambda g: self.eta * g / jnp.sqrt(g * g), gradient)
        return jax.tree.map(jnp.subtract, params, change), state


class OwnStep(sound.Descent):
    """A step of a fixed size, whatever eta is."""

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient), state


class IntEta(sound.Descent):
    """eta is a whole number."""

    eta: int = 1  # pyright: ignore[reportIncompatibleVariableOverride]


class VelocityOnTheClass(sound.Descent):
    """Velocity that is kept on the class, and not in the state."""

    _velocity = 0.0

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        type(self)._velocity = 0.5 * type(self)._velocity + 1
        steps = jax.tree.map(lambda g: type(self)._velocity * g, gradient)
        return super().update(steps, state, params, step)


_steps: list[int] = []


class CounterInAGlobal(sound.Descent):
    """Steps counted in a list of the module."""

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        _steps.append(len(_steps))
        return super().update(gradient, state, params, step)


class NoiseOnTheHost(sound.Descent):
    """Noise of a generator outside the state."""

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        def noise(g: Array) -> Array:
            shape = jax.ShapeDtypeStruct(g.shape, g.dtype)
            return jax.pure_callback(
                lambda g: g + 0.01 * np.random.default_rng().normal(size=g.shape).astype(g.dtype),
                shape,
                g,
                vmap_method="sequential",
            )

        return super().update(jax.tree.map(noise, gradient), state, params, step)


class CachedOnSelf(sound.Descent):
    """A cache with self, and so with traced values, as its key."""

    @functools.cache  # noqa: B019
    def step_size(self) -> Any:
        return 1.0 * self.eta

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        step_size = self.step_size()
        return jax.tree.map(lambda p, g: p - step_size * g, params, gradient), state


class TwoLayersOnly(sound.SignDescent):
    """Written for networks with one hidden layer."""

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        first, second = gradient
        return super().update((first, second), state, params, step)


# Initialisers and regularisers.


class TransposedWeights(sound.TruncatedNormal):
    """w is (n_in, n_out)."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        w, b = super().__call__(key, shape, n_in, n_out)
        return Params(w.T, b)


class OneLayerShort(sound.Diagonal):
    """Without the output layer."""

    def load(self, like: AllParams, seed: int) -> AllParams:
        return super().load(like, seed)[:-1]


class InFloat32(sound.Diagonal):
    """With half of the digits."""

    def load(self, like: AllParams, seed: int) -> AllParams:
        return jax.tree.map(lambda part: part.astype(np.float32), super().load(like, seed))


class FromTheGlobalGenerator(sound.Diagonal):
    """Biases of whoever drew before."""

    def load(self, like: AllParams, seed: int) -> AllParams:
        return jax.tree.map(lambda part: part + np.random.normal(), super().load(like, seed))


class DeviationForVariance(sound.TruncatedNormal):
    """Multiplied by the variance in place of its root."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        w = jax.random.normal(key, shape) * self.variance(n_in, n_out)
        return Params(w, jnp.zeros(n_out, w.dtype))


class FansExchanged(sound.TruncatedNormal):
    """The stated variance takes n_out for n_in."""

    def variance(self, n_in: int, n_out: int) -> float:
        return 1 / n_out if n_in != n_out else 1 / n_in

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        w = jax.random.normal(key, shape) / math.sqrt(n_in)
        return Params(w, jnp.zeros(n_out, w.dtype))


class KeyOfItsOwn(sound.TruncatedNormal):
    """The same weights in every layer and for every seed."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        return super().__call__(jax.random.key(0), shape, n_in, n_out)


class KeyUsedTwice(sound.TruncatedNormal):
    """Weights and biases are drawn with one key."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        return Params(super().__call__(key, shape, n_in, n_out).w, jax.random.normal(key, (n_out,)))


class EqualNeurons(sound.TruncatedNormal):
    """One key for the rows of w, so that all neurons are the same."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        w = jax.vmap(lambda _: jax.random.normal(key, (n_in,)))(jnp.arange(n_out))
        w = w / math.sqrt(n_in)
        return Params(w, jnp.zeros(n_out, w.dtype))


class SeededGlobally(sound.TruncatedNormal):
    """A seed for the global generator, which nothing here needs."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        np.random.seed(0)
        return super().__call__(key, shape, n_in, n_out)


class HalfInTheCost(sound.ElasticNet):
    """The gradient misses a factor."""

    def gradient(self, params: AllParams) -> AllParams:
        return tuple(Params(g.w / 2, g.b) for g in super().gradient(params))


class BiasesInTheGradient(sound.ElasticNet):
    """The gradient shrinks biases, which the penalty does not count."""

    def gradient(self, params: AllParams) -> AllParams:
        pairs = zip(super().gradient(params), params, strict=True)
        return tuple(Params(g.w, self.ridge * p.b) for g, p in pairs)


class PlainPairs(sound.ElasticNet):
    """Pairs in place of Params."""

    def gradient(self, params: AllParams) -> Any:
        return [tuple(g) for g in super().gradient(params)]


class NormAtZero(sound.ElasticNet):
    """w / |w| is NaN where w is zero."""

    def cost(self, params: AllParams) -> Array:
        return jnp.sum(jnp.stack([jnp.sqrt(jnp.sum(w * w)) for w, _ in params]))

    def gradient(self, params: AllParams) -> AllParams:
        return tuple(Params(w / jnp.sqrt(jnp.sum(w * w)), jnp.zeros_like(b)) for w, b in params)


class PenaltyOfTwoLayers(sound.NearlyOrthogonal):
    """Written for networks with one hidden layer."""

    def cost(self, params: AllParams) -> Array:
        (first, _), (second, _) = params
        return super().cost(tuple(Params(w, w[:, 0]) for w in (first, second)))


# Learning rules.


class ClaimsTheGradient(sound.SignSymmetry):
    """Says that it gives the gradient."""

    is_gradient = True


class DeniesTheGradient(LearningRule):
    """Backpropagation that does not say so."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> tuple[Any, ...]:
        return (None,) * (len(params) - 1)

    def carry(self, state: Any, step: BackwardStep) -> Array:
        return step.layer.carry(step.params, step.a, step.kept, step.delta)


class NotTransposed(sound.SignSymmetry):
    """w in place of w^T."""

    def carry(self, state: Any, step: BackwardStep) -> Array:
        return jnp.sign(step.params.w) @ step.delta


class WideFeedback(sound.GatedFeedback):
    """Feedback in float32 whatever the dtype of the deltas."""

    def carry(self, state: Any, step: BackwardStep) -> Array:
        return super().carry(state, step).astype(jnp.float32)


class StateTooMuch(sound.SignSymmetry):
    """A state for the output layer too."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> tuple[Any, ...]:
        return ((),) * len(params)


class FeedbackOfTheGlobal(sound.GatedFeedback):
    """Feedback drawn by the global generator, whatever the key."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> tuple[Any, ...]:
        states = super().init(key, params, shapes)
        return tuple(
            state | {"matrix": jnp.asarray(np.random.normal(size=w.T.shape), w.dtype)}
            for state, (w, _) in zip(states, params[1:], strict=True)
        )


class RuleOnTheHost(sound.SignSymmetry):
    """A callback to NumPy that no mini-batch can go through."""

    def carry(self, state: Any, step: BackwardStep) -> Array:
        shape = jax.ShapeDtypeStruct(step.a.shape, step.delta.dtype)
        return jax.pure_callback(
            lambda w, d: (np.sign(w).T @ d).astype(d.dtype), shape, step.params.w, step.delta
        )


# Data sets.


class ShuffledGlobally(sound.Spirals):
    """The order comes from the global generator."""

    def load(self) -> Data:
        data = super().load()
        order = np.random.permutation(len(data.train))
        train = dataclasses.replace(data.train, x=data.train.x[order], y=data.train.y[order])
        return data._replace(train=train)


class SplitsOverlap(sound.Curve):
    """The validation set is cut from the training set, which keeps it."""

    def load(self) -> Data:
        data = super().load()
        return data._replace(validation=data.train.first(5))


class OneOutputForTwo(sound.Spirals):
    """n_out is that of a single neuron."""

    @property
    def n_out(self) -> int:
        return 1


class PlainTuple(sound.Curve):
    """A plain tuple in place of Data."""

    def load(self) -> Any:
        return tuple(super().load())


class UnscaledBytes(Dataset):
    """Bytes from 0 to 255 without a scale."""

    @property
    def shape(self) -> Shape:
        return (4,)

    @property
    def n_out(self) -> int:
        return 2

    def load(self) -> Data:
        x = np.random.default_rng(0).integers(0, 256, (60, 4)).astype(np.uint8)
        parts = np.split(x, [40, 50])
        return Data(*(Examples(part, part[:, 0] // 128, n_out=2) for part in parts))


class LabelsAsFloats(sound.Spirals):
    """Labels that are no whole numbers."""

    def load(self) -> Data:
        parts = super().load()
        return Data(*(dataclasses.replace(p, y=p.y.astype(np.float32)) for p in parts))


class NumbersCalledClasses(sound.Curve):
    """A curve whose task is said to be classification."""

    def load(self) -> Data:
        return Data(*(dataclasses.replace(p, task=Classification()) for p in super().load()))


class WritingWhatItMade(sound.Curve):
    """A file that is written at each loading."""

    def load(self) -> Data:
        data = super().load()
        with open(os.devnull, "wb") as file:
            np.save(file, data.train.x)
        return data


# Metrics, schedules and stopping rules.


class GrowingTotal(sound.LargestDelta):
    """A total for each mini-batch."""

    def add(self, total: Any, seen: Observation) -> Any:
        return [*total, jnp.max(jnp.abs(seen.deltas[-1]))]


class CountsBecomeFloats(sound.Histogram):
    """Whole numbers at first, floats after the first mini-batch."""

    def add(self, total: Any, seen: Observation) -> Any:
        return super().add(total, seen) * jnp.asarray(1.0, seen.y.dtype)


class TotalOfEachExample(Metric):
    """As many totals as the first mini-batch has examples."""

    def start(self, seen: Observation) -> Any:
        return jnp.zeros(seen.y.shape[0], seen.y.dtype)

    def add(self, total: Any, seen: Observation) -> Any:
        return total + jnp.sum(seen.y, axis=1)

    def result(self, total: Any, params: AllParams) -> Array:
        return jnp.sum(total)


class StartOfValues(sound.LargestDelta):
    """The start takes the first values that it sees."""

    def start(self, seen: Observation) -> Any:
        return [jnp.max(jnp.abs(delta)) for delta in seen.deltas]


class MeanOfMeans(MeanMetric):
    """Divided by the number of examples before the mean is taken."""

    def measure(self, seen: Observation) -> Array:
        return jnp.max(seen.trace.a[-1], axis=1) / seen.y.shape[0]


class AgainstTheBatch(MeanMetric):
    """Measured against the largest of the mini-batch."""

    def measure(self, seen: Observation) -> Array:
        norms = jnp.linalg.norm(seen.deltas[-1], axis=1)
        return norms / jnp.max(norms)


class ColumnWithASpace(sound.LargestDelta):
    """Columns that no table can be read by."""

    def result(self, total: Any, params: AllParams) -> dict[str, Array]:
        return {f"layer {number}": value for number, value in enumerate(total, start=2)}


class MeanOverNone(sound.LargestDelta):
    """0 / 0, as no delta of these examples is above 10."""

    def result(self, total: Any, params: AllParams) -> dict[str, Array]:
        large = jnp.stack(total) > 10
        return {"large": jnp.sum(jnp.where(large, jnp.stack(total), 0)) / jnp.sum(large)}


class BelowZero(sound.Triangular):
    """A straight line that goes on below zero."""

    def factor(self, state: Any, progress: Progress) -> Array:
        return 1 - progress.epoch / self.length


class WarmUpOfZero(sound.Triangular):
    """0 / 0 at the first step, for a warm-up of no epochs."""

    warm_up: float = hyperparameter(default=0.0, ge=0)

    def factor(self, state: Any, progress: Progress) -> Array:
        return jnp.minimum(1, progress.epoch / self.warm_up)


class WarmUpFromZero(sound.Triangular):
    """The time before the step, so that the first has an eta of 0."""

    def factor(self, state: Any, progress: Progress) -> Array:
        return jnp.minimum(1, progress.epoch / self.length)


class AlwaysFloat32(sound.Triangular):
    """Two numbers of float32 to choose from, also in a run of float64."""

    def factor(self, state: Any, progress: Progress) -> Array:
        return jnp.where(progress.epoch < 5, jnp.float32(1.0), jnp.float32(0.1))


class IfInASchedule(sound.Triangular):
    """`if` on the time, which is traced."""

    def factor(self, state: Any, progress: Progress) -> Array:
        if progress.epoch < self.length:
            return jnp.ones_like(progress.epoch)
        return super().factor(state, progress)


class StateOfTheSchedule(sound.BoldDriver):
    """The state remembers all costs."""

    def update(self, state: Any, result: EpochResult) -> Any:
        return super().update(state, result) | {f"cost_{len(state)}": result.train_cost}


class ClaimsToBeConstant(sound.Triangular):
    """Says that it is constant."""

    is_constant = True


class CountsResults(sound.TargetReached):
    """Patience counts results, also where only every second epoch is evaluated."""

    patience: int = hyperparameter(default=3, ge=1, leaf=True)

    def init(self, dtype: Any) -> Any:
        return jnp.zeros((), dtype), jnp.zeros((), jnp.int32)

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        best, waited = state
        improved = result.validation_accuracy > best
        waited = jnp.where(improved, 0, waited + 1)
        return (jnp.maximum(best, result.validation_accuracy), waited), waited >= self.patience


class LowersByResults(sound.BoldDriver):
    """Patience counts results, also where only every second epoch is evaluated."""

    patience: int = hyperparameter(default=3, ge=1, leaf=True)

    def init(self, dtype: Any) -> Any:
        return super().init(dtype) | {"factor": jnp.ones((), dtype), "waited": jnp.zeros((), int)}

    def update(self, state: Any, result: EpochResult) -> Any:
        waited = jnp.where(result.train_cost < state["cost"], 0, state["waited"] + 1)
        factor = jnp.where(waited >= self.patience, state["factor"] * 0.5, state["factor"])
        cost = jnp.minimum(state["cost"], result.train_cost)
        return {"factor": factor, "cost": cost, "waited": waited}


class OneForTrue(sound.TargetReached):
    """1 in place of True."""

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        state, stop = super().update(state, result)
        return state, stop.astype(jnp.int32)


class StopsAtOnce(sound.TargetReached):
    """The comparison is the wrong way round."""

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        return state, result.validation_accuracy <= self.target


class AllCosts(sound.TargetReached):
    """The state remembers all costs."""

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        state, stop = super().update(state, result)
        return (*state, result.train_cost), stop


COMPONENTS: dict[type[Any], str] = {
    SignOfPrime: "derivative equals autodiff",
    FactorOfPrime: "derivative equals autodiff",
    NoSlope: "derivative equals autodiff",
    RightForBetaOneOnly: "derivative equals autodiff",
    NoProductRule: "derivative equals autodiff",
    PrimeOfTheOutput: "derivative equals autodiff",
    DiagonalOfTheJacobian: "derivative equals autodiff",
    TransposedJacobian: "derivative equals autodiff",
    SecondDerivativeOfAnother: "second derivative is the slope",
    DeadAbove: "derivative equals differences",
    StraightThrough: "derivative equals differences",
    KinkNotDeclared: "kinks are declared",
    KinkOfTheDefault: "kinks are declared",
    MeanAtTheKink: "kinks are one-sided",
    JumpAtTheKink: "kinks are one-sided",
    RangeTooNarrow: "outputs stay in range",
    RangeOfAnother: "outputs stay in range",
    TanhByExponentials: "finite at extremes",
    PrimeOverflows: "finite at extremes",
    WideConstant: "shape and dtype are kept",
    ConstantPrime: "shape and dtype are kept",
    BranchOnAValue: "jit equals eager",
    BranchOnAField: "a lane axis works",
    ChecksItself: "jit equals eager",
    NumpyOnATracer: "jit equals eager",
    OnTheHost: "vmap equals a loop",
    CentredNeurons: "neurons are independent",
    PlaceInTheLayer: "neurons are independent",
    NoDistribution: "outputs sum to one",
    Noisy: "has no hidden state",
    RunningScale: "has no hidden state",
    Printing: "has no side effects",
    Undocumented: "is documented",
    ListField: "obeys the pytree rule",
    FloatOfNoType: "obeys the pytree rule",
    DefaultOutOfRange: "can be made",
    NoDefault: "can be made",
    IntOrFloat: "a new value does not retrace",
    MeanInTheCost: "gradient equals autodiff",
    TargetsOutOfReach: "targets and boundary",
    BoundaryBesideTheOutputs: "targets and boundary",
    SignOfTheGradient: "gradient equals autodiff",
    TauTheOtherWay: "gradient equals autodiff",
    DetachedWeight: "gradient equals differences",
    ForAMiniBatch: "shapes and dtypes",
    ZeroTimesInfinity: "never NaN",
    RewardForErrors: "least at a = y",
    CurvatureWithoutARoot: "curvature is the slope",
    CostOnTheHost: "vmap equals a loop",
    FloatOfAField: "a lane axis works",
    SignOfDelta: "delta is dC/dz",
    AnotherCost: "equals its parts",
    CurvatureOfTheTargets: "curvature is that of C",
    ConvexWithoutCurvature: "curvature is that of C",
    OverflowingPair: "finite when saturated",
    OneDelta: "shapes and dtypes",
    Ascent: "decreases a quadratic",
    NoBiases: "moves every parameter",
    ListOfNumbers: "state is a pytree of arrays",
    StateOfNone: "shapes and dtypes",
    WideState: "shapes and dtypes",
    NoEpsilon: "finite without a gradient",
    OwnStep: "eta matters",
    IntEta: "eta is a float field",
    VelocityOnTheClass: "has no hidden state",
    CounterInAGlobal: "has no side effects",
    NoiseOnTheHost: "resumes exactly",
    CachedOnSelf: "jit equals eager",
    TwoLayersOnly: "shapes and dtypes",
    TransposedWeights: "shapes of a layer",
    DeviationForVariance: "variance is as stated",
    OneLayerShort: "shapes of the network",
    InFloat32: "shapes of the network",
    FromTheGlobalGenerator: "deterministic",
    FansExchanged: "variance is as stated",
    KeyOfItsOwn: "key matters",
    KeyUsedTwice: "key matters",
    EqualNeurons: "draws are independent",
    SeededGlobally: "has no side effects",
    HalfInTheCost: "gradient equals autodiff",
    BiasesInTheGradient: "gradient equals autodiff",
    PlainPairs: "shapes and dtypes",
    NormAtZero: "finite at zero and at large weights",
    PenaltyOfTwoLayers: "shapes and dtypes",
    ClaimsTheGradient: "gradient or not, as it says",
    DeniesTheGradient: "gradient or not, as it says",
    NotTransposed: "shapes and dtypes",
    WideFeedback: "shapes and dtypes",
    StateTooMuch: "a state for each hidden layer",
    FeedbackOfTheGlobal: "same key, same state",
    RuleOnTheHost: "can be trained with",
    ShuffledGlobally: "deterministic",
    SplitsOverlap: "splits do not overlap",
    OneOutputForTwo: "sizes are as promised",
    PlainTuple: "sizes are as promised",
    UnscaledBytes: "in range",
    LabelsAsFloats: "in range",
    NumbersCalledClasses: "targets fit the task",
    WritingWhatItMade: "has no side effects",
    GrowingTotal: "total keeps its shape",
    CountsBecomeFloats: "total keeps its shape",
    TotalOfEachExample: "total keeps its shape",
    StartOfValues: "start needs shapes alone",
    MeanOfMeans: "does not depend on the cut",
    AgainstTheBatch: "does not depend on the cut",
    ColumnWithASpace: "columns are finite arrays",
    MeanOverNone: "columns are finite arrays",
    BelowZero: "factor is a sound scalar",
    WarmUpFromZero: "first step is not lost",
    CountsResults: "patience counts epochs",
    LowersByResults: "patience counts epochs",
    WarmUpOfZero: "factor is a sound scalar",
    AlwaysFloat32: "factor is a sound scalar",
    IfInASchedule: "jit equals eager",
    StateOfTheSchedule: "state keeps its shape",
    ClaimsToBeConstant: "constant if it says so",
    OneForTrue: "stop is a boolean",
    StopsAtOnce: "does not stop at once",
    AllCosts: "state keeps its shape",
    **faulty_layers.LAYERS,
    **faulty_learning.COMPONENTS,
    **faulty_recorders.COMPONENTS,
    **faulty_trackers.COMPONENTS,
    **faulty_searched.SEARCHED,
}
"""Components with one defect each, with the check that is meant to catch it."""


# Plugins whose components are sound, and whose defect is their own.


class WithoutPrime(ElementwiseActivation):
    """sigma without sigma'."""

    def __call__(self, z: Array) -> Array:
        return z


class ComplexField(sound.Mish):
    """A field of a type that no config can hold."""

    phase: complex = 1j


def hooked(hook: str, function: Callable[..., Any], version: Any = API_VERSION) -> types.ModuleType:
    """A plugin module with this function, and this version of the plugin API if any."""
    module = types.ModuleType("faulty")
    setattr(module, hook, function)
    if version is not None:
        module.BPFRAME_API_VERSION = version  # pyright: ignore[reportAttributeAccessIssue]
    return module


def mish() -> dict[str, type[Activation]]:
    return {"mish": sound.Mish}


def fails() -> dict[str, Any]:
    raise FileNotFoundError("table.npz")


def with_config(config: object) -> dict[str, Any]:
    return {}


def report(run: RunInfo, record: EpochRecord) -> None:
    logging.getLogger("mine").debug("%s", record)
    assert run.output_dir is not None
    (run.output_dir / "report.txt").write_text(str(record))


def stop_late(record: EpochRecord) -> Any:
    return record.epoch > 100


PAIR_OF_NOTHING = {("crossentropy", "sigmoid"): sound.CrossEntropyLogistic}

PLUGINS: dict[str, Faulty] = {
    "NameOfABuiltIn": Faulty(lambda: plugin(activation={"relu": sound.Prelu}), "owns its names"),
    "NoApiVersion": Faulty(
        lambda: hooked("bpframe_activations", hookimpl(mish), None), "declares its API version"
    ),
    "PairOfUnknownNames": Faulty(lambda: plugin(output_pair=PAIR_OF_NOTHING), "can be made"),
    "RaisesWithoutAFolder": Faulty(
        lambda: hooked("bpframe_epoch_finished", hookimpl(report)), "listens without failing"
    ),
    "StopsWithABoolean": Faulty(
        lambda: hooked("bpframe_should_stop", hookimpl(stop_late)), "listens without failing"
    ),
} | {
    name: Faulty(build, "loads")
    for name, build in {
        "HookMisspelt": lambda: hooked("bpframe_activation", hookimpl(mish)),
        "HookNotMarked": lambda: hooked("bpframe_activations", lambda: mish()),
        "HookRaises": lambda: hooked("bpframe_activations", hookimpl(fails)),
        "HookWantsAnArgument": lambda: hooked("bpframe_activations", hookimpl(with_config)),
        "HookReturnsAList": lambda: plugin(activation=[sound.Mish]),
        "HookReturnsAnInstance": lambda: plugin(activation={"mish": sound.Mish()}),
        "NoHook": lambda: types.ModuleType("faulty"),
        "ApiOfTheFuture": lambda: hooked("bpframe_activations", hookimpl(mish), 99),
        "ApiOfThePast": lambda: hooked("bpframe_activations", hookimpl(mish), 1),
        "ApiAsText": lambda: hooked("bpframe_activations", hookimpl(mish), "1.0"),
        "AbstractClass": lambda: offering(WithoutPrime),
        "NameWithADash": lambda: plugin(activation={"my-mish": sound.Mish}),
        "FieldThatNoConfigHolds": lambda: offering(ComplexField),
        "OtherContract": lambda: plugin(cost={"mish": sound.Mish}),
    }.items()
}
"""Plugins with one defect each, with the check that is meant to catch it."""


FAULTY: dict[str, Faulty] = {
    component.__name__: Faulty(lambda c=component: offering(c), check)
    for component, check in COMPONENTS.items()
} | PLUGINS
"""All of them, by name."""
