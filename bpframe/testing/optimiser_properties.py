"""Properties of optimisers that are searched: downhill in each part, zeros, rounding, long runs."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from bpframe.testing import rounding
from bpframe.testing.expect import expect, expect_finite
from bpframe.testing.outcome import Check
from bpframe.testing.parameters import AllParams, some_params, some_step
from bpframe.testing.search import search, vectors
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced
from bpframe.training.precision import precision

SIZES = (3, 4, 2)
STEPS, LONG = 4, 3_000
TINY = 1e-12


@functools.cache
def _flat() -> tuple[int, Any]:
    """The number of parameters, and what makes a pytree of so many numbers."""
    flat, unflatten = ravel_pytree(some_params(1, sizes=SIZES))
    return flat.size, unflatten


@jax.jit
def _trained(optimiser: Any, params: AllParams, gradients: AllParams) -> AllParams:
    """The parameters after each of some steps, with an axis in front as `gradients` have it."""

    def step(carry: Any, gradient: AllParams) -> Any:
        params, state = carry
        moved, state = optimiser.update(gradient, state, params, some_step(params))
        return (moved, state), moved

    return jax.lax.scan(step, (params, optimiser.init(params)), gradients)[1]


def _parts(params: AllParams) -> list[tuple[str, jax.Array]]:
    """The arrays by what a message calls them."""
    return [
        (f"{name} of layer {number}", getattr(own, name))
        for number, own in enumerate(params, start=2)
        for name in ("w", "b")
    ]


def goes_downhill_in_each_part(subject: Subject) -> None:
    """With a gradient in one array alone, of whatever size, the first step there goes downhill."""
    params = some_params(1, sizes=SIZES)
    for optimiser in subject.instances:
        for index, (part, own) in enumerate(_parts(params)):

            def holds(
                values: np.ndarray, optimiser: Any = optimiser, index: int = index, part: str = part
            ) -> None:
                leaves, structure = jax.tree.flatten(params)
                g = values[: leaves[index].size].reshape(leaves[index].shape)
                zeros = [jnp.zeros_like(leaf) for leaf in leaves]
                zeros[index] = jnp.asarray(g)
                gradient = jax.tree.unflatten(structure, zeros)
                once = jax.tree.map(lambda leaf: leaf[None], gradient)
                moved = jax.tree.leaves(run_traced(_trained, optimiser, params, once))[index][0]
                step = np.asarray(moved) - np.asarray(leaves[index])
                given = f"a gradient in {part} alone, {np.array2string(g.ravel(), precision=3)}"
                expect_finite(moved, f"a parameter is not finite, for {optimiser}", given)
                slope = float(np.sum(np.sign(g) * step * np.abs(g) / max(np.abs(g).max(), 1e-300)))
                expect(
                    slope <= 1e-12 * np.abs(step).max(initial=0),
                    f"the first step goes uphill in {part}, for {optimiser}",
                    given=given,
                    found=f"<gradient, step> above 0 ({slope:.3g}, of a gradient scaled to 1)",
                    expected="at most 0; if steps are noisy by intention, set is_noisy = True",
                )

            search(subject.effort, vectors(1e8, own.size), holds)


def takes_zeros_as_small(subject: Subject) -> None:
    """An entry of the gradient that is exactly 0 is treated as a very small one.

    The step lies between those for +-1e-12, with all that momentum remembers.
    """
    rng = np.random.default_rng(5)
    n, unflatten = _flat()
    base = rng.normal(size=(STEPS, n))
    params = some_params(1, sizes=SIZES)
    unflatten = jax.vmap(unflatten)
    for optimiser in subject.instances:

        def holds(values: np.ndarray, optimiser: Any = optimiser) -> None:
            is_zero = values == 0
            is_zero[0] = True
            results = []
            for small in (0.0, TINY, -TINY):
                gradients = base.copy()
                gradients[-1] = np.where(is_zero, small, gradients[-1])
                moved = run_traced(_trained, optimiser, params, unflatten(jnp.asarray(gradients)))
                results.append(
                    np.concatenate([np.ravel(leaf[-1]) for leaf in jax.tree.leaves(moved)])
                )
            at, *beside = results
            low, high = np.minimum(*beside), np.maximum(*beside)
            slack = 1e-7 * (1e-3 + np.abs(high - low) + np.abs(at))
            bad = is_zero & ~((at >= low - slack) & (at <= high + slack))
            worst = int(np.argmax(bad))
            expect(
                not bad.any(),
                f"a gradient of exactly 0 is treated unlike a very small one, for {optimiser}",
                given=f"step {STEPS}, in which the gradient of parameter {worst} is 0",
                found=at[worst],
                expected=f"between {low[worst]:.8g} and {high[worst]:.8g}, as for +-{TINY:g}",
            )

        search(subject.effort, vectors(1e3, n), holds)


def follows_float64(subject: Subject) -> None:
    """Some steps in float32 lead where they lead in float64, but for rounding."""
    wide = some_params(1, sizes=SIZES)
    rng = np.random.default_rng(6)
    n, unflatten = _flat()
    signs = rng.uniform(0.5, 1.5, (STEPS, n)) * rng.choice([-1.0, 1.0], n)
    for optimiser in subject.instances:

        def holds(values: np.ndarray, optimiser: Any = optimiser) -> None:
            size = 10.0 ** (6 * np.tanh(values[0] / 4))
            step = rounding.eps("float32")
            base = jax.vmap(unflatten)(jnp.asarray(size * signs))
            narrow, start = (rounding.narrowed(part, "float32") for part in (base, wide))
            exact, up, down = (
                run_traced(
                    _trained,
                    optimiser,
                    rounding.widened(start),
                    jax.tree.map(lambda g, s=s: g * (1 + s * step), rounding.widened(narrow)),
                )
                for s in (0, 1, -1)
            )
            with precision("float32"):
                found = run_traced(_trained, optimiser, start, narrow)
            for leaf, middle, one, other in zip(
                *(jax.tree.leaves(tree) for tree in (found, exact, up, down)), strict=True
            ):
                middle = np.asarray(middle)
                rounding.expect_near(
                    leaf,
                    middle,
                    4 * sum(np.abs(np.asarray(each) - middle) for each in (one, other)),
                    "float32",
                    f"steps are lost to rounding, for {optimiser}",
                    given=f"{STEPS} steps with gradients of a size of {size:.1g}",
                )

        search(
            subject.effort._replace(examples=max(3, subject.effort.examples // 4)),
            vectors(10, 1),
            holds,
        )


def stays_finite_for_long(subject: Subject) -> None:
    """After thousands of steps with one gradient parameters and state are finite."""
    optimiser, params = subject.default, some_params(1, "float32", SIZES)
    gradient = jax.tree.map(lambda p: 1e-3 * p, some_params(2, "float32", SIZES))

    @jax.jit
    def run(optimiser: Any, params: AllParams, gradient: AllParams) -> Any:
        def step(_: Any, carry: Any) -> Any:
            params, state = carry
            return optimiser.update(gradient, state, params, some_step(params))

        return jax.lax.fori_loop(0, LONG, step, (params, optimiser.init(params)))

    with precision("float32"):
        params, state = run_traced(run, optimiser, params, gradient)
    for what, tree in (("a parameter", params), ("the state", state)):
        for leaf in jax.tree.leaves(tree):
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                expect_finite(
                    leaf, f"{what} is not finite", f"{LONG:,} steps with one gradient, {optimiser}"
                )


def is_exact(subject: Subject) -> bool:
    """Whether its steps are not noisy by intention."""
    return not subject.component.is_noisy


CHECKS = (
    Check("downhill in each part", goes_downhill_in_each_part, "update", applies=is_exact),
    Check("zeros are small gradients", takes_zeros_as_small, "update", applies=is_exact),
    Check("same in every dtype", follows_float64, "update", applies=is_exact),
    Check("finite for long", stays_finite_for_long, "update"),
)
