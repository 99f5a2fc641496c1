"""Learning rules against NumPy, and against what is known of them exactly, in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from needs import NEEDS
from numpy.testing import assert_allclose, assert_array_equal

import bpframe
import bpframe.learning
from bpframe.data import Examples
from bpframe.equations import Dense, Unpaired
from bpframe.errors import ConfigError
from bpframe.learning import LearningRule, TrainingStep
from bpframe.network import Network
from bpframe.plugin_host.host import load_registry
from bpframe.testing.parameters import (
    Curved,
    SquaredError,
    Straight,
    dense_network,
    some_params,
    some_step,
)
from bpframe.training import devices, initial_state, step

REGISTRY = load_registry()
SIZES = (5, 7, 6, 4, 3)
FEEDBACK = ("feedback_alignment", "kolen_pollack", "weight_mirror")
SIGNS = ("sign_symmetry", "batchwise_random_sign", "fixed_random_sign")
KEY = jax.random.key(1)


def rule_of(name: str, **fields: Any) -> LearningRule:
    return REGISTRY.get("learning_rule", name, "")(**fields)


def stepped(rule: LearningRule, m: int = 7, seed: int = 3) -> tuple[Any, TrainingStep]:
    """The state of a rule, and a step of a curved network 5-7-6-4-3 with it."""
    params = scaled(some_params(seed, sizes=SIZES), 0.4)
    state = rule.init(KEY, params, dense_network(params).shapes)
    return state, some_step(params, rule, state, m)


def scaled(params: Any, factor: float) -> Any:
    return jax.tree.map(lambda part: part * factor, params)


def exact(step: TrainingStep) -> Any:
    return some_step(step.params, m=len(step.y)).found


def primes(step: TrainingStep) -> list[np.ndarray]:
    return [(1 + np.asarray(z) ** 2) ** -1.5 for z in step.found.trace.z]


def assert_deltas(step: TrainingStep, arrives: Callable[[int, Any], Any]) -> None:
    """delta^l is what `arrives` says of l and the deltas, times sigma'."""
    deltas = list(map(np.asarray, step.found.deltas))
    assert_allclose(deltas[-1], exact(step).deltas[-1], 1e-13)
    for at in range(len(deltas) - 1):
        assert_allclose(deltas[at], arrives(at, deltas) * primes(step)[at], 1e-12)


@pytest.mark.share(3)
@pytest.mark.parametrize("distribution", ["normal", "uniform", "initialiser"])
@pytest.mark.parametrize("name", FEEDBACK)
def test_the_error_goes_back_by_the_feedback_weights(name: str, distribution: str) -> None:
    state, step = stepped(rule_of(name, distribution=distribution, scale=0.7))
    assert_deltas(step, lambda at, deltas: deltas[at + 1] @ np.asarray(state[at].w))


@pytest.mark.parametrize("distribution", ["normal", "uniform", "initialiser"])
def test_feedback_is_distributed_as_it_says(distribution: str) -> None:
    params = some_params(2, sizes=(4, 200, 300))
    rule = rule_of("feedback_alignment", distribution=distribution, scale=0.5)
    drawn = np.asarray(rule.init(KEY, params, dense_network(params).shapes)[0].w)
    w = np.asarray(params[1].w)
    if distribution == "initialiser":
        assert set(drawn.reshape(-1)) <= set(0.5 * w.reshape(-1))
        assert_allclose(drawn.std(), 0.5 * w.std(), 0.02)
    else:
        assert_allclose(drawn.std() * np.sqrt(200), 0.5, 0.02)
        largest = np.abs(drawn).max() * np.sqrt(200) / 0.5
        assert (largest <= np.sqrt(3)) == (distribution == "uniform")
    assert abs(np.corrcoef(drawn.reshape(-1), w.reshape(-1))[0, 1]) < 0.02


@pytest.mark.parametrize("sign", [False, True])
def test_direct_feedback_comes_from_the_output(sign: bool) -> None:
    state, step = stepped(rule_of("direct_feedback_alignment", sign=sign))
    error = np.asarray(step.found.trace.a[-1] - step.y)

    def arrives(at: int, deltas: Any) -> Any:
        return (np.sign(error) if sign else deltas[-1]) @ np.asarray(state[at]).T

    assert_deltas(step, arrives)


def test_direct_random_targets_look_at_the_target_alone() -> None:
    state, step = stepped(rule_of("direct_random_targets"))
    assert_deltas(step, lambda at, _: np.asarray(step.y) @ np.asarray(state[at]).T)


def test_uniform_signs_are_the_signs_of_the_weights() -> None:
    _, step = stepped(rule_of("sign_symmetry", scale=0.7))

    def arrives(at: int, deltas: Any) -> Any:
        w = np.asarray(step.params[at + 1].w)
        return deltas[at + 1] @ (0.7 * np.sign(w) / np.sqrt(w.shape[1]))

    assert_deltas(step, arrives)


def test_fixed_sizes_have_the_signs_of_the_weights_now() -> None:
    rule = rule_of("fixed_random_sign", scale=0.7)
    state, step = stepped(rule)
    other = some_step(scaled(step.params, -1.0), rule, state, 7)
    for seen in (step, other):
        assert_deltas(
            seen,
            lambda at, deltas, seen=seen: (
                deltas[at + 1] @ (np.abs(state[at].w) * np.sign(seen.params[at + 1].w))
            ),
        )


@pytest.mark.slow
def test_sizes_of_a_mini_batch_are_those_of_all_its_examples_and_change() -> None:
    """Slow: compiles a program."""
    params = scaled(some_params(2, sizes=(4, 50, 60, 3)), 0.1)
    rule = rule_of("batchwise_random_sign", scale=0.5)

    def sizes(step: TrainingStep) -> np.ndarray:
        """What stands for w^3, by least squares over the examples."""
        arrived = np.asarray(step.found.deltas[0]) / primes(step)[0]
        return np.linalg.lstsq(np.asarray(step.found.deltas[1]), arrived, rcond=None)[0]

    found = sizes(some_step(params, rule, m=400))
    assert_array_equal(np.sign(found), np.sign(params[1].w))  # one matrix for all 400
    assert_allclose((found**2).mean() * 50, 0.25, 0.1)
    network, pair = dense_network(params), Unpaired(SquaredError(), Curved())
    x, y = jnp.full((1, 4), 0.5), jnp.ones((1, 3))
    first, again, other = (
        bpframe.gradient(network, pair, params, x, y, rule, key=jax.random.key(n)).deltas[0]
        for n in (1, 1, 2)
    )
    assert_array_equal(first, again)
    assert not np.allclose(first, other)


def local_cost(v: Any, a: Any, y: Any) -> Any:
    return -jnp.sum(y * jax.nn.log_softmax(v @ a))


@pytest.mark.slow
def test_a_local_loss_is_a_readout_and_its_gradient() -> None:
    """Slow: compiles a program."""
    rule = rule_of("local_loss", rate=0.3)
    state, step = stepped(rule)
    targets = jnp.eye(3)[jnp.arange(7) % 3]
    step = step._replace(
        y=targets,
        found=bpframe.gradient(
            *(step.network, step.pair, step.params, step.found.trace.a[0], targets),
            *(rule, state, step.key),
        ),
    )
    over_a = jax.vmap(jax.grad(local_cost, argnums=1), in_axes=(None, 0, 0))
    over_v = jax.vmap(jax.grad(local_cost), in_axes=(None, 0, 0))
    hidden = step.found.trace.a[1:-1]
    for at, a in enumerate(hidden):
        expected = over_a(state[at], a, targets) * primes(step)[at]
        assert_allclose(step.found.deltas[at], expected, 1e-12, 1e-15)
    after = rule.learn(state, step, step.params, step.params)
    for v, new, a in zip(state, after, hidden, strict=True):
        assert_allclose(new, v - 0.3 * over_v(v, a, targets).mean(0), 1e-12, 1e-15)


@pytest.mark.slow
def test_a_decay_of_eta_lambda_over_n_is_that_of_both() -> None:
    """B <- (1 - d) B - eta dC/dw: the feedback sees no weights then. Slow: compiles a program."""
    rule = rule_of("kolen_pollack", decay=0.02)
    params = scaled(some_params(5, sizes=SIZES), 0.4)
    state = rule.init(KEY, params, dense_network(params).shapes)
    step = some_step(params, rule, state)
    decayed = jax.tree.map(lambda w, g: 0.98 * w - 0.1 * g, params, step.found.mean)
    after = rule.learn(state, step, params, decayed)
    for b, new, g in zip(state, after, step.found.mean[1:], strict=True):
        assert_allclose(new.w, 0.98 * b.w - 0.1 * g.w, 1e-12, 1e-15)


@pytest.mark.slow
def test_inverses_follow_the_gradient_of_what_they_rebuild() -> None:
    """Slow: compiles a program."""
    rule = rule_of("difference_target_propagation", rate=0.3, noise=0.2)
    state, step = stepped(rule)
    after = rule.learn(state, step, step.params, step.params)
    for at, (own, new) in enumerate(zip(state, after, strict=True)):
        a = step.found.trace.a[at + 1]
        n = a + 0.2 * jax.random.normal(jax.random.fold_in(step.key, at), a.shape)
        w, b = step.params[at + 1]

        def rebuilt(inverse: Any, n: Any = n, w: Any = w, b: Any = b) -> Any:
            f = n @ w.T + b[None]
            back = f / jnp.sqrt(1 + f**2) @ inverse.w.T + inverse.b[None]
            return jnp.mean(jnp.sum((back / jnp.sqrt(1 + back**2) - n) ** 2, axis=1))

        slope = jax.grad(rebuilt)(own)
        assert_allclose(new.w, own.w - 0.3 * slope.w, 1e-12, 1e-15)
        assert_allclose(new.b, own.b - 0.3 * slope.b, 1e-12, 1e-15)


@pytest.mark.parametrize("hidden", ["[]", "[30]"])
def test_targets_need_a_layer_to_go_back_to(hidden: str) -> None:
    with pytest.raises(ConfigError, match="needs two hidden layers or more, and the network has"):
        bpframe.compose(["learning_rule=difference_target_propagation", f"network.hidden={hidden}"])


SOME = "{n: 12, activation: tanh}"
LAYERS = (
    "{name: convolution, maps: 3, size: 3, activation: tanh}, {name: max_pooling, size: 2}, "
    f"{SOME}, {{name: layer_norm}}, {{name: residual, layers: [{SOME}]}}, "
    f"{{name: repeat, count: 2, layers: [{SOME}]}}, {{n: 10, activation: softmax}}"
)
OWN_OUTPUT = (
    "equilibrium_propagation",
    "gaussian_equilibrium",
    "forward_forward",
    "predictive_coding",
)
"""Rules whose delta^L is not BP1's, or not at the output of the forward pass."""
ALL = sorted(REGISTRY.names("learning_rule"))
QUICK = ("data.train_size=40", "training.epochs=2", "cost=log_likelihood")


@pytest.mark.slow
@pytest.mark.share(3)
@pytest.mark.parametrize(
    "rule", [name for name in ALL if name not in ("weight_mirror", "equilibrium_propagation")]
)
def test_rules_go_through_layers_of_every_kind(rule: str) -> None:
    """Slow: each compiles a network of seven layers."""
    fields = ("learning_rule.threshold=0.5",) if rule == "forward_forward" else ()
    chosen = (f"learning_rule={rule}", *fields, "metrics=[delta_norm]")
    experiment = bpframe.compose([*QUICK, *chosen, f"network.layers=[{LAYERS}]"])
    last = bpframe.run(experiment).history.last()
    until = 8 if rule == "forward_forward" else 9  # whose output learns nothing
    assert all(last[f"delta_norm.steps.layer_{number}"] > 0 for number in range(2, until))


@pytest.mark.parametrize("rule", [*FEEDBACK, *SIGNS])
def test_layers_without_weights_carry_the_error_exactly(rule: str) -> None:
    made = rule_of(rule)
    norm = REGISTRY.get("layer", "layer_norm", "")(activation=Straight())
    network = Network(
        (5,), (Dense(6, activation=Straight()), norm, Dense(3, activation=Straight()))
    )
    params = network.init(REGISTRY.get("initialiser", "scaled", "")(), KEY)
    gains = params[1]._replace(gain=jnp.arange(1.0, 7))
    params = (params[0], gains, params[2])
    rng = np.random.default_rng(1)
    x, y = (jnp.asarray(rng.normal(size=(4, n))) for n in (5, 3))
    state = made.init(KEY, params, network.shapes)
    pair = Unpaired(SquaredError(), Straight())
    found = bpframe.gradient(network, pair, params, x, y, made, state, KEY)
    expected = jax.vmap(norm.carry, in_axes=(None, 0, None, 0))(
        gains, found.trace.a[1], None, found.deltas[1]
    )
    assert_allclose(found.deltas[0], expected, 1e-12)


@pytest.mark.parametrize("rule", [*FEEDBACK, *SIGNS, "direct_random_targets", "local_loss"])
def test_a_rule_that_reaches_hidden_layers_needs_some(rule: str) -> None:
    with pytest.raises(ConfigError, match="hidden layers, and the network has none; set network"):
        bpframe.compose([f"learning_rule={rule}", "network.hidden=[]"])


def test_a_weight_mirror_needs_layers_that_hold_no_others() -> None:
    layers = f"[{SOME}, {{name: residual, layers: [{SOME}]}}, {{n: 10, activation: softmax}}]"
    with pytest.raises(ConfigError, match="weight_mirror cannot work with layer 3, which holds"):
        bpframe.compose([*QUICK, "learning_rule=weight_mirror", f"network.layers={layers}"])


def angle(a: Any, b: Any) -> float:
    a, b = (np.asarray(part).reshape(-1) for part in (a, b))
    return float(np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))


def measured(rule: str, metrics: str) -> Any:
    """Four examples in one step: at the first parameters, over all of them."""
    x, y = "[[0,0,1],[0,1,0],[1,0,0],[1,1,1]]", "[[1,0],[0,1],[0,1],[1,0]]"
    four = (f"data.x={x}", f"data.y={y}", "data=inline", "network.hidden=[6,5]")
    whole = (*four, "training.batch_size=4", "training.epochs=1")
    chosen = (
        "cost=quadratic",
        "training.dtype=float64",
        f"learning_rule={rule}",
        f"metrics=[{metrics}]",
        *(("network.activation=relu",) if rule == "forward_forward" else ()),
    )
    return bpframe.run(bpframe.compose([*whole, *chosen])).history.last()


@pytest.mark.share(5)
@pytest.mark.parametrize("rule", ALL)
def test_every_rule_has_angles_and_backpropagation_none(rule: str) -> None:
    last = measured(rule, "alignment,gradient_alignment")
    for number in (2, 3, 4):
        found, ratio = (last[f"alignment.steps.layer_{number}{part}"] for part in ("", ".ratio"))
        if rule == "backprop":
            assert (found, ratio) == (0, 1)
        elif number < 4:
            assert 0 < found <= 180
        elif rule not in OWN_OUTPUT:
            assert found < 1e-9
            assert ratio == 1
    assert abs(last["gradient_alignment.steps.layer_4"]) <= 90


def test_alignment_is_the_mean_angle_of_the_examples() -> None:
    metric = REGISTRY.get("metric", "alignment", "")()
    rng = np.random.default_rng(1)
    ours, other = rng.normal(size=(2, 9, 4))
    seen = dataclasses.make_dataclass("Seen", ["y", "deltas", "exact_deltas"])(
        jnp.zeros((9, 1)), (jnp.asarray(ours),), (jnp.asarray(other),)
    )
    total = metric.add(metric.start(seen), seen)
    columns = metric.result(metric.add(total, seen), ())
    expected = np.mean([angle(a, b) for a, b in zip(ours, other, strict=True)])
    assert_allclose(columns["layer_2"], expected, 1e-12)
    norms = [np.linalg.norm(part, axis=1).sum() for part in (ours, other)]
    assert_allclose(columns["layer_2.ratio"], norms[0] / norms[1], 1e-12)


@pytest.mark.parametrize(
    "rule", ["feedback_alignment", "kolen_pollack", "direct_feedback_alignment"]
)
def test_weights_are_compared_with_what_stands_for_them(rule: str) -> None:
    made = rule_of(rule)
    state, step = stepped(made)
    pairs = made.feedback(state, step.params)
    assert pairs is not None
    assert len(pairs) == 3
    for number, pair in enumerate(pairs):
        w = np.asarray(step.params[number + 1].w)
        if rule == "direct_feedback_alignment":
            before = np.asarray(state[number])
            b = before.T if number == 2 else np.asarray(state[number + 1]) @ before.T
        else:
            b = np.asarray(state[number].w)
        assert pair is not None
        assert_array_equal(pair[0], w.reshape(-1))
        assert_allclose(pair[1], b.reshape(-1), 1e-14)


def test_feedback_of_backpropagation_is_the_weights() -> None:
    last = measured("backprop", "feedback_alignment_angle")
    assert last["feedback_alignment_angle.steps.layer_3"] == 0
    assert last["feedback_alignment_angle.steps.layer_4"] == 0


@pytest.mark.parametrize("rule", ["predictive_coding", "local_loss", "direct_random_targets"])
def test_rules_without_feedback_have_no_angle_of_it(rule: str) -> None:
    with pytest.raises(ConfigError, match=f"learning_rule={rule} has none; leave it out"):
        measured(rule, "feedback_alignment_angle")


@pytest.mark.slow
@pytest.mark.share(3)
@pytest.mark.parametrize("rule", ALL)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_rule_learns_the_digits(rule: str, dtype: str) -> None:
    """Slow: each trains a network of its own."""
    network = {
        "equilibrium_propagation": (
            *("cost=quadratic", "network.activation=tanh", "network.output_activation=tanh"),
            "optimiser.eta=0.05",
        ),
        "difference_target_propagation": ("network.hidden=[30,30]", "network.activation=tanh"),
        "forward_forward": (
            *("network.activation=relu", "network.hidden=[100]", "initialiser=he_normal"),
            *("optimiser=adam", "optimiser.eta=0.01"),
        ),
    }.get(rule, ())
    overrides = [f"learning_rule={rule}", f"training.dtype={dtype}", "training.epochs=3"]
    last = bpframe.run(bpframe.compose([*overrides, *network])).history.last()
    assert last["validation_accuracy"] > 0.5


@pytest.mark.slow
@pytest.mark.share(5)
@pytest.mark.parametrize("rule", ALL)
def test_a_rule_goes_with_every_part_or_is_refused_in_one_line(rule: str) -> None:
    """Slow: some forty epochs are traced."""
    needs = NEEDS.get(rule, ())
    kinds = {
        "activation": "network.activation",
        "cost": "cost",
        "optimiser": "optimiser",
        "regulariser": "regulariser",
        "schedule": "schedule",
        "aggregation": "aggregation",
    }
    refused = []
    for kind, key in kinds.items():
        for name in REGISTRY.names(kind):
            chosen = [f"learning_rule={rule}", *needs, f"{key}={name}"]
            try:
                experiment = bpframe.compose(["data.train_size=40", *chosen])
            except ConfigError as error:
                refused.append(str(error))
                continue
            with jax.enable_x64(False):
                shapes = jax.eval_shape(partial(_one_step, experiment))
            assert shapes[0] == shapes[1], chosen
    assert len(refused) < 10, refused
    assert all(len(text.splitlines()) == 1 for text in refused)


def _one_step(experiment: bpframe.Experiment) -> Any:
    """The parameters before and after a step of three examples."""
    state = initial_state.draw_state(experiment, initial_state.exact(experiment))
    examples = devices.to_device(Examples(np.zeros((3, 64)), np.arange(3), n_out=10), "float32")
    after = step.train_step(experiment, state, examples, 3).state
    return state.params, after.params
