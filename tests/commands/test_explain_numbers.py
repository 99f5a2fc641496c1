"""What `explain` prints is what is computed: its formulas, evaluated, against the program."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import evaluate, split

import bpframe
from bpframe import LearningRule, Params
from bpframe.component import hyperparameters
from bpframe.equations import gradient
from bpframe.explanation.algorithm import explain
from bpframe.network import PerNeuronActivation
from bpframe.plugin_host.host import load_registry

REGISTRY = load_registry()
M = 3
DATA = ("data=inline", "data.x=[[1,2,3,4]]", "data.y=[[0,1,0]]", "training.batch_size=1")
# Those of which a formula for every delta is printed: others assign credit in a way of their own.
RULES = [
    name
    for name in REGISTRY.names("learning_rule")
    if REGISTRY.get("learning_rule", name, "").assign is LearningRule.assign
]
KEY = jax.random.key(0)
MODIFIED = (
    "network.modified_neurons=[{layer: 2, neuron: 3, activation: {name: elu, alpha: 0.4}}, "
    "{layer: 2, neuron: 1, activation: softplus}, {layer: 3, neuron: 0, activation: tanh}]"
)
LINEAR = ("network.activation=linear", "network.output_activation=linear", "cost=quadratic")
SOFTMAX = ("network.output_activation=softmax", "cost=log_likelihood")


def output_of(cost: str) -> str:
    return {"log_likelihood": "softmax"}.get(cost, "sigmoid")


def cases() -> Iterator[tuple[str, ...]]:
    for activation in REGISTRY.names("activation"):
        yield (f"network.activation={activation}",)
        yield f"network.output_activation={activation}", "cost=quadratic"
    for cost in REGISTRY.names("cost"):
        yield f"cost={cost}", f"network.output_activation={output_of(cost)}"
    yield "network.activation={name: leaky_relu, slope: 0.3}", "cost=huber", "cost.threshold=0.2"
    for rule in RULES:
        networks = (LINEAR, SOFTMAX, ("network.activation=softmax",), (MODIFIED,))
        for network in networks if rule in ("backprop", "feedback_alignment") else networks[-1:]:
            yield f"learning_rule={rule}", *network
    yield ("network.hidden=[]",)
    yield MODIFIED, "network.activation=relu", "cost=quadratic"
    yield "network.modified_neurons=[{layer: 4, neuron: 0, activation: sigmoid}]", "cost=quadratic"
    yield "cost=cross_entropy", "network.output_activation=softmax"


@functools.cache
def composed(overrides: tuple[str, ...]) -> bpframe.Experiment:
    hidden = () if "network.hidden=[]" in overrides else ("network.hidden=[5,4]",)
    return bpframe.compose([*DATA, *hidden, *overrides, "training.dtype=float64"])


def equations(text: str) -> list[tuple[str, str]]:
    """(left, right) of all that is indented, without tags; several may stand on a line."""
    found = []
    for line in text.splitlines():
        if line.startswith("    "):
            for part in re.sub(r"  \(BP\d\)$", "", line.strip()).split(",  "):
                left, equals, right = part.partition(" = ")
                found.append((left, right if equals else ""))
    return found


class Reader:
    """The printed algorithm, followed for one example."""

    def __init__(self, experiment: bpframe.Experiment, params: tuple[Params, ...], states: Any):
        self.equations = equations(explain(experiment))
        self.functions: dict[str, str] = {}
        self.entries: dict[str, list[tuple[int, str]]] = {}
        self.fields = fields(experiment)
        self.fixed: dict[str, Any] = {
            f"{letter}^{number}": np.asarray(array)
            for number, (w, b) in enumerate(params, start=2)
            for letter, array in (("w", w), ("b", b))
        }
        for number, state in enumerate(states, start=2):
            if state is not None:
                own = state.w.T if isinstance(state, Params) else state
                self.fixed |= {f"{letter}^{number}": np.asarray(own) for letter in "BV"}
                self.fixed[f"M^{number}"] = np.asarray(own.T)
            elif number <= len(params):
                n_out, n = params[number - 1].w.shape
                key = jax.random.fold_in(jax.random.fold_in(KEY, number - 2), 0)
                drawn = jax.random.normal(key, (n_out, n)) / np.sqrt(n)
                self.fixed |= {f"s^{number}": 1 / np.sqrt(n), f"M^{number}": np.asarray(drawn)}
        layer = ""
        for left, right in self.equations:
            if match := re.fullmatch(r"(sigma_\d+|f(?:_\d+)?)('?)\(z\)", left):
                self.functions[match[1] + match[2]] = right
                layer = match[1]
            elif left == "J^T v":
                self.functions[f"J{layer.removeprefix('sigma')}"] = right
            elif match := re.fullmatch(r"a\^(\d+)_(\d+)", left):
                self.entries.setdefault(f"sigma_{match[1]}", []).append(
                    (int(match[2]), right.partition("(")[0])
                )
            elif match := re.fullmatch(
                r"entry (\d+) of (sigma_\d+)'\(z\^\d+\) is (\S+')\(.*", left
            ):
                assert (int(match[1]), match[3][:-1]) in self.entries[match[2]]

    def value(self, name: str, z: np.ndarray) -> np.ndarray:
        """sigma_l(z) or sigma_l'(z), with the entries of modified neurons."""
        plain, prime = name.removesuffix("'"), "'" if name.endswith("'") else ""
        found = self._plain(name, plain, z)
        for j, f in self.entries.get(plain, ()):
            found[j] = self._plain(f + prime, f, z)[j]
        return found

    def _plain(self, name: str, own: str, z: np.ndarray) -> np.ndarray:
        names = {"z": z, "sigma": lambda z: self._plain(own, own, z), **self.fields[own]}
        return np.array(evaluate(self.functions[name], names) * np.ones_like(z))

    def jacobian(self, number: str, z: np.ndarray) -> np.ndarray:
        names = {"z": z, "sigma": lambda z: self.value(f"sigma_{number}", z)}
        rows = [evaluate(self.functions[f"J_{number}"], names | {"v": v}) for v in np.eye(len(z))]
        return np.array(rows)

    def follow(self, x: np.ndarray, y: np.ndarray) -> dict[str, list[Any]]:
        """All values of each name, in the order in which they are printed."""
        depth = 1 + sum(name.startswith("w^") for name in self.fixed)
        functions = {
            name: (lambda z, name=name: self.value(name, z))
            for name in self.functions
            if name.startswith("sigma_")
        }
        names: dict[str, Any] = {**self.fixed, **functions, "x": x, "y": y, **self.fields["C"]}
        found: dict[str, list[Any]] = {}
        self._note(names, found, lambda left: re.fullmatch(r"[az]\^\d+", left))
        names["a"] = names[f"a^{depth}"]
        for name in functions:
            number = name.strip("sigma_'")
            if f"J_{number}" in self.functions:
                names[f"J_{number}"] = self.jacobian(number, names[f"z^{number}"])
        self._note(names, found, lambda left: left in ("C", "grad_a C"))
        self._note(names, found, lambda left: re.fullmatch(r"delta\^\d+|W", left))
        names["m"] = 1.0
        for left, right in self.equations:
            if match := re.fullmatch(r"(dC/d[wb]|nabla_[wb])\^l", left):
                for layer in range(2, depth + 1):
                    filled = right.replace("^(x,l-1)", f"^{layer - 1}").replace(
                        "^(x,l)", f"^{layer}"
                    )
                    name = f"{match[1]}^{layer}"
                    found.setdefault(name, []).append(evaluate(filled, names))
        return found

    def _note(self, names: dict[str, Any], found: dict[str, list[Any]], wanted: Any) -> None:
        conditions: list[str] = []
        for left, right in self.equations:
            if wanted(left) and "W x" not in right:
                if left == "C":
                    conditions = [part for part in split(right)[1:] if " = " in part]
                elif left == "grad_a C":  # what was said of C holds for its gradient
                    right = ", ".join([right, *conditions])
                value = evaluate(right, names)
                names[left] = np.sum(value) if left == "C" else value
                found.setdefault(left, []).append(names[left])


def fields(experiment: bpframe.Experiment) -> Mapping[str, dict[str, Any]]:
    """The hyperparameters that stand in the formulas, by function."""
    found = {"C": dict(hyperparameters(experiment.cost.cost_function))}
    groups = []
    for number, layer in enumerate(experiment.network.layers, start=2):
        base = layer.activation
        if isinstance(base, PerNeuronActivation):
            groups += base.modified
            base = base.base
        found[f"sigma_{number}"] = dict(hyperparameters(base))
    for place, group in enumerate(groups, start=1):
        name = "f" if len(groups) == 1 else f"f_{place}"
        found[name] = dict(hyperparameters(group.activation))
    return found


@pytest.mark.share(6)
@pytest.mark.parametrize("overrides", list(cases()), ids=" ".join)
def test_the_printed_formulas_give_what_is_computed(overrides: tuple[str, ...]) -> None:
    experiment = composed(overrides)
    network, pair, rule = experiment.network, experiment.cost, experiment.learning_rule
    rng = np.random.default_rng(1)
    params = tuple(
        Params(jnp.asarray(rng.normal(size=(n, k))), jnp.asarray(rng.normal(size=n)))
        for k, n in itertools.pairwise(network.sizes)
    )
    x, y = rng.normal(size=(M, network.sizes[0])), np.eye(3)[rng.integers(3, size=M)]
    states = rule.init(jax.random.key(2), params, network.shapes)
    program = gradient(network, pair, params, jnp.asarray(x), jnp.asarray(y), rule, states, KEY)
    reader = Reader(experiment, params, states)
    followed = [reader.follow(*example) for example in zip(x, y, strict=True)]

    def printed(name: str, expected: Any) -> None:
        for per_example, theirs in zip(followed, np.asarray(expected), strict=True):
            for mine in per_example[name]:
                np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12, err_msg=name)

    for number, (z, a, delta) in enumerate(
        zip(program.trace.z, program.trace.a[1:], program.deltas, strict=True), start=2
    ):
        printed(f"z^{number}", z)
        printed(f"a^{number}", a)
        printed(f"delta^{number}", delta)
    printed("C", jax.vmap(pair.cost)(program.trace.z[-1], program.trace.a[-1], jnp.asarray(y)))

    def mean_cost(params: tuple[Params, ...]) -> Any:
        def one(x: Any, y: Any) -> Any:
            trace = bpframe.forward(network, params, x)
            return pair.cost_function(trace.a[-1], y)

        return jnp.mean(jax.vmap(one)(jnp.asarray(x), jnp.asarray(y)))

    exact = jax.grad(mean_cost)(params)
    for number, (mean, autodiff) in enumerate(zip(program.mean, exact, strict=True), start=2):
        for letter, ours, theirs in zip("wb", mean, autodiff, strict=True):
            named = [
                name for name in ("dC/d", "nabla_") if f"{name}{letter}^{number}" in followed[0]
            ]
            assert len(named) == 1
            values = [one[f"{named[0]}{letter}^{number}"][0] for one in followed]
            np.testing.assert_allclose(np.mean(values, axis=0), ours, rtol=1e-10, atol=1e-12)
            if named == ["dC/d"]:
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
            elif number == 2:
                assert not np.allclose(ours, theirs, rtol=1e-3), "it is the gradient"
    if all("W" in one for one in followed):
        at_0 = bpframe.forward(network, params, jnp.zeros(network.sizes[0])).a[-1]
        moved = np.asarray(program.trace.a[-1]) - np.asarray(at_0)
        np.testing.assert_allclose(x @ followed[0]["W"][0].T, moved, rtol=1e-10, atol=1e-12)


@pytest.mark.share(4)
@pytest.mark.parametrize("overrides", list(cases()), ids=" ".join)
def test_latex_says_as_much(overrides: tuple[str, ...]) -> None:
    """As many equations, with the same tags, in the same order."""
    text, latex = (explain(composed(overrides), latex=latex) for latex in (False, True))
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    blocks = re.findall(r"\\begin{equation\*}\n(.*)\n\\end{equation\*}", latex)
    assert len(lines) == len(blocks)
    for line, block in zip(lines, blocks, strict=True):
        assert re.findall(r"BP\d", line) == re.findall(r"BP\d", block)
