"""Training state, one compiled epoch, compiled evaluation.

A step gathers its mini-batch on the device, where images stay bytes until they are scaled. The
order of an epoch comes from the host, which shuffles far faster than the device does. The mean
gradient comes from `equations`; what happens around it is here.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe import equations
from bpframe.contracts import Params
from bpframe.data import Examples
from bpframe.equations import BatchGradient
from bpframe.experiment import Experiment

EVALUATION_CHUNK = 1_000


class State(NamedTuple):
    """What changes from step to step, and the fixed state of the learning rule."""

    params: tuple[Params, ...]
    optimiser: Any
    rule: tuple[Any, ...]


class Totals(NamedTuple):
    """The mean cost over examples with its penalty, and how many were classified rightly."""

    cost: Array
    correct: Array


class DeviceExamples(NamedTuple):
    """`Examples` on the device: x (n, n_in), y labels (n,) or targets (n, n_out)."""

    x: Array
    y: Array
    scale: Array


class Step(NamedTuple):
    """One step: the state after it, the gradient that made it, and what the batch gave."""

    state: State
    gradient: BatchGradient
    totals: Totals


def precision(dtype: str) -> AbstractContextManager[None]:
    """The context for an experiment of this dtype: 64 bits if, and only if, it asks for them."""
    return jax.enable_x64(dtype == "float64")


def wide_dtype(dtype: str) -> np.dtype:
    """The dtype of parameters and sums: float32, unless all is float64."""
    return np.dtype("float64" if dtype == "float64" else "float32")


def to_device(examples: Examples, dtype: str) -> DeviceExamples:
    """Copy examples to the device: bytes stay bytes, the rest takes the dtype of the parameters."""
    wide = wide_dtype(dtype)
    x = examples.x if examples.x.dtype == np.uint8 else examples.x.astype(wide)
    y = examples.y.astype(np.int32 if examples.y.ndim == 1 else wide)
    return DeviceExamples(jnp.asarray(x), jnp.asarray(y), jnp.asarray(examples.scale, wide))


# Run once a run, so it is compiled for a short compilation: 0.45 of the time at level 0.
@functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
def initial_state(experiment: Experiment) -> State:
    """Fresh parameters and states, drawn with the experiment's seed.

    Parameters are drawn in float32 whatever the dtype, so that runs which differ in nothing but
    the dtype start at the same point.
    """
    wide = wide_dtype(experiment.training.dtype)
    layers_key, rule_key = jax.random.split(jax.random.key(experiment.seed))
    keys = jax.random.split(layers_key, len(experiment.network.layers))
    with jax.enable_x64(False):
        drawn = tuple(
            experiment.initialiser(key, n_in, n_out)
            for key, (n_in, n_out) in zip(keys, experiment.network.shapes, strict=True)
        )
    params = jax.tree.map(lambda p: p.astype(wide), drawn)
    return State(
        params,
        experiment.optimiser.init(params),
        experiment.learning_rule.init(rule_key, params),
    )


@jax.jit
def epoch(
    experiment: Experiment, state: State, examples: DeviceExamples, order: Array
) -> tuple[State, Totals, Array]:
    """Train on all examples once, in mini-batches cut from `order`; the last may be short.

    The state is not donated: the caller keeps the one before, to name what went wrong if this
    epoch diverges. It costs one copy of the parameters an epoch.

    Returns:
        The state; the running cost and count of correct answers, each example as its mini-batch
        saw it; and whether all parameters are finite.

    """
    full, rest = batches(order, experiment.training.batch_size)
    n = order.shape[0]

    def body(state: State, rows: Array) -> tuple[State, Totals]:
        step = train_step(experiment, state, examples, rows, n)
        return step.state, step.totals

    state, totals = jax.lax.scan(body, state, full)
    totals = jax.tree.map(jnp.sum, totals)
    if rest.shape[0]:
        state, last = body(state, rest)
        totals = jax.tree.map(jnp.add, totals, last)
    penalty = experiment.regulariser.cost(state.params)
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(p)) for p in jax.tree.leaves(state.params)]))
    return state, Totals((totals.cost + penalty) / n, totals.correct), finite


def batches(order: Array, m: int) -> tuple[Array, Array]:
    """The rows of the full mini-batches, (k, m), and of the short one that is left."""
    n_full = order.shape[0] // m * m
    return order[:n_full].reshape(-1, m), order[n_full:]


def train_step(
    experiment: Experiment, state: State, examples: DeviceExamples, rows: Array, n: int
) -> Step:
    """One step on the examples of `rows`, out of n in the training set."""
    network, pair = narrow(experiment)
    x, y = gather(experiment, examples, rows)
    params = cast(state.params, experiment.training.dtype)
    rule = experiment.learning_rule
    batch = equations.gradient(network, pair, params, x, y, rule.carry, state.rule)
    penalty = experiment.regulariser.gradient(state.params)
    gradient = jax.tree.map(lambda g, p: g + p / n, batch.mean, penalty)
    new_params, optimiser = experiment.optimiser.update(gradient, state.optimiser, state.params)
    cost, correct = score(experiment, batch.trace.z[-1], batch.trace.a[-1], y)
    totals = Totals(jnp.sum(cost), jnp.sum(correct))
    return Step(State(new_params, optimiser, state.rule), batch, totals)


@jax.jit
def evaluate(
    experiment: Experiment, params: tuple[Params, ...], examples: DeviceExamples, n_train: Array
) -> Totals:
    """Cost and correct answers over `examples`, in chunks; the penalty is that of training."""
    n = examples.x.shape[0]
    network, _ = narrow(experiment)
    narrow_params = cast(params, experiment.training.dtype)

    def chunk(rows: Array) -> Totals:
        x, y = gather(experiment, examples, rows)
        trace = jax.vmap(equations.forward, in_axes=(None, None, 0))(network, narrow_params, x)
        cost, correct = score(experiment, trace.z[-1], trace.a[-1], y)
        return Totals(jnp.sum(cost), jnp.sum(correct))

    full, rest = batches(jnp.arange(n, dtype=jnp.int32), min(n, EVALUATION_CHUNK))
    totals = jax.tree.map(jnp.sum, jax.lax.map(chunk, full))
    if rest.shape[0]:
        totals = jax.tree.map(jnp.add, totals, chunk(rest))
    penalty = experiment.regulariser.cost(params) / n_train
    return Totals(totals.cost / n + penalty, totals.correct)


def gather(experiment: Experiment, examples: DeviceExamples, rows: Array) -> tuple[Array, Array]:
    """X (m, n_in) and one-hot or float targets y (m, n_out) of some rows, in the dtype."""
    dtype = experiment.training.dtype
    x = examples.x.at[rows].get(mode="promise_in_bounds").astype(dtype)
    x = x * examples.scale.astype(dtype)
    y = examples.y.at[rows].get(mode="promise_in_bounds")
    if y.ndim == 1:
        y = y[:, None] == jnp.arange(experiment.network.layers[-1].n, dtype=y.dtype)[None, :]
    return x, y.astype(dtype)


def score(experiment: Experiment, z: Array, a: Array, y: Array) -> tuple[Array, Array]:
    """Cost (m,) of each example in wide precision, and whether its answer is right, (m,).

    The answer is the largest output; of a single output, whether it lies nearer to 1 than to 0.
    """
    _, pair = narrow(experiment)
    cost = jax.vmap(pair.cost)(z, a, y).astype(wide_dtype(experiment.training.dtype))
    if a.shape[-1] == 1:
        correct = (a[:, 0] > 0.5) == (y[:, 0] > 0.5)
    else:
        correct = jnp.argmax(a, axis=-1) == jnp.argmax(y, axis=-1)
    return cost, correct.astype(jnp.int32)


def narrow(experiment: Experiment) -> tuple[Any, Any]:
    """The network and the output pair with their hyperparameters in the dtype of the products."""
    dtype = experiment.training.dtype
    return cast(experiment.network, dtype), cast(experiment.cost, dtype)


def cast(tree: Any, dtype: str) -> Any:
    """Every leaf in `dtype`."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)
