"""Checks of metrics: folds over mini-batches, whose totals keep their shape."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe import equations
from bpframe.contracts import Settling
from bpframe.deltas.curvature import Curvature
from bpframe.deltas.example_gradients import ExampleGradients
from bpframe.equations import Dense, Unpaired
from bpframe.metrics import Observation
from bpframe.network import Network
from bpframe.plugin_host.registry import Registry
from bpframe.testing import components, rounding
from bpframe.testing.expect import (
    expect,
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
CUTS = ((3, 1), (1, 1, 2))


def observation(registry: Registry, m: int, seed: int, dtype: str = "float64") -> Observation:
    """What a metric sees of m examples in a small network."""
    sigmoid = built_in(registry, "activation", "sigmoid")
    return _observation(sigmoid, built_in(registry, "cost", "quadratic"), m, seed, dtype)


@functools.lru_cache(maxsize=32)
def _observation(sigmoid: Any, cost: Any, m: int, seed: int, dtype: str) -> Observation:
    network = Network((5,), tuple(Dense(n, activation=sigmoid) for n in SIZES[1:]))
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
        rule=(None,) * (len(params) - 1),
        feedback=((params[1].w.reshape(-1), jnp.sign(params[1].w).reshape(-1)),),
        settling=(Settling(jnp.abs(x[:, :4]) + 1, jnp.abs(x)[:, :4, None] + 1),),
        trace=found.trace,
        deltas=found.deltas,
        inner_deltas={"layer_3.0": found.deltas[1][:, None]},
        exact_deltas=found.deltas,
        example_gradients=ExampleGradients(network.layers, params, found.credit),
        curvature=Curvature(network, Unpaired(cost, sigmoid), params, found.trace, y),
        gradient=found.mean,
        exact_gradient=found.mean,
        y=y,
        answer=jnp.asarray(answer, jnp.int32),
        target=jnp.asarray(labels, jnp.int32),
        right=jnp.asarray(answer == labels),
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
                not isinstance(result, Mapping) or _is_column_name(name),
                "a column has no name like layer_2 or layer_2.0",
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


def _is_column_name(name: Any) -> bool:
    """layer_2, or layer_2.0 for what is inside of a layer."""
    if not isinstance(name, str):
        return False
    first, *inside = name.split(".")
    return first.isidentifier() and all(part.isdigit() or part.isidentifier() for part in inside)


def does_not_depend_on_the_cut(subject: Subject) -> None:
    """A metric gives the same however the examples are cut into mini-batches, unless it says so."""
    for metric in subject.instances[:2]:
        one = observation(subject.registry, 4, 1)
        whole = run_traced(_measured_whole, metric, [one])
        for cut in CUTS:
            if min(cut) == 1 and metric.needs_pairs:
                continue
            ends = np.cumsum([0, *cut])
            parts = [some_rows(one, slice(a, b)) for a, b in itertools.pairwise(ends)]
            expect_trees_close(
                run_traced(_measured_whole, metric, parts),
                whole,
                "the value depends on how the examples are cut into mini-batches; if that is "
                "meant, set of_batches = True",
                given=f"four examples as {' and '.join(map(str, cut))}, and at once",
                method="add/measure",
            )


_measured_whole = jax.jit(_measured)


def some_rows(one: Observation, part: slice) -> Observation:
    """Some of the examples of a mini-batch, as one of its own."""

    def cut(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf[part], tree)

    named = ("settling", "trace", "deltas", "inner_deltas", "exact_deltas", "y", "answer",
             "target", "right", "cost")  # fmt: skip
    gradients = one.example_gradients._replace(credit=cut(one.example_gradients.credit))
    curvature = one.curvature._replace(trace=cut(one.curvature.trace), y=cut(one.curvature.y))
    mean = gradients.mean()
    return one._replace(
        example_gradients=gradients,
        curvature=curvature,
        gradient=mean,
        exact_gradient=mean,
        **{name: cut(getattr(one, name)) for name in named},
    )


def keeps_digits_of_large_inputs(subject: Subject) -> None:
    """Weighted inputs around 1,000 give in float32 what they give in float64, but for rounding."""
    rng = np.random.default_rng(2)
    step = rounding.eps("float32")
    for metric in subject.instances:
        narrow = observation(subject.registry, 4, 1, "float32")
        z = tuple(part + jnp.float32(1000) for part in narrow.trace.z)
        narrow = narrow._replace(trace=narrow.trace._replace(z=z))
        wide = rounding.widened(narrow)
        moved = [
            wide._replace(
                trace=wide.trace._replace(
                    z=tuple(p * (1 + step * rng.choice([-1, 1], p.shape)) for p in wide.trace.z)
                )
            )
            for _ in range(3)
        ]
        found, exact, *beside = (
            jax.tree.leaves(run_traced(_measured_whole, metric, [each]))
            for each in (narrow, wide, *moved)
        )
        for leaf, middle, *others in zip(found, exact, *beside, strict=True):
            middle = np.asarray(middle, np.float64)
            change = sum(np.abs(np.asarray(other) - middle) for other in others)
            largest = float(np.abs(middle).max(initial=0))
            rounding.expect_near(
                leaf,
                middle,
                change + 100 * step * largest,
                "float32",
                "a column is lost to rounding where weighted inputs are large",
                given="four examples with weighted inputs around 1,000",
                method="add/measure",
            )


def takes_certain_answers(subject: Subject) -> None:
    """Outputs that are exactly 1 give what outputs next to 1 give."""
    for metric in subject.instances:
        seen = observation(subject.registry, 4, 1)
        found = []
        for most in (1.0, 1 - 1e-12):
            best = jnp.argmax(seen.trace.a[-1], axis=1)
            a = jnp.where(jnp.arange(3) == best[:, None], most, 0.0)
            trace = seen.trace._replace(a=(*seen.trace.a[:-1], a))
            found.append(run_traced(_measured_whole, metric, [seen._replace(trace=trace)]))
        expect_trees_close(
            found[0],
            found[1],
            "an output of exactly 1 counts otherwise than one next to it",
            given="four examples whose outputs are 1 for one neuron and 0 for others",
            rtol=1e-3,
            atol=1e-6,
            method="add/measure",
        )


def follows_float64(subject: Subject) -> None:
    """The columns are the same in float32, but for rounding."""
    for metric in subject.instances:
        wide = [observation(subject.registry, 4, seed, "float64") for seed in (1, 2)]
        narrow = [observation(subject.registry, 4, seed, "float32") for seed in (1, 2)]
        exact = run_traced(_measured_whole, metric, wide)
        found = run_traced(_measured_whole, metric, narrow)
        for leaf, middle in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
            rounding.expect_near(
                leaf,
                middle,
                1e3 * rounding.eps("float32") * np.abs(np.asarray(middle)).max(initial=0),
                "float32",
                "a column is lost to rounding",
                given="eight examples, a network 5-6-3",
                method="add/measure",
                floor=1e3,
            )


METRIC_CHECKS = (
    *components.PURE,
    Check("start needs shapes alone", start_needs_shapes_alone, "start"),
    Check("total keeps its shape", total_keeps_its_shape, "add/measure"),
    Check("columns are finite arrays", columns_are_finite_arrays, "result/measure"),
    Check(
        "does not depend on the cut",
        does_not_depend_on_the_cut,
        "add/measure",
        applies=lambda s: not s.component.of_batches,
    ),
    Check("keeps digits of large inputs", keeps_digits_of_large_inputs, "add/measure"),
    Check("takes certain answers", takes_certain_answers, "add/measure"),
    Check("same in every dtype", follows_float64, "add/measure"),
    *components.COMPILED,
)
