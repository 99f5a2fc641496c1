"""Properties of optimisers that are searched: downhill in each part, zeros, rounding, long runs."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from bpframe.learning import Optimiser, TrainingStep
from bpframe.testing import rounding
from bpframe.testing.expect import expect, expect_finite
from bpframe.testing.outcome import Check
from bpframe.testing.parameters import AllParams, some_params, some_step
from bpframe.testing.search import search, vectors
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced
from bpframe.training.precision import precision

SIZES = (3, 3, 3)
FEW, STEPS, LONG = 4, 24, 3_000
"""Steps for rounding; of every program, so that all checks share it; and for what grows."""
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
    """With a gradient in one array alone, of whatever size, the first step there goes downhill.

    Where parameters decay by themselves, it is compared with the step without a gradient.
    """
    params = some_params(1, sizes=SIZES)
    leaves, structure = jax.tree.flatten(params)
    zeros = [np.zeros(leaf.shape) for leaf in leaves]
    names = [name for name, _ in _parts(params)]
    is_noisy = not draws_nothing(subject)

    def moved(optimiser: Any, parts: list[np.ndarray]) -> list[np.ndarray]:
        padded = [np.concatenate([p[None], np.zeros((STEPS - 1, *p.shape))]) for p in parts]
        gradients = jax.tree.unflatten(structure, list(map(jnp.asarray, padded)))
        found = run_traced(_trained, optimiser, params, gradients)
        return [np.asarray(leaf[0]) for leaf in jax.tree.leaves(found)]

    for optimiser in subject.instances:
        for index, (part, own) in enumerate(_parts(params)):
            still = moved(optimiser, zeros)

            def holds(
                values: np.ndarray,
                optimiser: Any = optimiser,
                index: int = index,
                part: str = part,
                still: list[np.ndarray] = still,
            ) -> None:
                g = values.reshape(still[index].shape)
                after = moved(optimiser, [*zeros[:index], g, *zeros[index + 1 :]])
                found = after[index]
                given = f"a gradient in {part} alone, {np.array2string(values, precision=3)}"
                expect_finite(found, f"a parameter is not finite, for {optimiser}", given)
                step = found - still[index]
                for other in range(len(after)):
                    expect(
                        is_noisy
                        or other // 2 == index // 2
                        or np.allclose(after[other], still[other], 1e-9),
                        f"a gradient in {part} alone moves another layer, for {optimiser}",
                        given=given,
                        found=f"a step of {names[other]}",
                        expected="no step there",
                    )
                slope = float(np.sum(g / max(np.abs(g).max(), 1e-300) * step))
                expect(
                    slope <= 1e-9 * np.abs(step).max(initial=0),
                    f"the first step goes uphill in {part}, for {optimiser}",
                    given=given,
                    found=f"<gradient, step> = {slope:.3g}, of a gradient scaled to 1",
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


def leaves_from_zero(subject: Subject) -> None:
    """Arrays that are 0, as biases are at the start, move where there is a gradient."""
    params = jax.tree.map(jnp.zeros_like, some_params(1, sizes=SIZES))
    gradients = jax.tree.map(lambda g: jnp.stack([g] * STEPS), some_params(2, sizes=SIZES))
    for optimiser in subject.instances:
        moved = run_traced(_trained, optimiser, params, gradients)
        for part, array in _parts(jax.tree.map(lambda leaf: leaf[-1], moved)):
            expect(
                np.any(np.asarray(array) != 0),
                f"{part} stays at 0 whatever the gradient",
                given=f"{STEPS} steps from parameters of 0, {optimiser}",
                found="0 everywhere",
                expected="a step downhill",
            )


def has_no_news_without_a_gradient(subject: Subject) -> None:
    """Where the first step without a gradient changes nothing, a later one does not either."""
    params = some_params(1, sizes=SIZES)
    nothing = jax.tree.map(lambda p: jnp.zeros((STEPS, *p.shape)), params)
    for optimiser in subject.searched:
        moved = run_traced(_trained, optimiser, params, nothing)
        for (part, path), own in zip(_parts(moved), jax.tree.leaves(params), strict=True):
            steps = np.asarray(path) - np.asarray(own)
            if np.any(steps[0]):  # parameters that decay
                continue
            late = np.flatnonzero(np.abs(steps).reshape(STEPS, -1).max(axis=1) > 1e-9)
            expect(
                not late.size,
                f"{part} moves without a gradient",
                given=f"{STEPS} steps with a gradient of 0, {optimiser}",
                found=f"a change in step {late[0] + 1 if late.size else 0}, and none before",
                expected="no change: what is kept besides starts at the parameters",
                method="init",
            )


class Marked(Optimiser):
    """Gradient descent whose parameters for evaluation are all 7: the kit's own."""

    eta: float = 0.1

    def init(self, params: AllParams) -> Any:
        """The number of steps."""
        del params
        return jnp.zeros((), jnp.int32)

    def update(self, gradient: Any, state: Any, params: Any, step: TrainingStep) -> Any:
        """w - eta g."""
        del step
        return jax.tree.map(lambda p, g: p - self.eta * g, params, gradient), state + 1

    def evaluated(self, state: Any, params: AllParams) -> AllParams:
        """7."""
        del state
        return jax.tree.map(lambda p: jnp.full_like(p, 7.0), params)


def _inner(subject: Subject) -> list[str]:
    """The fields that hold another optimiser."""
    fields = dataclasses.fields(subject.component)
    return [f.name for f in fields if isinstance(getattr(subject.default, f.name), Optimiser)]


def passes_on_what_is_evaluated(subject: Subject) -> None:
    """An optimiser around another one evaluates what that one evaluates, unless it has its own."""
    params = some_params(1, sizes=SIZES)
    for name in _inner(subject):
        optimiser = dataclasses.replace(subject.default, **{name: Marked()})
        state = optimiser.init(params)
        moved, state = optimiser.update(
            some_params(2, sizes=SIZES), state, params, some_step(params)
        )
        found = optimiser.evaluated(state, moved)
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(moved), strict=True)
        has_its_own = not all(np.array_equal(one, other, equal_nan=True) for one, other in pairs)
        expect(
            has_its_own,
            "what the optimiser in it has evaluated is lost",
            given=f"an optimiser in `{name}` whose `evaluated` gives other parameters",
            found="the parameters as they are trained",
            expected=f"self.{name}.evaluated(its state, params)",
            method="evaluated",
        )


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
            for leaf, middle, one, other, first in zip(
                *(jax.tree.leaves(tree) for tree in (found, exact, up, down, start)), strict=True
            ):
                leaf, middle, one, other = (np.asarray(p)[:FEW] for p in (leaf, middle, one, other))
                change = 4 * sum(np.abs(each - middle) for each in (one, other))
                rounding.expect_near(
                    leaf,
                    middle,
                    # 1 - 0.999^t, by which many divide, loses three digits at the start.
                    change + 500 * step * np.abs(middle - np.asarray(first)),
                    "float32",
                    f"steps are lost to rounding, for {optimiser}",
                    given=f"{FEW} steps with gradients of a size of {size:.1g}",
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


def draws_nothing(subject: Subject) -> bool:
    """Whether a step draws no random numbers, which differ between dtypes."""
    if not is_exact(subject):
        return False
    params = some_params(1, sizes=SIZES)

    def step(optimiser: Any) -> Any:
        return optimiser.update(params, optimiser.init(params), params, some_step(params))

    return not any("random_bits" in str(jax.make_jaxpr(step)(each)) for each in subject.instances)


def is_exact(subject: Subject) -> bool:
    """Whether its steps are not noisy by intention."""
    return not subject.component.is_noisy


CHECKS = (
    Check("downhill in each part", goes_downhill_in_each_part, "update", applies=is_exact),
    Check("zeros are small gradients", takes_zeros_as_small, "update", applies=is_exact),
    Check("leaves from zero", leaves_from_zero, "update"),
    Check("no news without a gradient", has_no_news_without_a_gradient, "init", applies=is_exact),
    Check(
        "passes on what is evaluated",
        passes_on_what_is_evaluated,
        "evaluated",
        applies=lambda s: bool(_inner(s)),
    ),
    Check("same in every dtype", follows_float64, "update", applies=draws_nothing),
    Check("finite for long", stays_finite_for_long, "update"),
)
