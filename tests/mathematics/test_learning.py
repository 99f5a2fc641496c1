"""Every door of learning rules and aggregations, against NumPy and jax.grad in float64."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sound_learning import (
    AnswersBackwards,
    Direct,
    DirectInTwoTerms,
    KolenPollack,
    NoisySigns,
    Robust,
)

import bpframe
from bpframe import Initialiser, hookimpl
from bpframe.deltas.example_gradients import ExampleGradients, total
from bpframe.learning import Aggregation, LearningRule
from bpframe.plugin_host.host import load_registry
from bpframe.testing.parameters import dense_network, shapes_of, some_params, some_step
from bpframe.training import devices, initial_state
from bpframe.training.epoch import train_epochs
from bpframe.training.precision import precision

REGISTRY = load_registry()
SIZES = (5, 6, 4, 3)
RTOL = 1e-12


def clipped(norm: float) -> Aggregation:
    return REGISTRY.get("aggregation", "clipped", "")(norm=norm)


def batch(m: int = 7) -> tuple[Any, Any, Any, Any, Any]:
    """A dense network, its pair, its parameters, and m examples."""
    params = some_params(3, sizes=SIZES)
    step = some_step(params, m=m)
    return step.network, step.pair, params, step.found.trace.a[0], step.y


def per_example(network: Any, pair: Any, params: Any, x: Any, y: Any) -> Any:
    """dC_x/dparams of every example, by automatic differentiation."""

    def cost(params: Any, x: Any, y: Any) -> Any:
        return pair.cost_function(bpframe.forward(network, params, x).a[-1], y)

    return jax.vmap(jax.grad(cost), in_axes=(None, 0, 0))(params, x, y)


def assert_trees(found: Any, expected: Any, rtol: float = RTOL) -> None:
    jax.tree.map(lambda a, b: assert_allclose(a, b, rtol, 1e-15), found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("norm", [1e-3, 0.5, 1e3])
def test_clipping_is_that_of_the_gradients_of_single_examples(norm: float) -> None:
    """Slow: compiles a program."""
    network, pair, params, x, y = batch()
    each = per_example(network, pair, params, x, y)
    norms = np.sqrt(
        sum(np.sum(np.asarray(g).reshape(7, -1) ** 2, 1) for g in jax.tree.leaves(each))
    )
    c = np.minimum(1, norm / norms)
    expected = jax.tree.map(lambda g: np.tensordot(c, g, 1) / 7, each)
    found = bpframe.gradient(network, pair, params, x, y, aggregation=clipped(norm))
    assert_trees(found.mean, expected)
    plain = bpframe.gradient(network, pair, params, x, y)
    assert_trees(found.deltas, plain.deltas, 0)  # what is measured stays what was computed


def test_clipping_forms_no_gradient_of_a_single_example() -> None:
    network, pair, params, x, y = batch(7)
    program = jax.make_jaxpr(
        lambda p: bpframe.gradient(network, pair, p, x, y, aggregation=clipped(0.5)).mean
    )(params)
    shapes = {var.aval.shape for eqn in program.jaxpr.eqns for var in eqn.outvars}
    assert not shapes & {(7, *own.w.shape) for own in params}


@pytest.mark.slow
def test_an_outlier_that_does_not_count_is_left_out() -> None:
    """Slow: compiles a program."""
    network, pair, params, x, y = batch()
    y = y.at[2].mul(1000)
    most = Robust(most=50.0)
    found = bpframe.gradient(network, pair, params, x, y, aggregation=most)
    kept = np.delete(np.arange(7), 2)
    rest = bpframe.gradient(network, pair, params, x[kept], y[kept])
    assert_trees(found.mean, jax.tree.map(lambda g: g * 6 / 7, rest.mean))


def direct(params: Any, state: Any, seen: Any) -> list[np.ndarray]:
    """The deltas of direct feedback alignment, in NumPy, from z and the output's delta."""
    out = np.asarray(seen.deltas[-1])
    primes = [(1 + np.asarray(z) ** 2) ** -1.5 for z in seen.trace.z[:-1]]
    hidden = zip(state["feedback"], primes, strict=True)
    return [*((out @ np.asarray(b).T) * prime for b, prime in hidden), out]


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Direct(), DirectInTwoTerms()])
def test_assigned_credit_is_what_bp3_and_bp4_multiply(rule: LearningRule) -> None:
    """Slow: compiles a program."""
    network, pair, params, x, y = batch()
    state = rule.init(jax.random.key(1), params, network.shapes)
    found = bpframe.gradient(network, pair, params, x, y, rule, state)
    deltas = direct(params, state, found)
    assert_trees(list(found.deltas), deltas)
    for own, delta, a in zip(found.mean, deltas, found.trace.a, strict=False):
        assert_trees(tuple(own), (delta.T @ np.asarray(a) / 7, delta.mean(0)))
    norms = sum((d**2).sum(1) * ((np.asarray(a) ** 2).sum(1) + 1)
                for d, a in zip(deltas, found.trace.a, strict=False))  # fmt: skip
    found_norms = ExampleGradients(network.layers, params, found.credit).squared_norms()
    assert_allclose(total(found_norms), norms, RTOL)


@pytest.mark.slow
def test_terms_of_two_inputs_are_added_up() -> None:
    """As contrastive rules have it: what BP4 multiplies need not be the activations.

    Slow: compiles a program.
    """

    class Contrast(Direct):
        def assign(self, state: Any, forward: Any, y: Any, key: Any) -> Any:
            (whole,) = super().assign(state, forward, y, key)
            other = whole._replace(
                a=tuple(a**2 for a in whole.a), delta=tuple(-d / 3 for d in whole.delta)
            )
            return whole, other

    network, pair, params, x, y = batch()
    state = Contrast().init(jax.random.key(1), params, network.shapes)
    found = bpframe.gradient(network, pair, params, x, y, Contrast(), state)
    d, a = np.asarray(found.credit[0].delta[0]), np.asarray(x)
    assert_allclose(found.mean[0].w, (d.T @ a - d.T @ a**2 / 3) / 7, RTOL, 1e-15)
    assert_allclose(found.deltas[0], d * 2 / 3, RTOL)
    each = np.einsum("xi,xj->xij", d, a) - np.einsum("xi,xj->xij", d, a**2) / 3
    first = np.sum(each**2, (1, 2)) + np.sum((d * 2 / 3) ** 2, 1)
    norms = total(ExampleGradients(network.layers, params, found.credit).squared_norms())
    assert (np.asarray(norms) > first).all()
    whole = jax.vmap(lambda i: sum(
        jnp.sum(g**2) for g in jax.tree.leaves(
            bpframe.gradient(network, pair, params, x[i][None], y[i][None], Contrast(), state).mean
        )
    ))(jnp.arange(7))  # fmt: skip
    assert_allclose(norms, whole, RTOL)


@pytest.mark.slow
def test_noise_is_one_draw_a_mini_batch_and_one_an_example() -> None:
    """Slow: compiles a program."""
    network, pair, params, x, y = batch(2)
    x, y = x.at[1].set(x[0]), y.at[1].set(y[0])  # the same example twice
    rule = NoisySigns()

    def hidden(key: int, rule: LearningRule = rule) -> np.ndarray:
        found = bpframe.gradient(network, pair, params, x, y, rule, key=jax.random.key(key))
        return np.asarray(found.deltas[1])

    first, second = hidden(1)
    assert 0 < np.abs(first - second).max() < 0.1  # the noise of 0.01, but the same signs
    assert np.abs(hidden(2) - hidden(1)).max() > 0.1
    assert_allclose(hidden(1), hidden(1), 0)


def experiment(*overrides: str) -> bpframe.Experiment:
    return bpframe.compose(["data=xor", "network.hidden=[4]", "training.batch_size=4", *overrides])


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["sgd", "momentum"])
def test_kolen_pollack_keeps_the_difference_of_weights_and_feedback(optimiser: str) -> None:
    """Slow: compiles a program."""
    base = experiment(f"optimiser={optimiser}", "training.dtype=float64", "training.epochs=50")
    whole = dataclasses.replace(base, learning_rule=KolenPollack())
    with precision("float64"):
        data = whole.data.load()
        state = initial_state.initial_state(whole)
        examples = devices.to_device(data.train, "float64")
        n = len(data.train)
        orders = jnp.tile(jnp.arange(n, dtype=jnp.int32), (50, 1))
        after = jax.jit(train_epochs)(whole, state, examples, orders, jnp.int32(50)).state
    moved = np.abs(np.asarray(after.params[1].w - state.params[1].w)).max()
    assert moved > 0.05
    before, later = (np.asarray(s.params[1].w - s.rule[0].w) for s in (state, after))
    assert_allclose(later, before, 1e-11, 1e-13)


@pytest.mark.slow
def test_the_answer_decides_accuracy_and_cost() -> None:
    """Slow: compiles a program."""
    base = bpframe.compose(["training.epochs=2", "cost=quadratic"])
    mine = dataclasses.replace(base, learning_rule=AnswersBackwards())
    one, other = (bpframe.run(each, plots=False) for each in (base, mine))
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)
    data = base.data.load()
    x = np.asarray(data.test.x, np.float64).reshape(len(data.test), -1) * data.test.scale
    a = np.asarray(jax.vmap(lambda x: bpframe.forward(base.network, other.params, x).a[-1])(
        jnp.asarray(x.reshape(-1, *base.network.shape), jnp.float32)))[:, ::-1]  # fmt: skip
    y = np.eye(10)[data.test.y]
    assert other.summary.test_accuracy == pytest.approx((a.argmax(1) == data.test.y).mean())
    assert other.summary.test_cost == pytest.approx(0.5 * np.sum((a - y) ** 2, 1).mean(), rel=1e-5)


class Offers:
    BPFRAME_API_VERSION = 2

    @hookimpl
    def bpframe_aggregations(self) -> dict[str, Any]:
        return {"robust": Robust}


@pytest.mark.slow
def test_a_run_follows_its_aggregation() -> None:
    """Slow: compiles a program."""
    quick = ["training.epochs=1", "data.train_size=40", "aggregation=robust"]
    nothing, all_of_it = (
        bpframe.run(bpframe.compose([*quick, f"aggregation.most={most}"], plugins=[Offers()]))
        for most in ("1e-9", "1e9")
    )
    plain = bpframe.run(bpframe.compose(quick[:2]))
    np.testing.assert_allclose(all_of_it.history.train_cost, plain.history.train_cost, rtol=1e-6)
    start = bpframe.compose(quick[:2])
    drawn = initial_state.initial_state(start).params
    jax.tree.map(np.testing.assert_array_equal, nothing.params, jax.device_get(drawn))


def test_without_a_state_a_rule_draws_its_own() -> None:
    network, pair, params, x, y = batch()
    rule = REGISTRY.get("learning_rule", "feedback_alignment", "")()
    found = bpframe.gradient(network, pair, params, x, y, rule)
    state = rule.init(jax.random.key(0), params, shapes_of(params))
    assert_trees(found.mean, bpframe.gradient(network, pair, params, x, y, rule, state).mean, 0)
    assert network == dense_network(params)


@pytest.mark.slow
def test_layers_of_a_block_have_feedback_of_their_own() -> None:
    """Slow: compiles a program."""
    dense = "{n: 6, activation: tanh}"
    block = f"{{name: repeat, count: 3, layers: [{dense}, {dense}]}}"
    layers = f"network.layers=[{dense}, {block}, {{n: 10, activation: sigmoid}}]"
    whole = bpframe.compose([layers])
    assert isinstance(whole.initialiser, Initialiser)
    params = whole.network.init(whole.initialiser, jax.random.key(1))
    rule = REGISTRY.get("learning_rule", "feedback_alignment", "")()
    first, _ = rule.init(jax.random.key(2), params, whole.network.shapes)
    drawn = np.concatenate([np.asarray(own.w).reshape(3, -1) for own in first.blocks])
    assert len(np.unique(drawn)) == drawn.size
    assert drawn.std() == pytest.approx(1 / np.sqrt(6), rel=0.1)
