"""Properties of schedules and stopping rules over runs of any length and any history."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from bpframe.schedules import EpochResult, Progress, Stopping
from bpframe.testing.expect import expect, expect_finite
from bpframe.testing.outcome import Check
from bpframe.testing.search import search
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced

LENGTHS = (1, 2, 3, 10, 1_000)
"""Epochs of a run."""
STEPS = (1, 7, 500)
"""Steps of an epoch."""
MOST, EVERY = 24, (1, 2, 5)


@st.composite
def runs(draw: Any) -> tuple[int, int, float]:
    """How many epochs and steps a run has, and how far it is, from 0 to 1."""
    return draw(st.sampled_from(LENGTHS)), draw(st.sampled_from(STEPS)), draw(st.floats(0, 1))


@st.composite
def histories(draw: Any) -> EpochResult:
    """What some epochs gave, with an axis in front: costs, accuracies or none, and eta."""
    n = draw(st.integers(1, MOST))
    numbers = functools.partial(st.lists, min_size=n, max_size=n)
    cost = np.array(draw(numbers(st.integers(0, 300).map(lambda c: c / 100))))
    accuracy = np.array(draw(numbers(st.integers(0, 10).map(lambda a: a / 10))))
    if draw(st.booleans()):
        accuracy = np.full(n, np.nan)  # as in regression
    every = draw(st.sampled_from([1, 2, 5]))
    return _results(cost, accuracy, every)


def _results(costs: np.ndarray, accuracies: np.ndarray, every: int = 1) -> EpochResult:
    n = len(costs)
    cost, accuracy = (
        jnp.asarray(np.concatenate([part, np.full(MOST - n, part[-1])]))
        for part in (costs, accuracies)
    )
    epochs = every * np.minimum(np.arange(1, MOST + 1), n)
    score, ones = jnp.where(jnp.isnan(accuracy), -1.1 * cost, accuracy), jnp.ones(MOST)
    return EpochResult(jnp.asarray(epochs, jnp.int32), cost, 1.1 * cost, accuracy, accuracy,
                       score, ones, ones)  # fmt: skip


def factor_is_sound_at_all_times(subject: Subject) -> None:
    """The factor is finite and not negative in runs of one epoch and of a thousand."""

    @jax.jit
    def factor(schedule: Any, epoch: Any, epochs: Any, step: Any) -> Any:
        state = schedule.init(jnp.dtype("float64"))
        return schedule.factor(state, Progress(epoch, epochs, step))

    for schedule in subject.instances:

        def holds(run: tuple[int, int, float], schedule: Any = schedule) -> None:
            epochs, steps, share = run
            epoch = np.floor(share * epochs * steps) / steps
            given = f"epoch {epoch:g} of {epochs}, {steps} steps an epoch, {schedule}"
            found = run_traced(factor, schedule, jnp.asarray(epoch), float(epochs), 1 / steps)
            expect_finite(found, "the factor is not finite", given)
            expect(float(found) >= 0, "the factor is negative", given=given, found=float(found))

        search(subject.effort, runs(), holds)


def factor_is_sound_after_any_history(subject: Subject) -> None:
    """The factor stays finite and not negative whatever the epochs give, without accuracies too."""

    @jax.jit
    def factors(schedule: Any, results: EpochResult) -> Any:
        def after(state: Any, result: EpochResult) -> Any:
            state = schedule.update(state, result)
            epoch = result.epoch.astype(result.train_cost.dtype)
            return state, schedule.factor(state, Progress(epoch, 200.0, 0.25))

        return jax.lax.scan(after, schedule.init(jnp.dtype("float64")), results)[1]

    for schedule in subject.instances:

        def holds(results: EpochResult, schedule: Any = schedule) -> None:
            found = np.asarray(run_traced(factors, schedule, results))
            given = f"{_shown(results)}, {schedule}"
            expect_finite(found, "the factor is not finite", given)
            expect((found >= 0).all(), "the factor is negative", given=given, found=found.min())

        search(subject.effort, histories(), holds)


def _shown(results: EpochResult) -> str:
    n = int(np.argmax(np.asarray(results.epoch))) + 1
    told = results.train_cost, results.validation_accuracy
    cost, accuracy = (np.round(np.asarray(part)[:n], 3).tolist() for part in told)
    return f"training costs {cost}, accuracies {accuracy}"


def _told(instance: Any, results: EpochResult) -> Any:
    """What a stopping rule, or a schedule at one time, says after each of some epochs."""
    state = instance.init(jnp.dtype("float64"))
    if isinstance(instance, Stopping):
        return jax.lax.scan(instance.update, state, results)[1]

    def after(state: Any, result: EpochResult) -> Any:
        state = instance.update(state, result)
        return state, instance.factor(state, Progress(jnp.asarray(5.0), 200.0, 0.25))

    return jax.lax.scan(after, state, results)[1]


def goes_by_the_score(subject: Subject) -> None:
    """Where there is no accuracy, as in regression, the score stands in its place."""
    told = jax.jit(_told)
    n = np.arange(MOST)
    for instance in subject.instances:
        for shape in (np.minimum(n, 3), np.maximum(5 - n, -5), 0 * n):
            results = _results(2.0 - 0.1 * shape, 0.5 + 0.04 * shape)
            nothing = jnp.full_like(results.train_accuracy, jnp.nan)
            without = results._replace(validation_accuracy=nothing)
            found, usual = (np.asarray(run_traced(told, instance, r)) for r in (without, results))
            expect(
                np.array_equal(found, usual),
                "it reads validation_accuracy, which is NaN in regression; read score",
                given=f"the same scores with accuracies and without, {instance}",
                found=found[np.argmax(found != usual)],
                expected=usual[np.argmax(found != usual)],
                method="update",
            )


def counts_epochs_that_are_evaluated(subject: Subject) -> None:
    """What acts on a run that stands still acts on it, too, where not every epoch is evaluated."""
    told = jax.jit(_told)
    still = np.full(MOST, 0.5)
    for instance in subject.instances:
        acts = []
        for every in EVERY:
            found = np.asarray(run_traced(told, instance, _results(2 * still, still, every)))
            acts.append(bool(np.any(found != found[0])))
        expect(
            all(acts) or not acts[0],
            "acts on a run that stands still, and no longer where not every epoch is evaluated; "
            "results come with epochs 2, 4, 6, ...",
            given=f"{MOST} results of a run that stands still, {instance}",
            found=f"acts with every epoch, and with every {EVERY[1:]}: {acts[1:]}",
            expected="the same sooner or later",
            method="update",
        )


def does_not_stop_what_improves(subject: Subject) -> None:
    """A run that gets better in every respect in every epoch is not stopped in its first third.

    Costs fall from 2.3 by two hundredths an epoch, accuracies rise from 0.1 by one.
    """
    stops = jax.jit(_stops)
    n = np.arange(MOST)
    stopping = subject.default
    found = np.asarray(run_traced(stops, stopping, _results(2.3 - 0.02 * n, 0.1 + 0.01 * n)))
    expect(
        not found.any(),
        "stops a run that gets better in every epoch",
        given=f"costs from 2.3 down by 0.02 an epoch, accuracies from 0.1 up by 0.01, {stopping}",
        found=f"after epoch {int(np.argmax(found)) + 1}",
        expected="no stop",
    )


def is_the_same_for_every_history(subject: Subject) -> None:
    """After any history the state has no NaN that was not given, and counting on gives the same."""
    stops = jax.jit(_stops)
    for stopping in subject.instances:

        def holds(results: EpochResult, stopping: Any = stopping) -> None:
            whole = np.asarray(run_traced(stops, stopping, results))
            one_by_one, state = [], stopping.init(jnp.dtype("float64"))
            for index in range(4):
                result = jax.tree.map(lambda part, i=index: part[i], results)
                state, stop = stopping.update(state, result)
                one_by_one.append(bool(stop))
            expect(
                whole[:4].tolist() == one_by_one,
                "compiled over several epochs it stops elsewhere than epoch by epoch",
                given=_shown(results),
                found=whole[:4].tolist(),
                expected=one_by_one,
            )

        search(subject.effort._replace(examples=4), histories(), holds)


def _stops(stopping: Any, results: EpochResult) -> Any:
    return jax.lax.scan(stopping.update, stopping.init(jnp.dtype("float64")), results)[1]


BOTH = (
    Check("goes by the score", goes_by_the_score, "update"),
    Check("counts evaluated epochs", counts_epochs_that_are_evaluated, "update"),
)
SCHEDULE_CHECKS = (
    Check("sound at all times", factor_is_sound_at_all_times, "factor"),
    Check("sound after any history", factor_is_sound_after_any_history, "update"),
    *BOTH,
)
STOPPING_CHECKS = (
    Check("does not stop what improves", does_not_stop_what_improves, "update"),
    Check("same epoch by epoch", is_the_same_for_every_history, "update"),
    *BOTH,
)
