"""Checks for learning rules: shapes, state, and whether they give the gradient."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe import equations
from bpframe.contracts import BackwardStep
from bpframe.equations import Dense
from bpframe.network import Network
from bpframe.testing import components
from bpframe.testing.expect import (
    expect,
    expect_array,
    expect_arrays,
    expect_close,
    expect_trees_equal,
)
from bpframe.testing.outcome import Check
from bpframe.testing.parameters import DEPTHS, AllParams, Straight, shapes_of, some_params
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of
from bpframe.testing.training import built_in


def probe(rule: Any) -> Any:
    """The error that arrives at the hidden layer of a small network."""
    params = some_params(6)
    states = rule.init(jax.random.key(3), params, shapes_of(params))
    return states, rule.carry(states[0], _step(params, "float64"))


def _step(params: AllParams, dtype: str) -> BackwardStep:
    """The error on its way from the output layer of a small network to its hidden layer."""
    delta = jnp.asarray([0.3, -0.7, 0.2], dtype)
    a, y = jnp.asarray([0.1, 0.5, -0.2, 0.9], dtype), jnp.asarray([0.0, 1.0, 0.0], dtype)
    own = jax.tree.map(lambda part: part.astype(dtype), params[1])
    return BackwardStep(Dense(3, activation=Straight()), own, a, None, delta, delta, y)


def has_a_state_for_each_hidden_layer(subject: Subject) -> None:
    """Init gives one entry a hidden layer, of arrays or nothing."""
    for rule in subject.instances:
        for sizes in DEPTHS:
            params = some_params(6, sizes=sizes)
            states = rule.init(jax.random.key(0), params, shapes_of(params))
            expect(
                isinstance(states, tuple) and len(states) == len(sizes) - 2,
                "init gives no tuple with one entry for each hidden layer",
                given=f"a network {'-'.join(map(str, sizes))}",
                found=states if not isinstance(states, tuple) else f"{len(states)} entries",
                expected=f"{len(sizes) - 2} entries",
                method="init",
            )
            expect_arrays(states, "the state", "init")


def keeps_shape_and_dtype(subject: Subject) -> None:
    """Carry gives (n,) for layer l, in the dtype of the deltas."""
    for rule in subject.instances:
        params = some_params(6, "float32")
        states = rule.init(jax.random.key(0), params, shapes_of(params))
        for dtype in ("float32", "bfloat16"):
            state = jax.tree.map(lambda s, dtype=dtype: _narrowed(s, dtype), states[0])
            arrived = shape_of(rule.carry, state, _step(params, dtype))
            given = f"w^(l+1) of shape (3, 4), dtype {dtype}, {rule}"
            expect_array(arrived, (4,), dtype, "the error that arrives", given=given)


def is_what_it_says(subject: Subject) -> None:
    """With is_gradient the deltas give the exact gradient, without it they do not."""
    activation = built_in(subject.registry, "activation", "tanh")
    cost = built_in(subject.registry, "cost", "quadratic")
    sizes = (5, 6, 4, 3)
    network = Network((5,), tuple(Dense(n, activation=activation) for n in sizes[1:]))
    rng = np.random.default_rng(9)
    x, y = jnp.asarray(rng.normal(size=(4, 5))), jnp.asarray(rng.normal(size=(4, 3)))
    params = some_params(7, sizes=sizes)

    def mean_cost(params: AllParams) -> jax.Array:
        def one(x: jax.Array, y: jax.Array) -> jax.Array:
            return cost(equations.forward(network, params, x).a[-1], y)

        return jnp.mean(jax.vmap(one)(x, y))

    exact = jax.jit(jax.grad(mean_cost))(params)
    says = subject.component.is_gradient

    @jax.jit
    def gradient(rule: Any, params: AllParams, states: Any) -> AllParams:
        return equations.gradient(network, cost, params, x, y, rule.carry, states).mean

    for rule in subject.instances:
        states = rule.init(jax.random.key(1), params, shapes_of(params))
        found = run_traced(gradient, rule, params, states)
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


def _narrowed(leaf: Any, dtype: str) -> Any:
    return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


CHECKS = (
    *components.PURE,
    Check("a state for each hidden layer", has_a_state_for_each_hidden_layer, "init"),
    Check("shapes and dtypes", keeps_shape_and_dtype, "carry"),
    Check("gradient or not, as it says", is_what_it_says, "carry"),
    Check("same key, same state", uses_its_key, "init"),
    *components.COMPILED,
)
