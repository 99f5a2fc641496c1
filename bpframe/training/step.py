"""The state of training, and one step of it: a mini-batch, its gradient, its update."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import equations
from bpframe.contracts import LayerParams, Trace
from bpframe.errors import PluginError
from bpframe.learning import BatchGradient, Drawn, Forward, TrainingStep
from bpframe.tasks import Task
from bpframe.training import parallel
from bpframe.training.best import Best
from bpframe.training.devices import DeviceExamples, floats, take
from bpframe.training.experiment import POISSON, Experiment
from bpframe.training.metric_folds import Totals, summed
from bpframe.training.orders import NOBODY
from bpframe.training.precision import cast, cast_floats, wide_dtype
from bpframe.training.steering import Steering, scheduled

DRAWS = 1
"""Sets the keys of layers that draw apart from those of the initial state."""


class State(NamedTuple):
    """What changes during training, and the state of the learning rule.

    `step` counts the steps since the start; `best` is what has been best after an evaluated epoch.
    """

    params: tuple[LayerParams, ...]
    optimiser: Any
    rule: Any
    steering: Steering
    step: Array
    best: Best


class Answering(NamedTuple):
    """What the network answers with: the parameters, and the state of the learning rule."""

    params: tuple[LayerParams, ...]
    rule: Any


class Step(NamedTuple):
    """One step: the state after it, the gradient that made it, and what the batch gave.

    `y` are the targets of the mini-batch, (m, n_out), in the dtype of the products. `totals` have
    an axis for the devices, where there are several.
    """

    state: State
    gradient: BatchGradient
    totals: Totals
    y: Array


class Gathered(NamedTuple):
    """Mini-batches: x (..., m, n_in), y, and which rows are examples; None where all are."""

    x: Array
    y: Array
    present: Array | None


def gathered(examples: DeviceExamples, rows: Array, *, has_nobody: bool = False) -> Gathered:
    """The mini-batches of some rows (..., m), filled up to what the devices of the run share.

    `has_nobody` says that they may be filled up before, as Poisson samples are.
    """
    whole = parallel.filled(rows)
    found = take(examples, whole)
    present = whole != NOBODY if has_nobody or whole is not rows else None
    return parallel.split(Gathered(found.x, found.y, present), axis=rows.ndim - 1)


def of_training(experiment: Experiment, examples: DeviceExamples, rows: Array) -> Gathered:
    """Mini-batches of an epoch; see `gathered`."""
    return gathered(examples, rows, has_nobody=_is_sampled(experiment))


def drawn(experiment: Experiment, present: Array | None, m: int, n: int) -> Drawn | None:
    """What counts of a mini-batch of m rows and what fills it up; None where all counts."""
    if present is None:
        return None
    return Drawn(present, experiment.training.m(n) if _is_sampled(experiment) else m)


def _is_sampled(experiment: Experiment) -> bool:
    return experiment.training.sampling == POISSON


def train_step(
    experiment: Experiment,
    state: State,
    batch: DeviceExamples,
    n: int,
    drawn: Drawn | None = None,
) -> Step:
    """One step on the examples of a mini-batch, out of n in the training set; see `drawn`."""
    network, pair = narrow(experiment)
    x, y = floats(experiment, batch)
    narrowed = narrow_answering(experiment, Answering(state.params, state.rule))
    rule, aggregation = experiment.learning_rule, experiment.aggregation
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(experiment.seed), DRAWS), state.step)
    found = equations.gradient(
        network, pair, narrowed.params, x, y, rule, narrowed.rule, key, aggregation, drawn
    )
    seen = TrainingStep(network, pair, narrowed.params, y, found, key)
    if drawn is not None and not _is_sampled(experiment):
        of_batch, of_its = parallel.without_nobody(found, y, drawn.expected)
        seen = seen._replace(found=of_batch, y=of_its)
    penalty = experiment.regulariser.gradient(state.params)
    gradient = jax.tree.map(lambda g, p: g + p / n, found.mean, penalty)
    optimiser = scheduled(experiment, state.steering, state.step, n)
    new_params, optimiser_state = optimiser.update(gradient, state.optimiser, state.params, seen)
    scores = jax.vmap(score, in_axes=(None, None, 0, 0, None))(
        experiment, narrowed, found.trace, y, batch.task
    )
    if drawn is not None:
        scores = jax.tree.map(lambda score: score * drawn.present.astype(score.dtype), scores)
    # Of each device alone, where there are several: they are added up after many steps.
    totals = summed(scores) if parallel.shares() == 1 else jax.vmap(summed)(parallel.parts(scores))
    state = state._replace(
        params=new_params,
        optimiser=optimiser_state,
        rule=rule.learn(state.rule, seen, state.params, new_params),
        step=state.step + 1,
    )
    return Step(parallel.of_state(experiment, state), seen.found, totals, seen.y)


def answering(experiment: Experiment, state: State) -> Answering:
    """What is evaluated and saved after a step."""
    return Answering(experiment.optimiser.evaluated(state.optimiser, state.params), state.rule)


def narrow_answering(experiment: Experiment, wide: Answering) -> Answering:
    """The same in the dtype of the products."""
    dtype = experiment.training.dtype
    return Answering(cast(wide.params, dtype), cast_floats(wide.rule, dtype))


def outputs(
    experiment: Experiment, narrowed: Answering, trace: Trace, y: Array
) -> tuple[Array, Array]:
    """What the network answers to one example, (n_out,), and the cost of that answer."""
    network, pair = narrow(experiment)
    seen = Forward(network, pair, narrowed.params, trace)
    answer = experiment.learning_rule.answer(narrowed.rule, seen)
    if answer is None:
        return trace.a[-1], pair.cost(trace.z[-1], trace.a[-1], y)
    if answer.shape != trace.a[-1].shape:
        raise PluginError(
            f"{type(experiment.learning_rule).__name__}.answer: has the shape {answer.shape}; "
            f"expected {trace.a[-1].shape}, that of the output layer"
        )
    low, high = pair.cost_function.domain
    inside = float(jnp.finfo(answer.dtype).eps)  # a rule may answer 0 or 1, of infinite logarithm
    bounds = (jnp.asarray(bound, answer.dtype) for bound in (low + inside, high - inside))
    return answer, pair.cost_function(jnp.clip(answer, *bounds), y)


def score(
    experiment: Experiment, narrowed: Answering, trace: Trace, y: Array, task: Task
) -> Totals:
    """The cost of one example in wide precision, and 1 if its answer is right, else 0."""
    a, cost = outputs(experiment, narrowed, trace, y)
    cost = cost.astype(wide_dtype(experiment.training.dtype))
    if not task.has_accuracy:
        return Totals(cost, None)
    answer = task.answer(a, experiment.cost.cost_function.decision_boundary)
    return Totals(cost, task.is_right(answer, task.answer(y)).astype(jnp.int32))


def narrow(experiment: Experiment) -> tuple[Any, Any]:
    """The network and the output pair with their hyperparameters in the dtype of the products."""
    dtype = experiment.training.dtype
    return cast(experiment.network, dtype), cast(experiment.cost, dtype)
