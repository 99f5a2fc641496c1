"""Checks for the kinks of an activation: all are declared, and one-sided there."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.testing.expect import expect
from bpframe.testing.outcome import CheckFailedError
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced

# A dense middle, wide flanks, and the places where people put kinks; shifted so that no point of
# the ranges is a round number.
GRID = np.concatenate(
    [
        np.linspace(-8.0137, 8.0061, 321),
        np.array([-50.3, -30.1, -20.7, -12.9, 12.3, 20.9, 30.7, 50.1]),
        np.array([-6.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 6.0]),
        np.array([-1e-6, 1e-6, -1e-3, 1e-3]),
    ]
)
BESIDE = 1e-9
HALVINGS = 36


def kinks_are_one_sided(subject: Subject) -> None:
    """At each kink sigma' is one of its two one-sided values, and sigma is continuous."""
    for activation in subject.instances:
        for kink in kinks_of(activation):
            sides = [float(activation.prime(jnp.asarray(kink + s * BESIDE))) for s in (-1, 1)]
            at = float(activation.prime(jnp.asarray(kink)))
            expect(
                min(abs(at - side) for side in sides) <= 1e-6 * (1 + abs(at)),
                "sigma' at a kink is neither of its one-sided values",
                given=kink,
                found=at,
                expected=f"{sides[0]:.6g} or {sides[1]:.6g}",
            )
            values = [float(activation(jnp.asarray(kink + s * BESIDE))) for s in (-1, 0, 1)]
            expect(
                max(values) - min(values) <= 10 * BESIDE * (1 + max(map(abs, sides))),
                "sigma jumps at a kink, where only sigma' may",
                given=kink,
                found=values[2],
                expected=values[0],
                method="__call__",
            )


def kinks_are_declared(subject: Subject) -> None:
    """Where sigma' jumps, `kinks` says so: every step of a grid is halved towards its jump."""
    prime = jax.jit(lambda activation, z: activation.prime(z))
    for activation in subject.instances:
        known = np.asarray(kinks_of(activation))
        grid = np.unique(np.concatenate([GRID, known]))
        place, left, right = _jumps(lambda z, f=activation: run_traced(prime, f, z), grid)
        beside = 2 * BESIDE * (1 + np.abs(known))
        missed = ~np.any(np.abs(place[:, None] - known) <= beside, axis=1)
        if missed.any():
            first = int(np.argmax(missed))
            raise CheckFailedError(
                f"sigma' jumps where `kinks` names no kink, for {activation}",
                given=f"{place[first]:.6g}",
                found=f"{left[first]:.6g} on the left, {right[first]:.6g} on the right",
                expected=f"this place in `kinks`, which is {activation.kinks}",
            )


def _jumps(prime: Any, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where sigma' jumps between points of a grid, with its values on the left and right."""
    low, high = grid[:-1], grid[1:]
    at_low, at_high = (np.asarray(prime(jnp.asarray(z)), np.float64) for z in (low, high))
    with np.errstate(invalid="ignore"):  # where sigma' is infinite, other checks say so
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            at = np.asarray(prime(jnp.asarray(middle)), np.float64)
            is_left = np.abs(at - at_low) > np.abs(at_high - at)
            low, high = np.where(is_left, low, middle), np.where(is_left, middle, high)
            at_low, at_high = np.where(is_left, at_low, at), np.where(is_left, at, at_high)
        jumps = np.abs(at_high - at_low) > 1e-6 * (1 + np.abs(at_low))
    return high[jumps], at_low[jumps], at_high[jumps]


def kinks_of(activation: Any) -> tuple[float, ...]:
    """The kinks that an activation names, a tuple of numbers."""
    kinks = activation.kinks
    expect(
        isinstance(kinks, tuple) and all(isinstance(k, int | float) for k in kinks),
        "kinks is no tuple of numbers; make it a property that returns one",
        found=kinks,
        expected="(0.0,)",
        method="kinks",
    )
    return kinks


def away_from(kinks: tuple[float, ...], z: np.ndarray, distance: float) -> np.ndarray:
    """Those of z that are further than `distance` from every kink."""
    far = np.ones(z.size, bool)
    for kink in kinks:
        far &= np.abs(z - kink) > distance
    return z[far]
