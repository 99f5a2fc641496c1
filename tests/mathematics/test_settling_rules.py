"""Rules whose activities settle, and the forward-forward algorithm, in float64."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from test_learning_rules import KEY, exact, rule_of, scaled, stepped

import bpframe
import bpframe.learning
from bpframe.errors import ConfigError, DivergenceError
from bpframe.learning import TrainingStep
from bpframe.testing.parameters import some_params, some_step


def curved(z: Any) -> Any:
    return z * jax.lax.rsqrt(1 + z**2)


class Numpy:
    """Predictive coding of one example in a curved dense network, written with loops."""

    def __init__(self, params: Any, x: Any, y: Any, rate: float, beta: float) -> None:
        self.w = [np.asarray(own.w) for own in params]
        self.b = [np.asarray(own.b) for own in params]
        self.x, self.y, self.rate, self.beta = x, y, rate, beta
        self.a = [x]
        for w, b in zip(self.w, self.b, strict=True):
            z = w @ self.a[-1] + b
            self.a.append(z / np.sqrt(1 + z**2))

    def deltas(self) -> list[np.ndarray]:
        found = []
        for at, (w, b) in enumerate(zip(self.w, self.b, strict=True)):
            z = w @ self.a[at] + b
            sigma, prime = z / np.sqrt(1 + z**2), (1 + z**2) ** -1.5
            e = self.a[at + 1] - sigma
            if at == len(self.w) - 1:
                e = -self.beta * (sigma - self.y)
            found.append(-e * prime)
        return found

    def settle(self) -> None:
        deltas = self.deltas()
        energy = []
        for at in range(1, len(self.w)):
            w, b = self.w[at - 1], self.b[at - 1]
            z = w @ self.a[at - 1] + b
            e = self.a[at] - z / np.sqrt(1 + z**2)
            energy.append(e + self.w[at].T @ deltas[at])
        for at, slope in enumerate(energy, start=1):
            self.a[at] = self.a[at] - self.rate * slope


@pytest.mark.parametrize(("steps", "rate", "beta"), [(1, 0.1, 1.0), (7, 0.3, 1.0), (5, 0.2, 0.1)])
def test_activities_settle_as_in_numpy(steps: int, rate: float, beta: float) -> None:
    rule = rule_of("predictive_coding", steps=steps, rate=rate, beta=beta)
    _, step = stepped(rule)
    (credit,) = step.found.credit
    for number in range(7):
        x, y = np.asarray(step.found.trace.a[0][number]), np.asarray(step.y[number])
        other = Numpy(step.params, x, y, rate, beta)
        for _ in range(steps):
            other.settle()
        for at, delta in enumerate(other.deltas()):
            assert_allclose(credit.a[at][number], other.a[at], 1e-12)
            assert_allclose(credit.delta[at][number], delta / beta, 1e-11, 1e-16)


def test_fixed_predictions_give_backpropagation() -> None:
    for steps in (3, 4, 9):
        rule = rule_of("predictive_coding", mode="fixed_prediction", steps=steps, rate=1.0)
        _, step = stepped(rule)
        for ours, theirs in zip(step.found.mean, exact(step).mean, strict=True):
            assert_allclose(ours.w, theirs.w, 1e-13, 1e-17)
    too_few = rule_of("predictive_coding", mode="fixed_prediction", steps=2, rate=1.0)
    _, step = stepped(too_few)
    assert_array_equal(step.found.deltas[0], 0)


def test_deltas_in_turn_are_those_of_backpropagation() -> None:
    _, step = stepped(rule_of("predictive_coding", mode="z_il", rate=1.0))
    for ours, theirs in zip(step.found.mean, exact(step).mean, strict=True):
        assert_allclose(ours.w, theirs.w, 1e-12, 1e-16)
    _, slower = stepped(rule_of("predictive_coding", mode="z_il", rate=0.9))
    ratio = np.asarray(slower.found.mean[0].w / exact(step).mean[0].w)
    assert_allclose(ratio, 0.9**3, 1e-12)  # three hidden layers on the way


def settled(params: Any, x: Any, y: Any, s: Any, rate: float, beta: float, steps: int) -> Any:
    """The states of a curved dense network after steps down E + beta C, layer by layer."""

    def moved(_: int, s: list[Any]) -> list[Any]:
        new = []
        for at, own in enumerate(s):
            before = x if at == 0 else curved(s[at - 1])
            drive = params[at].w @ before + params[at].b
            if at < len(s) - 1:
                drive = drive + params[at + 1].w.T @ curved(s[at + 1])
            slope = drive * (1 + own**2) ** -1.5 - own
            if at == len(s) - 1:
                slope = slope - beta * (own - y)
            new.append(own + rate * slope)
        return new

    return jax.lax.fori_loop(0, steps, moved, list(s))


def small(seed: int = 3) -> Any:
    """Parameters of 4-5-4-3 with which states settle."""
    return scaled(some_params(seed, sizes=(4, 5, 4, 3)), 0.15)


@pytest.mark.slow
@pytest.mark.parametrize("symmetric", [False, True])
def test_equilibria_are_those_of_steps_written_out(symmetric: bool) -> None:
    """Slow: compiles a program."""
    fields = {"steps": 6, "rate": 0.3, "beta": 0.2, "symmetric": symmetric}
    rule, params = rule_of("equilibrium_propagation", **fields), small()
    step = some_step(params, rule, ())
    network, trace = step.network, step.found.trace
    for number in range(3):
        x, y = trace.a[0][number], step.y[number]
        start = [a[number] for a in trace.a[1:]]
        free = settled(params, x, y, start, 0.3, 0.0, 6)
        ends = [settled(params, x, y, free, 0.3, beta, 6) for beta in (0.2, -0.2)]
        plus, minus = ends if symmetric else (ends[0], free)
        over = 0.4 if symmetric else 0.2
        for at, (a, b) in enumerate(zip(plus, minus, strict=True)):
            rho = [s / np.sqrt(1 + s**2) for s in (a, b)]
            assert_allclose(step.found.deltas[at][number], (rho[1] - rho[0]) / over, 1e-9, 1e-14)
        seen = bpframe.learning.Forward(
            network, step.pair, params, jax.tree.map(lambda part, at=number: part[at], trace)
        )
        answer = rule.answer((), seen)
        assert answer is not None
        assert_allclose(answer, free[-1], 1e-12)


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            ("cost=cross_entropy",),
            "the cost CrossEntropy is defined from 0 to 1; set cost=quadratic",
        ),
        (
            ("network.output_activation=softmax", "cost=quadratic"),
            "no energy for layer 3, Softmax; it needs dense layers",
        ),
        (
            (
                "cost=quadratic",
                f"network.layers=[{{name: max_pooling}}, {'{n: 10, activation: sigmoid}'}]",
            ),
            "no energy for layer 2, MaxPooling",
        ),
    ],
)
def test_what_has_no_energy_is_refused(overrides: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        bpframe.compose(["learning_rule=equilibrium_propagation", *overrides])


def forwarded(step: TrainingStep, number: int) -> tuple[bpframe.learning.Forward, Any]:
    """One example of a step, and its target."""
    trace, y = jax.tree.map(lambda part: part[number], (step.found.trace, step.y))
    return bpframe.learning.Forward(step.network, step.pair, step.params, trace), y


def gaussian_energy(params: Any, x: Any, y: Any, s: Any, beta: float) -> Any:
    """1/2 sum |s - z|^2 + beta C."""
    before, total = x, 0.0
    for own, state in zip(params, s, strict=True):
        total += 0.5 * jnp.sum((state - own.w @ before - own.b) ** 2)
        before = curved(state)
    return total + beta * 0.5 * jnp.sum((before - y) ** 2)


@pytest.mark.parametrize("symmetric", [False, True])
def test_states_of_the_gaussian_energy_descend_it(symmetric: bool) -> None:
    fields = {"steps": 6, "rate": 0.3, "beta": 0.2, "symmetric": symmetric}
    rule, params = rule_of("gaussian_equilibrium", **fields), small()
    step = some_step(params, rule, ())
    slope = jax.jit(jax.grad(gaussian_energy, argnums=3))
    by_params = jax.jit(jax.grad(gaussian_energy))
    total = jax.tree.map(jnp.zeros_like, params)
    for number in range(3):
        x, y = step.found.trace.a[0][number], step.y[number]
        for beta in (0.2, -0.2) if symmetric else (0.2,):
            s = tuple(z[number] for z in step.found.trace.z)
            for _ in range(6):
                s = tuple(
                    own - 0.3 * g for own, g in zip(s, slope(params, x, y, s, beta), strict=True)
                )
            share = 1 / beta / (2 if symmetric else 1)
            found = by_params(params, x, y, s, 0.0)
            total = jax.tree.map(lambda a, b, c=share: a + c * b / 3, total, found)
    for ours, theirs in zip(jax.tree.leaves(step.found.mean), jax.tree.leaves(total), strict=True):
        assert_allclose(ours, theirs, 1e-11, 1e-15)


@pytest.mark.slow
def test_the_residual_is_the_gradient_of_the_energy() -> None:
    """Of the Gaussian energy, by jax.grad, before each step and after the last.

    Slow: compiles a program.
    """
    rule = rule_of("gaussian_equilibrium", steps=5, rate=0.3, beta=0.2)
    seen, y = forwarded(some_step(small()), 1)
    settling = rule.settling((), seen, y, KEY)
    assert settling is not None
    for phase, beta in zip(settling, (0.2, -0.2), strict=True):
        s = seen.trace.z
        assert phase.energy.shape == (6,)
        for at in range(6):
            energy, slopes = jax.value_and_grad(gaussian_energy, argnums=3)(
                seen.params, seen.trace.a[0], y, s, beta
            )
            assert_allclose(phase.energy[at], energy, 1e-12)
            norms = [float(jnp.linalg.norm(g)) for g in slopes]
            assert_allclose(phase.residual[at], norms, 1e-10, 1e-15)
            s = tuple(own - 0.3 * g for own, g in zip(s, slopes, strict=True))


def hopfield_energy(params: Any, x: Any, y: Any, s: Any, beta: float) -> Any:
    before, total = x, 0.0
    for own, state in zip(params, s, strict=True):
        total += 0.5 * jnp.sum(state**2) - curved(state) @ (own.w @ before + own.b)
        before = curved(state)
    return total + beta * 0.5 * jnp.sum((s[-1] - y) ** 2)


@pytest.mark.slow
def test_the_energies_of_equilibrium_propagation_are_those_of_autodiff() -> None:
    """Free, with the pull, and with the opposite one. Slow: compiles."""
    rule = rule_of("equilibrium_propagation", steps=5, rate=0.3, beta=0.2)
    seen, y = forwarded(some_step(small()), 1)
    settling = rule.settling((), seen, y, KEY)
    assert settling is not None
    s = free = seen.trace.a[1:]
    for phase, beta in zip(settling, (0.0, 0.2, -0.2), strict=True):
        s = free
        for at in range(6):
            energy, slopes = jax.value_and_grad(hopfield_energy, argnums=3)(
                seen.params, seen.trace.a[0], y, s, beta
            )
            assert_allclose(phase.energy[at], energy, 1e-12)
            assert_allclose(
                phase.residual[at], [float(jnp.linalg.norm(g)) for g in slopes], 1e-10, 1e-15
            )
            if at < 5:
                s = tuple(own - 0.3 * g for own, g in zip(s, slopes, strict=True))
        free = s if beta == 0.0 else free


def coding_energy(params: Any, x: Any, y: Any, a: Any) -> Any:
    """1/2 sum |a - sigma(z)|^2 + C."""
    before, total = x, 0.0
    for own, here in zip(params[:-1], a, strict=True):
        total += 0.5 * jnp.sum((here - curved(own.w @ before + own.b)) ** 2)
        before = here
    own = params[-1]
    return total + 0.5 * jnp.sum((curved(own.w @ before + own.b) - y) ** 2)


def test_the_energies_of_predictive_coding_are_those_of_autodiff() -> None:
    rule = rule_of("predictive_coding", steps=5, rate=0.3)
    seen, y = forwarded(some_step(small()), 1)
    settling = rule.settling((), seen, y, KEY)
    assert settling is not None
    (phase,) = settling
    a = seen.trace.a[1:-1]
    for at in range(6):
        energy, slopes = jax.value_and_grad(coding_energy, argnums=3)(
            seen.params, seen.trace.a[0], y, a
        )
        assert_allclose(phase.energy[at], energy, 1e-12)
        norms = [float(jnp.linalg.norm(g)) for g in slopes]
        assert_allclose(phase.residual[at], norms, 1e-10, 1e-15)
        a = tuple(own - 0.3 * g for own, g in zip(a, slopes, strict=True))


def test_activities_in_turn_settle_for_as_many_steps_as_there_are_hidden_layers() -> None:
    rule = rule_of("predictive_coding", mode="z_il", rate=1.0, steps=20)
    seen, y = forwarded(some_step(small()), 0)
    settling = rule.settling((), seen, y, KEY)
    assert settling is not None
    assert settling[0].residual.shape == (3, 2)


def columns(*overrides: str) -> dict[str, float]:
    experiment = bpframe.compose(
        ["data=xor", "training.batch_size=4", "training.epochs=1", *overrides]
    )
    with jax.numpy_dtype_promotion("standard"):
        history = bpframe.run(experiment).history
    return {name: float(column[-1]) for name, column in history.metrics.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "phases"),
    [("predictive_coding", 1), ("gaussian_equilibrium", 2)],
)
def test_settling_is_told_in_steps(rule: str, phases: int) -> None:
    """Slow: compiles a program."""
    chosen = (f"learning_rule={rule}", "learning_rule.rate=0.5", "metrics=[settling]")
    long, short = (columns(*chosen, f"learning_rule.steps={steps}") for steps in (200, 2))
    name = "settling.steps"
    assert long[f"{name}.residual"] < 1e-4
    assert 2 < long[f"{name}.steps"] < 50 * phases
    assert short[f"{name}.residual"] > 0.01
    assert short[f"{name}.steps"] == 2 * phases


def test_a_rule_whose_activities_do_not_settle_is_refused() -> None:
    with pytest.raises(ConfigError, match="learning_rule=backprop has none that do; leave it out"):
        bpframe.compose(["metrics=[settling]"])


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["predictive_coding", "equilibrium_propagation"])
def test_where_settling_diverges_is_told(rule: str) -> None:
    """Slow: compiles a program."""
    chosen = (f"learning_rule={rule}", "learning_rule.rate=1", "training.batch_size=4")
    steep = ("cost=quadratic", "network.activation=relu", "network.output_activation=linear")
    sizes = ("network.hidden=[300]", "initialiser=large", "learning_rule.steps=400")
    experiment = bpframe.compose(["data=xor", *chosen, *steep, *sizes])
    with (
        pytest.raises(
            DivergenceError, match=r"the activities of layer [23] are not finite"
        ) as told,
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
    ):
        bpframe.run(experiment)
    assert "after step" in str(told.value)
    assert str(told.value).endswith("of settling; try a smaller learning_rule.rate")


def goodness_cost(params: Any, x: Any, label: Any, right: bool, at: int) -> Any:
    """The cost of hidden layer `at` of a curved network; the layers below are as they are."""
    a = x.at[: len(label)].set(label)
    for number, own in enumerate(params[: at + 1]):
        seen = a / jnp.sqrt(jnp.mean(a**2))
        seen = jax.lax.stop_gradient(seen) if number == at else seen
        a = curved(own.w @ seen + own.b)
    goodness = jnp.mean(a**2)
    return jax.nn.softplus(2.0 - goodness if right else goodness - 2.0)


@pytest.mark.slow
def test_layers_tell_right_labels_from_wrong_ones() -> None:
    """Two terms, each the gradient of a cost of the layer's own, and none of the output layer's.

    Slow: compiles a program.
    """
    sizes = (6, 7, 5, 3)
    params = scaled(some_params(3, sizes=sizes), 0.4)
    rule = rule_of("forward_forward")
    y = jnp.eye(3)[jnp.arange(4) % 3]
    x = jnp.asarray(np.random.default_rng(1).normal(size=(4, 6)))
    base = some_step(params)
    found = bpframe.gradient(base.network, base.pair, params, x, y, rule, (), key=KEY)
    right, wrong = found.credit
    slope = jax.jit(jax.grad(goodness_cost), static_argnums=(3, 4))
    for at in range(2):
        total = 0.0
        for number in range(4):
            marked = np.asarray(wrong.a[0][number, :3])
            label = jnp.asarray(marked == marked.max(), float)  # a wrong one, of any length
            assert label.sum() == 1
            assert not (label * y[number]).any()
            total += slope(params, x[number], y[number], True, at)[at].w / 4
            total += slope(params, x[number], label, False, at)[at].w / 4
        assert_allclose(found.mean[at].w, total, 1e-12, 1e-16)
    assert_array_equal(found.mean[-1].w, 0)
    assert_array_equal(right.delta[-1], 0)


@pytest.mark.slow
def test_wrong_labels_are_drawn_evenly_and_anew() -> None:
    """Slow: compiles a program."""
    params = some_params(3, sizes=(12, 4, 10))
    base, rule = some_step(params), rule_of("forward_forward")
    y, x = jnp.tile(jnp.eye(10)[3], (900, 1)), jnp.full((900, 12), 0.1)

    def drawn(seed: int) -> np.ndarray:
        key = jax.random.key(seed)
        found = bpframe.gradient(base.network, base.pair, params, x, y, rule, (), key=key)
        return np.argmax(found.credit[1].a[0][:, :10], axis=1)

    counts = np.bincount(drawn(1), minlength=10)
    assert counts[3] == 0
    assert np.abs(np.delete(counts, 3) - 100).max() < 50
    assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).any()


def test_the_answer_is_the_goodness_of_each_label() -> None:
    params = scaled(some_params(3, sizes=(6, 7, 5, 3)), 0.4)
    seen, _ = forwarded(some_step(params), 0)
    answer = rule_of("forward_forward", goodness="sum").answer((), seen)
    assert answer is not None
    totals = []
    for label in np.eye(3):
        a, total = np.concatenate([label, np.asarray(seen.trace.a[0])[3:]]), 0.0
        for own in params[:-1]:
            z = np.asarray(own.w) @ (a / np.sqrt(np.mean(a**2))) + np.asarray(own.b)
            a = z / np.sqrt(1 + z**2)
            total += (a**2).sum()
        totals.append(total)
    expected = np.exp(totals) / np.exp(totals).sum()
    assert_allclose(answer, expected, 1e-12)


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (("network.hidden=[]",), "needs the goodness of hidden layers; set network.hidden"),
        (
            ("network.activation=sigmoid",),
            r"exceed its threshold, 2, and that of layer 2, Sigmoid, is at most 1; set a smaller",
        ),
        (("data=xor",), "needs two outputs or more, one for each label, but there is one"),
        (
            ("data=inline", "data.x=[[1,2],[2,1]]", "data.y=[[1,0],[0,1]]"),
            "needs more inputs than labels, for a label takes their place; 2 and 2",
        ),
    ],
)
def test_forward_forward_needs_layers_and_labels(overrides: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        bpframe.compose(["learning_rule=forward_forward", "network.activation=relu", *overrides])
