"""Checks for output pairs: delta^L, agreement with their parts, and saturated outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.equations import Unpaired
from bpframe.testing import components, cost_properties
from bpframe.testing.costs import DTYPES, N_OUT, softmax, text
from bpframe.testing.expect import expect, expect_array, expect_close, expect_finite
from bpframe.testing.outcome import Check
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of

SATURATED = (1e2, 1e3, 1e4)


def probe(n: int) -> Any:
    """What an output pair computes, for an ordinary example."""
    z = np.random.default_rng(2).normal(size=n)

    def compute(pair: Any) -> Any:
        here = jnp.asarray(z, jnp.float64)
        a, y = pair.activation(here), jnp.asarray(np.eye(n)[1], jnp.float64)
        return {"delta": pair.delta(here, a, y), "cost": pair.cost(here, a, y)}

    return compute


def keeps_shape_and_dtype(subject: Subject) -> None:
    """delta^L is shaped like z, C is a scalar, and both have the dtype of z."""
    for pair in subject.instances:
        for dtype in DTYPES:
            z, y = jnp.asarray([0.5, -1.0, 2.0], dtype), jnp.asarray([0.0, 1.0, 0.0], dtype)
            given = f"z, a, y of shape (3,) and dtype {dtype}"
            delta, value = (shape_of(function, z, z, y) for function in (pair.delta, pair.cost))
            expect_array(delta, (3,), dtype, "delta", given=given, method="delta")
            expect_array(value, (), dtype, "C", given=given, method="cost")


def delta_is_the_gradient(subject: Subject) -> None:
    """`delta` is dC/dz of the pair's own cost, by automatic differentiation."""
    exact = jax.jit(jax.grad(lambda z, pair, y: pair.cost(z, pair.activation(z), y)))
    for pair in subject.instances:
        for z, y in examples():
            here = jnp.asarray(z)
            expect_close(
                pair.delta(here, pair.activation(here), jnp.asarray(y)),
                run_traced(exact, here, pair, jnp.asarray(y)),
                "delta is not dC/dz",
                given=f"z = {text(z)}, y = {text(y)}",
                atol=1e-11,
            )


def curvature_is_that_of_the_cost(subject: Subject) -> None:
    """The squares of `curvature_root` add up to d^2 C/dz^2, or to that with a straight sigma_L."""

    @jax.jit
    def all_three(pair: Any, z: jax.Array, y: jax.Array) -> Any:
        a, apart = pair.activation(z), Unpaired(pair.cost_function, pair.activation)
        slope = jax.jacfwd(lambda z: pair.delta(z, pair.activation(z), y))(z)
        return pair.curvature_root(z, a, y), slope, apart.curvature_root(z, a, y)

    for pair in subject.instances:
        for z, y in examples():
            root, slope, straight = run_traced(all_three, pair, jnp.asarray(z), jnp.asarray(y))
            if root is None:
                expect(
                    not pair.is_convex,
                    "is_convex promises all of the curvature, and curvature_root tells none",
                    method="curvature_root",
                )
                return
            found = root.T @ root
            expected = slope
            is_straight = straight is not None and np.allclose(
                found, straight.T @ straight, 1e-8, 1e-10
            )
            if is_straight and not pair.is_convex:
                expected = found
            expect_close(
                found,
                expected,
                "the squares of curvature_root do not add up to d^2 C/dz^2",
                given=f"z = {text(z)}, y = {text(y)}",
                rtol=1e-8,
                atol=1e-9,
            )


def equals_its_parts(subject: Subject) -> None:
    """Away from saturation the pair gives what its cost and its activation give apart."""
    for pair in subject.instances:
        apart = Unpaired(pair.cost_function, pair.activation)
        for z, y in examples():
            here, target = jnp.asarray(z), jnp.asarray(y)
            a = pair.activation(here)
            given = f"z = {text(z)}, y = {text(y)}"
            for name in ("cost", "delta"):
                expect_close(
                    getattr(pair, name)(here, a, target),
                    getattr(apart, name)(here, a, target),
                    f"{name} differs from what the cost and the activation give without the pair",
                    given=given,
                    rtol=1e-8,
                    atol=1e-9,
                    method=name,
                )


def is_finite(subject: Subject) -> None:
    """delta^L and C are finite for |z| up to 1e4: that is what a pair is for."""

    @jax.jit
    def both(pair: Any, z: jax.Array, y: jax.Array) -> dict[str, jax.Array]:
        a = pair.activation(z)
        return {"cost": pair.cost(z, a, y), "delta": pair.delta(z, a, y)}

    for pair in subject.instances:
        for dtype in ("float32", "float64"):
            for size in SATURATED:
                for z in (np.array([size, -size, 0.0]), np.array([-size, size, size])):
                    y = jnp.asarray([1.0, 0.0, 0.0], dtype)
                    given = f"z = {text(z)}, y = [1 0 0], {dtype}"
                    for name, found in run_traced(both, pair, jnp.asarray(z, dtype), y).items():
                        expect_finite(found, f"{name} is not finite", given, name)


def examples() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weighted inputs z and targets y, both (n,): one-hot and soft ones."""
    rng = np.random.default_rng(4)
    for index in range(8):
        z = rng.normal(size=N_OUT) * (1 + index % 4)
        yield z, softmax(rng.normal(size=N_OUT)) if index % 2 else np.eye(N_OUT)[index % N_OUT]


CHECKS = (
    *components.PURE,
    Check("shapes and dtypes", keeps_shape_and_dtype, "delta"),
    Check("delta is dC/dz", delta_is_the_gradient, "delta"),
    Check("equals its parts", equals_its_parts, "cost"),
    Check("curvature is that of C", curvature_is_that_of_the_cost, "curvature_root"),
    Check("finite when saturated", is_finite, "delta"),
    *cost_properties.PAIR_CHECKS,
    *components.COMPILED,
)
