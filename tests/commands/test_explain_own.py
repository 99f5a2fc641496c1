"""`explain` with components of one's own, from a plugin file: named, told, every symbol defined."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import test_cli
from test_cli import Main

main = test_cli.main

PLUGIN = '''
import bpframe
import jax.numpy as jnp

class Halved(bpframe.LearningRule):
    """The error goes back through half of the weights: e^l = factor (w^(l+1))^T delta^(l+1)."""
    factor: float = 0.5
    def carry(self, state, step):
        return self.factor * super().carry(state, step)

class Formulated(Halved):
    """The weights of layer l + 1 with what is noise.

    U^l is drawn anew for every example.
    """
    formula = bpframe.Formula(
        "factor (w^(l+1))^T delta^(l+1) + U^l y / V^L",
        "c (w^{l+1})^T delta^{l+1} + U^l y / V^L",
    )

class Untold(bpframe.LearningRule):
    def carry(self, state, step):
        return -super().carry(state, step)

class Exact(bpframe.LearningRule):
    """The gradient, by another way that runs
    into a second line.

    And more."""
    is_gradient = True
    def carry(self, state, step):
        return super().carry(state, step)

class Assigning(bpframe.LearningRule):
    """delta^l = 0 for every hidden layer."""
    def assign(self, state, forward, y, key):
        raise NotImplementedError

class Own(bpframe.Optimiser):
    """w <- w - eta sign(g), and nothing else. Source: nobody."""
    eta: float = 0.1
    def init(self, params): return ()
    def update(self, gradient, state, params, step): return params, state

class Cubic(bpframe.Cost):
    """C = sum_j |a_j - y_j|^3"""
    def __call__(self, a, y): return jnp.sum(jnp.abs(a - y) ** 3)
    def prime(self, a, y): return 3 * (a - y) ** 2 * jnp.sign(a - y)

class Sine(bpframe.ElementwiseActivation):
    """sigma(z) = sin(omega z)."""
    omega: float = 1.0
    def __call__(self, z): return jnp.sin(self.omega * z)
    def prime(self, z): return self.omega * jnp.cos(self.omega * z)

@bpframe.hookimpl
def bpframe_learning_rules():
    return {"mine": Halved, "formulated": Formulated, "untold": Untold, "exact": Exact,
            "assigning": Assigning}
@bpframe.hookimpl
def bpframe_optimisers(): return {"own": Own}
@bpframe.hookimpl
def bpframe_costs(): return {"cubic": Cubic}
@bpframe.hookimpl
def bpframe_activations(): return {"sine": Sine}
'''


@pytest.fixture
def explained(main: Main, tmp_path: Path) -> test_cli.Callable[..., str]:
    """What is printed, as sentences on one line each."""
    (tmp_path / "own.py").write_text(PLUGIN)

    def call(*overrides: str) -> str:
        ended = main("explain", "plugins.path=[own.py]", "network.hidden=[20,10]", *overrides)
        assert (ended.status, ended.err) == (0, "")
        return ended.out

    return call


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_a_rule_without_a_formula_is_named_and_its_error_defined(
    explained: test_cli.Callable[..., str],
) -> None:
    text = explained("learning_rule=mine")
    told = one_line(text)
    assert "by the learning rule mine, Halved(factor=0.5)." in told
    assert "half of the weights: e^l = factor (w^(l+1))^T delta^(l+1)." in told
    for layer in (3, 2):
        assert f"    delta^{layer} = (e^{layer}) * sigma_{layer}'(z^{layer})  (BP2)" in text
        assert (
            f"e^{layer} is what the rule carries back to layer {layer}, in place of "
            f"(w^{layer + 1})^T delta^{layer + 1}; the plugin gives no formula for it."
        ) in told
        assert f"e^{layer} = factor (w^{layer + 1})^T delta^{layer + 1}." in told


@pytest.mark.parametrize("rule", ["mine", "untold", "exact"])
def test_every_error_that_is_used_is_defined(
    explained: test_cli.Callable[..., str], rule: str
) -> None:
    text = explained(f"learning_rule={rule}")
    used = set(re.findall(r"^    .*\((e\^\d)\)", text, re.MULTILINE))
    assert used == {"e^2", "e^3"}
    assert all(
        f"{error} is what the rule carries back to layer" in one_line(text) for error in used
    )


def test_a_rule_with_a_formula_has_its_letters_explained(
    explained: test_cli.Callable[..., str],
) -> None:
    text = explained("learning_rule=formulated")
    told = one_line(text)
    assert "by the learning rule Formulated(factor=0.5). The weights of layer l + 1 with" in told
    assert "delta^3 = (factor (w^4)^T delta^4 + U^3 y / V^4) * sigma_3'(z^3)" in told
    assert "delta^2 = (factor (w^3)^T delta^3 + U^2 y / V^4) * sigma_2'(z^2)" in told
    assert "U^l is drawn anew for every example." in told
    assert "Its docstring does not say what V is." in told
    assert "what factor is" not in told
    assert re.search(r"^    .*\^l\b.*BP2", text, re.MULTILINE) is None


def test_a_gradient_by_another_way_is_named(explained: test_cli.Callable[..., str]) -> None:
    told = one_line(explained("learning_rule=exact"))
    assert "by the learning rule Exact. The gradient, by another way that runs into a sec" in told
    assert "delta is not dC/dz" not in told
    assert "And more" not in told


def test_a_rule_without_a_docstring_says_so(explained: test_cli.Callable[..., str]) -> None:
    told = one_line(explained("learning_rule=untold"))
    assert "by the learning rule Untold. It has no docstring. In BP2 it replaces" in told
    assert "Untold()" not in told


def test_a_rule_that_assigns_uses_no_symbol_of_bp2(explained: test_cli.Callable[..., str]) -> None:
    told = one_line(explained("learning_rule=assigning"))
    assert "by the learning rule Assigning. delta^l = 0 for every hidden layer." in told
    assert not re.search(r"e\^\d|\(BP2\)", told)


def test_the_rule_of_the_book_is_not_introduced(explained: test_cli.Callable[..., str]) -> None:
    text = explained()
    assert "4. Backward, layer by layer.\n" in text
    assert "learning rule" not in text


def test_other_components_say_what_their_docstrings_say(
    explained: test_cli.Callable[..., str],
) -> None:
    told = one_line(explained("optimiser=own", "cost=cubic", "network.activation=sine"))
    for part in (
        "Own(eta=0.1). The plugin gives no formula for it; its docstring says: w <- w - eta sign",
        "Cubic. The plugin gives no formula for C; its docstring says: C = sum_j |a_j - y_j|^3.",
        "no formula for grad_a C; it is the gradient of C.",
        "no formula for sigma_2(z); its docstring says: sigma(z) = sin(omega z).",
        "The plugin gives no formula for sigma_2'; it is the derivative of sigma_2.",
    ):
        assert part in told


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["mine", "formulated", "untold", "exact"])
def test_latex_and_width(explained: test_cli.Callable[..., str], rule: str) -> None:
    """Slow: composes twice."""
    text = explained(f"learning_rule={rule}", "optimiser=own", "cost=cubic", "--latex")
    assert text.count("{") == text.count("}")
    plain = explained(f"learning_rule={rule}", "optimiser=own", "cost=cubic")
    assert all(len(line) <= 80 for line in plain.splitlines() if not line.startswith("    "))
