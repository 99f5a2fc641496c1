"""Comparisons that say where two values differ."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.testing.outcome import CheckFailedError


def expect(holds: Any, problem: str, **values: Any) -> None:
    """Raise CheckFailedError with these values unless `holds`."""
    if not bool(holds):
        raise CheckFailedError(problem, **values)


def expect_array(value: Any, shape: tuple[int, ...], dtype: Any, what: str, **values: Any) -> None:
    """`value` is an array of this shape and dtype."""
    is_array = isinstance(value, jax.Array | np.ndarray | jax.ShapeDtypeStruct)
    expect(
        is_array,
        f"{what} is no array",
        **values,
        found=type(value).__name__,
        expected="a jax.Array",
    )
    expect(
        value.shape == shape,
        f"{what} has another shape",
        **values,
        found=f"shape {value.shape}",
        expected=f"shape {shape}",
    )
    expect(
        value.dtype == jnp.dtype(dtype),
        f"{what} has another dtype",
        **values,
        found=str(value.dtype),
        expected=str(jnp.dtype(dtype)),
    )


def expect_close(
    found: Any,
    expected: Any,
    problem: str,
    *,
    given: Any = None,
    rtol: float = 1e-9,
    atol: float = 1e-12,
    method: str | None = None,
) -> None:
    """Two arrays agree to rtol of each value plus atol of the largest; else the worst place."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    expect(
        found.shape == expected.shape,
        f"{problem}: another shape",
        given=given,
        found=f"shape {found.shape}",
        expected=f"shape {expected.shape}",
        method=method,
    )
    if not found.size:
        return
    finite = np.abs(expected[np.isfinite(expected)])
    bound = rtol * np.abs(expected) + atol * max(1.0, finite.max(initial=0.0))
    with np.errstate(invalid="ignore"):
        excess = np.abs(found - expected) - bound
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    excess = np.where(same, -np.inf, np.where(np.isnan(excess), np.inf, excess))
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    place = np.asarray(given)[worst] if np.shape(given) == found.shape else given
    expect(
        excess[worst] <= 0,
        problem,
        given=place,
        found=found[worst],
        expected=expected[worst],
        method=method,
    )


def expect_trees_equal(found: Any, expected: Any, problem: str, **values: Any) -> None:
    """Two pytrees have the same structure and, leaf by leaf, the same bits."""
    structures = jax.tree.structure(found), jax.tree.structure(expected)
    expect(
        structures[0] == structures[1],
        f"{problem}: another structure",
        found=structures[0],
        expected=structures[1],
        **values,
    )
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        one, other = np.asarray(one), np.asarray(other)
        same = one.shape == other.shape and one.dtype == other.dtype
        equal_nan = one.dtype.kind in "fc"
        same = same and np.array_equal(one, other, equal_nan=equal_nan)
        expect(same, problem, found=one, expected=other, **values)


def expect_trees_close(found: Any, expected: Any, problem: str, **tolerance: float) -> None:
    """Two pytrees have the same structure and nearly the same leaves."""
    expect(
        jax.tree.structure(found) == jax.tree.structure(expected),
        f"{problem}: another structure",
        found=jax.tree.structure(found),
        expected=jax.tree.structure(expected),
    )
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        expect_close(one, other, problem, **tolerance)  # pyright: ignore[reportArgumentType]


def expect_finite(value: Any, problem: str, given: Any = None, method: str | None = None) -> None:
    """Every value is finite; else the first that is not."""
    array = np.asarray(value, np.float64)
    bad = ~np.isfinite(array)
    if bad.any():
        place = np.unravel_index(np.argmax(bad), array.shape)
        at = np.asarray(given, np.float64)[place] if np.shape(given) == array.shape else given
        raise CheckFailedError(
            problem, given=at, found=array[place], expected="a finite number", method=method
        )


def expect_no_nan(value: Any, problem: str, given: Any = None, method: str | None = None) -> None:
    """No value is NaN; else the first that is."""
    array = np.asarray(value, np.float64)
    bad = np.isnan(array)
    if bad.any():
        place = np.unravel_index(np.argmax(bad), array.shape)
        at = np.asarray(given, np.float64)[place] if np.shape(given) == array.shape else given
        raise CheckFailedError(
            problem, given=at, found=array[place], expected="no NaN", method=method
        )


def central_difference(function: Any, at: np.ndarray | float, h: float) -> np.ndarray:
    """The derivative of an elementwise function by four points, exact up to h^4."""
    near = np.asarray(function(at + h), np.float64) - np.asarray(function(at - h), np.float64)
    far = np.asarray(function(at + 2 * h), np.float64) - np.asarray(
        function(at - 2 * h), np.float64
    )
    return (8 * near - far) / (12 * h)


def expect_arrays(tree: Any, what: str, method: str) -> None:
    """Every leaf of a pytree is an array."""
    for leaf in jax.tree.leaves(tree):
        expect(
            isinstance(leaf, jax.Array | np.ndarray),
            f"{what} holds something that is no array",
            found=f"{type(leaf).__name__}: {leaf!r}",
            expected="a pytree of jax.Arrays: tuples, dicts, NamedTuples",
            method=method,
        )


def expect_same_shapes(after: Any, before: Any, what: str) -> None:
    """Two pytrees agree in structure, shapes and dtypes."""
    shapes = [
        (
            jax.tree.structure(tree),
            [(jnp.shape(x), jnp.result_type(x)) for x in jax.tree.leaves(tree)],
        )
        for tree in (after, before)
    ]
    expect(
        shapes[0] == shapes[1],
        f"{what} changes its structure, shapes or dtypes",
        found=shapes[0],
        expected=shapes[1],
    )
