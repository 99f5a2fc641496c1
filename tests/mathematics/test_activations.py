"""Every activation of the Registry against autodiff, NumPy and its own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import ACTIVATIONS, jacobian

from bpframe import ElementwiseActivation
from bpframe.plugin_host.host import load_registry

REGISTRY = load_registry()
NAMES = REGISTRY.names("activation")
ELEMENTWISE = [
    name
    for name in NAMES
    if issubclass(REGISTRY.get("activation", name, ""), ElementwiseActivation)
]
# Points where a derivative does not exist; both one-sided values are allowed there.
KINKS = {"relu": [0.0], "leaky_relu": [0.0], "selu": [0.0], "hard_tanh": [-1.0, 1.0]}
GRID = np.concatenate([np.linspace(-9.07, 9.11, 401), [-1e-9, 1e-9, -40.0, 40.0]])


def make(name):
    return REGISTRY.get("activation", name, "")()


def test_every_activation_has_an_oracle():
    assert set(ACTIVATIONS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_value_is_numpys(name):
    z = GRID
    np.testing.assert_allclose(make(name)(jnp.asarray(z)), ACTIVATIONS[name][0](z), 1e-12, 1e-300)


@pytest.mark.parametrize("name", NAMES)
def test_pullback_is_the_transposed_jacobian(name):
    rng = np.random.default_rng(1)
    z, v = rng.normal(size=7), rng.normal(size=7)
    expected = jacobian(name, z).T @ v
    np.testing.assert_allclose(make(name).pullback(jnp.asarray(z), jnp.asarray(v)), expected, 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_pullback_is_autodiffs(name):
    activation = make(name)
    z, v = jnp.asarray(GRID), jnp.asarray(np.random.default_rng(2).normal(size=GRID.size))
    _, vjp = jax.vjp(activation, z)
    # Autodiff of 1 - tanh^2 loses digits where it is small: a few eps of the largest value.
    np.testing.assert_allclose(activation.pullback(z, v), vjp(v)[0], 1e-12, 1e-14)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_prime_is_the_central_difference(name):
    activation = make(name)
    z = GRID[np.min([np.abs(GRID - k) for k in KINKS.get(name, [99.0])], axis=0) > 1e-4]
    h = 1e-5
    difference = (activation(jnp.asarray(z + h)) - activation(jnp.asarray(z - h))) / (2 * h)
    np.testing.assert_allclose(activation.prime(jnp.asarray(z)), difference, 1e-5, 1e-8)


@pytest.mark.parametrize("name", list(KINKS))
def test_prime_at_a_kink_is_a_one_sided_value(name):
    activation = make(name)
    for kink in KINKS[name]:
        sides = [float(activation.prime(jnp.asarray(kink + h))) for h in (-1e-9, 1e-9)]
        at = float(activation.prime(jnp.asarray(kink)))
        assert min(abs(at - side) for side in sides) < 1e-8


@pytest.mark.share(3)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_shape_and_dtype_are_kept_and_extremes_are_finite(name, dtype):
    activation = make(name)
    z = jnp.asarray([-1e30, -1e4, -90.0, -1.0, 0.0, 1.0, 90.0, 1e4, 1e30], dtype)
    v = jnp.ones_like(z)
    for result in (activation(z), activation.pullback(z, v)):
        assert result.shape == z.shape
        assert result.dtype == z.dtype
        assert jnp.isfinite(result).all()


@pytest.mark.parametrize("name", NAMES)
def test_range_is_kept(name):
    activation = make(name)
    low, high = activation.range
    values = activation(jnp.asarray(np.random.default_rng(3).normal(size=500) * 20))
    assert low <= float(values.min())
    assert float(values.max()) <= high


FIELDS = {"leaky_relu": ({"slope": 0.0}, {"slope": -0.5}), "elu": ({"alpha": 0.3}, {"alpha": 4.0})}


@pytest.mark.parametrize("name", NAMES)
def test_range_is_no_wider_than_the_outputs(name):
    """A refusal quotes it: each end is reached or approached, or is infinite as the outputs are."""
    for fields in ({}, *FIELDS.get(name, ())):
        activation = REGISTRY.get("activation", name, "")(**fields)
        z = np.concatenate([np.linspace(-1e3, 1e3, 20_001), np.linspace(-3, 3, 60_001)])
        if name == "softmax":
            z = np.array([-1e3, 0.0, 1e3])
        values = np.asarray(activation(jnp.asarray(z)))
        for end, found in zip(activation.range, (values.min(), values.max()), strict=True):
            if np.isfinite(end):
                assert abs(found - end) < 1e-8, (fields, end, found)
            else:
                assert abs(found) >= 9, (fields, end, found)


def test_sigmoid_prime_keeps_its_digits_where_the_neuron_saturates():
    z = jnp.asarray([30.0, 40.0, 300.0])
    np.testing.assert_allclose(make("sigmoid").prime(z), np.exp(-np.asarray(z)), 1e-12)


def test_fields_reach_the_formula():
    leaky = REGISTRY.get("activation", "leaky_relu", "")(slope=0.3)
    assert float(leaky(jnp.asarray(-2.0))) == -0.6
    elu = REGISTRY.get("activation", "elu", "")(alpha=2.0)
    np.testing.assert_allclose(elu.prime(jnp.asarray(-1.0)), 2 * np.exp(-1), 1e-12)
