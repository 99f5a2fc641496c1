"""Properties of costs and output pairs that are searched: sizes, magnitudes and rounding."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from bpframe.testing import rounding
from bpframe.testing.expect import expect_close, expect_finite
from bpframe.testing.outcome import Check, CheckFailedError
from bpframe.testing.search import magnitudes, search_instances
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced

SIZES = (1, 2, 5)
SATURATED = 700.0
"""|z| up to which float64 knows e^z."""


@st.composite
def outputs_and_targets(draw: Any, cost: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """a, of all magnitudes and near the edges of the domain, and y, hard or soft, both (n,)."""
    ends = cost.domain if cost.targets is None else cost.targets
    low, high = cost.domain
    if cost.needs_distribution:
        z = np.array([draw(st.integers(-300, 300)) / 10 for _ in range(n)])
        a = np.exp(z - z.max())
        a /= a.sum()
    else:
        a = np.array([_inside(draw(magnitudes(1e6, 1e-12)), low, high) for _ in range(n)])
    soft = np.array([draw(st.integers(0, 8)) / 8 for _ in range(n)])
    if cost.needs_distribution:
        soft = soft / soft.sum() if soft.sum() else np.eye(n)[0]
        return a, soft
    first, last = (
        end if np.isfinite(end) else 3.0 * sign for end, sign in zip(ends, (-1, 1), strict=True)
    )
    return a, first + (last - first) * soft


def _inside(value: float, low: float, high: float) -> float:
    """A number inside a range, near its ends where the value is small."""
    if np.isfinite(low) and np.isfinite(high):
        share = min(abs(value), 1 / max(abs(value), 1e-12))
        share = min(max(share, 1e-12), 0.5) if value else 0.5
        return low + (high - low) * (share if value > 0 else 1 - share)
    if np.isfinite(low):
        return low + max(abs(value), 1e-12)
    return high - max(abs(value), 1e-12) if np.isfinite(high) else value


def slope_holds_at_all_magnitudes(subject: Subject) -> None:
    """`prime` is the gradient of C for layers of any size, near the edges of the domain too.

    Autodiff is the witness; where it has another answer, differences are asked, too.
    """

    @jax.jit
    def both(cost: Any, a: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
        return cost.prime(a, y), jax.grad(cost)(a, y), cost(a, y)

    for n in sizes(subject.default):

        def holds(pair: tuple[np.ndarray, np.ndarray], cost: Any) -> None:
            a, y = pair
            results = run_traced(both, cost, jnp.asarray(a), jnp.asarray(y))
            found, exact, value = (np.asarray(part, np.float64) for part in results)
            given = _shown("a", a, y)
            what = f"inside the domain, for {cost}"
            expect_finite(value, f"C is not finite {what}", given, "__call__")
            expect_finite(found, f"prime is not finite {what}", given, "prime")
            bound = 1e-8 * np.abs(exact) + 1e-10 * np.abs(exact).max()
            with np.errstate(invalid="ignore"):
                bad = np.flatnonzero(~(np.abs(found - exact) <= bound))
            for place in bad:
                _ask_differences(cost, a, y, int(place), float(found[place]), float(exact[place]))

        search_instances(subject, lambda cost, n=n: outputs_and_targets(cost, n), holds)


def sizes(cost: Any) -> tuple[int, ...]:
    """Sizes of the output layer; a distribution needs two neurons."""
    return tuple(n for n in SIZES if n > 1 or not cost.needs_distribution)


def _ask_differences(
    cost: Any, a: np.ndarray, y: np.ndarray, place: int, found: float, exact: float
) -> None:
    low, high = cost.domain
    step = 1e-5 * min(max(1.0, abs(a[place])), a[place] - low, high - a[place])
    target = jnp.asarray(y)

    def slope(side: float) -> float:
        moved = a.copy()
        moved[place] += side * step
        return (float(cost(jnp.asarray(moved), target)) - float(cost(jnp.asarray(a), target))) / (
            side * step
        )

    sides = sorted((slope(-1.0), slope(1.0)))
    slack = 1e-3 * (max(map(abs, sides)) + 1e-6)
    if sides[0] - slack <= found <= sides[1] + slack:  # at a corner, one of its slopes
        return
    raise CheckFailedError(
        f"prime is not the gradient of C, for {cost}",
        given=_shown("a", a, y),
        found=f"{found:.8g} for neuron {place}",
        expected=f"{exact:.8g}",
        method="prime",
    )


def follows_float64(subject: Subject) -> None:
    """C and its gradient are the same in every dtype, but for rounding."""
    both = jax.jit(lambda cost, a, y: (cost(a, y), cost.prime(a, y)))

    def holds(pair: tuple[np.ndarray, np.ndarray], cost: Any) -> None:
        a, y = (np.clip(part, -1e3, 1e3) for part in pair)
        low, high = cost.domain
        for dtype in rounding.NARROW:
            narrow = jnp.asarray(a, dtype), jnp.asarray(y, dtype)
            if all(low < float(v) < high for v in narrow[0].astype(jnp.float64)):
                _expect_follows(
                    both, cost, narrow, dtype, (("C", "__call__"), ("grad_a C", "prime")), "a"
                )

    search_instances(subject, lambda cost: outputs_and_targets(cost, 3), holds)


def _expect_follows(
    program: Any, part: Any, narrow: tuple[Any, Any], dtype: str, what: Any, name: str
) -> None:
    wide = (np.asarray(array, np.float64) for array in narrow)
    given = _shown(name, *wide)
    rounding.expect_follows(program, part, narrow, dtype, what, given=given, share=1)


@st.composite
def inputs_and_targets(draw: Any, pair: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """z, up to saturation, and y, hard or soft, both (n,)."""
    z = np.array([draw(magnitudes(SATURATED, 1e-3)) for _ in range(n)])
    _, y = draw(outputs_and_targets(pair.cost_function, n))
    return z, y


def delta_holds_where_neurons_saturate(subject: Subject) -> None:
    """`delta` is the gradient of the pair's own cost for |z| up to 700, for any size."""

    @jax.jit
    def both(pair: Any, z: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
        a = pair.activation(z)
        exact = jax.grad(lambda z: pair.cost(z, pair.activation(z), y))(z)
        return pair.delta(z, a, y), exact, pair.cost(z, a, y)

    for n in (2, 5):

        def holds(given: tuple[np.ndarray, np.ndarray], pair: Any) -> None:
            z, y = given
            # Corners of a cost written with max and abs lie where z is 0 or two z are equal.
            z = z + 1e-3 * np.sqrt(np.arange(2, len(z) + 2))
            results = run_traced(both, pair, jnp.asarray(z), jnp.asarray(y))
            found, exact, value = (np.asarray(part, np.float64) for part in results)
            shown = _shown("z", z, y)
            expect_finite(value, "C is not finite", shown, "cost")
            expect_finite(found, "delta is not finite", shown, "delta")
            known = np.isfinite(exact)
            expect_close(found[known], exact[known], "delta is not dC/dz", given=shown,
                         rtol=1e-8, atol=1e-11, method="delta")  # fmt: skip

        search_instances(subject, lambda pair, n=n: inputs_and_targets(pair, n), holds)


def pair_follows_float64(subject: Subject) -> None:
    """delta and C are the same in every dtype, but for rounding."""

    @jax.jit
    def both(pair: Any, z: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        a = pair.activation(z)
        return pair.delta(z, a, y), pair.cost(z, a, y)

    def holds(given: tuple[np.ndarray, np.ndarray], pair: Any) -> None:
        z, y = given
        for dtype in rounding.NARROW:
            narrow = jnp.asarray(np.clip(z, -90, 90), dtype), jnp.asarray(y, dtype)
            _expect_follows(both, pair, narrow, dtype, (("delta", "delta"), ("C", "cost")), "z")

    search_instances(subject, lambda pair: inputs_and_targets(pair, 3), holds)


def _shown(name: str, first: np.ndarray, y: np.ndarray) -> str:
    one, other = (np.array2string(np.asarray(part, np.float64), precision=6) for part in (first, y))
    return f"{name} = {one}, y = {other}"


COST_CHECKS = (
    Check("slope holds at all magnitudes", slope_holds_at_all_magnitudes, "prime"),
    Check("same in every dtype", follows_float64, "prime"),
)
PAIR_CHECKS = (
    Check("delta holds where neurons saturate", delta_holds_where_neurons_saturate, "delta"),
    Check("same in every dtype", pair_follows_float64, "delta"),
)
