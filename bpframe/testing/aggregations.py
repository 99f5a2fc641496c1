"""Checks for aggregations: weights and gradients of any mini-batch, however it is ordered."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bpframe.learning import Aggregation
from bpframe.testing import components
from bpframe.testing.expect import (
    expect,
    expect_array,
    expect_close,
    expect_finite,
    expect_same_shapes,
    expect_trees_equal,
)
from bpframe.testing.outcome import Check
from bpframe.testing.parameters import DEPTHS, WIDE_DTYPES, some_params
from bpframe.testing.search import search, search_instances, vectors
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of

KEYS, STANDARD_ERRORS = 400, 6
MANY, COPY = 900, 0.999
"""Numbers that show a correlation, and what of few numbers is no chance."""

NORMS = (4.0, 0.01, 0.0, 1.0, 900.0)
"""|g_x|^2 of five examples; one has no gradient at all."""


def probe(aggregation: Any) -> Any:
    """The weights, and the gradient that a sum becomes."""
    norms = jnp.asarray(NORMS, "float64")
    gradient = aggregation.gradient(some_params(1), len(NORMS), jax.random.key(3))
    return aggregation.weights(lambda: norms), gradient


def keeps_shape_and_dtype(subject: Subject) -> None:
    """The weights are (m,), the gradient is shaped like the sum, in their dtypes."""
    for aggregation in subject.instances:
        for dtype in (*WIDE_DTYPES, "bfloat16"):
            norms = jnp.asarray(NORMS, dtype)
            weights = shape_of(lambda norms, own=aggregation: own.weights(lambda: norms), norms)
            if weights is not None:
                given = f"|g_x|^2 of dtype {dtype}, {aggregation}"
                expect_array(weights, norms.shape, dtype, "c_x", given=given, method="weights")
        for dtype, sizes in itertools.product(WIDE_DTYPES, DEPTHS):
            total = some_params(1, dtype, sizes)
            found = shape_of(
                lambda t, own=aggregation: own.gradient(t, 5, jax.random.key(0)), total
            )
            expect_same_shapes(found, total, "the gradient")


def is_finite(subject: Subject) -> None:
    """Examples without a gradient, and very large ones, leave the weights finite."""
    for aggregation in subject.instances:
        for norms in (NORMS, (0.0, 0.0), (1e30, 1.0), (0.0,), (2.0,)):
            weights = aggregation.weights(lambda norms=norms: jnp.asarray(norms, "float32"))
            if weights is not None:
                expect_finite(weights, "a weight is not finite", np.array(norms), "weights")


def ignores_the_order(subject: Subject) -> None:
    """An example counts the same wherever it stands, and as much as one with the same norm."""
    weigh = jax.jit(lambda aggregation, norms: aggregation.weights(lambda: norms))

    def holds(norms: np.ndarray, aggregation: Any) -> None:
        forth, back = (run_traced(weigh, aggregation, jnp.asarray(n)) for n in (norms, norms[::-1]))
        if forth is None:
            return
        given = f"|g_x|^2 = {np.array2string(norms)}, {aggregation}"
        problem = "an example has another weight at another place of the mini-batch"
        expect_close(forth, back[::-1], problem, given=given, method="weights")
        for norm in np.unique(norms):
            own = np.asarray(forth)[norms == norm]
            problem = "examples with equal norms have different weights"
            expect_close(own, np.full_like(own, own[0]), problem, given=given, method="weights")

    few = st.sampled_from([1.0, 4.0, 0.0, 0.01, 900.0])
    search_instances(subject, arrays(np.float64, 6, elements=few, fill=st.nothing()), holds)


def weighs_each_alone(subject: Subject) -> None:
    """Where privacy is claimed, other examples do not change the weight of one."""

    @jax.jit
    def both(aggregation: Any, norms: jax.Array) -> Any:
        whole = aggregation.weights(lambda: norms)
        if whole is None:
            return None, None
        return whole, jax.vmap(lambda norm: aggregation.weights(lambda: norm[None])[0])(norms)

    for aggregation in subject.instances:

        def holds(values: np.ndarray, aggregation: Any = aggregation) -> None:
            norms = np.abs(values)
            whole, alone = run_traced(both, aggregation, jnp.asarray(norms))
            if whole is None:
                return
            expect_finite(whole, f"a weight is not finite, for {aggregation}", norms, "weights")
            expect_close(
                whole,
                alone,
                "other examples change the weight of one, so that nothing bounds what one of them "
                "does, and privacy claims that",
                given=f"|g_x|^2 = {np.array2string(norms, precision=3)}, {aggregation}",
                rtol=1e-6,
                atol=1e-9,
                method="weights",
            )

        search(subject.effort, vectors(1e12, 6), holds)


def draws_apart(subject: Subject) -> None:
    """What is drawn for one array, or with one key, is not drawn for another one."""
    total = some_params(1, sizes=(30, 30, 30))
    for aggregation in subject.instances:
        drawn = [
            np.ravel(leaf)
            for seed in (0, 1)
            for leaf in jax.tree.leaves(
                jax.tree.map(
                    lambda g, t: np.asarray(g) * 5 - np.asarray(t),
                    aggregation.gradient(total, 5, jax.random.key(seed)),
                    total,
                )
            )
        ]
        if max(float(np.std(noise)) for noise in drawn) < 1e-9:
            continue
        for one, other in itertools.combinations(drawn, 2):
            n = min(one.size, other.size)
            correlation = abs(float(np.corrcoef(one[:n], other[:n])[0, 1]))
            chance = STANDARD_ERRORS / np.sqrt(n) if n >= MANY else COPY
            expect(
                correlation < chance,
                "two arrays, or two keys, have the same noise; split the key",
                given="a network 30-30-30, jax.random.key(0) and jax.random.key(1)",
                found=f"a correlation of {correlation:.3g}",
                expected="nearly 0",
                method="gradient",
            )


def uses_its_key(subject: Subject) -> None:
    """The same key gives the same gradient."""
    for aggregation in subject.instances:
        key, total = jax.random.key(2), some_params(1)
        first, again = (aggregation.gradient(total, 5, key) for _ in range(2))
        problem = "the same key gives another gradient"
        expect_trees_equal(first, again, problem, given="jax.random.key(2)", method="gradient")


def keeps_the_scale(subject: Subject) -> None:
    """On average over keys the gradient is the sum over m."""
    total = some_params(1)
    keys = jax.random.split(jax.random.key(4), KEYS)

    @functools.partial(jax.jit, static_argnums=1)
    def drawn(aggregation: Any, m: int) -> Any:
        return jax.vmap(aggregation.gradient, in_axes=(None, None, 0))(total, m, keys)

    for aggregation in subject.instances:
        for m in (5, 10):
            leaves = jax.tree.leaves(run_traced(drawn, aggregation, m))
            found = np.concatenate([np.asarray(leaf).reshape(KEYS, -1) for leaf in leaves], axis=1)
            expected = np.concatenate([np.ravel(leaf) / m for leaf in jax.tree.leaves(total)])
            error = STANDARD_ERRORS * found.std(axis=0) / np.sqrt(KEYS) + 1e-9
            expect(
                np.all(np.abs(found.mean(axis=0) - expected) <= error),
                "the mean over keys is not the sum over m",
                given=f"the sum over {m} examples, {aggregation}",
                found=found.mean(axis=0)[:4],
                expected=expected[:4],
            )


CHECKS = (
    *components.PURE,
    Check("shapes and dtypes", keeps_shape_and_dtype, "weights"),
    Check("weights are finite", is_finite, "weights"),
    Check("order does not matter", ignores_the_order, "weights"),
    Check(
        "weighs each alone",
        weighs_each_alone,
        "weights",
        applies=lambda s: s.component.privacy is not Aggregation.privacy,
    ),
    Check("draws apart", draws_apart, "gradient"),
    Check("same key, same gradient", uses_its_key, "gradient"),
    Check("keeps the scale", keeps_the_scale, "gradient"),
    *components.COMPILED,
)
