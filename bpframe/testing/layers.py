"""Checks for layers: shapes, the way back against autodiff, and the key."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.contracts import (
    Factors,
    Layer,
    inner_products,
    squared_norms,
    sum_of_squares,
)
from bpframe.testing import components, layer_properties
from bpframe.testing.expect import expect, expect_array, expect_trees_close
from bpframe.testing.outcome import Check
from bpframe.testing.places import Place, places
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of

DRAWS = 4_000
STANDARD_ERRORS = 6


def probe(layer: Any) -> Any:
    """What a layer gives, forward and back."""
    place = next(places(layer))
    z, kept = place.forward(place.a_prev)
    return z, place.layer.gradient(place.params, place.a_prev, kept, place.delta)


def gives_the_shape_it_says(subject: Subject) -> None:
    """z has the shape that `shape` gives, and the dtype of the layer before."""
    for layer in subject.instances:
        for place in places(layer):
            for dtype in ("float32", "float64", "bfloat16"):
                params, a_prev = jax.tree.map(
                    lambda part, dtype=dtype: part.astype(dtype), (place.params, place.a_prev[0])
                )
                z, _ = shape_of(layer.forward, params, a_prev, place.key)
                shape = layer.shape(place.shape_prev)
                expect_array(z, shape, dtype, "z", given=f"{place.given}, {dtype}")


def carries_as_autodiff(subject: Subject) -> None:
    """`carry` is (dz/da)^T delta by automatic differentiation."""
    for layer in subject.instances:
        for place in places(layer):
            found, expected = run_traced(_carried, place)
            expect_trees_close(
                found,
                expected,
                "carry is not (dz/da)^T delta",
                given=place.given,
                rtol=1e-10,
                atol=1e-12,
            )


@jax.jit
def _carried(place: Place) -> tuple[Any, Any]:
    """The error of the layer before, by `carry` and by automatic differentiation."""
    a, delta = place.a_prev[0], place.delta[0]
    _, pull, kept = jax.vjp(place.forward, a, has_aux=True)
    return place.layer.carry(place.params, a, kept, delta), pull(delta)[0]


def sums_the_gradients(subject: Subject) -> None:
    """`gradient` is the sum of the gradients of m examples by automatic differentiation."""
    for layer in subject.instances:
        for place in places(layer):
            found, expected = run_traced(_summed, place)
            expect_trees_close(
                found,
                expected,
                "gradient is not the sum of dC_x/dparams over the examples",
                given=place.given,
                rtol=1e-10,
                atol=1e-12,
            )


@jax.jit
def _summed(place: Place) -> tuple[Any, Any]:
    """The gradient, by `gradient` and by automatic differentiation."""
    a_prev, delta = place.a_prev, place.delta
    _, pull, kept = jax.vjp(
        lambda params: place.forward(a_prev, params), place.params, has_aux=True
    )
    return place.layer.gradient(place.params, a_prev, kept, delta), pull(delta)[0]


OF_EXAMPLES = {
    "example_gradients": "are not dC_x/dparams, example by example",
    "squared_norms": "are not |dC_x/dparams|^2",
    "inner_products": "are not those of dC_x/dparams and dC_x'/dparams",
    "sum_of_squares": "is not sum_x (dC_x/dparams)^2",
}


def speaks_of_examples(subject: Subject, method: str) -> None:
    """What a method says of the gradients of single examples, against those gradients."""
    for layer in subject.instances:
        for place in places(layer):
            found, expected = run_traced(_of_examples, place)
            expect_trees_close(
                found[method],
                expected[method],
                f"{method} {OF_EXAMPLES[method]}",
                given=place.given,
                rtol=1e-10,
                atol=1e-12,
            )


@jax.jit
def _of_examples(place: Place) -> tuple[Any, Any]:
    """All of them, by the layer's own methods, and from its gradient for one example at a time."""
    layer, (_, kept) = place.layer, place.forward(place.a_prev)
    given = (place.params, place.a_prev, kept, place.delta)
    each = Layer.example_gradients(layer, *given)
    found = {method: getattr(layer, method)(*given) for method in OF_EXAMPLES}
    return found, {
        "example_gradients": each,
        "squared_norms": squared_norms(each, place.delta),
        "inner_products": inner_products(each, place.delta),
        "sum_of_squares": sum_of_squares(each),
    }


def factors_the_curvature(subject: Subject) -> None:
    """Factors gives a symmetric A and G with no negative direction, as large as the parameters."""
    for layer in subject.instances:
        for place in places(layer):
            found, _ = run_traced(_factors, place)
            if isinstance(found, Factors):
                n = sum(leaf.size for leaf in jax.tree.leaves(place.params))
                sizes = tuple(len(factor) for factor in found)
                expect(
                    sizes[0] * sizes[1] == n,
                    "A and G are not as large as the parameters",
                    given=place.given,
                    found=f"{sizes[0]} and {sizes[1]}",
                    expected=f"a product of {n}",
                    method="factors",
                )
            for own in jax.tree.leaves(found, is_leaf=lambda part: isinstance(part, Factors)):
                for name, stacked in zip("AG", own, strict=True):
                    for factor in np.asarray(stacked).reshape(-1, *stacked.shape[-2:]):
                        _expect_a_covariance(factor, name, place.given)


def _expect_a_covariance(factor: np.ndarray, name: str, given: str) -> None:
    symmetric = (factor + factor.T) / 2
    expect_trees_close(factor, symmetric, f"{name} is not symmetric", given=given)
    least = np.linalg.eigvalsh(symmetric).min()
    expect(
        least > -1e-9 * (1 + np.abs(symmetric).max()),
        f"{name} has a negative eigenvalue",
        given=given,
        found=least,
        expected="at least 0",
        method="factors",
    )


def is_exact_for_one_example(subject: Subject) -> None:
    """Where neurons have one place each, one example's A kron G is g g^T of its gradient."""
    for layer in subject.instances:
        for place in places(layer):
            one = dataclasses.replace(place, a_prev=place.a_prev[:1], delta=place.delta[:1])
            found, gradient = run_traced(_factors, one)
            if not isinstance(found, Factors) or len(layer.shape(place.shape_prev)) > 1:
                continue
            w = gradient.w.reshape(len(gradient.b), -1)
            g = jnp.concatenate([w, gradient.b[:, None]], axis=1)
            expect_trees_close(
                jnp.einsum("ij,kl->kilj", *found),
                jnp.einsum("ki,lj->kilj", g, g),
                "for one example A kron G is not g g^T, with the bias last",
                given=place.given,
                rtol=1e-10,
                atol=1e-12,
            )


@jax.jit
def _factors(place: Place) -> tuple[Any, Any]:
    """The factors of the curvature, and the gradient."""
    given = (place.params, place.a_prev, place.forward(place.a_prev)[1], place.delta)
    return place.layer.factors(*given), place.layer.gradient(*given)


def bends_nowhere(subject: Subject) -> None:
    """Where the class says `is_linear`, z has no curvature in a^(l-1), nor in the parameters."""
    for layer in subject.instances:
        for place in places(layer):
            for name, bend in zip(("a", "params"), run_traced(_bends, place), strict=True):
                expect_trees_close(
                    bend,
                    jax.tree.map(jnp.zeros_like, bend),
                    f"z is not linear in {name}, and is_linear says that it is",
                    given=place.given,
                    atol=1e-9,
                )


@jax.jit
def _bends(place: Place) -> tuple[Any, Any]:
    """The second derivatives of z along some direction, in a and in the parameters."""

    def second(function: Any, at: Any) -> Any:
        along = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size)).reshape(p.shape), at)
        slope = lambda at: jax.jvp(function, (at,), (along,))[1]  # noqa: E731
        return jax.jvp(slope, (at,), (along,))[1]

    a = place.a_prev[0]
    return (
        second(lambda a: place.forward(a)[0], a),
        second(lambda params: place.forward(a, params)[0], place.params),
    )


def forms_no_gradient_of_one_example(subject: Subject) -> None:
    """In `gradient` no array holds a matrix of weights for each of the m examples."""
    m = 7
    for layer in subject.instances:
        for place in places(layer):
            a_prev = jnp.concatenate([place.a_prev] * 3)[:m]
            delta = jnp.concatenate([place.delta] * 3)[:m]
            _, kept = shape_of(place.forward, a_prev)
            jaxpr = jax.make_jaxpr(layer.gradient)(place.params, a_prev, kept, delta)
            shared = [leaf.shape for leaf in jax.tree.leaves(place.params) if leaf.ndim > 1]
            single = {(m, *shape) for shape in shared if shape != delta.shape[1:]}
            held = {var.aval.shape for var in _variables(jaxpr.jaxpr)}
            expect(
                not held & single,
                "the gradient of every single example is formed on the way to their sum",
                given=f"{place.given}, m = {m}",
                found=f"an array of shape {next(iter(held & single), None)}",
            )


def _variables(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield from equation.outvars
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _variables(inner)


def evaluates_the_mean(subject: Subject) -> None:
    """Without a key z is the mean over keys."""
    for layer in subject.instances:
        for place in places(layer):
            z, evaluated = (np.asarray(each) for each in run_traced(_drawn, place))
            error = z.std(axis=0) / np.sqrt(DRAWS) + 1e-9
            expect(
                np.all(np.abs(z.mean(axis=0) - evaluated) <= STANDARD_ERRORS * error),
                "without a key z is not the mean over keys",
                given=place.given,
                found=evaluated,
                expected=z.mean(axis=0),
            )


@jax.jit
def _drawn(place: Place) -> tuple[jax.Array, jax.Array]:
    """The z of many keys for one example, and that of none."""
    layer, params, a = place.layer, place.params, place.a_prev[0]
    keys = jax.random.split(place.key, DRAWS)
    z, _ = jax.vmap(layer.forward, in_axes=(None, None, 0))(params, a, keys)
    return z, layer.forward(params, a, None)[0]


CHECKS = (
    *components.PURE,
    Check("shapes and dtypes", gives_the_shape_it_says, "shape"),
    Check("carry equals autodiff", carries_as_autodiff, "carry"),
    Check("gradient equals autodiff", sums_the_gradients, "gradient"),
    *(
        Check(
            method.replace("_", " "), functools.partial(speaks_of_examples, method=method), method
        )
        for method in OF_EXAMPLES
    ),
    *layer_properties.CHECKS,
    Check("factors are sound", factors_the_curvature, "factors"),
    Check("factors of one example", is_exact_for_one_example, "factors"),
    Check(
        "is linear as it says", bends_nowhere, "is_linear", applies=lambda s: s.component.is_linear
    ),
    Check("no gradient of one example", forms_no_gradient_of_one_example, "gradient"),
    Check("evaluation is the mean over keys", evaluates_the_mean, "forward"),
    *components.COMPILED,
)
