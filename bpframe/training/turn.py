"""One turn of training: some epochs, and all that is found out at the end of the last of them.

A single run compiles `turn` for itself, a sweep vmaps it over lanes: there is no other way through
an epoch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from bpframe.metrics import SPLITS
from bpframe.training import metric_folds, parallel, steering
from bpframe.training.best import better
from bpframe.training.devices import DeviceExamples
from bpframe.training.epoch import Epoch, train_epochs
from bpframe.training.evaluation import evaluate, measure
from bpframe.training.experiment import POISSON, Experiment
from bpframe.training.metric_folds import Totals
from bpframe.training.precision import wide_dtype
from bpframe.training.probes import Kept, Watch
from bpframe.training.step import State, answering


class Evaluated(NamedTuple):
    """What a turn gives besides the new state.

    Attributes:
        train: cost and right answers over the training set, as `training.evaluate_train` has it.
        validation: the same over the validation set, after the last epoch.
        columns: what the metrics measured, by column.
        finite: whether the parameters and both costs are.
        stop: whether the stopping rule ends training here.
        kept: what the recorders have kept.

    """

    train: Totals
    validation: Totals
    columns: Mapping[str, Array]
    finite: Array
    stop: Array
    kept: Kept = ()


class Trained(NamedTuple):
    """What epochs give that are not evaluated: whether the parameters are finite; see Evaluated."""

    finite: Array
    kept: Kept = ()


def train(
    experiment: Experiment,
    state: State,
    orders: Array,
    count: Array,
    sets: Mapping[str, DeviceExamples],
    rows: tuple[Array, ...] = (),
    kept: Kept | None = None,
) -> tuple[State, Trained]:
    """The first epochs of a turn that is too long for one go: train alone; see `turn`."""
    watch = Watch(sets, rows, sets["train"].x.shape[0]) if rows else None
    found = train_epochs(experiment, state, sets["train"], orders, count, watch, kept)
    return trained(experiment, found)


def trained(experiment: Experiment, found: Epoch) -> tuple[State, Trained]:
    """The state after epochs that are not evaluated, and what they gave."""
    state = parallel.of_state(experiment, found.state)
    return state, parallel.on_all(Trained(found.finite, found.kept))


def turn(
    experiment: Experiment,
    state: State,
    orders: Array,
    count: Array,
    sets: Mapping[str, DeviceExamples],
    rows: tuple[Array, ...] = (),
    kept: Kept | None = None,
) -> tuple[State, Evaluated]:
    """Train, evaluate, measure and steer.

    Args:
        experiment: what to train.
        state: the state before.
        orders: (epochs, n) the orders of the training examples, one row an epoch, of which the
            first `count` are used. Without any row nothing is trained, and the outcome is that of
            epoch 0: the training set is evaluated, and there are no columns over the steps.
        count: how many epochs to train.
        sets: the examples of every split, on the device.
        rows: when recorders keep something, as `probes.rows` has it.
        kept: what they kept in another turn, to be written over; new arrays unless given.

    """
    n_train = sets["train"].x.shape[0]
    if orders.shape[0]:
        watch = Watch(sets, rows, n_train) if rows else None
        found = train_epochs(experiment, state, sets["train"], orders, count, watch, kept)
    else:
        nothing = metric_folds.no_totals(sets["train"].task, wide_dtype(experiment.training.dtype))
        found = Epoch(state, nothing, jnp.ones((), bool), {})
    return after(experiment, state.step, found, sets, n_train, trains=orders.shape[0] > 0)


def after(
    experiment: Experiment,
    first: Array,
    found: Epoch,
    sets: Mapping[str, DeviceExamples],
    n_train: int,
    *,
    trains: bool = True,
) -> tuple[State, Evaluated]:
    """Evaluate, measure and steer, when the epochs after `first` steps have given `found`."""
    n = jnp.asarray(n_train, wide_dtype(experiment.training.dtype))
    n_validation = sets["validation"].x.shape[0]
    state, train = found.state, found.totals
    training = experiment.training
    if training.evaluate_train or training.sampling == POISSON or not trains:
        train = evaluate(experiment, answering(experiment, state), sets["train"], n)
    validation = evaluate(experiment, answering(experiment, state), sets["validation"], n)
    columns: OrderedDict[str, Array] = OrderedDict(found.columns)  # a dict would leave jit sorted
    for split in SPLITS:
        if metric_folds.portions(experiment, split):
            columns.update(measure(experiment, state, sets[split], over=split))
    if trains:
        reached = {
            "train_cost": train.cost,
            "validation_cost": validation.cost,
            **{name: column for name, column in columns.items() if not column.ndim},
        }
        if train.correct is not None and validation.correct is not None:
            reached["train_accuracy"] = train.correct.astype(n.dtype) / n
            reached["validation_accuracy"] = validation.correct.astype(n.dtype) / n_validation
        by = experiment.best.applied(has_accuracy=sets["validation"].task.has_accuracy)
        best = better(by, state.best, answering(experiment, state).params, reached)
        state = state._replace(best=best)
    finite = found.finite & jnp.isfinite(train.cost) & jnp.isfinite(validation.cost)
    stop = jnp.zeros((), bool)
    if trains:
        steered, stop = steering.after_epoch(
            experiment,
            state.steering,
            first,
            state.step,
            train,
            validation,
            n_train=n_train,
            n_validation=n_validation,
        )
        state = state._replace(steering=steered)
    outcome = Evaluated(train, validation, columns, finite, stop, found.kept)
    return parallel.of_state(experiment, state), parallel.on_all(outcome)
