"""Properties of activations that are searched: slopes of all magnitudes, sizes, and rounding."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.contracts import ElementwiseActivation
from bpframe.testing import rounding
from bpframe.testing.expect import central_difference, expect, expect_finite
from bpframe.testing.kinks import kinks_of
from bpframe.testing.outcome import Check, CheckFailedError
from bpframe.testing.search import magnitudes, search_instances, vectors
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced

SIZES = (1, 2, 3, 6)
LARGE = 50.0
"""Of coupled neurons; the difference of much larger z is all rounding."""


def is_elementwise(subject: Subject) -> bool:
    """Whether the neurons of a layer are not coupled."""
    return issubclass(subject.component, ElementwiseActivation)


def slope_holds_at_all_magnitudes(subject: Subject) -> None:
    """sigma' is the derivative of sigma from |z| = 1e-30 to 1e30.

    Autodiff is the witness; where it has no answer, or another one, differences are asked, too.
    """

    @jax.jit
    def both(activation: Any, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        exact = jax.vjp(activation, z)[1](jnp.ones_like(z))[0]
        return activation.prime(z), exact

    def holds(z: np.ndarray, activation: Any) -> None:
        kinks = np.asarray(kinks_of(activation))
        results = run_traced(both, activation, jnp.asarray(z))
        found, exact = (np.asarray(part, np.float64) for part in results)
        smooth = np.all(np.abs(z[:, None] - kinks) > 1e-3 * (1 + np.abs(kinks)), axis=1)
        with np.errstate(invalid="ignore"):
            differ = ~(np.abs(found - exact) <= 1e-9 * np.abs(exact) + 1e-11) & smooth
        for place in np.flatnonzero(differ):
            _ask_differences(activation, float(z[place]), float(found[place]), exact[place])

    search_instances(subject, vectors(), holds)


def _ask_differences(activation: Any, z: float, found: float, exact: float) -> None:
    step = 1e-4 * max(1.0, abs(z))
    slope = float(central_difference(lambda at: activation(jnp.asarray(at)), z, step))
    if not np.isfinite(slope) or abs(found - slope) <= 1e-3 * (1 + abs(slope)):
        return
    raise CheckFailedError(
        f"sigma' is not the derivative of sigma, for {activation}",
        given=z,
        found=found,
        expected=exact if np.isfinite(exact) else slope,
        method="prime",
    )


def pullback_holds_for_all_sizes(subject: Subject) -> None:
    """The pullback is J^T v for layers of any size, from the smallest, and finite.

    Neurons that are equal are left out: there it may have corners.
    """

    @jax.jit
    def both(activation: Any, z: jax.Array, v: jax.Array) -> tuple[jax.Array, ...]:
        a, pull = jax.vjp(activation, z)
        return a, activation.pullback(z, v), pull(v)[0]

    for n in sizes(subject):
        apart = 1e-2 * np.sqrt(np.arange(2, n + 2))
        v = jnp.asarray(np.cos(np.arange(n)))

        def holds(z: np.ndarray, activation: Any, apart: Any = apart, v: Any = v) -> None:
            z = z + apart
            results = run_traced(both, activation, jnp.asarray(z), v)
            a, found, exact = (np.asarray(part, np.float64) for part in results)
            given = f"a layer of {len(z)}, z = {np.array2string(z, precision=4)}"
            expect_finite(a, f"sigma is not finite, for {activation}", given, "__call__")
            expect_finite(found, f"the pullback is not finite, for {activation}", given)
            bad = np.isfinite(exact) & (np.abs(found - exact) > 1e-9 * np.abs(exact) + 1e-10)
            worst = int(np.argmax(bad))
            expect(
                not bad.any(),
                f"pullback is not J^T v, J the Jacobian of sigma, for {activation}",
                given=given,
                found=found[worst],
                expected=exact[worst],
            )

        search_instances(subject, vectors(LARGE, n), holds)


def sizes(subject: Subject) -> list[int]:
    """Sizes of layers, from the smallest that makes sense."""
    least = subject.component.min_neurons
    return sorted({max(n, least) for n in SIZES})


def is_finite_for_all_sizes(subject: Subject) -> None:
    """Layers of any size, of equal neurons too, give finite activations and slopes."""

    @jax.jit
    def both(activation: Any, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        return activation(z), activation.pullback(z, jnp.ones_like(z))

    for n in sizes(subject):

        def holds(value: float, activation: Any, n: int = n) -> None:
            found = run_traced(both, activation, jnp.full(n, value))
            for name, part in zip(("sigma", "the pullback"), found, strict=True):
                expect_finite(
                    part,
                    f"{name} is not finite, for {activation}; if it makes no sense for so few "
                    "neurons, set min_neurons",
                    f"a layer of {n}, all z = {value:g}",
                )

        search_instances(subject, magnitudes(1e4), holds)


def follows_float64(subject: Subject) -> None:
    """sigma and what it carries back are the same in every dtype, but for rounding."""

    @jax.jit
    def both(activation: Any, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        return activation(z), activation.pullback(z, jnp.ones_like(z))

    largest, n = (1e4, 32) if is_elementwise(subject) else (8.0, 6)

    def holds(z: np.ndarray, activation: Any) -> None:
        if activation not in subject.instances:  # ten times a frequency loses a digit more
            return
        what = (("sigma", "__call__"), ("sigma'", "prime/pullback"))
        for dtype in rounding.NARROW:
            narrow = jnp.asarray(z, dtype)
            given = np.asarray(narrow, np.float64)
            rounding.expect_follows(
                both, activation, (narrow,), dtype, what, given=given, shifts=(-8, -1, 1, 8)
            )

    search_instances(subject, vectors(largest, n), holds)


CHECKS = (
    Check(
        "slope holds at all magnitudes",
        slope_holds_at_all_magnitudes,
        "prime",
        applies=is_elementwise,
    ),
    Check(
        "pullback holds for all sizes",
        pullback_holds_for_all_sizes,
        "pullback",
        applies=lambda s: not is_elementwise(s),
    ),
    Check("finite for all sizes", is_finite_for_all_sizes, "__call__"),
    Check("same in every dtype", follows_float64, "prime/pullback"),
)
