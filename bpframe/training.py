"""Training state, one compiled epoch, compiled evaluation.

A step gathers its mini-batch on the device, where images stay bytes until they are scaled. The
order of an epoch comes from the host, which shuffles far faster than the device does. The mean
gradient comes from `equations`; what happens around it is here.
"""

from __future__ import annotations

import contextlib
import functools
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Sharding

from bpframe import equations, measuring
from bpframe.contracts import Params
from bpframe.data import Examples
from bpframe.equations import BatchGradient
from bpframe.errors import ConfigError
from bpframe.experiment import Experiment
from bpframe.measuring import Portion, Totals, answered, observation
from bpframe.monitoring import STEPS, Observation
from bpframe.precision import cast, cast_floats, wide_dtype
from bpframe.products import neurons_first
from bpframe.steering import Steering, scheduled

Device: TypeAlias = Any
"""A jax.Device, which is a variable to type checkers."""

EVALUATION_CHUNK = 2_000

# How many bytes of inputs are gathered at once for the mini-batches that follow: 0.87 of the time
# that one mini-batch at a time takes for 784-30-10 (m 10) and 0.83 for four hidden layers of 30,
# because XLA spreads so small a gather over threads. From 160 KB to 4 MB there is no clear best.
BLOCK_BYTES = 2**20

# Without the region analysis XLA copies most weights in every step, for fear of overwriting them
# before their last use: 0.89 to 1.02 of the time, and the same bits.
EPOCH_OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True}


class State(NamedTuple):
    """What changes during training, and the fixed state of the learning rule.

    `step` counts the steps since the start.
    """

    params: tuple[Params, ...]
    optimiser: Any
    rule: tuple[Any, ...]
    steering: Steering
    step: Array


class DeviceExamples(NamedTuple):
    """`Examples` on the device: x (n, n_in), y labels (n,) or targets (n, n_out)."""

    x: Array
    y: Array
    scale: Array


class Step(NamedTuple):
    """One step: the state after it, the gradient that made it, and what the batch gave.

    `y` are the targets of the mini-batch, (m, n_out), in the dtype of the products.
    """

    state: State
    gradient: BatchGradient
    totals: Totals
    y: Array


class Epoch(NamedTuple):
    """What an epoch gives.

    Attributes:
        state: the state after its last step.
        totals: running cost and count of right answers, each example as its mini-batch saw it.
        finite: whether all parameters are finite.
        columns: what the metrics over the steps measured, by column.

    """

    state: State
    totals: Totals
    finite: Array
    columns: Mapping[str, Array]


def on_device(name: str) -> AbstractContextManager[None]:
    """The context in which arrays go to a platform's first device; "auto" changes nothing.

    Raises:
        ConfigError: there is none.

    """
    try:
        device = jax.devices(None if name == "auto" else name)[0]
    except (RuntimeError, AssertionError) as error:  # JAX asserts if JAX_PLATFORMS names no device
        platforms = jax.config.values["jax_platforms"]
        allowed = f" with JAX_PLATFORMS={platforms}" if platforms else ""
        raise ConfigError(
            f"training.device: JAX has no device for {name!r} here{allowed}; set "
            "training.device=auto or cpu, or install the JAX that supports the device"
        ) from error
    return contextlib.nullcontext() if name == "auto" else jax.default_device(device)


def to_device(
    examples: Examples, dtype: str, device: Device | Sharding | None = None
) -> DeviceExamples:
    """Copy examples to the device: bytes stay bytes, the rest takes the dtype of the parameters."""
    wide = wide_dtype(dtype)
    x = examples.x if examples.x.dtype == np.uint8 else examples.x.astype(wide)
    y = examples.y.astype(np.int32 if examples.y.ndim == 1 else wide)
    arrays = DeviceExamples(x, y, np.asarray(examples.scale, wide))  # pyright: ignore[reportArgumentType]
    return jax.tree.map(lambda array: jnp.asarray(array, device=device), arrays)


# For what runs once a run: a compilation takes 0.4 of the time with these options.
SHORT_COMPILATION = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_parallel_codegen_split_count": 1,
}


def train_epoch(
    experiment: Experiment, state: State, examples: DeviceExamples, order: Array
) -> Epoch:
    """Train on all examples once, in mini-batches cut from `order`; the last may be short.

    The state is not donated: the caller keeps the one before, to name what went wrong if this
    epoch diverges. It costs one copy of the parameters an epoch.
    """
    n = order.shape[0]
    m = experiment.training.m(n)
    row_bytes = examples.x.dtype.itemsize * examples.x.shape[1]
    totals = Totals(jnp.zeros((), wide_dtype(experiment.training.dtype)), jnp.zeros((), jnp.int32))
    steps = Portion(STEPS)
    measured = _nothing_measured(experiment, steps, state, take(examples, order[:m]))

    def step(carry: tuple[State, Any], xy: tuple[Array, Array]) -> tuple[tuple[State, Any], Totals]:
        state, measured = carry
        step = train_step(experiment, state, DeviceExamples(*xy, examples.scale), n)
        if measured:
            seen = observation(experiment, state.params, step.gradient, step.y)
            measured = measuring.add(experiment, steps, measured, seen)
        return (step.state, measured), step.totals

    def block(carry: tuple[Any, Totals], rows: Array) -> tuple[tuple[Any, Totals], None]:
        inner, totals = carry
        x, y, _ = take(examples, rows)
        inner, parts = jax.lax.scan(step, inner, (x, y))
        return (inner, jax.tree.map(jnp.add, totals, _summed(parts))), None

    carry: Any = ((state, measured), totals)
    for rows in blocks(order, m, BLOCK_BYTES // (m * row_bytes)):
        carry, _ = jax.lax.scan(block, carry, rows)
    (state, measured), totals = carry
    penalty = experiment.regulariser.cost(state.params)
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(p)) for p in jax.tree.leaves(state.params)]))
    return Epoch(
        state,
        Totals((totals.cost + penalty) / n, totals.correct),
        finite,
        measuring.columns(experiment, steps, measured, state.params),
    )


def train_epochs(
    experiment: Experiment, state: State, examples: DeviceExamples, orders: Array, count: Array
) -> Epoch:
    """`count` epochs, each in its row of `orders` (epochs, n); what is told is of the last one.

    `orders` may have more rows than are used, so that one program serves the last few epochs too.
    """
    if orders.shape[0] == 1:
        return train_epoch(experiment, state, examples, orders[0])
    nothing = jax.eval_shape(train_epoch, experiment, state, examples, orders[0])
    zeros = jax.tree.map(lambda info: jnp.zeros(info.shape, info.dtype), nothing)
    return jax.lax.fori_loop(
        0,
        count,
        lambda i, epoch: train_epoch(experiment, epoch.state, examples, orders[i]),
        zeros._replace(state=state),
    )


epochs = jax.jit(train_epochs, compiler_options=EPOCH_OPTIONS)


def blocks(order: Array, m: int, longest: int) -> list[Array]:
    """The rows of an epoch, cut into arrays (blocks, mini-batches of a block, m).

    The first holds nearly all of them, in blocks of at most `longest` mini-batches and more than
    half of that. Then come the mini-batches that fill no block, which are as few as can be, and
    the short mini-batch that is left, where there are any.
    """
    k = order.shape[0] // m
    longest = max(1, min(k, longest))
    b = min(range(longest, longest // 2, -1), key=lambda length: k % length)
    whole, full = k // b * b * m, k * m
    parts = (
        order[:whole].reshape(-1, b, m),
        order[whole:full].reshape(1, -1, m),
        order[full:].reshape(1, 1, -1),
    )
    return [rows for rows in parts if rows.size]


def take(examples: DeviceExamples, rows: Array) -> DeviceExamples:
    """The examples of some rows, which may have any shape: it replaces the axis n."""
    x, y, scale = examples
    return DeviceExamples(
        x.at[rows].get(mode="promise_in_bounds"), y.at[rows].get(mode="promise_in_bounds"), scale
    )


def train_step(experiment: Experiment, state: State, batch: DeviceExamples, n: int) -> Step:
    """One step on the examples of a mini-batch, out of n in the training set."""
    network, pair = narrow(experiment)
    x, y = floats(experiment, batch)
    params = cast(state.params, experiment.training.dtype)
    rule = experiment.learning_rule
    states = cast_floats(state.rule, experiment.training.dtype)
    found = equations.gradient(network, pair, params, x, y, rule.carry, states)
    penalty = experiment.regulariser.gradient(state.params)
    gradient = jax.tree.map(lambda g, p: g + p / n, found.mean, penalty)
    optimiser = scheduled(experiment, state.steering, state.step, n)
    new_params, optimiser_state = optimiser.update(gradient, state.optimiser, state.params)
    scores = jax.vmap(score, in_axes=(None, 0, 0, 0))(
        experiment, found.trace.z[-1], found.trace.a[-1], y
    )
    totals = _summed(scores)
    state = state._replace(params=new_params, optimiser=optimiser_state, step=state.step + 1)
    return Step(state, found, totals, y)


@jax.jit
def evaluate(
    experiment: Experiment, params: tuple[Params, ...], examples: DeviceExamples, n_train: Array
) -> Totals:
    """Cost and correct answers over `examples`, in chunks; the penalty is that of training."""
    network, _ = narrow(experiment)
    narrow_params = cast(params, experiment.training.dtype)

    def example(xy: tuple[Array, Array]) -> Totals:
        x, y = floats(experiment, DeviceExamples(*xy, examples.scale))
        trace = equations.forward(network, narrow_params, x, neurons_first)
        return score(experiment, trace.z[-1], trace.a[-1], y)

    scores = jax.lax.map(example, (examples.x, examples.y), batch_size=EVALUATION_CHUNK)
    totals = _summed(scores)
    penalty = experiment.regulariser.cost(params) / n_train
    return Totals(totals.cost / examples.x.shape[0] + penalty, totals.correct)


@functools.partial(jax.jit, static_argnames="over")
def measure(
    experiment: Experiment, state: State, examples: DeviceExamples, over: str
) -> Mapping[str, Array]:
    """What the metrics over one split measure, by column, in chunks of examples."""
    found: OrderedDict[str, Array] = OrderedDict()  # a dict would leave jit in sorted order
    for portion in measuring.portions(experiment, over):
        x, y, scale = examples
        seen = DeviceExamples(x[: portion.first], y[: portion.first], scale)
        found.update(_measured(experiment, state, seen, portion))
    return found


def _measured(
    experiment: Experiment, state: State, examples: DeviceExamples, portion: Portion
) -> Mapping[str, Array]:
    network, pair = narrow(experiment)
    params = cast(state.params, experiment.training.dtype)
    states = cast_floats(state.rule, experiment.training.dtype)

    def add(measured: Any, rows: Array) -> tuple[Any, None]:
        x, y = floats(experiment, take(examples, rows))
        carry = experiment.learning_rule.carry
        found = equations.gradient(network, pair, params, x, y, carry, states)
        seen = observation(experiment, state.params, found, y)
        return measuring.add(experiment, portion, measured, seen), None

    n = examples.x.shape[0]
    chunk = min(EVALUATION_CHUNK, n)
    measured = _nothing_measured(experiment, portion, state, take(examples, jnp.arange(chunk)))
    for rows in blocks(jnp.arange(n), chunk, 1):
        measured, _ = jax.lax.scan(add, measured, rows[:, 0])
    return measuring.columns(experiment, portion, measured, state.params)


def _nothing_measured(
    experiment: Experiment, portion: Portion, state: State, batch: DeviceExamples
) -> tuple[Any, ...]:
    """The totals of the metrics over a portion before any mini-batch, which are like `batch`."""
    if portion not in measuring.portions(experiment, portion.over):
        return ()

    def seen(state: State, batch: DeviceExamples) -> Observation:
        step = train_step(experiment, state, batch, batch.x.shape[0])
        return observation(experiment, state.params, step.gradient, step.y)

    return measuring.start(experiment, portion, jax.eval_shape(seen, state, batch))


def floats(experiment: Experiment, examples: DeviceExamples) -> tuple[Array, Array]:
    """X (..., n_in) and one-hot or float targets y (..., n_out), in the dtype of the products."""
    dtype = experiment.training.dtype
    x, y, scale = examples
    if jnp.issubdtype(y.dtype, jnp.integer):
        y = jax.nn.one_hot(y, experiment.network.layers[-1].n, dtype=dtype)
    return x.astype(dtype) * scale.astype(dtype), y.astype(dtype)


def score(experiment: Experiment, z: Array, a: Array, y: Array) -> Totals:
    """The cost of one example in wide precision, and 1 if its answer is right, else 0."""
    _, pair = narrow(experiment)
    cost = pair.cost(z, a, y).astype(wide_dtype(experiment.training.dtype))
    return Totals(cost, (answered(a) == answered(y)).astype(jnp.int32))


def _summed(totals: Totals) -> Totals:
    return jax.tree.map(lambda leaf: jnp.sum(leaf, dtype=leaf.dtype), totals)


def narrow(experiment: Experiment) -> tuple[Any, Any]:
    """The network and the output pair with their hyperparameters in the dtype of the products."""
    dtype = experiment.training.dtype
    return cast(experiment.network, dtype), cast(experiment.cost, dtype)
