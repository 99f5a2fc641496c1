"""How the schedule and the stopping rule steer training: eta at each step, and when to end."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.learning import Optimiser
from bpframe.schedules import EpochResult, Progress
from bpframe.training.experiment import Experiment
from bpframe.training.metric_folds import Totals
from bpframe.training.precision import wide_dtype


class Steering(NamedTuple):
    """The states of the schedule and of the stopping rule, which change after an epoch."""

    schedule: Any
    stopping: Any


def scheduled(experiment: Experiment, steering: Steering, step: Array, n: int) -> Optimiser:
    """The optimiser with its eta as the schedule has it at this step."""
    optimiser = experiment.optimiser
    if experiment.schedule.is_constant:
        return optimiser
    factor = experiment.schedule.factor(steering.schedule, progress(experiment, step, n))
    return optimiser.scaled(factor)


def progress(experiment: Experiment, step: Array, n: int) -> Progress:
    """How far training has come before the given step, with n training examples."""
    wide = wide_dtype(experiment.training.dtype)
    steps_per_epoch = experiment.training.steps(n)
    epochs = float(experiment.training.epochs)
    return Progress(step.astype(wide) / steps_per_epoch, epochs, 1 / steps_per_epoch)


@functools.partial(jax.jit, static_argnames=("n_train", "n_validation"))
def after_epoch(
    experiment: Experiment,
    steering: Steering,
    first: Array,
    step: Array,
    train: Totals,
    validation: Totals,
    n_train: int,
    n_validation: int,
) -> tuple[Steering, Array]:
    """The states once schedule and stopping rule have seen an epoch, and whether to stop.

    `first` counts the steps before the epoch, or before the first of several that are seen as one,
    and `step` those after it. Where there is no accuracy, it is NaN, and the score minus the cost.
    """
    wide = wide_dtype(experiment.training.dtype)
    now = progress(experiment, step, n_train)
    begun = progress(experiment, first, n_train)
    before = experiment.schedule.factor(steering.schedule, begun)
    accuracy = _share(validation, n_validation, wide)
    result = EpochResult(
        epoch=jnp.round(now.epoch).astype(jnp.int32),
        train_cost=train.cost,
        validation_cost=validation.cost,
        train_accuracy=_share(train, n_train, wide),
        validation_accuracy=accuracy,
        score=-validation.cost if validation.correct is None else accuracy,
        factor=jnp.ones((), wide),
        factor_before=jnp.asarray(before, wide),
    )
    schedule = experiment.schedule.update(steering.schedule, result)
    factor = jnp.asarray(experiment.schedule.factor(schedule, now), wide)
    stopping, stop = experiment.stopping.update(steering.stopping, result._replace(factor=factor))
    return Steering(schedule, stopping), stop


def _share(totals: Totals, n: int, dtype: Any) -> Array:
    """The share of right answers among n; NaN where none is right or wrong."""
    if totals.correct is None:
        return jnp.full((), jnp.nan, dtype)
    return totals.correct.astype(dtype) / n
