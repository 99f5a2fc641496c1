"""Every optimiser against its published update, written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close

from bpframe import Params
from bpframe.plugin_host.host import load_registry

REGISTRY = load_registry()
NAMES = REGISTRY.names("optimiser")


def sgd(g, s, t, w):
    return w - 0.5 * g, s


def momentum(g, s, t, w):
    v = 0.9 * s.get("v", 0) - 0.1 * g
    return w + v, {"v": v}


def nesterov(g, s, t, w):
    v = 0.9 * s.get("v", 0) + g
    return w - 0.1 * (g + 0.9 * v), {"v": v}


def adam(g, s, t, w, decay=0.0):
    m = 0.9 * s.get("m", 0) + 0.1 * g
    v = 0.999 * s.get("v", 0) + 0.001 * g**2
    step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w - 0.001 * (step + decay * w), {"m": m, "v": v}


def adamw(g, s, t, w):
    return adam(g, s, t, w, decay=0.01)


def rmsprop(g, s, t, w):
    v = 0.9 * s.get("v", 0) + 0.1 * g**2
    return w - 0.001 * g / np.sqrt(v + 1e-8), {"v": v}


def adagrad(g, s, t, w):
    v = s.get("v", 0.1) + g**2
    return w - 0.1 * g / np.sqrt(v + 1e-7), {"v": v}


def lion(g, s, t, w):
    m = s.get("m", 0)
    return w - 0.0003 * np.sign(0.9 * m + 0.1 * g), {"m": 0.99 * m + 0.01 * g}


UPDATES = {f.__name__: f for f in (sgd, momentum, nesterov, adam, adamw, rmsprop, adagrad, lion)}


def make(name, **fields):
    return REGISTRY.get("optimiser", name, "")(**fields)


def some_params():
    rng = np.random.default_rng(1)
    return (Params(jnp.asarray(rng.normal(size=(3, 2))), jnp.asarray(rng.normal(size=3))),)


def test_every_optimiser_has_an_oracle():
    assert set(UPDATES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_three_steps_are_the_published_update(name):
    optimiser, params, rng = make(name), some_params(), np.random.default_rng(2)
    expected, memory = [np.asarray(p) for p in params[0]], [{}, {}]
    state = optimiser.init(params)
    for t in range(1, 4):
        gradient = [rng.normal(size=p.shape) for p in expected]
        params, state = optimiser.update((Params(*map(jnp.asarray, gradient)),), state, params)
        for i, g in enumerate(gradient):
            expected[i], memory[i] = UPDATES[name](g, memory[i], t, expected[i])
    assert_close(params, expected, 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_quadratic_decreases(name):
    optimiser, params = make(name), some_params()
    state = optimiser.init(params)

    def size(params):
        return sum(float(jnp.sum(p**2)) for p in jax.tree.leaves(params))

    start = size(params)
    step = jax.jit(lambda state, params: optimiser.update(params, state, params))
    for _ in range(50):
        params, state = step(state, params)
    assert size(params) < start


@pytest.mark.parametrize("name", NAMES)
def test_another_eta_does_not_recompile_and_matters(name):
    params = some_params()
    traces = []

    @jax.jit
    def step(optimiser, params):
        traces.append(name)
        return optimiser.update(params, optimiser.init(params), params)[0]

    slow, fast = (step(make(name, eta=eta), params) for eta in (0.01, 0.02))
    assert len(traces) == 1
    moved = [float(jnp.abs(after[0].w - params[0].w).max()) for after in (slow, fast)]
    np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_dtype_is_kept(name, dtype):
    optimiser = make(name)
    params = jax.tree.map(lambda p: p.astype(dtype), some_params())
    after, state = optimiser.update(params, optimiser.init(params), params)
    assert {leaf.dtype for leaf in jax.tree.leaves(after)} == {jnp.dtype(dtype)}
    again = optimiser.update(params, state, after)[1]
    assert jax.tree.map(jnp.shape, again) == jax.tree.map(jnp.shape, state)
