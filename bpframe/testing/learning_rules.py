"""Checks for learning rules: shapes, state, and whether they give the gradient."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.equations import EXACT, Dense
from bpframe.learning import (
    BackwardStep,
    Credit,
    Forward,
    LearningRule,
    TrainingStep,
    replaces,
)
from bpframe.testing import components, rule_properties
from bpframe.testing.expect import (
    expect,
    expect_array,
    expect_arrays,
    expect_close,
    expect_same_shapes,
    expect_trees_equal,
)
from bpframe.testing.outcome import Check
from bpframe.testing.parameters import (
    DEPTHS,
    SIZES,
    Straight,
    shapes_of,
    some_params,
    some_step,
)
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import shape_of
from bpframe.testing.tried_rules import tried
from bpframe.training.precision import cast_floats


def probe(rule: Any) -> Any:
    """A step of training of a small network: the deltas, the answer and the state after it."""
    params = some_params(6)
    state = rule.init(jax.random.key(3), params, shapes_of(params))
    step = some_step(params, rule, state)
    updated = jax.tree.map(lambda p, g: p - 0.1 * g, params, step.found.mean)
    return step.found.deltas, step.found.mean, rule.learn(state, step, params, updated)


def _beside_backprop(rule: Any, dtype: str, sizes: tuple[int, ...] = SIZES) -> Any:
    """The state of the rule, and a step of backpropagation."""
    params = some_params(6, dtype, sizes)
    state = rule.init(jax.random.key(3), params, shapes_of(params))
    return cast_floats(state, dtype), _backprop_step(dtype, sizes)


@functools.cache
def _backprop_step(dtype: str, sizes: tuple[int, ...]) -> TrainingStep:
    return jax.jit(some_step)(some_params(6, dtype, sizes))


def _carries(rule: Any, state: Any, step: TrainingStep) -> bool:
    """Whether the error travels back by `carry`."""
    return shape_of(_assigned, rule, state, step) is None


def _example(step: TrainingStep) -> tuple[Forward, Array]:
    """The first example of a step, and its target."""
    trace, y = jax.tree.map(lambda part: part[0], (step.found.trace, step.y))
    return Forward(step.network, step.pair, step.params, trace), y


def _assigned(rule: Any, state: Any, step: TrainingStep) -> Any:
    return rule.assign(state, *_example(step), jax.random.key(5))


def has_a_state_for_each_hidden_layer(subject: Subject) -> None:
    """Init gives arrays or nothing; for `carry`, one entry a hidden layer."""
    for rule in subject.instances:
        for sizes in DEPTHS:
            params = some_params(6, sizes=sizes)
            state = rule.init(jax.random.key(0), params, shapes_of(params))
            expect_arrays(state, "the state", "init")
            if not _carries(rule, state, _backprop_step("float64", sizes)):
                continue
            expect(
                isinstance(state, tuple) and len(state) == len(sizes) - 2,
                "init gives no tuple with one entry for each hidden layer",
                given=f"a network {'-'.join(map(str, sizes))}",
                found=state if not isinstance(state, tuple) else f"{len(state)} entries",
                expected=f"{len(sizes) - 2} entries",
                method="init",
            )


def keeps_shape_and_dtype(subject: Subject) -> None:
    """Carry gives the shape of a^l, in the dtype of the deltas."""
    for rule in subject.instances:
        state, step = _beside_backprop(rule, "float32")
        if not _carries(rule, state, step):
            continue
        for dtype in ("float32", "bfloat16"):
            arrived = shape_of(rule.carry, cast_floats(state[0], dtype), _backward_step(dtype))
            given = f"w^(l+1) of shape (3, 4), dtype {dtype}, {rule}"
            expect_array(arrived, (4,), dtype, "the error that arrives", given=given)


def _backward_step(dtype: str) -> BackwardStep:
    """The error on its way from the output layer of a small network to its hidden layer."""
    delta = jnp.asarray([0.3, -0.7, 0.2], dtype)
    a, y = jnp.asarray([0.1, 0.5, -0.2, 0.9], dtype), jnp.asarray([0.0, 1.0, 0.0], dtype)
    own = jax.tree.map(lambda part: part.astype(dtype), some_params(6)[1])
    layer, keys = Dense(3, activation=Straight()), jax.random.split(jax.random.key(4))
    return BackwardStep(layer, own, a, None, delta, delta, y, *keys)


def assigns_what_layers_take(subject: Subject) -> None:
    """Assign gives, for every layer, an a and a delta like those of backpropagation."""
    for rule, dtype in itertools.product(subject.instances, ("float32", "bfloat16")):
        for sizes in DEPTHS:
            state, step = _beside_backprop(rule, dtype, sizes)
            terms = shape_of(_assigned, rule, state, step)
            if terms is None:
                continue
            given = f"a network {'-'.join(map(str, sizes))}, dtype {dtype}, {rule}"
            expect(
                isinstance(terms, tuple) and terms and all(isinstance(t, Credit) for t in terms),
                "assign gives no tuple of Credit",
                given=given,
                found=type(terms).__name__,
                expected="(Credit(a, kept, delta),)",
                method="assign",
            )
            seen, _ = _example(step)
            for term in terms:
                what = "assign gives an a or a delta that"
                expect_same_shapes(term.a, seen.trace.a[:-1], what)
                expect_same_shapes(term.delta, seen.trace.z, what)


def answers_like_the_output(subject: Subject) -> None:
    """Answer gives (n_out,), in the dtype of a^L."""
    for rule, dtype in itertools.product(subject.instances, ("float32", "bfloat16")):
        state, step = _beside_backprop(rule, dtype)
        seen, _ = _example(step)
        answer = rule.answer(state, seen)
        if answer is not None:
            given = f"a network 5-4-3, dtype {dtype}, {rule}"
            expect_array(answer, (3,), dtype, "the answer", given=given, method="answer")


def keeps_its_state_in_shape(subject: Subject) -> None:
    """Learn keeps structure, shapes and dtypes of the state, with products in bfloat16 too."""
    for rule, dtype in itertools.product(subject.instances, ("float32", "float64", "bfloat16")):
        wide = "float32" if dtype == "bfloat16" else dtype
        params = some_params(6, wide)
        state = cast_floats(rule.init(jax.random.key(3), params, shapes_of(params)), wide)

        def learned(rule: Any, params: Any, state: Any, m: int, dtype: str = dtype) -> Any:
            step = some_step(cast_floats(params, dtype), rule, cast_floats(state, dtype), m)
            return rule.learn(state, step, params, params)

        for m in (3, 2):  # the last mini-batch of an epoch may be short
            found = shape_of(functools.partial(learned, m=m), rule, params, state)
            expect_same_shapes(found, state, "the state")


def is_what_it_says(subject: Subject) -> None:
    """With is_gradient the deltas give the exact gradient, without it they do not."""
    exact = tried(EXACT).step.found.mean
    says = subject.component.is_gradient
    mine = [name for name in vars(subject.component) if not name.startswith("_")]
    methods = [name for name in vars(LearningRule) if callable(getattr(LearningRule, name))]
    expect(
        says or any(replaces(subject.default, name) for name in methods),
        "replaces no method of a learning rule, so it is backpropagation",
        found=f"{', '.join(mine) or 'nothing'} of its own",
        expected=f"one of {', '.join(name for name in methods if not name.startswith('_'))}",
    )
    for rule in subject.instances:
        found = tried(rule).step.found.mean
        for number, (ours, theirs) in enumerate(zip(found, exact, strict=True), start=2):
            if says:
                problem = f"is_gradient is True, and dC/dw of layer {number} is another"
                expect_close(ours.w, theirs.w, problem, given="a network 5-6-4-3", method="carry")
        differs = any(
            not np.allclose(ours.w, theirs.w, rtol=1e-6)
            for ours, theirs in zip(found[:-1], exact[:-1], strict=True)
        )
        expect(
            says or differs,
            "is_gradient is False, and the deltas give the exact gradient; say is_gradient = True",
            given="a network 5-6-4-3",
        )


def uses_its_key(subject: Subject) -> None:
    """The same key gives the same state."""
    for rule in subject.instances:
        params = some_params(6)
        key, shapes = jax.random.key(2), shapes_of(params)
        first, again = (rule.init(key, params, shapes) for _ in range(2))
        problem = "the same key gives another state"
        expect_trees_equal(first, again, problem, given="jax.random.key(2)", method="init")


CHECKS = (
    *components.PURE,
    Check("a state for each hidden layer", has_a_state_for_each_hidden_layer, "init"),
    Check("shapes and dtypes", keeps_shape_and_dtype, "carry"),
    Check("credit is shaped like layers", assigns_what_layers_take, "assign"),
    Check("answer is shaped like the output", answers_like_the_output, "answer"),
    Check("state keeps its shapes", keeps_its_state_in_shape, "learn"),
    Check("gradient or not, as it says", is_what_it_says, "carry"),
    Check("same key, same state", uses_its_key, "init"),
    *rule_properties.CHECKS,
    *components.COMPILED,
)
