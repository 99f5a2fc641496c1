"""Comparisons that say where two values differ."""

from __future__ import annotations

from collections.abc import Iterator
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
    place = _input_at(worst, given, found.shape)
    expect(
        excess[worst] <= 0,
        problem,
        given=place,
        found=found[worst],
        expected=expected[worst],
        method=method,
    )


def _input_at(place: Any, given: Any, shape: tuple[int, ...]) -> Any:
    """The entry of an input that belongs to one of the output, where they have one shape."""
    if isinstance(given, np.ndarray | jax.Array) and given.shape == shape:
        return np.asarray(given)[place]
    return given


def expect_trees_equal(found: Any, expected: Any, problem: str, **values: Any) -> None:
    """Two pytrees have the same structure and, leaf by leaf, the same bits."""
    for place, one, other in _leaf_by_leaf(found, expected, problem):
        one, other = np.asarray(one), np.asarray(other)
        same = one.shape == other.shape and one.dtype == other.dtype
        shown = (one, other)
        if same:
            differ = ~((one == other) | ((one != one) & (other != other)))  # NaN equals NaN here
            same = not differ.any()
            worst = np.unravel_index(np.argmax(differ), differ.shape)
            shown = (one[worst], other[worst])
        expect(same, f"{problem}{place}", found=shown[0], expected=shown[1], **values)


def expect_trees_close(found: Any, expected: Any, problem: str, **more: Any) -> None:
    """Two pytrees have the same structure and nearly the same leaves."""
    for place, one, other in _leaf_by_leaf(found, expected, problem):
        expect_close(one, other, f"{problem}{place}", **more)


def _leaf_by_leaf(found: Any, expected: Any, problem: str) -> Iterator[tuple[str, Any, Any]]:
    """The leaves of two pytrees of one structure, with where they stand in it."""
    structures = jax.tree.structure(found), jax.tree.structure(expected)
    expect(
        structures[0] == structures[1],
        f"{problem}: another structure",
        found=structures[0],
        expected=structures[1],
    )
    pairs = zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True)
    for (path, one), other in pairs:
        place = f", in {jax.tree_util.keystr(path)}" if path else ""
        yield place, key_data(one), key_data(other)


def key_data(leaf: Any) -> Any:
    """A leaf as it is, or the numbers of a typed JAX key."""
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def expect_finite(value: Any, problem: str, given: Any = None, method: str | None = None) -> None:
    """Every value is finite; else the first that is not."""
    array = np.asarray(value, np.float64)
    bad = ~np.isfinite(array)
    if bad.any():
        place = np.unravel_index(np.argmax(bad), array.shape)
        at = _input_at(place, given, array.shape)
        raise CheckFailedError(
            problem, given=at, found=array[place], expected="a finite number", method=method
        )


def expect_no_nan(value: Any, problem: str, given: Any = None, method: str | None = None) -> None:
    """No value is NaN; else the first that is."""
    array = np.asarray(value, np.float64)
    bad = np.isnan(array)
    if bad.any():
        place = np.unravel_index(np.argmax(bad), array.shape)
        at = _input_at(place, given, array.shape)
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
