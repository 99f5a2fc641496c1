"""Checks for activations: sigma' is the derivative of sigma, and both are finite and in range."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.contracts import ElementwiseActivation
from bpframe.testing import activation_properties, components
from bpframe.testing.activation_properties import is_elementwise
from bpframe.testing.expect import (
    central_difference,
    expect,
    expect_array,
    expect_close,
    expect_finite,
    expect_no_nan,
)
from bpframe.testing.kinks import GRID, away_from, kinks_are_declared, kinks_are_one_sided, kinks_of
from bpframe.testing.outcome import Check
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of

DTYPES = ("float32", "float64", "bfloat16")
WIDE = np.array([-1e4, -1e3, -90.0, -20.0, -1.0, -1e-30, 0.0, 1e-30, 1.0, 20.0, 90.0, 1e3, 1e4])
HUGE = np.array([-1e30, -1e15, 1e15, 1e30])
STEP, SHORT_STEP = 1e-4, 1e-6


def layer(subject: Subject, n: int, dtype: Any = "float64", scale: float = 2.0) -> jax.Array:
    """Some z for a layer of at least n neurons."""
    n = max(n, subject.component.min_neurons)
    return jnp.asarray(np.random.default_rng(n).normal(size=n) * scale, dtype)


def probe(subject_min: int) -> Any:
    """What an activation computes, for a layer of ordinary z."""
    n = max(7, subject_min)
    rng = np.random.default_rng(7)
    z, v = rng.uniform(-4, 4, n), rng.normal(size=n)

    def compute(activation: Any) -> Any:
        here, along = jnp.asarray(z, jnp.float64), jnp.asarray(v, jnp.float64)
        parts = {"sigma(z)": activation(here), "pullback": activation.pullback(here, along)}
        if isinstance(activation, ElementwiseActivation):
            parts["prime"] = activation.prime(here)
        return parts

    return compute


def keeps_shape_and_dtype(subject: Subject) -> None:
    """sigma, sigma' and the pullback are shaped like z and have its dtype."""
    for activation in subject.instances:
        for dtype in DTYPES:
            for n in (1, 7):
                z = layer(subject, n, dtype)
                given = f"z of shape {z.shape} and dtype {dtype}, {activation}"
                parts = [("sigma(z)", "__call__", shape_of(activation, z))]
                if is_elementwise(subject):
                    parts.append(("sigma'(z)", "prime", shape_of(activation.prime, z)))
                parts.append(("the pullback", "pullback", shape_of(activation.pullback, z, z)))
                for what, method, part in parts:
                    expect_array(part, z.shape, dtype, what, given=given, method=method)
            if is_elementwise(subject):
                z = jnp.zeros((3, 5), dtype)
                given = f"z of shape (3, 5) and dtype {dtype}, {activation}"
                prime = shape_of(activation.prime, z)
                expect_array(prime, (3, 5), dtype, "sigma'(z)", given=given, method="prime")


def derivative_equals_autodiff(subject: Subject) -> None:
    """J^T v by `pullback` is J^T v by automatic differentiation, at every smooth point."""

    @jax.jit
    def both(activation: Any, z: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        return activation.pullback(z, v), jax.vjp(activation, z)[1](v)[0]

    for activation in subject.instances:
        for z in _layers(subject, activation):
            v = np.random.default_rng(3).normal(size=z.size)
            found, exact = run_traced(both, activation, jnp.asarray(z), jnp.asarray(v))
            expected = np.asarray(exact)
            # Autodiff is NaN beside a branch that overflows, and wrong where two kinks cancel, as
            # in max(0, z) + log(1 + exp(-|z|)); such places are left to the differences.
            known = np.isfinite(expected)
            if is_elementwise(subject):
                slope = central_difference(lambda at, f=activation: f(jnp.asarray(at)), z, STEP)
                known &= np.abs(expected / v - slope) <= 1e-3 * (1 + np.abs(slope))
            unit, what = (
                (v[known], "sigma' is not the derivative of sigma")
                if is_elementwise(subject)
                else (1.0, "pullback is not J^T v, J the Jacobian of sigma")
            )
            expect_close(
                np.asarray(found)[known] / unit,
                expected[known] / unit,
                f"{what}, for {activation}",
                given=z[known],
                atol=1e-11,
            )


def derivative_equals_differences(subject: Subject) -> None:
    """Sigma' is the limit of differences, also where autodiff has no answer."""
    for activation in subject.instances:
        if not is_elementwise(subject):
            _pullback_equals_differences(subject, activation)
            continue
        z = away_from(kinks_of(activation), GRID, 3 * STEP)
        found = np.asarray(activation.prime(jnp.asarray(z)), np.float64)
        expected, near = (
            central_difference(lambda at, f=activation: f(jnp.asarray(at)), z, step)
            for step in (STEP, SHORT_STEP)
        )
        # Where sigma'' jumps, as that of max(0, z)^2 does, a difference is off by the size of its
        # step; a short one is near enough there, and too coarse in its rounding elsewhere.
        expected = np.where(np.abs(found - near) <= 1e-6 * (1 + np.abs(near)), near, expected)
        size = np.abs(np.asarray(activation(jnp.asarray(z)), np.float64))
        expect_close(
            np.where(np.abs(found - expected) <= 1e-11 * size / STEP, expected, found),
            expected,
            f"sigma' is not the limit of (sigma(z + h) - sigma(z - h)) / 2h, for {activation}; "
            "if sigma' jumps there, name the place in `kinks`",
            given=z,
            rtol=1e-5,
            atol=1e-6,
        )


def second_derivative_is_the_slope(subject: Subject) -> None:
    """sigma'', where it is told, is the limit of the differences of sigma'."""
    for activation in subject.instances:
        z = away_from(kinks_of(activation), GRID, 3 * STEP)
        second = activation.second_derivative(jnp.asarray(z))
        if second is None:
            continue
        expected = central_difference(lambda at, f=activation: f.prime(jnp.asarray(at)), z, STEP)
        expect_close(
            second,
            expected,
            f"sigma'' is not the limit of (sigma'(z + h) - sigma'(z - h)) / 2h, for {activation}",
            given=z,
            rtol=1e-5,
            atol=1e-6,
            method="second_derivative",
        )


def is_finite_at_extremes(subject: Subject) -> None:
    """Finite for |z| up to 1e4, and not NaN up to 1e30, in every dtype.

    A layer of coupled neurons gets no 1e30: the difference of two such z is all rounding.
    """
    values = np.concatenate([WIDE, HUGE]) if is_elementwise(subject) else WIDE

    @jax.jit
    def both(activation: Any, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        return activation(z), activation.pullback(z, jnp.ones_like(z))

    for activation in subject.instances:
        for dtype in DTYPES:
            results = run_traced(both, activation, jnp.asarray(values, dtype))
            methods = (("sigma", "__call__"), ("sigma'", "prime/pullback"))
            for (what, method), result in zip(methods, results, strict=True):
                result = np.asarray(result, np.float64)
                problem = f"{what} overflows in {dtype}, for {activation}"
                expect_finite(result[: WIDE.size], problem, WIDE, method)
                expect_no_nan(result, f"{what} is NaN in {dtype}, for {activation}", values, method)


def stays_in_range(subject: Subject) -> None:
    """No output leaves the bounds that `range` promises to costs."""
    for activation in subject.instances:
        low, high = activation.range
        expect(low < high, "range is empty", found=(low, high), method="range")
        for z in [*_layers(subject, activation), WIDE]:
            a = np.asarray(activation(jnp.asarray(z)), np.float64)
            slack = 1e-12 * max([1.0, *(abs(b) for b in (low, high) if np.isfinite(b))])
            outside = (a < low - slack) | (a > high + slack)
            worst = int(np.argmax(outside))
            expect(
                not outside.any(),
                f"an output is outside the range that the class states, for {activation}",
                given=z[worst],
                found=a[worst],
                expected=f"between {low:g} and {high:g}",
            )


def sums_to_one(subject: Subject) -> None:
    """The outputs of a layer sum to one, as the class says."""
    for activation in subject.instances:
        for n in (2, 7):
            total = float(jnp.sum(activation(layer(subject, n))))
            expect(
                abs(total - 1) <= 1e-12 * n,
                "the outputs do not sum to one, and sums_to_one says that they do",
                given=layer(subject, n),
                found=total,
                expected=1.0,
            )


def neurons_are_independent(subject: Subject) -> None:
    """Every neuron of a layer is treated alike, and without looking at the others."""
    for activation in subject.instances:
        z = np.asarray(layer(subject, 7))
        moved = np.random.default_rng(1).permutation(z.size)
        others = np.where(np.arange(z.size) == 3, z, -2 * z + 1)
        for name, function in (("__call__", activation), ("prime", activation.prime)):
            here = np.asarray(function(jnp.asarray(z)))
            problem = (
                f"the {'output' if name == '__call__' else 'slope'} of a neuron depends on {{}}; "
                "compute elementwise, or derive from Activation"
            )
            expect_close(
                function(jnp.asarray(z[moved])),
                here[moved],
                problem.format("its place in the layer"),
                given=z[moved],
                method=name,
            )
            expect_close(
                np.asarray(function(jnp.asarray(others)))[3],
                here[3],
                problem.format("the other neurons of its layer"),
                given=others,
                method=name,
            )


def vmap_equals_a_loop(subject: Subject) -> None:
    """A mini-batch gives what its examples give one by one."""

    def both(activation: Any, z: jax.Array) -> dict[str, jax.Array]:
        return {"__call__": activation(z), "pullback": activation.pullback(z, jnp.cos(z))}

    one, batch = jax.jit(both), jax.jit(jax.vmap(both, in_axes=(None, 0)))
    for activation in subject.instances:
        z = jnp.stack([layer(subject, 7, scale=s) for s in (0.5, 1.0, 3.0)])
        rows = [run_traced(one, activation, row) for row in z]
        for name, found in run_traced(batch, activation, z).items():
            expect_close(
                found,
                jnp.stack([row[name] for row in rows]),
                "a mini-batch gives another value than its examples one by one",
                given=np.asarray(z),
                method=name,
            )


def _layers(subject: Subject, activation: Any) -> list[np.ndarray]:
    """Layers of z in float64, away from the kinks."""
    if is_elementwise(subject):
        return [away_from(kinks_of(activation), GRID, 1e-12)]
    rng = np.random.default_rng(5)
    n = max(5, subject.component.min_neurons)
    return [rng.normal(size=n) * scale for scale in (0.1, 1.0, 3.0, 10.0)]


def _pullback_equals_differences(subject: Subject, activation: Any) -> None:
    sigma = jax.jit(lambda z: activation(z))
    for z in _layers(subject, activation):
        v = np.random.default_rng(3).normal(size=z.size)

        def along(unit: np.ndarray, z: np.ndarray = z) -> np.ndarray:
            """da/dz_j, (n,)."""
            return central_difference(lambda t: sigma(jnp.asarray(z + t * unit)), 0.0, STEP)

        expect_close(
            activation.pullback(jnp.asarray(z), jnp.asarray(v)),
            np.stack([along(unit) for unit in np.eye(z.size)]) @ v,
            f"pullback is not J^T v, J the limit of differences of sigma, for {activation}",
            given=z,
            rtol=1e-5,
            atol=1e-6,
            method="pullback",
        )


CHECKS = (
    *components.PURE,
    Check("shape and dtype are kept", keeps_shape_and_dtype, "__call__"),
    Check("derivative equals autodiff", derivative_equals_autodiff, "prime/pullback"),
    Check("derivative equals differences", derivative_equals_differences, "prime/pullback"),
    Check(
        "second derivative is the slope",
        second_derivative_is_the_slope,
        "second_derivative",
        applies=is_elementwise,
    ),
    Check("kinks are declared", kinks_are_declared, "prime", applies=is_elementwise),
    Check(
        "kinks are one-sided",
        kinks_are_one_sided,
        "prime",
        applies=lambda s: is_elementwise(s) and any(i.kinks for i in s.instances),
    ),
    Check("finite at extremes", is_finite_at_extremes, "prime/pullback"),
    Check("outputs stay in range", stays_in_range, "__call__"),
    Check("outputs sum to one", sums_to_one, "__call__", applies=lambda s: s.component.sums_to_one),
    Check("neurons are independent", neurons_are_independent, "__call__", applies=is_elementwise),
    Check("vmap equals a loop", vmap_equals_a_loop),
    *activation_properties.CHECKS,
    *components.COMPILED,
)
