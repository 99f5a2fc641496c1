"""Checks for regularisers: the gradient is that of the penalty."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.testing import components
from bpframe.testing.expect import expect, expect_array, expect_close, expect_finite
from bpframe.testing.outcome import Check
from bpframe.testing.parameters import DEPTHS, WIDE_DTYPES, some_params
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
    Check("finite at zero and at large weights", is_finite, "gradient"),
    *components.COMPILED,
)
