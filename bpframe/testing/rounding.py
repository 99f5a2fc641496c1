"""Results in float32 and bfloat16 beside those in float64, with bounds that come from the dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.testing.outcome import CheckFailedError
from bpframe.testing.tracing import run_traced

NARROW = ("float32", "bfloat16")
ROUNDINGS = 16
"""So many roundings of the largest part may be off, and what rounding the input does, so often."""


def eps(dtype: str) -> float:
    """The distance from 1 to the next number."""
    return float(jnp.finfo(dtype).eps)


def narrowed(values: Any, dtype: str) -> Any:
    """The float arrays of a pytree in a dtype."""
    return jax.tree.map(lambda part: jnp.asarray(part, dtype) if _is_float(part) else part, values)


def widened(values: Any) -> Any:
    """The float arrays of a pytree in float64."""
    return jax.tree.map(
        lambda part: jnp.asarray(part, jnp.float64) if _is_float(part) else part, values
    )


def _is_float(part: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(part), jnp.floating)


def expect_near(
    found: Any,
    exact: Any,
    sensitivity: Any,
    dtype: str,
    problem: str,
    *,
    given: Any,
    method: str | None = None,
    floor: float = 1.0,
) -> None:
    """`found` in a narrow dtype is `exact` but for rounding.

    Args:
        found: what came out.
        exact: the same in float64, at the same input.
        sensitivity: by how much rounding the input changes it.
        dtype: that of `found`.
        problem: what is wrong otherwise.
        given: the input, shaped like `found` or not.
        method: where to look.
        floor: what is as good as 0 is this times the roundings.

    """
    found, exact = (np.asarray(part, np.float64) for part in (found, exact))
    bound = ROUNDINGS * (eps(dtype) * (floor + np.abs(exact)) + np.asarray(sensitivity, np.float64))
    largest = float(jnp.finfo(dtype).max) / 4
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(found - exact) <= bound) & (np.abs(exact) < largest)
    if not bad.any():
        return
    worst = np.unravel_index(np.argmax(bad), bad.shape)
    is_alike = isinstance(given, np.ndarray | jax.Array) and given.shape == found.shape
    raise CheckFailedError(
        f"{problem} in {dtype}",
        given=np.asarray(given, np.float64)[worst] if is_alike else given,
        found=found[worst],
        expected=f"{exact[worst]:.6g} +- {float(np.broadcast_to(bound, bad.shape)[worst]):.1g}, "
        "as in float64",
        method=method,
    )


def expect_follows(
    program: Any,
    part: Any,
    narrow: tuple[Any, ...],
    dtype: str,
    what: Sequence[tuple[str, str]],
    *,
    given: Any,
    shifts: Sequence[int] = (-1, 1),
    share: float = 0.0,
) -> None:
    """What a program gives of a component in a narrow dtype is what it gives in float64.

    Args:
        program: compiled, of the component and the inputs.
        part: the component.
        narrow: the inputs, the first of which is moved to see what rounding it does.
        dtype: theirs.
        what: of each leaf of the result, what it is and the method to look at.
        given: as messages show the input.
        shifts: by so many roundings it is moved.
        share: of the largest value that may be lost, in roundings.

    """
    first, *others = widened(narrow)
    step = eps(dtype)
    exact = _leaves(program, part, first, others)
    moved = [
        _leaves(program, part, jax.tree.map(lambda p, s=s: p * (1 + s * step), first), others)
        for s in shifts
    ]
    found = _leaves(program, part, narrow[0], narrow[1:])
    for place, (name, method) in enumerate(what):
        change = sum(np.abs(leaves[place] - exact[place]) for leaves in moved)
        change = np.where(np.isfinite(change), change, np.inf)
        expect_near(
            found[place],
            exact[place],
            change + share * step * np.abs(exact[place]).max(initial=0),
            dtype,
            f"{name} is lost to rounding, for {part}",
            given=given,
            method=method,
        )


def _leaves(program: Any, part: Any, first: Any, others: Any) -> list[np.ndarray]:
    found = jax.tree.leaves(run_traced(program, part, first, *others))
    return [np.asarray(leaf, np.float64) for leaf in found]
