"""`explain`: what it says for a configuration, and that its formulas can be read and typeset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from bpframe_plugins.datasets import Digits
from matplotlib.mathtext import MathTextParser
from needs import NEEDS

import bpframe
from bpframe import (
    Cost,
    ElementwiseActivation,
    Formula,
    Initialiser,
    LearningRule,
    Optimiser,
    Regulariser,
    hookimpl,
)
from bpframe.explanation.algorithm import explain
from bpframe.plugin_host.host import load_registry

PAIR = ("network.output_activation=softmax", "cost=log_likelihood")
LINEAR = ("network.activation=linear", "network.output_activation=linear", "cost=quadratic")
MODIFIED = "network.modified_neurons=[{layer: 2, neuron: 3, activation: softplus}]"
SEVERAL = (
    "network.modified_neurons=[{layer: 2, neuron: 3, activation: softplus}, "
    "{layer: 2, neuron: 11, activation: softplus}, {layer: 3, neuron: 0, activation: tanh}]"
)

# Each case: overrides, and lines of the text, a line being anything between two line breaks.
TEXT: list[tuple[tuple[str, ...], list[str]]] = [
    (
        (),
        [
            "Network 64-30-10",
            "a^1 = x",
            "z^2 = w^2 a^1 + b^2,  a^2 = sigma_2(z^2),  w^2: 30 x 64",
            "z^3 = w^3 a^2 + b^3,  a^3 = sigma_3(z^3),  w^3: 10 x 30",
            "delta^3 = grad_a C * sigma_3'(z^3)  (BP1)",
            "delta^3 = a^3 - y  (BP1)",
            "delta^2 = ((w^3)^T delta^3) * sigma_2'(z^2)  (BP2)",
            "dC/db^l = (1/m) sum_x delta^(x,l)  (BP3)",
            "dC/dw^l = (1/m) sum_x delta^(x,l) (a^(x,l-1))^T  (BP4)",
            "w <- w - eta g",
            "sigma_2(z) = 1 / (1 + e^-z)",
            "sigma_3'(z) = sigma(z) (1 - sigma(z))",
            "w ~ N(0, 1/n_in), b ~ N(0, 1)",
        ],
    ),
    (
        PAIR,
        [
            "delta^3 = J_3^T grad_a C  (BP1)",
            "grad_a C = -y / a",
            "delta^3 = a^3 - y  (BP1)",
            "sigma_3(z) = e^(z_j) / sum_k e^(z_k)",
            "J^T v = a * (v - <a, v>), a = sigma(z)",
            "C = -sum_j y_j ln a_j",
        ],
    ),
    (
        ("cost=quadratic",),
        ["grad_a C = a - y", "delta^3 = grad_a C * sigma_3'(z^3)  (BP1)"],
    ),
    (
        LINEAR,
        [
            "delta^3 = grad_a C,  because sigma_3'(z) = 1  (BP1)",
            "delta^2 = (w^3)^T delta^3  (BP2)",
            "Layer 2 is linear: sigma' = 1, so the factor sigma'(z) drops out.",
            "a^3 = W x + c,  W = w^3 w^2",
            "delta^2 = (w^3)^T delta^3",
        ],
    ),
    (
        (*LINEAR, "network.hidden=[]"),
        ["There is no hidden layer to go back to.", "a^2 = W x + c,  W = w^2"],
    ),
    (
        ("network.activation=linear",),
        ["delta^2 = (w^3)^T delta^3  (BP2)", "delta^3 = a^3 - y  (BP1)"],
    ),
    (
        (MODIFIED,),
        [
            "Modified neuron of layer 2: 3 uses f = Softplus.",
            "f(z) = ln(1 + e^z)",
            "f'(z) = 1 / (1 + e^-z)",
            "a^2_3 = f(z^2_3),  entry 3 of sigma_2'(z^2) is f'(z^2_3)",
            "sigma_2(z) = 1 / (1 + e^-z)",
            "Nothing else in the four equations changes.",
        ],
    ),
    (
        (SEVERAL, "cost=quadratic"),
        [
            "Modified neurons of layer 2: 3, 11 use f_1 = Softplus.",
            "a^2_11 = f_1(z^2_11),  entry 11 of sigma_2'(z^2) is f_1'(z^2_11)",
            "Modified neuron of layer 3: 0 uses f_2 = Tanh.",
            "f_2(z) = tanh(z)",
            "a^3_0 = f_2(z^3_0),  entry 0 of sigma_3'(z^3) is f_2'(z^3_0)",
        ],
    ),
    (
        ("learning_rule=feedback_alignment", "network.hidden=[9,9]"),
        [
            "FeedbackAlignment(distribution='normal', scale=1.0).",
            "delta^3 = (B^3 delta^4) * sigma_3'(z^3)  (BP2)",
            "delta^2 = (B^2 delta^3) * sigma_2'(z^2)  (BP2)",
            "nabla_w^l = (1/m) sum_x delta^(x,l) (a^(x,l-1))^T  (BP4)",
        ],
    ),
    (
        ("learning_rule=direct_feedback_alignment", "network.activation=softmax"),
        ["delta^2 = J_2^T (B^2 delta^3)  (BP2)", "sigma_2(z) = e^(z_j) / sum_k e^(z_k)"],
    ),
    (
        (
            "network.activation={name: leaky_relu, slope: 0.1}",
            "optimiser=momentum",
            "regulariser=l2",
            "regulariser.strength=5",
            "training.epochs=7",
        ),
        [
            "Layer 2, 30 neurons: LeakyRelu(slope=0.1).",
            "sigma_2'(z) = 1 if z > 0 else slope",
            "v <- mu v - eta g,  w <- w + v",
            "Penalty, added as R/n for n training examples: L2(strength=5.0).",
            "R = strength/2 sum w^2",
            "7 epochs, mini-batches of m = 10 examples, float32.",
        ],
    ),
]

# What must not be said: overrides, and patterns.
SILENT: list[tuple[tuple[str, ...], str]] = [
    ((), "affine|drops out|Modified|Penalty"),
    (("cost=quadratic",), r"simplify|\^3 - y"),
    ((*LINEAR, "learning_rule=feedback_alignment"), r"transposed|\(w\^3|dC/d[wb]\^"),
    (("learning_rule=direct_feedback_alignment",), r"dC/d[wb]\^|    .*B\^l|\(w\^3"),
    (("network.activation=softmax",), r"\* sigma_2'|sigma_2'\(z\)"),
    (LINEAR, r"\* sigma_\d'"),
    (("network.activation=linear",), "affine"),
    (("network.modified_neurons=[{layer: 3, neuron: 0, activation: tanh}]", *LINEAR), "affine"),
    (("network.modified_neurons=[{layer: 3, neuron: 0, activation: sigmoid}]",), "simplify"),
]

LATEX: list[tuple[tuple[str, ...], list[str]]] = [
    (
        (),
        [
            r"\subsection*{Network 64-30-10}",
            r"\delta^{3} = \nabla_a C \odot \sigma_{3}'(z^{3}) \tag{BP1}",
            r"\delta^{3} = a^3 - y \tag{BP1}",
            r"\delta^{2} = \left((w^{3})^T \delta^{3}\right) \odot \sigma_{2}'(z^{2}) \tag{BP2}",
            r"\sigma_{2}(z) = \frac{1}{1 + e^{-z}}",
            r"w^{2} \in \mathbb{R}^{30 \times 64}",
            r"\partial C/\partial b^l = \frac1m \sum_x \delta^{x,l} \tag{BP3}",
        ],
    ),
    (
        PAIR,
        [r"\delta^{3} = J_{3}^T \nabla_a C,\quad J_{3} = \partial \sigma_{3} / \partial z^{3}"],
    ),
    (
        ("learning_rule=direct_feedback_alignment", "learning_rule.sign=true"),
        [r"B^{2} \operatorname{sign}(\delta^{3})"],
    ),
    (
        (*LINEAR, "learning_rule=feedback_alignment", "network.hidden=[9,9]"),
        [r"\delta^{2} = B^{2} \delta^{3} \tag{BP2}", r"\nabla_w^l = \frac1m"],
    ),
    (
        ("learning_rule=direct_feedback_alignment", "network.hidden=[9,9]"),
        [r"\delta^{2} = \left(B^{2} \delta^{4}\right) \odot", r"\nabla_b^l = \frac1m"],
    ),
    (("cost=quadratic",), [r"\nabla_a C = a - y", r"C = \tfrac12 \|a - y\|^2"]),
    (LINEAR, [r"\delta^{2} = (w^{3})^T \delta^{3} \tag{BP2}", r"a^{3} = W x + c,\quad W = w^{3}"]),
    (
        (MODIFIED,),
        [
            r"f(z) = \ln(1 + e^z)",
            r"a^{2}_{3} = f(z^{2}_{3}),\quad \left[\sigma_{2}'(z^{2})\right]_{3} = f'(z^{2}_{3})",
        ],
    ),
    (("regulariser=l1",), [r"R = \lambda \sum |w|", "L1(strength=1.0)"]),
]

DEEP = ("network.hidden=[30,30,30,30,30]",)
WIDE: list[tuple[str, ...]] = [
    *(overrides for overrides, _ in TEXT),
    DEEP,
    (*LINEAR, *DEEP),
    (*LINEAR, f"network.hidden={[9] * 30}"),
    ("data=mnist", "data.root=a/folder/with/a/rather/long/name/that/goes/on/and/on/and/on/and/on"),
    ("network.modified_neurons=["
     + ",".join(f"{{layer: 2, neuron: {j}, activation: relu}}" for j in range(30)) + "]",),
]  # fmt: skip


def members(kind: str) -> list[str]:
    return load_registry().names(kind)


WIDE += [(f"optimiser={name}",) for name in members("optimiser")]
WIDE += [
    (f"cost={name}", f"network.output_activation={'softmax' if 'like' in name else 'sigmoid'}")
    for name in members("cost")
]
WIDE += [
    (f"learning_rule={name}", "network.hidden=[9,9]", *NEEDS.get(name, ()))
    for name in members("learning_rule")
]
WIDE += [(f"initialiser={name}",) for name in members("initialiser")]
WIDE += [(f"network.activation={name}",) for name in members("activation")]


def explained(*overrides: str, latex: bool = False, plugins: Any = ()) -> str:
    return explain(bpframe.compose(overrides, plugins=plugins), latex=latex)


@pytest.mark.share(3)
@pytest.mark.parametrize(("overrides", "expected"), TEXT, ids=lambda case: " ".join(case)[:50])
def test_text_says_what_it_should(overrides: tuple[str, ...], expected: list[str]) -> None:
    lines = [line.strip() for line in explained(*overrides).splitlines()]
    assert [line for line in expected if line not in lines] == []


@pytest.mark.parametrize(("overrides", "pattern"), SILENT)
def test_text_does_not_say_what_does_not_hold(overrides: tuple[str, ...], pattern: str) -> None:
    assert re.search(pattern, explained(*overrides)) is None


@pytest.mark.parametrize(("overrides", "expected"), LATEX, ids=lambda case: " ".join(case)[:50])
def test_latex_says_what_it_should(overrides: tuple[str, ...], expected: list[str]) -> None:
    text = explained(*overrides, latex=True)
    assert [part for part in expected if part not in text] == []
    assert text.count(r"\begin{equation*}") == text.count(r"\end{equation*}") > 5
    assert text.count("{") == text.count("}")


@pytest.mark.share(8)
@pytest.mark.parametrize("overrides", WIDE, ids=lambda case: " ".join(case)[:60])
def test_lines_are_short_enough_to_read(overrides: tuple[str, ...]) -> None:
    for line in explained(*overrides).splitlines():
        assert len(line) <= (100 if line.startswith("    ") else 80), line


def formulas() -> Iterator[Any]:
    registry = load_registry()
    for kind, offers in registry.offers.items():
        for name, offer in offers.items():
            for field in ("formula", "prime_formula", "delta_formula"):
                found = getattr(offer.component, field, None)
                if isinstance(found, property):
                    found = getattr(offer.component(), field)
                if found is not None:
                    yield pytest.param(found, id=f"{kind}-{name}-{field}")


FORMULAS = list(formulas())

# What LaTeX knows with amsmath and matplotlib's mathtext does not, and how it is written there.
MATHTEXT = (
    (r"\tfrac12", r"\frac{1}{2}"),
    (r"\tfrac", r"\frac"),
    (r"\text{", r"\mathrm{"),
    (r"\le ", r"\leq "),
)


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_can_be_typeset(formula: Formula) -> None:
    text = formula.latex
    for known, written in MATHTEXT:
        text = text.replace(known, written)
    MathTextParser("path").parse(f"${text}$")


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_are_plain_text_on_one_line(formula: Formula) -> None:
    assert formula.text.isascii()
    assert formula.text.isprintable()
    assert "\\" not in formula.text
    assert "\n" not in formula.latex
    for text in formula:
        assert text.count("(") == text.count(")")
        assert text.count("{") == text.count("}")


def test_every_equation_of_the_default_can_be_typeset() -> None:
    text = explained(latex=True)
    equations = re.findall(r"\\begin{equation\*}\n(.*?)\n\\end{equation\*}", text)
    assert len(equations) > 10
    for equation in equations:
        readable = re.sub(r" \\tag{BP\d}", "", equation).replace(r"\frac1m", r"\frac{1}{m}")
        MathTextParser("path").parse(f"${readable.strip()}$")


class Same(ElementwiseActivation):
    """sigma without a formula."""

    def __call__(self, z: Any) -> Any:
        return z

    def prime(self, z: Any) -> Any:
        return z


class AnyCost(Cost):
    def __call__(self, a: Any, y: Any) -> Any:
        return a.sum()

    def prime(self, a: Any, y: Any) -> Any:
        return a


class AnyOptimiser(Optimiser):
    def init(self, params: Any) -> Any:
        return ()

    def update(self, gradient: Any, state: Any, params: Any, step: Any) -> Any:
        return params, state


class AnyInitialiser(Initialiser):
    def __call__(self, key: Any, shape: Any, n_in: int, n_out: int) -> Any:
        return None

    def variance(self, n_in: int, n_out: int) -> float:
        return 0.0


class AnyRegulariser(Regulariser):
    def cost(self, params: Any) -> Any:
        return 0

    def gradient(self, params: Any) -> Any:
        return params


class Feedback(LearningRule):
    """A learning rule that is no gradient, with a formula of its own."""

    formula = Formula("B delta^(l+1)", r"B \delta^{l+1}")

    def init(self, key: Any, params: Any, shapes: Any) -> Any:
        return (None,) * (len(params) - 1)

    def carry(self, state: Any, step: Any) -> Any:
        return step.delta


class Silent(Feedback):
    """A learning rule without a formula."""

    formula = None


class Unformulated:
    """A plugin whose components have no formulas."""

    @hookimpl
    def bpframe_activations(self) -> dict[str, Any]:
        return {"same": Same}

    @hookimpl
    def bpframe_costs(self) -> dict[str, Any]:
        return {"any": AnyCost}

    @hookimpl
    def bpframe_optimisers(self) -> dict[str, Any]:
        return {"any": AnyOptimiser}

    @hookimpl
    def bpframe_initialisers(self) -> dict[str, Any]:
        return {"any": AnyInitialiser}

    @hookimpl
    def bpframe_regularisers(self) -> dict[str, Any]:
        return {"any": AnyRegulariser}

    @hookimpl
    def bpframe_learning_rules(self) -> dict[str, Any]:
        return {"feedback": Feedback, "silent": Silent}

    @hookimpl
    def bpframe_datasets(self) -> dict[str, Any]:
        return {"any": Digits}


@pytest.mark.parametrize("latex", [False, True])
def test_plugins_without_formulas_are_still_explained(latex: bool) -> None:
    groups = ("cost", "optimiser", "initialiser", "regulariser", "data")
    overrides = [f"{group}=any" for group in groups]
    overrides += ["network.activation=same", "learning_rule=silent"]
    overrides += ["network.modified_neurons=[{layer: 3, neuron: 0, activation: same}]"]
    text = explained(*overrides, latex=latex, plugins=[Unformulated()])
    assert all(f"Any{name}" in text for name in ("Cost", "Optimiser", "Initialiser", "Regulariser"))
    assert "Same" in text
    assert text.count("The plugin gives no formula") >= 6
    assert "None" not in text


@pytest.mark.parametrize(("rule", "carried"), [("feedback", "B delta^3"), ("silent", "e^2")])
def test_other_learning_rules_stand_in_bp2(rule: str, carried: str) -> None:
    text = explained(f"learning_rule={rule}", plugins=[Unformulated()])
    assert f"delta^2 = ({carried}) * sigma_2'(z^2)  (BP2)" in text
    assert re.search(r"^    .*\(w\^3\)\^T delta\^3", text, re.MULTILINE) is None
    assert ("e^2 is what the rule carries back to layer 2" in text) == (rule == "silent")
