"""Every optimiser against its published update, written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close

from bpframe import ConfigError, Params, Stacked
from bpframe.plugin_host.host import load_registry
from bpframe.testing.optimisers import stepped as update

REGISTRY = load_registry()
AROUND = ("clip_by_global_norm", "layer_rates", "max_norm", "parameter_average")
OF_CURVATURE = ("kfac", "diagonal_ggn")  # see test_curvature
NAMES = [name for name in REGISTRY.names("optimiser") if name not in (*AROUND, *OF_CURVATURE)]


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
        params, state = update(optimiser, (Params(*map(jnp.asarray, gradient)),), state, params)
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
    step = jax.jit(lambda state, params: update(optimiser, params, state, params))
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
        return update(optimiser, params, optimiser.init(params), params)[0]

    slow, fast = (step(make(name, eta=eta), params) for eta in (0.01, 0.02))
    assert len(traces) == 1
    moved = [float(jnp.abs(after[0].w - params[0].w).max()) for after in (slow, fast)]
    np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_dtype_is_kept(name, dtype):
    optimiser = make(name)
    params = jax.tree.map(lambda p: p.astype(dtype), some_params())
    after, state = update(optimiser, params, optimiser.init(params), params)
    assert {leaf.dtype for leaf in jax.tree.leaves(after)} == {jnp.dtype(dtype)}
    again = update(optimiser, params, state, after)[1]
    assert jax.tree.map(jnp.shape, again) == jax.tree.map(jnp.shape, state)


def around(name, inner, **fields):
    return REGISTRY.get("optimiser", name, "")(inner=make(inner), **fields)


def after_steps(optimiser, gradients):
    """The parameters after each step, and the last state."""
    params = some_params()
    state, found = optimiser.init(params), []
    for gradient in gradients:
        params, state = update(optimiser, gradient, state, params)
        found.append(params)
    return found, state


def some_gradients(scale=1.0):
    rng = np.random.default_rng(3)
    return [jax.tree.map(lambda p: scale * rng.normal(size=p.shape), some_params()) for _ in "123"]


def norm(tree):
    return np.sqrt(sum(np.sum(np.asarray(leaf) ** 2) for leaf in jax.tree.leaves(tree)))


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_clipping_is_by_the_norm_of_all_layers_together(scale):
    gradients = some_gradients(scale)
    scales = [min(1, 2 / norm(gradient)) for gradient in gradients]
    pairs = zip(gradients, scales, strict=True)
    clipped = [jax.tree.map(lambda g, s=s: g * s, gradient) for gradient, s in pairs]
    found, _ = after_steps(around("clip_by_global_norm", "momentum", max_norm=2.0), gradients)
    expected, _ = after_steps(make("momentum"), clipped)
    assert_close(jax.tree.leaves(found), jax.tree.leaves(expected), 1e-12)


@pytest.mark.slow
def test_layers_have_rates_of_their_own():
    """Slow: compiles a program."""
    params = (*some_params(), Params(jnp.ones((2, 3)), jnp.ones(2)))
    gradient = jax.tree.map(lambda p: p + 1, params)
    optimiser = around("layer_rates", "sgd", rates=(0.0, 3.0))
    first, second = update(optimiser, gradient, optimiser.init(params), params)[0]
    assert_close(first, params[0], 0)
    assert_close(second, jax.tree.map(lambda p, g: p - 3 * 0.5 * g, params, gradient)[1], 1e-12)
    with pytest.raises(ConfigError, match=r"has 2 rates.*layers 2 to 2; give 1 rate"):
        optimiser.init(some_params())


def test_max_norm_shortens_only_the_weights_that_are_too_long():
    found, _ = after_steps(around("max_norm", "sgd", most=1.5), some_gradients())
    params = some_params()[0]
    for after, gradient in zip(found, some_gradients(), strict=True):
        w, b = (p - 0.5 * g for p, g in zip(params, gradient[0], strict=True))
        lengths = np.linalg.norm(w, axis=1, keepdims=True)
        assert lengths.min() < 1.5 < lengths.max()
        params = Params(w * np.minimum(1, 1.5 / lengths), b)
        assert_close(after[0], params, 1e-12)


@pytest.mark.slow
def test_max_norm_looks_at_each_neuron_of_every_kind_of_layer():
    """Slow: compiles a program."""
    rng = np.random.default_rng(4)
    image = Params(jnp.asarray(rng.normal(size=(4, 3, 3, 2))), jnp.zeros(4))
    blocks = Stacked((Params(jnp.asarray(rng.normal(size=(5, 4, 4))), jnp.zeros((5, 4))),))
    most = around("max_norm", "sgd", most=0.7)
    nothing = jax.tree.map(jnp.zeros_like, (image, blocks))
    (image, blocks), _ = most.update(nothing, (), (image, blocks), step=None)
    for w, fan_in in ((image.w, 18), (blocks.blocks[0].w, 4)):
        np.testing.assert_allclose(np.linalg.norm(w.reshape(-1, fan_in), axis=1), 0.7, rtol=1e-12)


def test_an_average_over_time_is_evaluated():
    found, state = after_steps(
        around("parameter_average", "sgd", decay=0.75), gradients := some_gradients()
    )
    plain, _ = after_steps(make("sgd"), gradients)
    average = some_params()
    for params in plain:
        average = jax.tree.map(lambda a, p: 0.75 * a + 0.25 * p, average, params)
    assert_close(jax.tree.leaves(found), jax.tree.leaves(plain), 1e-12)
    evaluated = around("parameter_average", "sgd", decay=0.75).evaluated(state, found[-1])
    assert_close(jax.tree.leaves(evaluated), jax.tree.leaves(average), 1e-12)
    outside = around("clip_by_global_norm", "sgd")
    assert outside.evaluated(outside.init(average), average) is average


def test_a_schedule_reaches_the_inmost_eta():
    clip = REGISTRY.get("optimiser", "clip_by_global_norm", "")
    nested = clip(inner=around("max_norm", "adam"))
    assert nested.has_eta
    assert nested.scaled(0.5).inner.inner.eta == 0.5 * make("adam").eta
