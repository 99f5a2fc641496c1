"""Every regulariser against autodiff and the book."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close, random_params

from bpframe.plugin_host.host import load_registry

REGISTRY = load_registry()
NAMES = REGISTRY.names("regulariser")
PENALTIES = {
    "none": lambda w: 0.0,
    "l2": lambda w: 0.5 * 0.3 * np.sum(w**2),
    "l1": lambda w: 0.3 * np.sum(np.abs(w)),
}


def make(name):
    return REGISTRY.get("regulariser", name, "")(**({} if name == "none" else {"strength": 0.3}))


@pytest.mark.parametrize("name", NAMES)
def test_cost_is_the_books_and_gradient_is_autodiffs(name):
    params = random_params(np.random.default_rng(0), [4, 5, 3])
    regulariser = make(name)
    expected = sum(PENALTIES[name](np.asarray(w)) for w, _ in params)
    np.testing.assert_allclose(regulariser.cost(params), expected, 1e-13)
    assert_close(regulariser.gradient(params), jax.grad(regulariser.cost)(params), 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_biases_are_not_regularised(name):
    params = random_params(np.random.default_rng(0), [4, 5, 3])
    assert not any(np.asarray(b).any() for _, b in make(name).gradient(params))


def test_l1_leaves_a_weight_of_zero_alone():
    params = tuple(
        p._replace(w=jnp.zeros_like(p.w)) for p in random_params(np.random.default_rng(0), [4, 3])
    )
    assert not np.asarray(make("l1").gradient(params)[0].w).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_dtype_is_kept(name, dtype):
    params = jax.tree.map(
        lambda p: p.astype(dtype), random_params(np.random.default_rng(0), [4, 5, 3])
    )
    leaves = jax.tree.leaves((make(name).cost(params), make(name).gradient(params)))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype(dtype)}
