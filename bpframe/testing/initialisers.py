"""Checks for initialisers: shapes, the stated variance, and the key."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from scipy import stats

from bpframe.contracts import Params
from bpframe.testing import components
from bpframe.testing.expect import expect, expect_array, expect_finite, expect_trees_equal
from bpframe.testing.outcome import Check
from bpframe.testing.search import search
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of

STANDARD_ERRORS = 6
ERROR_RATE, KEYS, WIDE = 1e-6, 4_000, 200
FEW = 300
"""Weights whose variance tells nothing."""


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


def varies_with_the_fans(subject: Subject) -> None:
    """The variance is as stated for layers of any shape: narrow, wide, and of kernels."""
    for initialiser in subject.instances:

        def holds(sizes: tuple[int, int, int], initialiser: Any = initialiser) -> None:
            n_in, n_out, side = sizes
            shape = (n_out, side, side, n_in) if side > 1 else (n_out, n_in)
            fans = n_in * side**2, n_out * side**2
            w = np.asarray(initialiser(jax.random.key(7), shape, *fans).w, np.float64)
            given = f"w of shape {shape}, n_in = {fans[0]}, n_out = {fans[1]}, {initialiser}"
            expect(w.shape == shape, "w has another shape", given=given, found=w.shape)
            expect_finite(w, "a weight is not finite", given)
            stated = float(initialiser.variance(*fans))
            if w.size < FEW:
                return
            squares = (w - w.mean()) ** 2
            error = squares.std() / np.sqrt(w.size) + 4 * stated / np.sqrt(min(shape) * w.size)
            expect(
                abs(w.var() - stated) <= STANDARD_ERRORS * error + 1e-12,
                "the weights have another variance than the one stated",
                given=given,
                found=f"{w.var():.6g} (standard error {error:.2g})",
                expected=f"{stated:.6g}",
                method="variance",
            )

        side = st.just(1) if subject.component.by_shape else st.sampled_from([1, 3])
        few = subject.effort._replace(examples=max(4, subject.effort.examples // 3))
        search(few, st.tuples(st.integers(1, 64), st.integers(1, 64), side), holds)


def each_weight_varies(subject: Subject) -> None:
    """Over keys every single weight has the variance that is stated, and not all of them together.

    On average over a layer; the bound is one of six standard errors.
    """
    drawn = jax.jit(jax.vmap(lambda i, key: i(key, (4, 4), 4, 4).w, in_axes=(None, 0)))
    keys = jax.random.split(jax.random.key(8), KEYS)
    for initialiser in subject.instances:
        w = np.asarray(run_traced(drawn, initialiser, keys), np.float64)
        stated = float(initialiser.variance(4, 4))
        squares = (w - w.mean(axis=0)) ** 2
        error = squares.std(axis=0) / np.sqrt(KEYS) + 1e-9
        off = (squares.mean(axis=0) - stated) / error
        worst = np.unravel_index(np.argmax(np.abs(off)), off.shape)
        expect(
            abs(off[worst]) <= STANDARD_ERRORS,
            "over keys a weight has another variance than the one stated",
            given=f"w[{worst[0]}, {worst[1]}] of shape (4, 4) for {KEYS:,} keys, {initialiser}",
            found=f"{squares.mean(axis=0)[worst]:.4g}, with a mean of {w.mean(axis=0)[worst]:.3g}",
            expected=f"{stated:.4g}",
        )


def draws_are_independent(subject: Subject) -> None:
    """No two rows or columns of w are copies of each other, nor are the w of two keys.

    Of so many independent pairs the largest correlation, in standard errors that hold for sparse
    weights too, stays below the bound but for one time in a million. Opposite rows are no copies:
    there are initialisers that mirror neurons.
    """
    for initialiser in subject.instances:
        one, other = (
            np.asarray(initialiser(jax.random.key(k), (WIDE, WIDE), WIDE, WIDE).w, np.float64)
            for k in (0, 1)
        )
        both = np.stack([one.ravel(), other.ravel()])
        shape = f"w of shape ({WIDE}, {WIDE})"
        empty = int(np.sum(~one.any(axis=0)))
        chance = WIDE * float(np.mean(one == 0)) ** WIDE
        expect(
            empty <= stats.poisson.isf(ERROR_RATE, chance),
            "inputs that no neuron sees: sparse weights of all neurons share their inputs",
            given=f"{shape}, {initialiser}",
            found=f"{empty} columns of zeros",
            expected=f"none, as {np.mean(one == 0):.0%} of the weights are 0",
        )
        for name, lines, given in (
            ("rows of w", one, shape),
            ("columns of w", one.T, shape),
            ("rows of |w|", one, shape),
            ("w of two keys", both, "jax.random.key(0) and jax.random.key(1)"),
        ):
            found, pair = _largest_correlation(lines, sizes="|" in name)
            bound = float(stats.norm.isf(ERROR_RATE / (len(lines) * (len(lines) - 1) / 2)))
            expect(
                found <= bound,
                f"two {name} go together; draw w in one piece, or split the key",
                given=f"{given}, {initialiser}",
                found=f"numbers {pair[0]} and {pair[1]} correlate by {found:.1f} standard errors",
                expected=f"at most {bound:.1f}",
            )


def _largest_correlation(lines: np.ndarray, *, sizes: bool) -> tuple[float, tuple[int, int]]:
    """sum x y over the root of sum x^2 y^2, the largest of any two rows, and which they are.

    Of their sizes, where rows that are opposite are left out.
    """
    errors = _in_errors(lines)
    if sizes:
        errors = np.where(errors < -3, 0, _in_errors(np.abs(lines)))
    worst = np.unravel_index(np.argmax(errors), errors.shape)
    return float(errors[worst]), (int(worst[0]), int(worst[1]))


def _in_errors(lines: np.ndarray) -> np.ndarray:
    centred = lines - lines.mean(axis=1, keepdims=True)
    squares = centred**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(np.triu(centred @ centred.T / np.sqrt(squares @ squares.T), 1))


def _expect_independent_draws(params: Params, given: str) -> None:
    """The biases are not drawn like the weights."""
    w, b = (np.asarray(part, np.float64) for part in params)
    if b.std() > 0 and (beside := w.ravel()[: b.size]).std() > 0:
        correlation = float(np.corrcoef(beside, b)[0, 1])
        expect(
            abs(correlation) < STANDARD_ERRORS / np.sqrt(b.size),
            "weights and biases are drawn with the same key; split it",
            given=given,
            found=f"{correlation:.3g}, the correlation of w and b",
            expected="nearly 0",
        )


def _is_random(subject: Subject) -> bool:
    return subject.component.is_random


CHECKS = (
    *components.PURE,
    Check("shapes of a layer", gives_the_shapes_of_a_layer, "__call__"),
    Check("variance is as stated", has_the_stated_variance, "__call__"),
    Check("variance for all shapes", varies_with_the_fans, "__call__"),
    Check(
        "each weight varies",
        each_weight_varies,
        "__call__",
        applies=_is_random,
    ),
    Check("key matters", uses_its_key, "__call__"),
    Check(
        "draws are independent",
        draws_are_independent,
        "__call__",
        applies=_is_random,
    ),
    *components.COMPILED,
)
