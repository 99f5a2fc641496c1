"""Cost, accuracy and metrics over whole splits, in chunks of examples."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import equations
from bpframe.learning import Drawn
from bpframe.metrics import Observation
from bpframe.training import metric_folds, parallel
from bpframe.training.devices import DeviceExamples, floats, take
from bpframe.training.experiment import Experiment
from bpframe.training.metric_folds import Portion, Totals, summed
from bpframe.training.observing import observation
from bpframe.training.orders import blocks
from bpframe.training.step import (
    Answering,
    State,
    answering,
    gathered,
    narrow,
    narrow_answering,
    score,
    train_step,
)

EVALUATION_CHUNK = 2_000


@jax.jit
def evaluate(
    experiment: Experiment,
    wide: Answering,
    examples: DeviceExamples,
    n_train: Array,
) -> Totals:
    """Cost and correct answers over `examples`, in chunks; the penalty is that of training."""
    network, _ = narrow(experiment)
    narrowed = narrow_answering(experiment, wide)

    def example(xy: tuple[Array, Array]) -> Totals:
        x, y = floats(experiment, examples._replace(x=xy[0], y=xy[1]))
        trace = equations.forward(network, narrowed.params, x.reshape(network.shape))
        return score(experiment, narrowed, trace, y, examples.task)

    n, shares = examples.x.shape[0], parallel.shares()
    if shares == 1:
        scores = jax.lax.map(example, (examples.x, examples.y), batch_size=EVALUATION_CHUNK)
    else:
        chunk = -(-EVALUATION_CHUNK // shares)
        parts = parallel.parts((examples.x, examples.y))
        each = jax.vmap(lambda part: jax.lax.map(example, part, batch_size=chunk))(parts)
        scores = jax.tree.map(lambda score: score.reshape(-1)[:n], each)
    totals = summed(scores)
    penalty = experiment.regulariser.cost(wide.params) / n_train
    return Totals(totals.cost / n + penalty, totals.correct)


@functools.partial(jax.jit, static_argnames="over")
def measure(
    experiment: Experiment, state: State, examples: DeviceExamples, over: str
) -> Mapping[str, Array]:
    """What the metrics over one split measure, by column, in chunks of examples."""
    found: OrderedDict[str, Array] = OrderedDict()  # a dict would leave jit in sorted order
    for portion in metric_folds.portions(experiment, over):
        first = portion.first
        seen = examples._replace(x=examples.x[:first], y=examples.y[:first])
        found.update(_measured(experiment, state, seen, portion))
    return found


def _measured(
    experiment: Experiment, state: State, examples: DeviceExamples, portion: Portion
) -> Mapping[str, Array]:
    network, pair = narrow(experiment)
    wide = answering(experiment, state)
    narrowed = narrow_answering(experiment, wide)
    rule, n = experiment.learning_rule, examples.x.shape[0]

    def add(measured: Any, rows: Array) -> tuple[Any, None]:
        batch = gathered(examples, rows)
        x, y = floats(experiment, examples._replace(x=batch.x, y=batch.y))
        drawn = None if batch.present is None else Drawn(batch.present, len(rows))
        found = equations.gradient(
            *(network, pair, narrowed.params, x, y, rule, narrowed.rule), drawn=drawn
        )
        if drawn is not None:
            found, y = parallel.without_nobody(found, y, drawn.expected)
        seen = observation(experiment, wide, found, y, examples.task)
        return metric_folds.add(experiment, portion, measured, seen), None

    chunk = min(EVALUATION_CHUNK, n)
    measured = nothing_measured(experiment, portion, state, take(examples, jnp.arange(chunk)))
    for rows in blocks(jnp.arange(n), chunk, 1):
        measured, _ = jax.lax.scan(add, measured, rows[:, 0])
    return metric_folds.columns(experiment, portion, measured, wide.params)


def nothing_measured(
    experiment: Experiment, portion: Portion, state: State, batch: DeviceExamples
) -> tuple[Any, ...]:
    """The metrics' totals before the first mini-batch, for mini-batches shaped like `batch`."""
    if portion not in metric_folds.portions(experiment, portion.over):
        return ()

    def seen(state: State, batch: DeviceExamples) -> Observation:
        step = train_step(experiment, state, batch, batch.x.shape[0])
        wide = Answering(state.params, state.rule)
        return observation(experiment, wide, step.gradient, step.y, batch.task)

    return metric_folds.start(experiment, portion, jax.eval_shape(seen, state, batch))
