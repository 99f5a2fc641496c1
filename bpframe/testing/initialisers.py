"""Checks for initialisers: shapes, the stated variance, and the key."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.contracts import Params
from bpframe.testing import components
from bpframe.testing.expect import expect, expect_array, expect_finite, expect_trees_equal
from bpframe.testing.outcome import Check
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of

STANDARD_ERRORS = 6


def probe(initialiser: Any) -> Any:
    """A small layer."""
    return initialiser(jax.random.key(0), (4, 6), 6, 4)


def gives_the_shapes_of_a_layer(subject: Subject) -> None:
    """w is (n_out, n_in), b is (n_out,), both of floats and finite."""
    for initialiser in subject.instances:
        for n_in, n_out in ((6, 4), (3, 7), (1, 1)):
            params = shape_of(
                lambda key, i=initialiser, n=(n_in, n_out): i(key, n[::-1], *n), jax.random.key(0)
            )
            given = f"n_in = {n_in}, n_out = {n_out}, {initialiser}"
            expect(
                isinstance(params, Params),
                "returns no Params",
                given=given,
                found=type(params).__name__,
                expected="Params(w, b)",
            )
            for part, shape in ((params.w, (n_out, n_in)), (params.b, (n_out,))):
                what = "w" if part is params.w else "b"
                expect_array(part, shape, part.dtype, what, given=given)
                expect(
                    jnp.issubdtype(part.dtype, jnp.floating),
                    f"{what} holds no floats",
                    given=given,
                    found=str(part.dtype),
                )
        for part in initialiser(jax.random.key(0), (4, 6), 6, 4):
            expect_finite(part, "a parameter is not finite", f"n_in = 6, n_out = 4, {initialiser}")


def has_the_stated_variance(subject: Subject) -> None:
    """The weights have the variance that `variance` states, within its standard error."""
    weights = jax.jit(
        lambda i, key, n_in, n_out: i(key, (n_out, n_in), n_in, n_out).w, static_argnums=(2, 3)
    )
    for initialiser in subject.instances:
        for n_in, n_out in ((160, 60), (60, 160)):
            drawn = run_traced(weights, initialiser, jax.random.key(0), n_in, n_out)
            w = np.asarray(drawn, np.float64)
            stated = float(initialiser.variance(n_in, n_out))
            squares = (w - w.mean()) ** 2
            error = squares.std() / np.sqrt(w.size) + 2 * stated / w.size
            expect(
                abs(w.var() - stated) <= STANDARD_ERRORS * error + 1e-12,
                "the weights have another variance than the one stated",
                given=f"n_in = {n_in}, n_out = {n_out}, {initialiser}",
                found=f"{w.var():.6g} (standard error {error:.2g})",
                expected=f"{stated:.6g}",
                method="variance",
            )


def uses_its_key(subject: Subject) -> None:
    """The same key gives the same parameters, and another key others, unless the class says no."""
    for initialiser in subject.instances:
        first, again, other = (initialiser(jax.random.key(k), (4, 6), 6, 4) for k in (0, 0, 1))
        expect_trees_equal(
            first, again, "the same key gives other parameters", given="jax.random.key(0)"
        )
        if subject.component.is_random:
            expect(
                not np.array_equal(first.w, other.w),
                "another key gives the same weights",
                given="jax.random.key(0) and jax.random.key(1)",
                found=first.w,
            )
            _expect_independent_draws(
                initialiser(jax.random.key(0), (60, 160), 160, 60), str(initialiser)
            )


def _expect_independent_draws(params: Params, given: str) -> None:
    """No two neurons have the same weights, and the biases are not drawn like the weights."""
    w, b = (np.asarray(part, np.float64) for part in params)
    different = len(np.unique(w, axis=0))
    expect(
        different > len(w) / 2,  # rows of zeros may be several in a sparse w
        "most neurons of a layer have the same weights; draw w in one piece, or split the key",
        given=given,
        found=f"{different} different rows of w",
        expected=f"{len(w)}",
    )
    if b.std() > 0 and (beside := w.ravel()[: b.size]).std() > 0:
        correlation = float(np.corrcoef(beside, b)[0, 1])
        expect(
            abs(correlation) < STANDARD_ERRORS / np.sqrt(b.size),
            "weights and biases are drawn with the same key; split it",
            given=given,
            found=f"{correlation:.3g}, the correlation of w and b",
            expected="nearly 0",
        )


CHECKS = (
    *components.PURE,
    Check("shapes of a layer", gives_the_shapes_of_a_layer, "__call__"),
    Check("variance is as stated", has_the_stated_variance, "__call__"),
    Check("key matters", uses_its_key, "__call__"),
    *components.COMPILED,
)
