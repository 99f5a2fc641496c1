"""The closed forms that the studies of theory judge by, against independent numerics."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "experiments"))

from cost_functions import neuron
from deep_linear_theory import theory
from learning_rules_theory import theory as rules
from linear_neurons import affine
from modified_neuron import gradients
from modified_neuron.study import MeanBetween

S, U0 = np.array([4.0, 1.0, 0.0]), 0.01


def test_exact_mode_strengths_solve_their_differential_equation():
    t = np.linspace(0, 5, 2001)
    u = theory.exact(S, U0, t)
    slope = (u[2:] - u[:-2]) / (t[2] - t[0])
    np.testing.assert_allclose(u[0], U0, rtol=1e-12)
    np.testing.assert_allclose(slope, (2 * u * (S - u))[1:-1], atol=1e-3)
    np.testing.assert_allclose(u[-1, :2], S[:2], rtol=5e-3)


@pytest.mark.slow
def test_recursion_departs_from_the_exact_curve_as_predicted():
    """Slow: runs whole commands."""
    eta, steps = 1e-5, 200_000
    chosen = np.arange(0, steps + 1, 2000)
    error = theory.recursion(S, U0, eta, steps)[chosen] - theory.exact(S, U0, eta * chosen)
    predicted = theory.first_order(S, U0, eta * chosen)
    np.testing.assert_allclose(error[:, :2] / eta, predicted[:, :2], atol=2e-3)
    assert np.isnan(predicted[:, 2]).all()


@pytest.mark.parametrize("cost", [neuron.QUADRATIC, neuron.ENTROPY])
@pytest.mark.parametrize("z", [0.5, 1.5, 4.0])
def test_epochs_in_theory_are_the_integral_over_z(cost: str, z: float):
    eta, grid = 0.1, np.linspace(0, z, 20_001)
    inverse = np.array([1 / neuron.delta(cost, neuron.sigmoid(value)) for value in grid])
    integral = np.sum((inverse[1:] + inverse[:-1]) / 2) * grid[1]
    assert neuron.epochs_in_theory(cost, eta, z) == pytest.approx(integral / (2 * eta), rel=1e-6)


@pytest.mark.parametrize(
    ("cost", "formula"),
    [
        (neuron.QUADRATIC, lambda a: a**2 / 2),
        (neuron.ENTROPY, lambda a: -np.log1p(-a)),
    ],
)
def test_a_step_of_the_neuron_goes_down_the_slope_of_its_cost(cost, formula):
    eta, z, h = 0.1, 1.5, 1e-6
    slope = (formula(neuron.sigmoid(z + h)) - formula(neuron.sigmoid(z - h))) / (2 * h)
    a = neuron.outputs(cost, eta, (0.6, 0.9), 1)
    assert neuron.weighted_input(a[1]) == pytest.approx(z - 2 * eta * slope, abs=1e-9)


def test_the_books_animation_follows_another_slope():
    start = (2.0, 2.0)
    first = neuron.weighted_input(neuron.animation(start, 1))
    a = neuron.sigmoid(4.0)
    assert first[0] - first[1] == pytest.approx(2 * neuron.ANIMATED_ETA / (1 - a))
    assert neuron.animation(start, 300)[-1] == pytest.approx(0.048, abs=5e-4)


@pytest.mark.parametrize("name", gradients.FUNCTIONS)
def test_primes_written_out_again_are_the_slopes(name: str):
    f, prime = gradients.FUNCTIONS[name]
    z, h = np.array([-2.0, -0.3, 0.7, 3.0]), 1e-6
    np.testing.assert_allclose((f(z + h) - f(z - h)) / (2 * h), prime(z), atol=1e-9)


def linear_pass() -> affine.Pass:
    """A network 3-4-2 of linear neurons, forward and back, by hand."""
    rng = np.random.default_rng(0)
    (w_2, b_2), (w_3, b_3) = params = tuple(
        (rng.normal(size=(n, n_prev)), rng.normal(size=n)) for n_prev, n in ((3, 4), (4, 2))
    )
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    a = x @ w_2.T + b_2
    outputs = a @ w_3.T + b_3
    delta_3 = outputs - y
    delta_2 = delta_3 @ w_3
    nabla = tuple(
        (delta.T @ before / 5, delta.mean(axis=0)) for delta, before in ((delta_2, x), (delta_3, a))
    )
    return affine.Pass(params, x, outputs, [delta_2, delta_3], nabla)


def test_identities_of_linear_networks_hold():
    found = linear_pass()
    for error in (affine.output_error, affine.delta_error, affine.bias_error):
        assert error(found) < 1e-13


def test_identities_of_linear_networks_can_fail():
    found = linear_pass()
    no_biases = tuple((dw, np.zeros_like(db)) for dw, db in found.nabla)
    assert affine.output_error(found._replace(outputs=found.outputs + 1)) > 1e-3
    assert affine.delta_error(found._replace(deltas=[d * d for d in found.deltas])) > 1e-3
    assert affine.bias_error(found._replace(nabla=no_biases)) > 1e-3


def test_a_mean_is_judged_with_its_ends():
    rule = MeanBetween(-1, 1)
    assert rule.agrees([-3, 5])
    assert not rule.agrees([0, 2.1])
    assert not rule.agrees([np.nan, 0])
    assert rule.text == "mean in [-1, 1]"


def named(value):
    return value if isinstance(value, str) else ""


@pytest.mark.share(6)
@pytest.mark.parametrize(("name", "source", "error", "bound"), rules.STATEMENTS, ids=named)
def test_learning_rules_keep_what_is_known_of_them(name, source, error, bound):
    del name, source
    assert error(3) <= bound


@pytest.mark.share(3)
@pytest.mark.parametrize(("name", "error", "power"), rules.PULLS, ids=named)
def test_a_weak_pull_is_near_the_gradient(name, error, power):
    del name
    found = [error(beta)(3) for beta in (0.01, 0.001)]
    assert found[1] < 0.01
    assert np.log10(found[0] / found[1]) == pytest.approx(power, abs=0.05)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("predictive_coding", {"mode": "z_il", "rate": 0.9}),
        ("predictive_coding", {"mode": "fixed_prediction", "steps": 2, "rate": 1.0}),
        ("feedback_alignment", {}),
    ],
)
def test_what_is_no_gradient_is_told_apart_from_it(name, fields):
    with jax.enable_x64(True):
        assert rules.from_backprop(name, 3, **fields) > 0.05
