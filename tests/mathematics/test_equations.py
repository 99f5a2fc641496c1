"""The equations against jax.grad, an independent NumPy network, differences and closed forms."""

import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import (
    assert_close,
    autodiff_gradient,
    make_network,
    numpy_gradient,
    random_params,
)

from bpframe import (
    DataError,
    Dense,
    LearningRule,
    Network,
    forward,
    gradient,
    gradient_descent_step,
)
from bpframe.equations import Unpaired
from bpframe.network import PerNeuronActivation
from bpframe.plugin_host.host import load_registry

REGISTRY = load_registry()
ACTIVATIONS = REGISTRY.names("activation")
COSTS = REGISTRY.names("cost")
N_IN, WIDTH, N_OUT, M = 4, 5, 3, 4


def make(kind, name, **fields):
    return REGISTRY.get(kind, name, "")(**fields)


def output_for(activation: str, cost: str) -> str:
    """The activation itself where the cost allows it at the output, else one that it allows."""
    domain, bounds = make("cost", cost).domain, make("activation", activation).range
    return activation if domain[0] <= bounds[0] and bounds[1] <= domain[1] else "sigmoid"


@functools.cache
def batch(seed: int, n_in: int = N_IN, n_out: int = N_OUT):
    rng = np.random.default_rng(seed)
    y = np.eye(n_out)[rng.integers(n_out, size=M)]
    return jnp.asarray(rng.normal(size=(M, n_in))), jnp.asarray(y)


def case(activation: str, cost: str, depth: int):
    """A network with `depth` layers after the input, its parameters, a batch and the cost."""
    sizes = [N_IN, *[WIDTH] * (depth - 1), N_OUT]
    names = [*[activation] * (depth - 1), output_for(activation, cost)]
    params = random_params(np.random.default_rng(depth), sizes)
    network = make_network(sizes, [make("activation", name) for name in names])
    return network, names, params, *batch(7)


@pytest.mark.share(6)
@pytest.mark.parametrize("depth", range(1, 7))
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_is_autodiffs_and_numpys(activation, cost, depth):
    network, names, params, x, y = case(activation, cost, depth)
    ours = gradient(network, make("cost", cost), params, x, y).mean
    assert_close(ours, autodiff_gradient(network, make("cost", cost), params, x, y), 1e-12)
    plain = [(np.asarray(w), np.asarray(b)) for w, b in params]
    assert_close(ours, numpy_gradient(names, cost, plain, np.asarray(x), np.asarray(y)), 1e-12)
    pair = REGISTRY.pair(cost, names[-1])
    if pair:
        stable = pair(make("cost", cost), make("activation", names[-1]))
        assert_close(gradient(network, stable, params, x, y).mean, ours, 1e-12)


@pytest.mark.parametrize("activation", ["tanh", "softplus", "softmax"])
def test_gradient_is_the_central_difference(activation):
    network, _, params, x, y = case(activation, "quadratic", 3)
    cost = make("cost", "quadratic")
    flat, shape = jax.flatten_util.ravel_pytree(params)

    def mean_cost(flat):
        trace = jax.vmap(forward, in_axes=(None, None, 0))(network, shape(flat), x)
        return jnp.mean(jax.vmap(cost)(trace.a[-1], y))

    h = 1e-5
    steps = h * jnp.eye(flat.size)
    up, down = (jax.vmap(mean_cost)(flat[None, :] + sign * steps) for sign in (1, -1))
    difference = (up - down) / (2 * h)
    ours, _ = jax.flatten_util.ravel_pytree(gradient(network, cost, params, x, y).mean)
    assert_close(ours, difference, 1e-5)


def test_deltas_and_trace_are_those_of_every_example():
    network, _, params, x, y = case("tanh", "quadratic", 3)
    cost = make("cost", "quadratic")
    whole = gradient(network, cost, params, x, y)
    assert [d.shape for d in whole.deltas] == [(M, WIDTH), (M, WIDTH), (M, N_OUT)]
    assert [a.shape for a in whole.trace.a] == [(M, N_IN), (M, WIDTH), (M, WIDTH), (M, N_OUT)]

    for example in range(M):
        trace = forward(network, params, x[example])

        def cost_of(shifts, example=example):
            a = x[example]
            for layer, (w, b), shift in zip(network.layers, params, shifts, strict=True):
                a = layer.activation(w @ a + b + shift)
            return cost(a, y[example])

        # delta^l is dC/dz^l: the derivative by a shift of z^l
        deltas = jax.grad(cost_of)([jnp.zeros_like(z) for z in trace.z])
        assert_close([d[example] for d in whole.deltas], deltas, 1e-12)
        assert_close([z[example] for z in whole.trace.z], list(trace.z), 1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-6)])
def test_mini_batch_is_the_mean_of_its_examples(dtype, tolerance):
    """Slow: compiles a program."""
    network, _, params, x, y = case("sigmoid", "cross_entropy", 4)
    params, x, y = jax.tree.map(lambda leaf: leaf.astype(dtype), (params, x, y))
    cost = make("cost", "cross_entropy")
    whole = gradient(network, cost, params, x, y).mean
    single = [gradient(network, cost, params, x[i : i + 1], y[i : i + 1]).mean for i in range(M)]
    mean = jax.tree.map(lambda *leaves: np.mean([np.asarray(g, "f8") for g in leaves], 0), *single)
    assert_close(whole, mean, tolerance)
    assert {leaf.dtype for leaf in jax.tree.leaves(whole)} == {jnp.dtype(dtype)}


@pytest.mark.share(6)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 3e-2)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_lower_precision_stays_near_float64(activation, dtype, tolerance):
    network, _, params, x, y = case(activation, "quadratic", 3)
    cost = make("cost", "quadratic")
    # Start from numbers that both can hold, so that only the arithmetic differs.
    low = jax.tree.map(lambda leaf: leaf.astype(dtype), (params, x, y))
    high = jax.tree.map(lambda leaf: leaf.astype("float64"), low)
    ours = gradient(network, cost, *low).mean
    assert_close(ours, gradient(network, cost, *high).mean, tolerance)


def test_no_gradient_of_a_single_example_is_formed():
    network, _, params, _, _ = case("sigmoid", "quadratic", 3)
    m = 97
    x, y = jnp.zeros((m, N_IN)), jnp.zeros((m, N_OUT))
    program = jax.make_jaxpr(lambda *a: gradient(network, make("cost", "quadratic"), *a).mean)
    shapes = {var.aval.shape for eqn in program(params, x, y).jaxpr.eqns for var in eqn.outvars}
    assert (m, WIDTH) in shapes
    assert not [shape for shape in shapes if len(shape) > 2]


@pytest.mark.share(3)
@pytest.mark.parametrize("layer", [2, 3, 4])
@pytest.mark.parametrize("neuron", [0, 1, 2])
@pytest.mark.parametrize("other", ["softplus", "relu", "linear"])
def test_modified_neuron_at_every_position(layer, neuron, other):
    sizes = [N_IN, 3, 3, 3]
    base = make_network(sizes, [make("activation", "sigmoid")] * 3)
    network = base.with_modified({layer: {neuron: make("activation", other)}})
    params, (x, y) = random_params(np.random.default_rng(8), sizes), batch(9)
    cost = make("cost", "quadratic")
    ours = gradient(network, cost, params, x, y)
    assert_close(ours.mean, autodiff_gradient(network, cost, params, x, y), 1e-12)
    # Only that neuron's own entry of a and of sigma'(z) differs from the unmodified layer.
    z = ours.trace.z[layer - 2]
    changed, plain = network.layers[layer - 2].activation, base.layers[layer - 2].activation
    for function in ("__call__", "prime"):
        with_f = np.array(jax.vmap(getattr(changed, function))(z))
        without = np.array(jax.vmap(getattr(plain, function))(z))
        f = np.array(getattr(make("activation", other), function)(z))
        np.testing.assert_array_equal(with_f[:, neuron], f[:, neuron])
        np.testing.assert_array_equal(np.delete(with_f, neuron, 1), np.delete(without, neuron, 1))


@pytest.mark.slow
def test_several_modified_neurons_with_several_activations():
    """Slow: it compiles many networks."""
    sizes = [N_IN, 6, N_OUT]
    base = make_network(sizes, [make("activation", "tanh")] * 2)
    leaky = make("activation", "leaky_relu", slope=0.3)
    names = {0: leaky, 2: make("activation", "gelu"), 3: leaky, 5: make("activation", "linear")}
    network = base.with_modified({2: names, 3: {1: make("activation", "elu", alpha=0.4)}})
    params, (x, y) = random_params(np.random.default_rng(10), sizes), batch(11)
    for cost in (make("cost", "quadratic"), make("cost", "hinge")):
        ours = gradient(network, cost, params, x, y).mean
        assert_close(ours, autodiff_gradient(network, cost, params, x, y), 1e-12)
    modified = network.layers[0].activation
    assert isinstance(modified, PerNeuronActivation)
    assert len(modified.modified) == 3, "equal activations are evaluated once"


@pytest.mark.share(3)
@pytest.mark.parametrize("depth", range(1, 9))
def test_linear_neurons_are_one_affine_map(depth):
    rng = np.random.default_rng(depth)
    sizes = [N_IN, *rng.integers(2, 7, size=depth - 1).tolist(), N_OUT]
    network = make_network(sizes, [make("activation", "linear")] * depth)
    params, (x, y) = random_params(rng, sizes), batch(12)
    result = gradient(network, make("cost", "quadratic"), params, x, y)
    # a^L = W x + c, and C = 1/2 |W x + c - y|^2 has the deltas (w^L ... w^(l+1))^T (W x + c - y)
    w_total, c = np.eye(N_IN), np.zeros(N_IN)
    for w, b in params:
        w_total, c = np.asarray(w) @ w_total, np.asarray(w) @ c + np.asarray(b)
    out = np.asarray(x) @ w_total.T + c
    assert_close(result.trace.a[-1], out, 1e-12)
    carried = out - np.asarray(y)
    for delta, (w, _) in zip(reversed(result.deltas), reversed(params), strict=True):
        assert_close(delta, carried, 1e-12)
        carried = carried @ np.asarray(w)
    # <w^l, dC/dw^l> is equal across the layers when there are no biases.
    bare = tuple(p._replace(b=jnp.zeros_like(p.b)) for p in params)
    mean = gradient(network, make("cost", "quadratic"), bare, x, y).mean
    products = [float(jnp.vdot(p.w, g.w)) for p, g in zip(bare, mean, strict=True)]
    np.testing.assert_allclose(products, products[0], rtol=1e-12)


def test_gradient_descent_step_is_the_books():
    _, _, params, _, _ = case("tanh", "quadratic", 2)
    nabla = jax.tree.map(jnp.ones_like, params)
    after = gradient_descent_step(params, nabla, 0.25)
    assert_close(after, jax.tree.map(lambda p: np.asarray(p) - 0.25, params), 1e-15)


def test_another_way_to_carry_the_error_replaces_the_transpose_only():
    network, _, params, x, y = case("tanh", "quadratic", 3)
    cost = make("cost", "quadratic")
    rng = np.random.default_rng(13)
    feedback = tuple(jnp.asarray(rng.normal(size=p.w.shape)) for p in params[1:])

    class Feedback(LearningRule):
        def carry(self, state, step):
            return state.T @ step.delta

    ours = gradient(network, cost, params, x, y, Feedback(), feedback)
    exact = gradient(network, cost, params, x, y)
    np.testing.assert_array_equal(ours.deltas[-1], exact.deltas[-1])
    prime = 1 - np.tanh(np.asarray(exact.trace.z[1])) ** 2
    expected = (np.asarray(exact.deltas[-1]) @ np.asarray(feedback[1])) * prime
    assert_close(ours.deltas[1], expected, 1e-12)


def test_params_of_another_depth_are_refused():
    network, _, params, x, y = case("tanh", "quadratic", 3)
    with pytest.raises(DataError, match=r"params: has 2 entries; .* layers 2\.\.4"):
        gradient(network, make("cost", "quadratic"), params[:-1], x, y)


def test_general_rule_serves_softmax_with_any_cost():
    pair = Unpaired(make("cost", "quadratic"), make("activation", "softmax"))
    z, y = jnp.asarray([0.4, -0.3, 1.1]), jnp.asarray([0.0, 1.0, 0.0])
    by_autodiff = jax.grad(lambda z: pair.cost_function(pair.activation(z), y))(z)
    assert_close(pair.delta(z, pair.activation(z), y), by_autodiff, 1e-12)


def test_one_layer_network_has_no_hidden_delta():
    network = Network((N_IN,), (Dense(N_OUT, activation=make("activation", "sigmoid")),))
    params, (x, y) = random_params(np.random.default_rng(1), [N_IN, N_OUT]), batch(2)
    assert len(gradient(network, make("cost", "quadratic"), params, x, y).deltas) == 1


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((M, N_IN), (M,)),
        ((M, N_IN), (M, N_OUT + 1)),
        ((M, 1), (M, N_OUT)),
        ((N_IN,), (N_OUT,)),
        ((M, N_IN), (1, N_OUT)),
        ((M, N_IN), (M, 1)),
    ],
)
def test_a_batch_of_other_shapes_is_refused(x, y):
    network, _, params, *_ = case("sigmoid", "quadratic", 2)
    expected = rf"expected \(m, {N_IN}\) and \(m, {N_OUT}\), with one-hot targets"
    with pytest.raises(DataError, match=expected):
        gradient(network, make("cost", "quadratic"), params, jnp.zeros(x), jnp.zeros(y))
