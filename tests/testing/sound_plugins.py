"""Sound plugins of unusual kinds, on which the conformance kit must raise no false alarm."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import sound_layers
import sound_learning
from jax import Array

from bpframe import (
    Activation,
    BackwardStep,
    Cost,
    Data,
    Dataset,
    ElementwiseActivation,
    EpochRecord,
    EpochResult,
    Examples,
    InitialCondition,
    Initialiser,
    LearningRule,
    Listener,
    MeanMetric,
    Metric,
    Observation,
    Optimiser,
    OutputPair,
    Params,
    Progress,
    Recorder,
    Regulariser,
    RunInfo,
    RunResult,
    Schedule,
    Shape,
    Shapes,
    Stopping,
    Tracker,
    TrainingStep,
    hookimpl,
    hyperparameter,
    map_weights,
)
from bpframe.component import Component
from bpframe.plugin_host.registry import KINDS

AllParams = tuple[Params, ...]


def plugin(**offers: Any) -> types.ModuleType:
    """A plugin module that offers components, by kind and name."""
    module = types.ModuleType("mine")
    module.BPFRAME_API_VERSION = 2  # pyright: ignore[reportAttributeAccessIssue]
    for kind, named in offers.items():
        setattr(module, KINDS[kind].hook, hookimpl(lambda named=named: named))
    return module


def offering(component: type[Component]) -> types.ModuleType:
    """A plugin module that offers one component as "mine"; a pair with its own activation."""
    kind = next(kind for kind, (_, contract) in KINDS.items() if issubclass(component, contract))
    if kind == "output_pair":
        pairs = {("cross_entropy", "logistic"): component}
        return plugin(activation={"logistic": Logistic}, output_pair=pairs)
    return plugin(**{kind: {"mine": component}})


class Logistic(ElementwiseActivation):
    """1 / (1 + e^-z)."""

    range = (0.0, 1.0)

    def __call__(self, z: Array) -> Array:
        return 0.5 * (1 + jnp.tanh(0.5 * z))

    def prime(self, z: Array) -> Array:
        return jax.nn.sigmoid(z) * jax.nn.sigmoid(-z)


class Swish(ElementwiseActivation):
    """z s(beta z), s the sigmoid: parametric, and not monotone."""

    beta: float = hyperparameter(default=1.0, gt=0)

    def __call__(self, z: Array) -> Array:
        return z * jax.nn.sigmoid(self.beta * z)

    def prime(self, z: Array) -> Array:
        s = jax.nn.sigmoid(self.beta * z)
        return s + self.beta * z * s * jax.nn.sigmoid(-self.beta * z)


class Mish(ElementwiseActivation):
    """z tanh(softplus(z)): not monotone. Source: Misra (2019)."""

    def __call__(self, z: Array) -> Array:
        return z * jnp.tanh(jax.nn.softplus(z))

    def prime(self, z: Array) -> Array:
        t = jnp.tanh(jax.nn.softplus(z))
        return t + z * (1 - t * t) * jax.nn.sigmoid(z)


class Bump(ElementwiseActivation):
    """e^(-z^2 / 2): neither monotone nor unbounded."""

    range = (0.0, 1.0)

    def __call__(self, z: Array) -> Array:
        return jnp.exp(-0.5 * z * z)

    def prime(self, z: Array) -> Array:
        return -z * jnp.exp(-0.5 * z * z)


class Siren(ElementwiseActivation):
    """sin(30 z): oscillating. Source: Sitzmann et al. (2020)."""

    range = (-1.0, 1.0)

    def __call__(self, z: Array) -> Array:
        return jnp.sin(30 * z)

    def prime(self, z: Array) -> Array:
        return 30 * jnp.cos(30 * z)


class Snake(ElementwiseActivation):
    """z + sin(alpha z)^2 / alpha: oscillating, and unbounded. Source: Ziyin et al. (2020)."""

    alpha: float = hyperparameter(default=1.0, gt=0)

    def __call__(self, z: Array) -> Array:
        return z + jnp.sin(self.alpha * z) ** 2 / self.alpha

    def prime(self, z: Array) -> Array:
        return 1 + jnp.sin(2 * self.alpha * z)


class Prelu(ElementwiseActivation):
    """z where z > 0, else alpha z. Source: He et al. (2015)."""

    alpha: float = hyperparameter(default=0.25)

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    def __call__(self, z: Array) -> Array:
        return jnp.where(z > 0, z, self.alpha * z)

    def prime(self, z: Array) -> Array:
        return jnp.where(z > 0, jnp.ones_like(z), self.alpha * jnp.ones_like(z))


class SoftShrink(ElementwiseActivation):
    """sign(z) max(0, |z| - threshold): its kinks stand where a field says."""

    threshold: float = hyperparameter(default=0.37, gt=0)

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-self.threshold, self.threshold)

    def __call__(self, z: Array) -> Array:
        return jnp.sign(z) * jnp.maximum(0, jnp.abs(z) - self.threshold)

    def prime(self, z: Array) -> Array:
        return (jnp.abs(z) > self.threshold).astype(z.dtype)


class OverflowingElu(ElementwiseActivation):
    """z where z > 0, else e^z - 1, which overflows on the side that is not selected."""

    range = (-1.0, math.inf)

    def __call__(self, z: Array) -> Array:
        return jnp.where(z > 0, z, jnp.exp(z) - 1)

    def prime(self, z: Array) -> Array:
        return jnp.where(z > 0, jnp.ones_like(z), jnp.exp(z))


class PowerRelu(ElementwiseActivation):
    """max(0, z)^power with a whole power, which is static."""

    power: int = hyperparameter(default=2, ge=2)
    examples = ({"power": 3},)

    range = (0.0, math.inf)

    def __call__(self, z: Array) -> Array:
        return jnp.maximum(0, z) ** self.power

    def prime(self, z: Array) -> Array:
        return self.power * jnp.maximum(0, z) ** (self.power - 1)


class Hinges(ElementwiseActivation):
    """sum_k max(0, z - k) over a tuple of places: as many kinks as the user likes."""

    places: tuple[float, ...] = (-1.23, 0.5, 2.71)
    examples = ({"places": (0.1,)},)

    range = (0.0, math.inf)

    @property
    def kinks(self) -> tuple[float, ...]:
        return self.places

    def __call__(self, z: Array) -> Array:
        return sum((jnp.maximum(0, z - k) for k in self.places), jnp.zeros_like(z))

    def prime(self, z: Array) -> Array:
        return sum(((z > k).astype(z.dtype) for k in self.places), jnp.zeros_like(z))


class TemperedSoftmax(Activation):
    """e^(z_j / t) / sum_k e^(z_k / t)."""

    temperature: float = hyperparameter(default=2.0, gt=0)

    range = (0.0, 1.0)
    sums_to_one = True
    min_neurons = 2

    def __call__(self, z: Array) -> Array:
        return jax.nn.softmax(z / self.temperature)

    def pullback(self, z: Array, v: Array) -> Array:
        a = self(z)
        return a * (v - jnp.sum(a * v)) / self.temperature


class Sparsemax(Activation):
    """The distribution nearest to z. Source: Martins and Astudillo (2016)."""

    range = (0.0, 1.0)
    sums_to_one = True
    min_neurons = 2

    def __call__(self, z: Array) -> Array:
        z = z - jnp.max(z)
        ordered = jnp.sort(z)[::-1]
        k = jnp.arange(1, z.size + 1).astype(z.dtype)
        inside = 1 + k * ordered > jnp.cumsum(ordered)
        tau = (jnp.sum(jnp.where(inside, ordered, 0)) - 1) / jnp.sum(inside.astype(z.dtype))
        return jnp.maximum(0, z - tau)

    def pullback(self, z: Array, v: Array) -> Array:
        on = (self(z) > 0).astype(z.dtype)
        return on * (v - jnp.sum(on * v) / jnp.sum(on))


class NormalisedSoftplus(Activation):
    """s(z_j) / sum_k s(z_k), s the softplus plus a little: its Jacobian is not symmetric."""

    range = (0.0, 1.0)
    sums_to_one = True

    def __call__(self, z: Array) -> Array:
        s = jax.nn.softplus(z) + 1e-3
        return s / jnp.sum(s)

    def pullback(self, z: Array, v: Array) -> Array:
        s = jax.nn.softplus(z) + 1e-3
        return jax.nn.sigmoid(z) * (v - jnp.sum(s / jnp.sum(s) * v)) / jnp.sum(s)


class Standardised(Activation):
    """(z - mean) / sqrt(variance + 1): coupled, and no distribution."""

    def __call__(self, z: Array) -> Array:
        # Divided by its size before it is squared, so that nothing overflows.
        size = jnp.maximum(1, jnp.max(jnp.abs(z)))
        centred = (z - jnp.mean(z)) / size
        return centred / jnp.sqrt(jnp.mean(centred**2) + 1 / size / size)

    def pullback(self, z: Array, v: Array) -> Array:
        size = jnp.maximum(1, jnp.max(jnp.abs(z)))
        centred = (z - jnp.mean(z)) / size
        deviation = jnp.sqrt(jnp.mean(centred**2) + 1 / size / size)
        a = centred / deviation
        return (v - jnp.mean(v) - a * jnp.mean(a * v)) / deviation / size


class Distance(Cost):
    """1/2 |a - y|^2."""

    def __call__(self, a: Array, y: Array) -> Array:
        return 0.5 * jnp.sum((a - y) ** 2)

    def prime(self, a: Array, y: Array) -> Array:
        return a - y


class EpsilonInsensitive(Cost):
    """sum_j max(0, |a_j - y_j| - epsilon): two kinks a neuron. Source: Vapnik (1995)."""

    epsilon: float = hyperparameter(default=0.1, ge=0)

    def __call__(self, a: Array, y: Array) -> Array:
        return jnp.sum(jnp.maximum(0, jnp.abs(a - y) - self.epsilon))

    def prime(self, a: Array, y: Array) -> Array:
        return jnp.where(jnp.abs(a - y) > self.epsilon, jnp.sign(a - y), 0)


class Alignment(Cost):
    """-<a, y>: it falls for ever, so it is not least at the target."""

    targets = (-1.0, 1.0)
    decision_boundary = 0.0
    least_at_target = False

    def __call__(self, a: Array, y: Array) -> Array:
        return -jnp.sum(a * y)

    def prime(self, a: Array, y: Array) -> Array:
        return -y


class Pinball(Cost):
    """sum_j max(tau e_j, (tau - 1) e_j), e = y - a: asymmetric. Source: Koenker, Bassett (1978)."""

    tau: float = hyperparameter(default=0.5, gt=0, lt=1)

    def __call__(self, a: Array, y: Array) -> Array:
        return jnp.sum(jnp.maximum(self.tau * (y - a), (self.tau - 1) * (y - a)))

    def prime(self, a: Array, y: Array) -> Array:
        return jnp.where(y > a, -self.tau * jnp.ones_like(a), (1 - self.tau) * jnp.ones_like(a))


class PoissonDeviance(Cost):
    """sum_j a_j - y_j ln a_j, for a above 0: infinite at the edge, unless y is 0 there."""

    domain = (0.0, math.inf)

    def __call__(self, a: Array, y: Array) -> Array:
        return jnp.sum(a - jax.scipy.special.xlogy(y, a))

    def prime(self, a: Array, y: Array) -> Array:
        nothing = y == 0
        return 1 - jnp.where(nothing, 0, y / jnp.where(nothing, 1, a))


class CrossEntropyLogistic(OutputPair):
    """delta^L = a - y, for an activation of the plugin's own."""

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        return a - y

    def cost(self, z: Array, a: Array, y: Array) -> Array:
        return jnp.sum(jax.nn.softplus(z) - y * z)


class ByHandAdam(Optimiser):
    """Adam, with nested dicts and a whole number of steps as its state."""

    eta: float = hyperparameter(default=0.01, gt=0)

    def init(self, params: AllParams) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return {"moments": {"first": zeros, "second": zeros}, "step": jnp.zeros((), jnp.int32)}

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        steps = state["step"] + 1
        m, v = state["moments"]["first"], state["moments"]["second"]
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradient)

        def moved(p: Array, m: Array, v: Array) -> Array:
            t = steps.astype(p.dtype)
            return p - self.eta * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

        state = {"moments": {"first": m, "second": v}, "step": steps}
        return jax.tree.map(moved, params, m, v), state


class Descent(Optimiser):
    """w - eta g, or with momentum: the state is None where there is none."""

    eta: float = hyperparameter(default=0.1, gt=0)
    with_momentum: bool = False

    def init(self, params: AllParams) -> Any:
        return jax.tree.map(jnp.zeros_like, params) if self.with_momentum else None

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        if state is not None:
            state = jax.tree.map(lambda v, g: 0.5 * v + g, state, gradient)
        steps = gradient if state is None else state
        return jax.tree.map(lambda p, g: p - self.eta * g, params, steps), state


class SignDescent(Optimiser):
    """w - eta sign(g): the step does not shrink with the gradient."""

    eta: float = hyperparameter(default=0.01, gt=0)

    def init(self, params: AllParams) -> Any:
        return ()

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        return jax.tree.map(lambda p, g: p - self.eta * jnp.sign(g), params, gradient), state


class TruncatedNormal(Initialiser):
    """Normal, cut at two standard deviations, and widened to the variance 1 / n_in."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        drawn = jax.random.truncated_normal(key, -2, 2, shape)
        w = drawn * math.sqrt(self.variance(n_in, n_out) / 0.7737413035499232)
        return Params(w, jnp.zeros(shape[:1], w.dtype))

    def variance(self, n_in: int, n_out: int) -> float:
        return 1 / n_in


class Diagonal(InitialCondition):
    """w_jj = gain, and 0 elsewhere; normal biases of the seed."""

    gain: float = hyperparameter(default=1.0, gt=0)

    def load(self, like: AllParams, seed: int) -> AllParams:
        rng = np.random.default_rng(seed)
        layers: list[Any] = [
            (self.gain * np.eye(len(own.b), own.w.shape[1]), rng.normal(size=len(own.b)))
            for own in like
        ]
        return tuple(Params(w, b) for w, b in layers)


class Sparse(Initialiser):
    """Normal weights, of which a share `density` is not zero; normal biases."""

    density: float = hyperparameter(default=0.2, gt=0, le=1)

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        w_key, there_key, b_key = jax.random.split(key, 3)
        there = jax.random.uniform(there_key, shape) < self.density
        w = jax.random.normal(w_key, shape) * there / math.sqrt(n_in)
        return Params(w, jax.random.normal(b_key, shape[:1]))

    def variance(self, n_in: int, n_out: int) -> float:
        return self.density / n_in


class ElasticNet(Regulariser):
    """lasso sum |w| + ridge / 2 sum w^2. Source: Zou and Hastie (2005)."""

    lasso: float = hyperparameter(default=0.5, ge=0)
    ridge: float = hyperparameter(default=1.0, ge=0)

    def cost(self, params: AllParams) -> Array:
        parts = [
            self.lasso * jnp.sum(jnp.abs(w)) + 0.5 * self.ridge * jnp.sum(w**2) for w, _ in params
        ]
        return jnp.sum(jnp.stack(parts))

    def gradient(self, params: AllParams) -> AllParams:
        return tuple(
            Params(self.lasso * jnp.sign(w) + self.ridge * w, jnp.zeros_like(b)) for w, b in params
        )


class NearlyOrthogonal(Regulariser):
    """1/4 |w w^T - I|^2, of the fourth degree."""

    def cost(self, params: AllParams) -> Array:
        parts = [0.25 * jnp.sum((w @ w.T - jnp.eye(len(w), dtype=w.dtype)) ** 2) for w, _ in params]
        return jnp.sum(jnp.stack(parts))

    def gradient(self, params: AllParams) -> AllParams:
        return tuple(
            Params((w @ w.T - jnp.eye(len(w), dtype=w.dtype)) @ w, jnp.zeros_like(b))
            for w, b in params
        )


class SignSymmetry(LearningRule):
    """sign(w^T) delta: no gradient, and no state. Source: Liao, Leibo and Poggio (2016)."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> tuple[Any, ...]:
        return ((),) * (len(params) - 1)

    def carry(self, state: Any, step: BackwardStep) -> Array:
        return step.layer.carry(
            map_weights(lambda w, _: jnp.sign(w), step.params), step.a, step.kept, step.delta
        )


class GatedFeedback(LearningRule):
    """mask * (B delta), with fixed random B and a fixed random mask in a dict."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> tuple[Any, ...]:
        def drawn(key: Array, w: Array) -> Any:
            matrix_key, mask_key = jax.random.split(key)
            mask = jax.random.bernoulli(mask_key, 0.5, w.shape[1:])
            return {"matrix": jax.random.normal(matrix_key, w.T.shape, w.dtype), "mask": mask}

        keys = jax.random.split(key, len(params))
        return tuple(drawn(k, w) for k, (w, _) in zip(keys[1:], params[1:], strict=True))

    def carry(self, state: Any, step: BackwardStep) -> Array:
        return jnp.where(state["mask"], state["matrix"] @ step.delta, 0)


class LargestDelta(Metric):
    """max |delta^l| over the examples; per layer."""

    def start(self, seen: Observation) -> Any:
        return [jnp.zeros((), delta.dtype) for delta in seen.deltas]

    def add(self, total: Any, seen: Observation) -> Any:
        largest = [jnp.max(jnp.abs(delta)) for delta in seen.deltas]
        return [jnp.maximum(one, other) for one, other in zip(total, largest, strict=True)]

    def result(self, total: Any, params: AllParams) -> dict[str, Array]:
        return {f"layer_{number}": value for number, value in enumerate(total, start=2)}


class Histogram(Metric):
    """How many weighted inputs of the hidden layers fall into each of some bins."""

    bins: int = hyperparameter(default=8, ge=1)

    def start(self, seen: Observation) -> Any:
        return jnp.zeros(self.bins, jnp.int32)

    def add(self, total: Any, seen: Observation) -> Any:
        for z in seen.trace.z[:-1]:
            share = jax.nn.sigmoid(z).ravel()
            bin_of = jnp.minimum((share * self.bins).astype(jnp.int32), self.bins - 1)
            total = total.at[bin_of].add(1)
        return total

    def result(self, total: Any, params: AllParams) -> Array:
        return total


class Confidence(MeanMetric):
    """The largest output of an example, averaged."""

    def measure(self, seen: Observation) -> Array:
        return jnp.max(seen.trace.a[-1], axis=1)


class Triangular(Schedule):
    """Up and down between `low` and 1: cyclic. Source: Smith (2017)."""

    length: float = hyperparameter(default=4.0, gt=0)
    low: float = hyperparameter(default=0.1, ge=0, le=1)

    def init(self, dtype: Any) -> Any:
        return None

    def factor(self, state: Any, progress: Progress) -> Array:
        share = jnp.mod((progress.epoch + progress.step) / self.length, 1)
        return self.low + (1 - self.low) * (1 - jnp.abs(2 * share - 1))

    def update(self, state: Any, result: EpochResult) -> Any:
        return state


class BoldDriver(Schedule):
    """Up a little after an epoch that lowered the cost, down by half after one that raised it."""

    def init(self, dtype: Any) -> Any:
        return {"factor": jnp.ones((), dtype), "cost": jnp.full((), jnp.inf, dtype)}

    def factor(self, state: Any, progress: Progress) -> Array:
        return state["factor"]

    def update(self, state: Any, result: EpochResult) -> Any:
        change = jnp.where(result.train_cost < state["cost"], 1.05, 0.5)
        factor = state["factor"] * change.astype(state["factor"].dtype)
        return {"factor": factor, "cost": result.train_cost}


class TargetReached(Stopping):
    """Stop when the score, the validation accuracy, reaches a target, however early that is."""

    target: float = hyperparameter(default=0.8, gt=0, lt=1)

    def init(self, dtype: Any) -> Any:
        return ()

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        return state, result.score >= self.target


class Spirals(Dataset):
    """Two spirals, made anew by a seeded generator."""

    turns: float = hyperparameter(default=1.5, gt=0)
    seed: int = 0

    @property
    def shape(self) -> Shape:
        return (2,)

    @property
    def n_out(self) -> int:
        return 2

    def load(self) -> Data:
        rng = np.random.default_rng(self.seed)
        labels = rng.integers(0, 2, 300)
        radius = rng.uniform(0.1, 1, 300)
        angle = 2 * math.pi * self.turns * radius + math.pi * labels
        x = (radius * np.stack([np.cos(angle), np.sin(angle)])).T.astype(np.float32)
        parts = [slice(200), slice(200, 250), slice(250, 300)]
        return Data(*(Examples(x[part], labels[part], n_out=2) for part in parts))


class Curve(Dataset):
    """sin x, with targets that are numbers and not classes."""

    @property
    def shape(self) -> Shape:
        return (1,)

    @property
    def n_out(self) -> int:
        return 1

    def load(self) -> Data:
        x = np.linspace(-3, 3, 90, dtype=np.float32)[:, None]
        parts = [slice(start, None, 3) for start in range(3)]
        return Data(*(Examples(x[part], np.sin(x[part]), n_out=1) for part in parts))


class Counting:
    """Counts epochs in itself, writes the count into the run folder, and never stops a run."""

    BPFRAME_API_VERSION: ClassVar[int] = 2

    def __init__(self) -> None:
        self.epochs = 0

    @hookimpl
    def bpframe_run_started(self, run: RunInfo) -> None:
        self.epochs = 0

    @hookimpl
    def bpframe_epoch_finished(self, record: EpochRecord) -> None:
        self.epochs += 1

    @hookimpl
    def bpframe_should_stop(self) -> str | None:
        return f"because {self.epochs} epochs are enough" if self.epochs >= 1000 else None

    @hookimpl
    def bpframe_run_finished(self, run: RunInfo, result: RunResult) -> None:
        assert self.epochs == result.summary.epochs
        if run.output_dir is not None:
            (run.output_dir / "epochs.txt").write_text(str(self.epochs))


class Slopes(Recorder):
    """a^l (1 - a^l) of the layers 2..L: sigma' where sigma is the logistic function."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        return {f"layer_{n}": a * (1 - a) for n, a in enumerate(seen.trace.a[1:], start=2)}


class BiasesAlone(Recorder):
    """b^l of the layers 2..L."""

    of_examples = False

    def record(self, seen: Observation) -> Mapping[str, Array]:
        return {f"layer_{n}.b": params.b for n, params in enumerate(seen.params, start=2)}


class Silent(Tracker):
    """Shows a run to nobody."""

    folder: str | None = None
    lines: int = 3

    def listener(self, run: RunInfo) -> Listener:
        return Listener()


# Without Logistic, Mish and Distance, which are much like built-ins and serve other plugins.
COMPONENTS: tuple[type[Component], ...] = (
    Swish,
    Bump,
    Siren,
    Snake,
    Prelu,
    SoftShrink,
    OverflowingElu,
    PowerRelu,
    Hinges,
    TemperedSoftmax,
    Sparsemax,
    NormalisedSoftplus,
    Standardised,
    EpsilonInsensitive,
    Alignment,
    Pinball,
    PoissonDeviance,
    CrossEntropyLogistic,
    ByHandAdam,
    Descent,
    SignDescent,
    TruncatedNormal,
    Sparse,
    Diagonal,
    ElasticNet,
    NearlyOrthogonal,
    SignSymmetry,
    GatedFeedback,
    LargestDelta,
    Histogram,
    Confidence,
    Triangular,
    BoldDriver,
    TargetReached,
    Spirals,
    Curve,
    Silent,
    Slopes,
    BiasesAlone,
    *sound_layers.LAYERS,
    *sound_learning.COMPONENTS,
)
SOUND: dict[str, Any] = {c.__name__: lambda c=c: offering(c) for c in COMPONENTS} | {
    "Counting": Counting
}
"""Builders of plugins, by name."""
