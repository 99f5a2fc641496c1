"""Checks for regularisers: the gradient is that of the penalty."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from bpframe.contracts import Params
from bpframe.testing import components, rounding
from bpframe.testing.expect import expect, expect_array, expect_close, expect_finite
from bpframe.testing.outcome import Check
from bpframe.testing.parameters import DEPTHS, WIDE_DTYPES, some_params
from bpframe.testing.search import search_instances, vectors
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of


def probe(regulariser: Any) -> Any:
    """R and its gradient."""
    params = some_params(4)
    return regulariser.cost(params), regulariser.gradient(params)


def keeps_shape_and_dtype(subject: Subject) -> None:
    """R is a scalar, its gradient is shaped like the parameters."""
    for regulariser in subject.instances:
        for dtype, sizes in itertools.product(WIDE_DTYPES, DEPTHS):
            params = some_params(4, dtype, sizes)
            given = f"a network {'-'.join(map(str, sizes))} of dtype {dtype}, {regulariser}"
            value = shape_of(regulariser.cost, params)
            expect_array(value, (), dtype, "R", given=given, method="cost")
            gradient = shape_of(regulariser.gradient, params)
            expect(
                jax.tree.structure(gradient) == jax.tree.structure(params),
                "the gradient has another structure than the parameters",
                given=given,
                found=jax.tree.structure(gradient),
                expected=jax.tree.structure(params),
            )
            for g, p in zip(jax.tree.leaves(gradient), jax.tree.leaves(params), strict=True):
                expect_array(g, p.shape, dtype, "the gradient", given=given)


def gradient_equals_autodiff(subject: Subject) -> None:
    """`gradient` is dR/dparams by automatic differentiation."""
    exact = jax.jit(jax.grad(lambda params, regulariser: regulariser.cost(params)))
    for regulariser in subject.instances:
        for seed in (4, 5):
            params = some_params(seed)
            expected = run_traced(exact, params, regulariser)
            for number, (ours, theirs) in enumerate(
                zip(regulariser.gradient(params), expected, strict=True), start=2
            ):
                for name in ("w", "b"):
                    expect_close(
                        getattr(ours, name),
                        getattr(theirs, name),
                        f"gradient is not dR/d{name} in layer {number}, for {regulariser}",
                        given=np.asarray(getattr(params[number - 2], name)),
                    )


def gradient_holds_at_all_magnitudes(subject: Subject) -> None:
    """The gradient is dR/dparams for parameters of all magnitudes, some of them 0, in any shape.

    Autodiff is the witness; where it has another answer, at a corner, differences are asked, too.
    """

    @jax.jit
    def both(regulariser: Any, params: Any) -> Any:
        return regulariser.gradient(params), jax.grad(regulariser.cost)(params)

    shapes = ((3, 2, 2, 2), (1, 3))
    kernels = tuple(Params(jnp.ones(shape), jnp.ones(shape[0])) for shape in shapes)
    likes = [some_params(4, sizes=(3, 2)), some_params(4, sizes=(1, 1, 2))]
    if _takes(subject.default, kernels):
        likes.append(kernels)
    for like in likes:
        flat, unflatten = ravel_pytree(like)

        def holds(values: np.ndarray, regulariser: Any, unflatten: Any = unflatten) -> None:
            results = run_traced(both, regulariser, unflatten(jnp.asarray(values)))
            found, exact = (np.asarray(ravel_pytree(tree)[0], np.float64) for tree in results)
            given = f"parameters {np.array2string(values, precision=4, threshold=12)}"
            expect_finite(found, f"the gradient is not finite, for {regulariser}", given)
            with np.errstate(invalid="ignore"):
                bad = ~(np.abs(found - exact) <= 1e-8 * np.abs(exact) + 1e-10)
            for place in map(int, np.flatnonzero(bad)):
                sides = sorted(_slope(regulariser, unflatten, values, place, s) for s in (-1, 1))
                slack = 1e-4 * (1 + max(map(abs, sides)))
                expect(
                    sides[0] - slack <= found[place] <= sides[1] + slack,
                    f"gradient is not dR/dparams, for {regulariser}",
                    given=f"{given}, number {place}",
                    found=found[place],
                    expected=exact[place],
                    method="gradient",
                )

        search_instances(subject, vectors(1e6, flat.size), holds)


def _takes(regulariser: Any, params: Any) -> bool:
    """Whether it can be asked for parameters of such shapes; it may be meant for matrices alone."""
    try:
        jax.eval_shape(regulariser.cost, params)
    except (TypeError, ValueError):
        return False
    return True


def _slope(regulariser: Any, unflatten: Any, values: np.ndarray, place: int, side: int) -> float:
    """R by differences, to one side of a parameter."""
    step = side * 1e-5 * max(1.0, abs(values[place]))
    moved = values.copy()
    moved[place] += step
    ends = (float(regulariser.cost(unflatten(jnp.asarray(each)))) for each in (values, moved))
    start, end = ends
    return (end - start) / step


def follows_float64(subject: Subject) -> None:
    """R and its gradient are the same in every dtype, but for rounding."""
    both = jax.jit(
        lambda regulariser, params: (regulariser.cost(params), regulariser.gradient(params))
    )
    flat, unflatten = ravel_pytree(some_params(4, sizes=(3, 2)))
    what = (("R", "cost"), ("the gradient", "gradient"), ("the gradient", "gradient"))

    def holds(values: np.ndarray, regulariser: Any) -> None:
        for dtype in rounding.NARROW:
            narrow = rounding.narrowed(unflatten(jnp.asarray(values)), dtype)
            given = f"parameters {np.array2string(values, precision=4)}"
            rounding.expect_follows(both, regulariser, (narrow,), dtype, what, given=given)

    search_instances(subject, vectors(100, flat.size), holds)


def is_finite(subject: Subject) -> None:
    """Finite where all parameters are zero, and where they are large."""
    for regulariser in subject.instances:
        for size in (0.0, 1e4):
            params = jax.tree.map(
                lambda p, size=size: jnp.full_like(p, size), some_params(4, "float32")
            )
            given = f"all parameters {size:g}, {regulariser}"
            expect_finite(regulariser.cost(params), "R is not finite", given, "cost")
            for leaf in jax.tree.leaves(regulariser.gradient(params)):
                expect_finite(leaf, "the gradient is not finite", given)


CHECKS = (
    *components.PURE,
    Check("shapes and dtypes", keeps_shape_and_dtype, "gradient"),
    Check("gradient equals autodiff", gradient_equals_autodiff, "gradient"),
    Check("gradient holds at all magnitudes", gradient_holds_at_all_magnitudes, "gradient"),
    Check("same in every dtype", follows_float64, "gradient"),
    Check("finite at zero and at large weights", is_finite, "gradient"),
    *components.COMPILED,
)
