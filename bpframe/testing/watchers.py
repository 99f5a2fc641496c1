"""Checks for what watches and steers training: metrics, schedules and stopping rules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe import equations
from bpframe.monitoring import EpochResult, Observation, Progress
from bpframe.network import Layer, Network
from bpframe.precision import precision
from bpframe.registry import Registry
from bpframe.testing import components
from bpframe.testing.expect import (
    expect,
    expect_array,
    expect_arrays,
    expect_finite,
    expect_same_shapes,
    expect_trees_close,
)
from bpframe.testing.outcome import Check, CheckFailedError
from bpframe.testing.parameters import some_params
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of
from bpframe.testing.training import built_in

SIZES = (5, 6, 3)
EPOCHS = 12
# Validation accuracies of an imaginary run: it improves, stands still for long, and falls.
ACCURACIES = (0.5, 0.7, 0.8, 0.8, 0.8, 0.8, 0.79, 0.78, 0.78, 0.81, 0.8, 0.8)


def observation(registry: Registry, m: int, seed: int, dtype: str = "float64") -> Observation:
    """What a metric sees of m examples in a small network."""
    sigmoid = built_in(registry, "activation", "sigmoid")
    return _observation(sigmoid, built_in(registry, "cost", "quadratic"), m, seed, dtype)


@functools.lru_cache(maxsize=32)
def _observation(sigmoid: Any, cost: Any, m: int, seed: int, dtype: str) -> Observation:
    network = Network(5, tuple(Layer(n, sigmoid) for n in SIZES[1:]))
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(m, 5)), dtype)
    labels = rng.integers(0, 3, m)
    y = jnp.asarray(np.eye(3)[labels], dtype)
    params = some_params(6, dtype, SIZES)
    found = jax.jit(equations.gradient)(network, cost, params, x, y)
    answer = np.argmax(np.asarray(found.trace.a[-1]), axis=1)
    return Observation(
        activations=tuple(layer.activation for layer in network.layers),
        params=params,
        trace=found.trace,
        deltas=found.deltas,
        gradient=found.mean,
        y=y,
        answer=jnp.asarray(answer, jnp.int32),
        target=jnp.asarray(labels, jnp.int32),
        cost=0.5 * jnp.sum((found.trace.a[-1] - y) ** 2, axis=1),
    )


def metric_probe(registry: Registry) -> Callable[[Any], Any]:
    """The columns that a metric gives for two mini-batches."""

    def compute(metric: Any) -> Any:
        return _measured(metric, [observation(registry, 4, seed) for seed in (1, 2)])

    return compute


def _shapes(seen: Observation) -> Observation:
    return jax.eval_shape(lambda seen: seen, seen)


def _measured(metric: Any, batches: list[Observation]) -> Any:
    total = metric.start(_shapes(batches[0]))
    for seen in batches:
        total = metric.add(total, seen)
    return metric.result(total, batches[-1].params)


def start_needs_shapes_alone(subject: Subject) -> None:
    """`start` works from shapes, and gives arrays."""
    for metric in subject.instances:
        seen = _shapes(observation(subject.registry, 4, 1))
        try:
            total = metric.start(seen)
        except Exception as error:
            raise CheckFailedError(
                f"start fails when it is given shapes without values: {error}",
                expected="jnp.zeros of shapes and dtypes that `seen` has",
            ) from error
        expect_arrays(total, "the total", "start")


def total_keeps_its_shape(subject: Subject) -> None:
    """`add` keeps the structure, shapes and dtypes of the total, also for a short mini-batch."""
    for metric in subject.instances:
        for dtype in ("float32", "float64"):
            batches = [observation(subject.registry, m, 1, dtype) for m in (4, 3)]
            start = shape_of(lambda s, m=metric: m.start(_shapes(s)), batches[0])
            for seen in batches:
                expect_same_shapes(shape_of(metric.add, start, seen), start, "the total")


def columns_are_finite_arrays(subject: Subject) -> None:
    """`result` gives an array, or arrays by column, and they are finite."""
    for metric in subject.instances:
        result = _measured(metric, [observation(subject.registry, 4, s) for s in (1, 2)])
        columns = result if isinstance(result, Mapping) else {"": result}
        for name, column in columns.items():
            expect(
                isinstance(name, str) and (not isinstance(result, Mapping) or name.isidentifier()),
                "a column has no name like layer_2",
                found=name,
            )
            expect(
                isinstance(column, jax.Array | np.ndarray),
                f"column {name!r} is no array" if name else "the result is no array",
                found=type(column).__name__,
                expected="a jax.Array",
            )
            what = f"column {name!r}" if name else "the result"
            expect_finite(column, f"{what} is not finite", "eight examples, a network 5-6-3")


def mean_is_over_examples(subject: Subject) -> None:
    """A mean metric gives the same however the examples are cut into mini-batches."""
    measured = jax.jit(_measured)
    for metric in subject.instances:
        one = observation(subject.registry, 4, 1)

        def rows(part: slice, one: Observation = one) -> Observation:
            def cut(tree: Any) -> Any:
                return jax.tree.map(lambda leaf: leaf[part], tree)

            return one._replace(
                trace=cut(one.trace),
                deltas=cut(one.deltas),
                y=cut(one.y),
                answer=cut(one.answer),
                target=cut(one.target),
                cost=cut(one.cost),
            )

        expect_trees_close(
            run_traced(measured, metric, [rows(slice(0, 3)), rows(slice(3, 4))]),
            run_traced(measured, metric, [one]),
            "the mean over the examples depends on how they are cut into mini-batches",
            given="four examples as three and one, and at once",
        )


def _is_mean(subject: Subject) -> bool:
    return hasattr(subject.component, "measure")


METRIC_CHECKS = (
    *components.PURE,
    Check("start needs shapes alone", start_needs_shapes_alone, "start"),
    Check("total keeps its shape", total_keeps_its_shape, "add/measure"),
    Check("columns are finite arrays", columns_are_finite_arrays, "result/measure"),
    Check("mean is over examples", mean_is_over_examples, "measure", applies=_is_mean),
    *components.COMPILED,
)


def epoch_results(dtype: str = "float64") -> list[EpochResult]:
    """What the epochs of an imaginary run gave."""
    return [
        EpochResult(
            jnp.asarray(number, jnp.int32),
            *(jnp.asarray(v, dtype) for v in (1 / number, 1.1 / number, accuracy, accuracy, 1.0)),
        )
        for number, accuracy in enumerate(ACCURACIES, start=1)
    ]


def _progress(epoch: float, dtype: str = "float64") -> Progress:
    return Progress(jnp.asarray(epoch, dtype), float(EPOCHS))


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


SCHEDULE_CHECKS = (
    *components.PURE,
    Check("factor is a sound scalar", factor_is_a_sound_scalar, "factor"),
    Check("state keeps its shape", schedule_state_keeps_its_shape, "update"),
    Check("constant if it says so", constant_is_constant, "factor"),
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
    poor = EpochResult(
        jnp.asarray(1, jnp.int32), *(jnp.asarray(v) for v in (2.3, 2.3, 0.1, 0.1, 1.0))
    )
    stop = _stops(subject.default, [poor])[0]
    expect(
        not bool(stop),
        "stops after the first epoch",
        given=f"an accuracy of 0.1 and a cost of 2.3, {subject.default}",
        found=True,
        expected=False,
    )


STOPPING_CHECKS = (
    *components.PURE,
    Check("stop is a boolean", stop_is_a_boolean, "update"),
    Check("state keeps its shape", stopping_state_keeps_its_shape, "update"),
    Check("does not stop at once", does_not_stop_at_once, "update"),
    *components.COMPILED,
)
