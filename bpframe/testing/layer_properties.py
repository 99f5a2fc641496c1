"""Properties of layers that are searched: shapes before them, sizes, zeros, and rounding."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from bpframe.contracts import Shape
from bpframe.testing import rounding
from bpframe.testing.expect import expect_finite, expect_trees_close
from bpframe.testing.outcome import Check, CheckFailedError
from bpframe.testing.places import ODD, Place, places
from bpframe.testing.search import search_instances
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced


@jax.jit
def _all_ways(place: Place) -> tuple[Any, Any]:
    """What goes forward and back and what is summed, beside autodiff's."""

    def forward(a_prev: jax.Array, params: Any) -> Any:
        return place.forward(a_prev, params)

    z, pull, kept = jax.vjp(forward, place.a_prev, place.params, has_aux=True)
    carried, gradient = pull(place.delta)
    given = (place.params, place.a_prev, kept, place.delta)
    carry = jax.vmap(place.layer.carry, in_axes=(None, 0, 0, 0))(*given)
    return (z, carry, place.layer.gradient(*given)), (z, carried, gradient)


def holds_for_all_sizes(subject: Subject) -> None:
    """`carry` and `gradient` are right after layers of any shape, for one example, at any size.

    Half of the neurons may have parameters that are 0.
    """

    def holds(chosen: tuple[Shape, int, float, bool], layer: Any) -> None:
        shape, m, size, is_sparse = chosen
        for place in places(layer, (shape,), m, size):
            place = dataclasses.replace(place, params=_sparse(place.params)) if is_sparse else place
            found, expected = run_traced(_all_ways, place)
            given = f"{place.given}, {m} examples of size {size:g}"
            given += ", parameters of 0 for half of the neurons" if is_sparse else ""
            for leaf in jax.tree.leaves(found[0]):
                expect_finite(leaf, "z is not finite", given, "forward")
            for which, name in ((1, "carry"), (2, "gradient")):
                try:
                    expect_trees_close(
                        found[which],
                        expected[which],
                        f"{name} is not that of forward",
                        given=given,
                        rtol=1e-9,
                        atol=1e-10,
                        method=name,
                    )
                except CheckFailedError:
                    if _is_finite(expected[which]) and not _is_at_a_corner(place):
                        raise

    inputs = st.tuples(
        st.sampled_from(ODD),
        st.sampled_from([2, 1]),
        st.sampled_from([1.0, 1e-6, 1e4]),
        st.booleans(),
    )
    few = subject.effort._replace(examples=max(3, subject.effort.examples // 4))
    search_instances(dataclasses.replace(subject, effort=few), inputs, holds)


def _is_finite(tree: Any) -> bool:
    """Whether autodiff has an answer: of a maximum that XLA rounds in two ways it may have none.

    It divides by how many entries equal the maximum, and is infinite where none does.
    """
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


def _is_at_a_corner(place: Place) -> bool:
    """Whether sum delta z has two slopes there, as at a maximum's tie, and autodiff one of many."""
    rng = np.random.default_rng(0)
    both = (place.params, place.a_prev)
    along = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), both)
    size = float(jnp.max(jnp.abs(place.a_prev)))

    @jax.jit
    def value(t: float) -> jax.Array:
        params, a_prev = jax.tree.map(lambda p, v: p + t * v, both, (along[0], along[1] * size))
        return jnp.sum(place.delta * place.forward(a_prev, params)[0])

    step = 1e-7
    left, right = (float(value(s * step) - value(0.0)) / (s * step) for s in (-1, 1))
    return abs(right - left) > 1e-4 * (max(abs(left), abs(right)) + size**2)


def _sparse(params: Any) -> Any:
    """The parameters of every second neuron are 0."""

    def sparse(part: jax.Array) -> jax.Array:
        is_kept = jnp.arange(len(part)) % 2
        return part * is_kept.reshape(-1, *([1] * (part.ndim - 1)))

    return jax.tree.map(sparse, params)


def follows_float64(subject: Subject) -> None:
    """What goes forward and back is the same in every dtype, but for rounding."""
    for layer in subject.instances[:2]:
        for place in itertools.islice(places(layer), 1):
            if "random_bits" in str(jax.make_jaxpr(place.forward)(place.a_prev)):
                continue  # other numbers are drawn in another dtype
            for dtype in rounding.NARROW:
                arrays = rounding.narrowed((place.params, place.a_prev, place.delta), dtype)
                narrow, wide = (
                    dataclasses.replace(place, params=p, a_prev=a, delta=d)
                    for p, a, d in (arrays, rounding.widened(arrays))
                )
                (found, _), (exact, _) = (run_traced(_all_ways, each) for each in (narrow, wide))
                for leaf, middle in zip(
                    jax.tree.leaves(found), jax.tree.leaves(exact), strict=True
                ):
                    largest = float(np.abs(np.asarray(middle)).max(initial=0))
                    rounding.expect_near(
                        leaf,
                        middle,
                        rounding.eps(dtype) * largest,
                        dtype,
                        "z, carry or gradient is lost to rounding",
                        given=place.given,
                        method="forward",
                    )


CHECKS = (
    Check("holds for all sizes", holds_for_all_sizes, "forward"),
    Check("same in every dtype", follows_float64, "forward"),
)
