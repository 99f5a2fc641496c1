"""Checks for optimisers: downhill, with a state that is carried, saved and resumed."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.testing import components, optimiser_properties
from bpframe.testing.expect import (
    expect,
    expect_array,
    expect_arrays,
    expect_finite,
    expect_same_shapes,
    expect_trees_close,
    expect_trees_equal,
)
from bpframe.testing.outcome import Check
from bpframe.testing.parameters import DEPTHS, WIDE_DTYPES, AllParams, some_params, some_step
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of
from bpframe.training.precision import precision

STEPS = 60


def stepped(optimiser: Any, gradient: AllParams, state: Any, params: AllParams) -> Any:
    """What an update gives, in a step of some network with these parameters."""
    return optimiser.update(gradient, state, params, some_step(params))


_update = jax.jit(stepped)


def update(optimiser: Any, *arguments: Any) -> Any:
    """The same, compiled once for all instances of a class."""
    return run_traced(_update, optimiser, *arguments)


def probe(optimiser: Any) -> Any:
    """The parameters after two steps."""
    params = some_params(1, sizes=(3, 4))
    state = optimiser.init(params)
    for seed in (2, 3):
        params, state = stepped(optimiser, some_params(seed, sizes=(3, 4)), state, params)
    return params


def keeps_shape_and_dtype(subject: Subject) -> None:
    """The parameters stay Params with their shapes and dtypes; so does the state."""
    for optimiser in subject.instances:
        for dtype, sizes in itertools.product(WIDE_DTYPES, DEPTHS):
            params = some_params(1, dtype, sizes)
            state = shape_of(optimiser.init, params)
            for leaf in jax.tree.leaves(state):
                expect(
                    not jnp.issubdtype(leaf.dtype, jnp.floating) or leaf.dtype == jnp.dtype(dtype),
                    "the state has floats of another dtype than the parameters",
                    given=f"parameters of dtype {dtype}, {optimiser}",
                    found=str(leaf.dtype),
                    expected=dtype,
                    method="init",
                )
            with precision(dtype):  # as in a run
                updated, after = shape_of(stepped, optimiser, params, state, params)
            expect(
                jax.tree.structure(updated) == jax.tree.structure(params),
                "update returns parameters of another structure",
                found=jax.tree.structure(updated),
                expected=jax.tree.structure(params),
            )
            for new, old in zip(jax.tree.leaves(updated), jax.tree.leaves(params), strict=True):
                expect_array(new, old.shape, dtype, "an updated parameter", given=f"{optimiser}")
            expect_same_shapes(after, state, "the state")
            evaluated = shape_of(optimiser.evaluated, state, params)
            expect_same_shapes(evaluated, params, "what is evaluated")


def state_is_a_pytree(subject: Subject) -> None:
    """The state holds arrays alone, and is carried through a compiled loop."""

    @jax.jit
    def looped(optimiser: Any, carry: Any, gradients: Any) -> Any:
        def step(carry: Any, gradient: Any) -> tuple[Any, None]:
            params, state = carry
            return stepped(optimiser, gradient, state, params), None

        return jax.lax.scan(step, carry, gradients)[0]

    for optimiser in subject.instances:
        params = some_params(1)
        state = optimiser.init(params)
        expect_arrays(state, "the state", "init")
        gradients = jax.tree.map(lambda *g: jnp.stack(g), some_params(2), some_params(3))
        at_once = run_traced(looped, optimiser, (params, state), gradients)
        for seed in (2, 3):
            params, state = update(optimiser, some_params(seed), state, params)
        expect_trees_close(
            at_once,
            (params, state),
            "a compiled loop gives another value than step by step",
            given=optimiser,
        )


def resumes_exactly(subject: Subject) -> None:
    """From a saved state training goes on as if it had not stopped."""
    for optimiser in subject.instances:
        params = some_params(1)
        state = optimiser.init(params)
        saved = None
        for seed in range(2, 8):
            if seed == 5:
                saved = jax.device_get((params, state))
            params, state = update(optimiser, some_params(seed), state, params)
        assert saved is not None
        resumed, state_resumed = jax.tree.map(jnp.asarray, saved)
        optimiser.init(some_params(9))  # a new run in between must not matter
        for seed in range(5, 8):
            resumed, state_resumed = update(optimiser, some_params(seed), state_resumed, resumed)
        expect_trees_equal(
            jax.device_get((resumed, state_resumed)),
            jax.device_get((params, state)),
            "resumed from its saved state it goes another way",
            given=f"a stop after three of six steps, {optimiser}",
        )


def decreases_a_quadratic(subject: Subject) -> None:
    """The value of a quadratic function falls, and the first step is downhill."""
    curvature = jax.tree.map(lambda p: 0.1 + 0.9 * np.abs(p) / 1.5, some_params(8))

    def value(params: AllParams) -> float:
        return 0.5 * _dot(jax.tree.map(np.multiply, curvature, params), params)

    optimiser, params = subject.default, some_params(1)
    start, state = value(params), optimiser.init(params)
    for number in range(STEPS):
        gradient = jax.tree.map(lambda c, p: jnp.asarray(c * np.asarray(p)), curvature, params)
        moved, state = update(optimiser, gradient, state, params)
        slope = _dot(gradient, jax.tree.map(lambda q, p: np.asarray(q) - p, moved, params))
        expect_finite(slope, "the first step is not finite", f"1/2 sum c p^2, {optimiser}")
        expect(
            number > 0 or slope < 0,
            "the first step goes uphill",
            given=f"1/2 sum c p^2, {optimiser}",
            found=f"<gradient, step> = {slope:.6g}",
            expected="a negative number",
        )
        params = moved
    end = value(params)
    expect(
        end < start,
        f"the value of a quadratic function does not fall in {STEPS} steps",
        given=f"1/2 sum c p^2 with 0.1 <= c <= 1, {optimiser}",
        found=end,
        expected=f"less than {start:.6g}",
    )


def _dot(one: AllParams, other: AllParams) -> float:
    products = jax.tree.map(lambda a, b: float(np.sum(np.asarray(a) * np.asarray(b))), one, other)
    return sum(jax.tree.leaves(products))


def moves_every_parameter(subject: Subject) -> None:
    """Weights and biases of every layer are updated."""
    for optimiser in subject.instances:
        params = some_params(1)
        updated, _ = update(optimiser, some_params(2), optimiser.init(params), params)
        for number, (new, old) in enumerate(zip(updated, params, strict=True), start=2):
            for name in ("w", "b"):
                moved = np.asarray(getattr(new, name)) != np.asarray(getattr(old, name))
                expect(
                    moved.all(),
                    f"{name} of layer {number} is not updated",
                    given=f"a gradient without zeros, {optimiser}",
                    found=getattr(new, name),
                )


def eta_matters(subject: Subject) -> None:
    """A larger eta makes another step."""
    optimiser, params = subject.default, some_params(1)
    larger = optimiser.scaled(1.5)
    one, other = (update(o, some_params(2), o.init(params), params)[0] for o in (optimiser, larger))
    expect(
        not all(
            np.array_equal(p, q)
            for p, q in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
        ),
        "another eta makes the same step, so no schedule and no sweep can change anything",
        given=f"{optimiser}, and the same with 1.5 times its eta",
    )


def is_finite_without_a_gradient(subject: Subject) -> None:
    """A gradient of zero, and a very small one, leave the parameters finite."""
    for optimiser in subject.instances:
        for size in (0.0, 1e-30):
            params = some_params(1, "float32")
            state = optimiser.init(params)
            gradient = jax.tree.map(
                lambda p, size=size: jnp.asarray(np.full(p.shape, size, np.float32)), params
            )
            for _ in range(2):
                params, state = update(optimiser, gradient, state, params)
            for leaf in jax.tree.leaves(params):
                expect_finite(
                    leaf, "a parameter is not finite", f"a gradient of {size:g}, {optimiser}"
                )


CHECKS = (
    *components.PURE,
    Check("shapes and dtypes", keeps_shape_and_dtype, "update"),
    Check("state is a pytree of arrays", state_is_a_pytree, "update"),
    Check("resumes exactly", resumes_exactly, "update"),
    Check("decreases a quadratic", decreases_a_quadratic, "update"),
    Check("moves every parameter", moves_every_parameter, "update"),
    Check("finite without a gradient", is_finite_without_a_gradient, "update"),
    Check(
        "eta matters",
        eta_matters,
        "update",
        applies=lambda s: s.default.has_eta,
    ),
    *optimiser_properties.CHECKS,
    *components.COMPILED,
)
