"""Checks for costs: gradients, the least value, and saturated outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.testing import components, cost_properties
from bpframe.testing.expect import expect, expect_array, expect_close, expect_finite, expect_no_nan
from bpframe.testing.outcome import Check
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of

DTYPES = ("float32", "float64", "bfloat16")
N_OUT = 4
STEP = 1e-4


class Example(NamedTuple):
    """Outputs a and a target y, both (n,)."""

    a: np.ndarray
    y: np.ndarray


def examples(cost: Any, count: int = 24) -> Iterator[Example]:
    """Outputs inside the cost's domain, with one-hot targets and with soft ones."""
    rng = np.random.default_rng(11)
    low, high = cost.domain
    (one, other), distribution = _target_ends(cost), cost.needs_distribution
    for index in range(count):
        if distribution:
            a = softmax(rng.normal(size=N_OUT) * 2)
        elif np.isfinite(low) and np.isfinite(high):
            a = low + (high - low) * rng.uniform(0.02, 0.98, N_OUT)
        else:
            a = np.clip(rng.normal(size=N_OUT) * 2, low + 0.01, high - 0.01)
        soft = softmax(rng.normal(size=N_OUT)) if distribution else rng.uniform(0.1, 0.9, N_OUT)
        y = soft if index % 2 else np.eye(N_OUT)[index // 2 % N_OUT]
        yield Example(a, one + (other - one) * y)


def probe(component: type[Any]) -> Any:
    """What a cost computes, for an ordinary example."""
    a, y = list(examples(component, 2))[1]

    def compute(cost: Any) -> Any:
        outputs, target = jnp.asarray(a, jnp.float64), jnp.asarray(y, jnp.float64)
        return {"C": cost(outputs, target), "grad_a C": cost.prime(outputs, target)}

    return compute


def gives_a_scalar_and_a_gradient(subject: Subject) -> None:
    """C is a scalar, grad_a C is shaped like a, and both have the dtype of a."""
    for cost in subject.instances:
        for a, y in examples(subject.default, 2):
            for dtype in DTYPES:
                arrays = (jnp.asarray(a, dtype), jnp.asarray(y, dtype))
                given = f"a and y of shape ({N_OUT},) and dtype {dtype}, {cost}"
                value, gradient = shape_of(cost, *arrays), shape_of(cost.prime, *arrays)
                expect_array(value, (), dtype, "C", given=given, method="__call__")
                expect_array(gradient, (N_OUT,), dtype, "grad_a C", given=given)


def declares_what_it_is_defined_for(subject: Subject) -> None:
    """`targets` lie in `domain` where a = y is best, and `decision_boundary` between outputs."""
    cost = subject.default
    low, high = cost.domain
    targets, boundary = cost.targets, cost.decision_boundary
    expect(
        targets is None or targets[0] < targets[1],
        "`targets` is no range: the first is not below the second",
        found=targets,
    )
    expect(
        targets is None or not cost.least_at_target or (low <= targets[0] and targets[1] <= high),
        "no output can equal all targets, so that a = y cannot be best; narrow `targets`, or set "
        "least_at_target = False",
        found=f"targets {targets}",
        expected=f"inside the domain {cost.domain}",
    )
    expect(
        boundary is None or low < boundary < high,
        "`decision_boundary` is not among the outputs, so that every answer is the same",
        found=boundary,
        expected=f"None, or a number inside the domain {cost.domain}",
    )


def gradient_equals_autodiff(subject: Subject) -> None:
    """`prime` is the gradient of C by automatic differentiation."""
    exact = jax.jit(jax.grad(lambda a, cost, y: cost(a, y)))
    for cost in subject.instances:
        for a, y in examples(subject.default):
            expected = np.asarray(run_traced(exact, jnp.asarray(a), cost, jnp.asarray(y)))
            known = np.isfinite(expected)
            expect_close(
                np.asarray(cost.prime(jnp.asarray(a), jnp.asarray(y)))[known],
                expected[known],
                f"prime is not the gradient of C, for {cost}",
                given=_shown(a, y),
                atol=1e-11,
            )


def gradient_equals_differences(subject: Subject) -> None:
    """`prime` is the limit of differences of C, wherever C has no kink."""
    for cost in subject.instances:
        compared = 0
        for a, y in examples(subject.default):
            expected, smooth = _differences(cost, a, y)
            compared += int(smooth.sum())
            found = np.asarray(cost.prime(jnp.asarray(a), jnp.asarray(y)))
            expect_close(
                np.where(smooth, found, 0),
                np.where(smooth, expected, 0),
                f"prime is not the limit of (C(a + h) - C(a - h)) / 2h, for {cost}",
                given=_shown(a, y),
                rtol=1e-5,
                atol=1e-6,
            )
        expect(
            compared >= 2 * N_OUT,
            "C has a kink nearly everywhere, so that no derivative can be compared",
            given=f"{cost}",
            found=f"{compared} places without a kink",
        )


def is_least_at_the_target(subject: Subject) -> None:
    """No output has a smaller C than a = y, as least_at_target says."""
    for cost in subject.instances:
        for a, y in examples(subject.default, 40):
            at_target = float(cost(jnp.asarray(y), jnp.asarray(y)))
            elsewhere = float(cost(jnp.asarray(a), jnp.asarray(y)))
            for place, value in ((y, at_target), (a, elsewhere)):
                expect_no_nan(
                    value,
                    "C is NaN; if it is defined for some outputs alone, say so in `domain`",
                    _shown(place, y),
                    "__call__",
                )
            expect(
                at_target <= elsewhere + 1e-12 * (1 + abs(elsewhere)),
                f"C is smaller away from the target than at a = y, for {cost}; if that is meant, "
                "set least_at_target = False",
                given=_shown(a, y),
                found=elsewhere,
                expected=f"at least C(y, y) = {at_target:.10g}",
            )


def is_never_nan(subject: Subject) -> None:
    """Finite at the target, and no NaN at the edge of the domain or far away, in every dtype."""
    low, high = subject.default.domain
    edges = [low if np.isfinite(low) else -1e4, high if np.isfinite(high) else 1e4]
    one, other = _target_ends(subject.default)
    targets = one + (other - one) * np.eye(N_OUT)
    outputs = [np.roll(np.repeat(edges, N_OUT // 2), shift) for shift in range(N_OUT)]
    if subject.component.needs_distribution:
        outputs = list(targets)

    @jax.jit
    def both(cost: Any, a: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return cost(a, y), cost.prime(a, y)

    for cost in subject.instances:
        for dtype in ("float32", "float64"):
            for y in targets:
                for a in (*outputs, y):
                    results = run_traced(both, cost, jnp.asarray(a, dtype), jnp.asarray(y, dtype))
                    at_target = a is y and _contains(subject.default.domain, y)
                    for what, method, result in zip(
                        ("C", "grad_a C"), ("__call__", "prime"), results, strict=True
                    ):
                        expect_no_nan(result, f"{what} is NaN in {dtype}", _shown(a, y), method)
                        if at_target:
                            problem = f"{what} is infinite at a = y in {dtype}"
                            expect_finite(result, problem, _shown(a, y), method)


def vmap_equals_a_loop(subject: Subject) -> None:
    """A mini-batch gives what its examples give one by one."""

    def both(cost: Any, a: jax.Array, y: jax.Array) -> dict[str, jax.Array]:
        return {"__call__": cost(a, y), "prime": cost.prime(a, y)}

    one, batch = jax.jit(both), jax.jit(jax.vmap(both, in_axes=(None, 0, 0)))
    for cost in subject.instances:
        pairs = list(examples(subject.default, 3))
        a, y = (jnp.asarray(np.stack(part)) for part in zip(*pairs, strict=True))
        rows = [run_traced(one, cost, *pair) for pair in zip(a, y, strict=True)]
        for name, found in run_traced(batch, cost, a, y).items():
            expect_close(
                found,
                jnp.stack([row[name] for row in rows]),
                "a mini-batch gives another value than its examples one by one",
                method=name,
            )


def curvature_is_the_slope_of_prime(subject: Subject) -> None:
    """`curvature_root` gives s_k whose squares add up to d^2 C/da^2, or nothing."""
    both = jax.jit(lambda cost, a, y: (cost.curvature_root(a, y), jax.jacfwd(cost.prime)(a, y)))
    for cost in subject.instances:
        for a, y in examples(cost, 6):
            root, slope = run_traced(both, cost, jnp.asarray(a), jnp.asarray(y))
            if root is None:
                return
            given = _shown(a, y)
            expect_close(
                root.T @ root,
                slope,
                "the squares of curvature_root do not add up to d^2 C/da^2",
                given=given,
                atol=1e-11,
            )


def _differences(cost: Any, a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """grad_a C by differences, and where C has no kink between the points that they use.

    The step is short against the way to the edge of the domain.
    """
    low, high = cost.domain
    steps = np.minimum(STEP, np.minimum(a - low, high - a) / 100)
    shifts = np.array([-2, -1, 0, 1, 2])
    points = a + shifts[:, None, None] * (np.eye(a.size) * steps)  # (shift, j, n)
    target = jnp.asarray(y)
    rows = jnp.asarray(points.reshape(-1, a.size))
    values = np.asarray(jax.vmap(lambda at: cost(at, target))(rows), np.float64)
    before_2, before, here, after, after_2 = values.reshape(5, -1)
    slope = (8 * (after - before) - (after_2 - before_2)) / (12 * steps)
    sides = np.stack([here - before, after - here, before - before_2, after_2 - after]) / steps
    # Without a kink the four slopes grow evenly from left to right.
    left_out, left, right, right_out = sides[2], sides[0], sides[1], sides[3]
    bends = np.stack([left - left_out, right - left, right_out - right])
    even = np.ptp(bends, axis=0) <= 1e-4 * (0.01 + np.abs(slope))
    return slope, even


def _target_ends(cost: Any) -> tuple[float, float]:
    """The ends of what a cost takes as targets; 0 and 1 where it takes them and more."""
    low, high = cost.domain if cost.targets is None else cost.targets
    if np.isfinite(low) and np.isfinite(high):
        return low, high
    return min(max(0.0, low), high - 1), max(min(1.0, high), low + 1)


def _contains(domain: tuple[float, float], values: np.ndarray) -> bool:
    return bool(np.all((domain[0] <= values) & (values <= domain[1])))


def softmax(z: np.ndarray) -> np.ndarray:
    """The softmax of z (n,), as an output or a soft target."""
    e = np.exp(z - z.max())
    return e / e.sum()


def text(values: np.ndarray) -> str:
    """Values as a message shows them."""
    return np.array2string(np.asarray(values, np.float64), precision=5)


def _shown(a: np.ndarray, y: np.ndarray) -> str:
    return f"a = {text(a)}, y = {text(y)}"


CHECKS = (
    *components.PURE,
    Check("shapes and dtypes", gives_a_scalar_and_a_gradient, "prime"),
    Check("targets and boundary", declares_what_it_is_defined_for, "targets"),
    Check("gradient equals autodiff", gradient_equals_autodiff, "prime"),
    Check("gradient equals differences", gradient_equals_differences, "prime"),
    Check(
        "least at a = y",
        is_least_at_the_target,
        "__call__",
        applies=lambda s: s.component.least_at_target,
    ),
    Check("never NaN", is_never_nan, "prime"),
    Check("curvature is the slope", curvature_is_the_slope_of_prime, "curvature_root"),
    *cost_properties.COST_CHECKS,
    Check("vmap equals a loop", vmap_equals_a_loop),
    *components.COMPILED,
)
