"""Whitened data, the decoupled start, and what is measured of deep linear networks."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bpframe
from bpframe import ConfigError
from bpframe.plugin_host.host import load_registry
from bpframe.training import loading
from bpframe.training.precision import precision

LINEAR = (
    *("data=whitened", "network.activation=linear", "network.output_activation=linear"),
    *("cost=quadratic", "training.batch_size=null", "training.dtype=float64"),
    *("training.evaluate_start=true", "metrics=[mode_strengths,balancedness]"),
)
S = (4.0, 3.0, 2.0, 1.0)


def data(*overrides: str) -> tuple[np.ndarray, np.ndarray]:
    train = loading.load(bpframe.compose([*LINEAR, *overrides])).train
    return train.x, train.y


@pytest.mark.parametrize("rotation", [0, 5])
def test_inputs_are_white_and_the_spectrum_is_as_given(rotation: int) -> None:
    x, y = data(f"data.rotation={rotation}")
    n = len(x)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(x.T @ x / n, np.eye(8), atol=1e-13)
    np.testing.assert_allclose(np.linalg.svd(y.T @ x / n)[1], [*S, 0, 0], atol=1e-13)
    np.testing.assert_allclose(y, x @ (y.T @ x / n).T, atol=1e-13)


def test_rotations_give_other_data() -> None:
    assert not np.allclose(data("data.rotation=1")[1], data("data.rotation=2")[1])


def test_singular_vectors_are_uniform_enough() -> None:
    """The first entry of a uniform vector in n dimensions has variance 1/n and mean 0."""
    whitened = load_registry().get("data", "whitened", "")
    correlations = []
    for rotation in range(40):
        train = whitened(singular_values=(1.0,), rotation=rotation).load().train
        correlations.append((train.y.T @ train.x / len(train))[0, 0])
    assert abs(np.mean(correlations)) < 5 / np.sqrt(40 * 48)


@pytest.mark.parametrize(
    "hidden", ["[7,6,8]", *(pytest.param(h, marks=pytest.mark.slow) for h in ("[]", "[6]", "[9]"))]
)
def test_decoupled_modes_start_alike_and_stay_apart(hidden: str) -> None:
    """Slow: but for one, as each compiles a network."""
    chosen = (
        *LINEAR,
        "initialiser=decoupled",
        "initialiser.strength=0.1",
        f"network.hidden={hidden}",
    )
    result = bpframe.run(bpframe.compose([*chosen, "training.epochs=40", "optimiser.eta=0.01"]))
    first = [result.history.metrics[f"mode_strengths.train.mode_{k}"][0] for k in range(1, 7)]
    np.testing.assert_allclose(first, 0.1, rtol=1e-12)
    w = np.linalg.multi_dot([*(layer.w for layer in reversed(result.params)), np.eye(8)])
    x, y = data()
    u, _, vt = np.linalg.svd(y.T @ x / len(x))
    modes = u[:, :4].T @ w @ vt[:4].T
    np.testing.assert_allclose(modes - np.diag(np.diag(modes)), 0, atol=1e-12)
    measured = [result.history.metrics[f"mode_strengths.train.mode_{k}"][-1] for k in range(1, 5)]
    np.testing.assert_allclose(np.diag(modes), measured, rtol=1e-9)


@pytest.mark.slow
def test_one_hidden_layer_follows_the_discrete_recursion() -> None:
    """sqrt(u) <- sqrt(u) (1 + eta (s - u)) at every full-batch step. Slow: compiles a program."""
    eta, epochs = 0.02, 60
    result = bpframe.run(
        bpframe.compose(
            [
                *(*LINEAR, "initialiser=decoupled", "initialiser.strength=0.05"),
                *(f"optimiser.eta={eta}", f"training.epochs={epochs}", "network.hidden=[6]"),
            ]
        )
    )
    for k, s in enumerate([*S, 0, 0], start=1):
        u = [0.05]
        for _ in range(epochs):
            u.append(u[-1] * (1 + eta * (s - u[-1])) ** 2)
        found = result.history.metrics[f"mode_strengths.train.mode_{k}"]
        np.testing.assert_allclose(found, u, rtol=1e-11)


@pytest.mark.slow
def test_balancedness_is_its_formula_and_hardly_moves() -> None:
    """Slow: compiles a program."""
    chosen = (*LINEAR, "network.hidden=[5,4]", "training.epochs=100", "optimiser.eta=0.001")
    result = bpframe.run(bpframe.compose(list(chosen)))  # the scaled start has biases
    for number, (layer, after) in enumerate(itertools.pairwise(result.params), start=2):
        expected = after.w.T @ after.w - layer.w @ layer.w.T - np.outer(layer.b, layer.b)
        found = result.history.metrics[f"balancedness.train.layer_{number}"]
        np.testing.assert_allclose(found[-1], expected, atol=1e-12)
        moved = np.abs(layer.w).max()
        assert np.abs(found[-1] - found[0]).max() < 0.02 * moved


@pytest.mark.slow
def test_weight_gradient_products_are_inner_products() -> None:
    """Slow: compiles a program."""
    chosen = (
        *("network.hidden=[5,4]", "training.epochs=3", "training.dtype=float64"),
        *("data=xor", "training.batch_size=2", "metrics=[weight_gradient_product]"),
    )
    experiment = bpframe.compose(list(chosen))  # sigmoid: the definition holds for any network
    result = bpframe.run(experiment)
    train = experiment.data.load().train
    with precision("float64"):
        x, y = jnp.asarray(train.x, jnp.float64), jnp.asarray(train.y, jnp.float64)

        def cost(params: tuple[bpframe.Params, ...]) -> jax.Array:
            def one(x: jax.Array, y: jax.Array) -> jax.Array:
                trace = bpframe.forward(experiment.network, params, x)
                return experiment.cost.cost(trace.z[-1], trace.a[-1], y)

            return jnp.mean(jax.vmap(one)(x, y))

        gradient = jax.grad(cost)(jax.tree.map(jnp.asarray, result.params))
    for number, (layer, nabla) in enumerate(zip(result.params, gradient, strict=True), start=2):
        found = result.history.metrics[f"weight_gradient_product.train.layer_{number}"][-1]
        assert found == pytest.approx(float(np.sum(layer.w * np.asarray(nabla.w))), rel=1e-11)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("data.size=8", "data.size: 8 examples cannot be whitened; allowed: more than"),
        ("data.singular_values=[1,1,1,1,1,1,1]", "data.singular_values: has 7; allowed: at most 6"),
        ("data.singular_values=[1,-2]", "data.singular_values[1]: -2.0 is out of range"),
        ("initialiser.strength=0", "initialiser.strength: 0.0 is out of range; allowed: > 0"),
    ],
)
def test_bad_settings_are_one_line(override: str, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loading.load(bpframe.compose([*LINEAR, "initialiser=decoupled", override]))
    assert str(raised.value).startswith(text)
    assert "\n" not in str(raised.value)


def test_examples_in_the_config() -> None:
    chosen = ("data=inline", "data.x=[[0,1],[1,0.5]]", "data.y=[[1],[0]]", "network.hidden=[]")
    experiment = bpframe.compose([*chosen, "training.batch_size=1"])
    train = loading.load(experiment).train
    assert train.x.tolist() == [[0, 1], [1, 0.5]]
    assert train.y.tolist() == [[1], [0]]
    assert experiment.network.sizes == (2, 1)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("data.x=[[0,1],[1]]", "data.x: [[0.0, 1.0], [1.0]] has no rows of one length"),
        ("data.x=[[0],[1]]", "data.y: has 1 rows, and data.x has 2"),
        ("data.x=[]", "data.x: [] has no rows of one length"),
        ("data.x=[[a]]", "data.x[0][0]: 'a' is not a number"),
        ("data.x=[1]", "data.x[0]: 1.0 is not a list"),
    ],
)
def test_examples_that_make_no_sense_are_one_line(override: str, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loading.load(bpframe.compose(["data=inline", "training.batch_size=1", override]))
    assert str(raised.value).startswith(text)
    assert "\n" not in str(raised.value)
