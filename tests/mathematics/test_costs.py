"""Every cost and output pair of the Registry against autodiff, NumPy and closed forms."""

import decimal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import COSTS, assert_close

from bpframe.equations import Unpaired
from bpframe.plugin_host.host import load_registry
from bpframe.plugin_host.registry import PAIRS

REGISTRY = load_registry()
NAMES = REGISTRY.names("cost")
PAIR_NAMES = sorted(REGISTRY.offers[PAIRS])
LEAST_AT_TARGET = {"quadratic", "cross_entropy", "absolute", "huber"}


def make(kind, name):
    return REGISTRY.get(kind, name, "")()


def make_pair(cost, activation):
    parts = make("cost", cost), make("activation", activation)
    pair = REGISTRY.pair(cost, activation)
    assert pair is not None
    return pair(*parts), Unpaired(*parts)


@pytest.fixture
def example():
    rng = np.random.default_rng(4)
    return rng.uniform(0.02, 0.98, size=6), np.eye(6)[2]


def test_every_cost_has_an_oracle():
    assert set(COSTS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_value_and_prime_are_numpys(name, example):
    a, y = example
    cost = make("cost", name)
    value, prime = COSTS[name]
    np.testing.assert_allclose(cost(jnp.asarray(a), jnp.asarray(y)), value(a, y), 1e-13)
    np.testing.assert_allclose(cost.prime(jnp.asarray(a), jnp.asarray(y)), prime(a, y), 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_prime_is_autodiffs(name, example):
    a, y = map(jnp.asarray, example)
    cost = make("cost", name)
    assert_close(cost.prime(a, y), jax.grad(cost)(a, y), 1e-12)


def test_large_errors_take_the_linear_part_of_huber():
    huber = REGISTRY.get("cost", "huber", "")(threshold=0.5)
    a, y = jnp.asarray([3.0, -2.0, 0.2]), jnp.zeros(3)
    np.testing.assert_allclose(huber(a, y), 0.5 * 2.75 + 0.5 * 1.75 + 0.02, 1e-13)
    np.testing.assert_allclose(huber.prime(a, y), [0.5, -0.5, 0.2], 1e-13)


@pytest.mark.parametrize("name", sorted(LEAST_AT_TARGET))
def test_cost_is_least_at_the_target(name):
    cost, rng = make("cost", name), np.random.default_rng(5)
    for _ in range(50):
        y = jnp.asarray(rng.integers(0, 2, size=4).astype(float))
        a = jnp.asarray(rng.uniform(size=4))
        assert float(cost(y, y)) <= float(cost(a, y))


@pytest.mark.slow
@pytest.mark.parametrize(("cost", "activation"), PAIR_NAMES)
def test_pair_is_the_composition_it_stands_for(cost, activation):
    """Slow: compiles a program."""
    pair, general = make_pair(cost, activation)
    rng = np.random.default_rng(6)
    for _ in range(20):
        z = jnp.asarray(rng.normal(size=5) * 2)
        y = jnp.asarray(np.eye(5)[rng.integers(5)])
        a = pair.activation(z)
        assert_close(pair.cost(z, a, y), general.cost(z, a, y), 1e-12)
        assert_close(pair.delta(z, a, y), general.delta(z, a, y), 1e-12)
        assert_close(pair.delta(z, a, y), jax.grad(lambda z, y=y: pair.cost(z, z, y))(z), 1e-12)


@pytest.mark.parametrize(("cost", "activation"), PAIR_NAMES)
def test_pair_is_exact_for_targets_that_are_not_one_hot(cost, activation):
    pair, general = make_pair(cost, activation)
    z, y = jnp.asarray([0.3, -1.2, 0.8]), jnp.asarray([0.2, 0.9, 0.6])
    a = pair.activation(z)
    assert_close(pair.delta(z, a, y), general.delta(z, a, y), 1e-12)
    assert_close(pair.cost(z, a, y), general.cost(z, a, y), 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_with_sigmoid_is_finite_to_1e4(dtype):
    pair, _ = make_pair("cross_entropy", "sigmoid")
    z = jnp.asarray([-1e4, 1e4, -1e4, 1e4], dtype)
    y = jnp.asarray([0, 1, 1, 0], dtype)
    a = pair.activation(z)
    np.testing.assert_array_equal(pair.delta(z, a, y), [0, 0, -1, 1])
    np.testing.assert_allclose(pair.cost(z, a, y), 2e4, 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_likelihood_with_softmax_is_finite_to_1e30(dtype):
    pair, _ = make_pair("log_likelihood", "softmax")
    z = jnp.asarray([1e30, -1e30, 0.0], dtype)
    for label, expected in ((0, 0.0), (1, 2e30), (2, 1e30)):
        y = jnp.asarray(np.eye(3)[label], dtype)
        a = pair.activation(z)
        np.testing.assert_allclose(pair.cost(z, a, y), expected, 1e-6)
        assert jnp.isfinite(pair.delta(z, a, y)).all()


def test_plain_cross_entropy_is_finite_where_it_is_defined():
    cost = make("cost", "cross_entropy")
    a = y = jnp.asarray([0.0, 1.0])
    assert float(cost(a, y)) == 0
    np.testing.assert_array_equal(cost.prime(a, y), [1, -1])


# The digits that pairs keep, against decimals of 340 digits, which resolve all that is normal.


def decimals(array):
    return [decimal.Decimal(float(value)) for value in np.asarray(array, np.float64)]


def exact_sigmoid(z, y):
    """Delta and the cost of cross-entropy with sigmoid, and the terms that make up delta."""
    a = [1 / (1 + (-value).exp()) for value in z]
    rest = [1 / (1 + value.exp()) for value in z]
    delta = [(1 - t) * p - t * q for p, q, t in zip(a, rest, y, strict=True)]
    sizes = [(1 - t) * p + t * q for p, q, t in zip(a, rest, y, strict=True)]
    cost = -sum(t * p.ln() + (1 - t) * q.ln() for p, q, t in zip(a, rest, y, strict=True))
    return delta, sizes, cost


def exact_softmax(z, y, gradient):
    """The same for softmax with a cost whose a_k dC/da_k is `gradient`, by J^T grad_a C."""
    powers = [(value - max(z)).exp() for value in z]
    a = [power / sum(powers) for power in powers]
    rest = [sum(powers[:j] + powers[j + 1 :]) / sum(powers) for j in range(len(powers))]
    h = [gradient(*each) for each in zip(a, rest, y, strict=True)]
    delta = [h[j] * rest[j] - a[j] * sum(h[:j] + h[j + 1 :]) for j in range(len(a))]
    sizes = [abs(h[j]) * rest[j] + a[j] * sum(map(abs, h[:j] + h[j + 1 :])) for j in range(len(a))]
    return a, rest, delta, sizes


def exact(name, z, y):
    z, y = decimals(z), decimals(y)
    if name == ("cross_entropy", "sigmoid"):
        return exact_sigmoid(z, y)
    if name == ("log_likelihood", "softmax"):
        a, _, delta, sizes = exact_softmax(z, y, lambda a, rest, t: -t)
        return delta, sizes, -sum(t * p.ln() for p, t in zip(a, y, strict=True))
    a, rest, delta, sizes = exact_softmax(z, y, lambda a, rest, t: (1 - t) * a / rest - t)
    both = zip(a, rest, y, strict=True)
    return delta, sizes, -sum(t * p.ln() + (1 - t) * q.ln() for p, q, t in both)


def targets(rng, kind, n):
    if kind == "one-hot":
        return np.eye(n)[rng.integers(n)]
    y = rng.dirichlet(np.full(n, 0.3))
    return y if kind == "soft" else np.where(rng.uniform(size=n) < 0.5, 0.0, y)


@pytest.mark.share(3)
@pytest.mark.parametrize("kind", ["one-hot", "soft", "any sum"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", PAIR_NAMES, ids="-".join)
def test_pairs_lose_no_digits(name, dtype, kind):
    """Sizes of z up to 1e4, at which most outputs are saturated.

    Outputs of softmax depend on differences of z, so that rounding one of them counts for |z|.
    """
    decimal.getcontext().prec = 340
    pair, _ = make_pair(*name)
    rng, info = np.random.default_rng(7), jnp.finfo(dtype)
    eps, tiny = float(info.eps), float(info.tiny)
    largest = {"float64": 1e4, "float32": 1e4, "bfloat16": 20}[dtype]
    for size in np.geomspace(0.1, largest, 12):
        z = jnp.asarray(rng.uniform(-size, size, 4), dtype)
        y = jnp.asarray(targets(rng, kind, 4), dtype)
        delta, sizes, cost = exact(name, z, y)
        bound = 8 * eps * (1 + (2 * size if name[1] == "softmax" else 0))
        a = pair.activation(z)
        for found, true, part in zip(pair.delta(z, a, y), delta, sizes, strict=True):
            assert abs(float(found) - float(true)) <= bound * float(part) + tiny
        assert abs(float(pair.cost(z, a, y)) - float(cost)) <= bound * float(cost) + tiny


@pytest.mark.parametrize(
    ("name", "z", "dtype", "delta", "cost"),
    [
        (("cross_entropy", "sigmoid"), [20.0], "float32", [-2.06115362e-9], 2.06115362e-9),
        (("cross_entropy", "sigmoid"), [7.0], "bfloat16", [-9.1105e-4], 9.1147e-4),
        (("log_likelihood", "softmax"), [20.0, 0.0], "float32", [-2.0612e-9, 2.0612e-9], 2.0612e-9),
    ],
)
def test_a_right_answer_keeps_its_digits(name, z, dtype, delta, cost):
    pair, _ = make_pair(*name)
    z = jnp.asarray(z, dtype)
    y = jnp.asarray([1.0, 0.0][: len(z)], dtype)
    a, rtol = pair.activation(z), 4 * float(jnp.finfo(dtype).eps) + 1e-4
    np.testing.assert_allclose(np.asarray(pair.delta(z, a, y), float), delta, rtol)
    np.testing.assert_allclose(float(pair.cost(z, a, y)), cost, rtol)
