"""The state of training, and one step of it: a mini-batch, its gradient, its update."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import equations
from bpframe.contracts import LayerParams
from bpframe.equations import BatchGradient
from bpframe.tasks import Task
from bpframe.training.best import Best
from bpframe.training.devices import DeviceExamples, floats
from bpframe.training.experiment import Experiment
from bpframe.training.metric_folds import Totals, summed
from bpframe.training.precision import cast, cast_floats, wide_dtype
from bpframe.training.steering import Steering, scheduled

DRAWS = 1
"""Sets the keys of layers that draw apart from those of the initial state."""


class State(NamedTuple):
    """What changes during training, and the fixed state of the learning rule.

    `step` counts the steps since the start; `best` is what has been best after an evaluated epoch.
    """

    params: tuple[LayerParams, ...]
    optimiser: Any
    rule: tuple[Any, ...]
    steering: Steering
    step: Array
    best: Best


class Step(NamedTuple):
    """One step: the state after it, the gradient that made it, and what the batch gave.

    `y` are the targets of the mini-batch, (m, n_out), in the dtype of the products.
    """

    state: State
    gradient: BatchGradient
    totals: Totals
    y: Array


def train_step(experiment: Experiment, state: State, batch: DeviceExamples, n: int) -> Step:
    """One step on the examples of a mini-batch, out of n in the training set."""
    network, pair = narrow(experiment)
    x, y = floats(experiment, batch)
    params = cast(state.params, experiment.training.dtype)
    rule = experiment.learning_rule
    states = cast_floats(state.rule, experiment.training.dtype)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(experiment.seed), DRAWS), state.step)
    found = equations.gradient(network, pair, params, x, y, rule.carry, states, key)
    penalty = experiment.regulariser.gradient(state.params)
    gradient = jax.tree.map(lambda g, p: g + p / n, found.mean, penalty)
    optimiser = scheduled(experiment, state.steering, state.step, n)
    new_params, optimiser_state = optimiser.update(gradient, state.optimiser, state.params)
    scores = jax.vmap(score, in_axes=(None, 0, 0, 0, None))(
        experiment, found.trace.z[-1], found.trace.a[-1], y, batch.task
    )
    totals = summed(scores)
    state = state._replace(params=new_params, optimiser=optimiser_state, step=state.step + 1)
    return Step(state, found, totals, y)


def score(experiment: Experiment, z: Array, a: Array, y: Array, task: Task) -> Totals:
    """The cost of one example in wide precision, and 1 if its answer is right, else 0."""
    _, pair = narrow(experiment)
    cost = pair.cost(z, a, y).astype(wide_dtype(experiment.training.dtype))
    if not task.has_accuracy:
        return Totals(cost, None)
    answer = task.answer(a, experiment.cost.cost_function.decision_boundary)
    return Totals(cost, task.is_right(answer, task.answer(y)).astype(jnp.int32))


def narrow(experiment: Experiment) -> tuple[Any, Any]:
    """The network and the output pair with their hyperparameters in the dtype of the products."""
    dtype = experiment.training.dtype
    return cast(experiment.network, dtype), cast(experiment.cost, dtype)
