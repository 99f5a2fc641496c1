"""Checks of schedules and of stopping rules, over the results of some epochs."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp

from bpframe.schedules import EpochResult, Progress, Stopping
from bpframe.testing import components, history_properties
from bpframe.testing.expect import (
    expect,
    expect_array,
    expect_arrays,
    expect_finite,
    expect_same_shapes,
)
from bpframe.testing.outcome import Check
from bpframe.testing.subjects import Subject
from bpframe.training.precision import precision

EPOCHS, STEPS_PER_EPOCH = 12, 4
LONG = 40
"""Epochs in which patience comes to its end."""
# Validation accuracies of an imaginary run: it improves, stands still for long, and falls.
ACCURACIES = (0.5, 0.7, 0.8, 0.8, 0.8, 0.8, 0.79, 0.78, 0.78, 0.81, 0.8, 0.8)


def epoch_results(dtype: str = "float64") -> list[EpochResult]:
    """What the epochs of an imaginary run gave."""
    return [
        EpochResult(
            jnp.asarray(number, jnp.int32),
            *(
                jnp.asarray(v, dtype)
                for v in (1 / number, 1.1 / number, accuracy, accuracy, accuracy, 1.0, 1.0)
            ),
        )
        for number, accuracy in enumerate(ACCURACIES, start=1)
    ]


def _progress(epoch: float, dtype: str = "float64") -> Progress:
    return Progress(jnp.asarray(epoch, dtype), float(EPOCHS), 1 / STEPS_PER_EPOCH)


def _factors(schedule: Any, dtype: str = "float64") -> list[jax.Array]:
    """The factor twice an epoch, with the state as the imaginary run makes it."""
    state, factors = schedule.init(jnp.dtype(dtype)), []
    for number, result in enumerate(epoch_results(dtype)):
        factors += [schedule.factor(state, _progress(number + part, dtype)) for part in (0, 0.5)]
        state = schedule.update(state, result)
    return [*factors, schedule.factor(state, _progress(EPOCHS, dtype))]


def schedule_probe(schedule: Any) -> Any:
    """The factors of the first epochs."""
    state, factors = schedule.init(jnp.dtype("float64")), []
    for number, result in enumerate(epoch_results()[:6]):
        factors.append(jnp.asarray(schedule.factor(state, _progress(number + 0.5))))
        state = schedule.update(state, result)
    return factors


def factor_is_a_sound_scalar(subject: Subject) -> None:
    """The factor is a scalar in the dtype of the progress, finite, and never negative."""
    for schedule in subject.instances:
        for dtype in ("float32", "float64"):
            with precision(dtype):  # as in a run
                factors = _factors(schedule, dtype)
            for index, factor in enumerate(factors):
                given = f"epoch {index / 2:g} of {EPOCHS}, {dtype}, {schedule}"
                expect_array(factor, (), dtype, "the factor", given=given)
                expect_finite(factor, "the factor is not finite", given)
                expect(
                    float(factor) >= 0,
                    "the factor is negative",
                    given=given,
                    found=float(factor),
                    expected="at least 0",
                )


def schedule_state_keeps_its_shape(subject: Subject) -> None:
    """The state is a pytree of arrays that keeps its structure, shapes and dtypes."""
    for schedule in subject.instances:
        for dtype in ("float32", "float64"):
            state = schedule.init(jnp.dtype(dtype))
            expect_arrays(state, "the state", "init")
            for result in epoch_results(dtype)[:3]:
                expect_same_shapes(schedule.update(state, result), state, "the state")


def constant_is_constant(subject: Subject) -> None:
    """The factor is 1 at all times exactly when is_constant says so."""
    says = subject.component.is_constant
    for schedule in subject.instances:
        factors = [float(f) for f in _factors(schedule)]
        expect(
            not says or set(factors) == {1.0},
            "is_constant says that the factor is 1, and it is another",
            found=next((f for f in factors if f != 1.0), 1.0),
            expected=1.0,
        )


def first_step_is_not_lost(subject: Subject) -> None:
    """The factor of the first step is not 0, with which its examples would teach nothing."""
    for schedule in subject.instances:
        factor = schedule.factor(schedule.init(jnp.dtype("float64")), _progress(0))
        expect(
            float(factor) > 0,
            "the first step has a factor of 0; let it count as done, by adding progress.step",
            given=f"epoch 0 of {EPOCHS}, {schedule}",
            found=float(factor),
            expected="above 0",
        )


def has_patience(subject: Subject) -> bool:
    """Whether the component has a field `patience`."""
    return "patience" in subject.component.field_types()


def patience_counts_epochs(subject: Subject) -> None:
    """Patience is the number of epochs after the best one, evaluated or not, also in regression."""
    for instance, score in itertools.product(subject.instances, (0.1, -1.0)):
        told = f"a best first epoch and none better after it, scores of {score:g}, {instance}"
        every, second = (_patience_ends(instance, _still(step, score)) for step in (1, 2))
        expected = 1 + int(instance.patience)
        expect(
            every == expected or expected > LONG,
            "patience is not the number of epochs after the best one",
            given=told,
            found=f"its end after epoch {every}" if every else "no end",
            expected=f"its end after epoch {expected}",
        )
        expected += 1 + (expected + 1) % 2
        expect(
            second == expected or expected > LONG,
            "patience counts results, and not epochs; compare result.epoch with an earlier one",
            given=f"results of every second epoch alone, {told}",
            found=f"its end after epoch {second}" if second else "no end",
            expected=f"its end after epoch {expected}",
        )


def _still(every: int, score: float) -> list[EpochResult]:
    """What every so manieth epoch gave of a run that learnt nothing from its first epoch on."""
    accuracy = score if score > 0 else float("nan")  # as in regression
    values = (2.3, abs(score) if score < 0 else 2.3, accuracy, accuracy, score, 1.0, 1.0)
    return [
        EpochResult(jnp.asarray(epoch, jnp.int32), *map(jnp.asarray, values))
        for epoch in range(every, LONG + 1, every)
    ]


def _patience_ends(instance: Any, results: list[EpochResult]) -> int:
    """The first epoch after which the rule stops or the schedule changes the factor, or 0."""
    state = instance.init(results[0].train_cost.dtype)
    for result in results:
        if isinstance(instance, Stopping):
            state, ends = instance.update(state, result)
        else:
            state = instance.update(state, result)
            ends = instance.factor(state, _progress(0)) != 1
        if bool(ends):
            return int(result.epoch)
    return 0


PATIENCE = Check("patience counts epochs", patience_counts_epochs, "update", applies=has_patience)

SCHEDULE_CHECKS = (
    *components.PURE,
    Check("factor is a sound scalar", factor_is_a_sound_scalar, "factor"),
    Check("first step is not lost", first_step_is_not_lost, "factor"),
    PATIENCE,
    Check("state keeps its shape", schedule_state_keeps_its_shape, "update"),
    Check("constant if it says so", constant_is_constant, "factor"),
    *history_properties.SCHEDULE_CHECKS,
    *components.COMPILED,
)


def _stops(stopping: Any, results: list[EpochResult]) -> list[jax.Array]:
    state, stops = stopping.init(results[0].train_cost.dtype), []
    for result in results:
        state, stop = stopping.update(state, result)
        stops.append(stop)
    return stops


def stopping_probe(stopping: Any) -> Any:
    """Whether to stop after each of some epochs."""
    return _stops(stopping, epoch_results()[:6])


def stop_is_a_boolean(subject: Subject) -> None:
    """`update` gives a boolean scalar beside the state."""
    for stopping in subject.instances:
        for dtype in ("float32", "float64"):
            for index, stop in enumerate(_stops(stopping, epoch_results(dtype)), start=1):
                expect_array(stop, (), bool, "stop", given=f"epoch {index}, {dtype}, {stopping}")


def stopping_state_keeps_its_shape(subject: Subject) -> None:
    """The state is a pytree of arrays that keeps its structure, shapes and dtypes."""
    for stopping in subject.instances:
        for dtype in ("float32", "float64"):
            state = stopping.init(jnp.dtype(dtype))
            expect_arrays(state, "the state", "init")
            for result in epoch_results(dtype)[:3]:
                expect_same_shapes(stopping.update(state, result)[0], state, "the state")


def does_not_stop_at_once(subject: Subject) -> None:
    """A run is not stopped after a first epoch that has brought it nearly nothing."""
    for shown, before, after in (("eta", 1.0, 1.0), ("an eta that rises from 0", 1e-5, 1e-3)):
        poor = EpochResult(
            jnp.asarray(1, jnp.int32),
            *(jnp.asarray(v) for v in (2.3, 2.3, 0.1, 0.1, 0.1, after, before)),
        )
        expect(
            not bool(_stops(subject.default, [poor])[0]),
            "stops after the first epoch",
            given=f"an accuracy of 0.1, a cost of 2.3 and {shown}, {subject.default}",
            found=True,
            expected=False,
        )


STOPPING_CHECKS = (
    *components.PURE,
    Check("stop is a boolean", stop_is_a_boolean, "update"),
    Check("state keeps its shape", stopping_state_keeps_its_shape, "update"),
    Check("does not stop at once", does_not_stop_at_once, "update"),
    *history_properties.STOPPING_CHECKS,
    PATIENCE,
    *components.COMPILED,
)
