"""What an explanation says of the layers of each kind: forward, back, and their gradients."""

from __future__ import annotations

import re
from collections.abc import Iterator

import jax

from bpframe.contracts import Formula, Layer
from bpframe.equations import Dense
from bpframe.explanation.items import Equation, Item, Prose, described
from bpframe.learning import replaces
from bpframe.network import shown_shape
from bpframe.training.experiment import Experiment


def forward(experiment: Experiment, number: int) -> Iterator[Item]:
    """z^l of a^(l-1), and a^l."""
    layer, shapes = experiment.network.layers[number - 2], experiment.network.shapes
    before, after = shapes[number - 2 : number]
    a, a_latex = (
        f"a^{number} = sigma_{number}(z^{number})",
        (rf"a^{{{number}}} = \sigma_{{{number}}}(z^{{{number}}})"),
    )
    if isinstance(layer, Dense):
        (n,), n_in = after, experiment.network.sizes[number - 2]
        yield Equation(
            Formula(
                f"z^{number} = w^{number} a^{number - 1} + b^{number},  {a},  "
                f"w^{number}: {n} x {n_in}",
                rf"z^{{{number}}} = w^{{{number}}} a^{{{number - 1}}} + b^{{{number}}},\quad "
                rf"{a_latex},\quad w^{{{number}}} \in \mathbb{{R}}^{{{n} \times {n_in}}}",
            )
        )
        return
    yield Equation(
        Formula(
            f"z^{number} = T^{number}(a^{number - 1}),  {a}",
            rf"z^{{{number}}} = T^{{{number}}}(a^{{{number - 1}}}),\quad {a_latex}",
        )
    )
    yield Prose(
        f"T^{number} makes {shown_shape(after)} of {shown_shape(before)}: {described(layer)}."
    )
    if layer.formula:
        yield Equation(
            Formula(
                f"T^{number}(a) = {layer.formula.text}",
                rf"T^{{{number}}}(a) = {layer.formula.latex}",
            )
        )


def carried(layer: Layer) -> Formula | None:
    """What a layer l + 1 carries back of its error; None for the product of the book."""
    if isinstance(layer, Dense):
        return None
    return Formula("(dT^(l+1)/da)^T delta^(l+1)", r"(\partial T^{l+1}/\partial a)^T \delta^{l+1}")


def mean_gradient(experiment: Experiment) -> Iterator[Item]:
    """BP3 and BP4; what is no gradient is not called one."""
    layers, depth = experiment.network.layers, len(experiment.network.layers) + 1
    others = [
        number for number, layer in enumerate(layers, start=2) if not isinstance(layer, Dense)
    ]
    left = ("dC/db^l", "dC/dw^l"), (r"\partial C/\partial b^l", r"\partial C/\partial w^l")
    if depth == 2 or experiment.learning_rule.is_gradient:
        yield Prose("5. Gradient, the mean over the mini-batch.")
    else:
        left = ("nabla_b^l", "nabla_w^l"), (r"\nabla_b^l", r"\nabla_w^l")
        exact = f" Only that of layer {depth} is dC/db and dC/dw."
        yield Prose(
            "5. What stands for the gradient, the mean over the mini-batch."
            + (exact if not replaces(experiment.learning_rule, "assign") else "")
        )
    if others:
        yield Prose("Of the dense layers:")
    (b, w), (b_latex, w_latex) = left
    yield Equation(
        Formula(
            f"{b} = (1/m) sum_x delta^(x,l)",
            rf"{b_latex} = \frac1m \sum_x \delta^{{x,l}}",
        ),
        "BP3",
    )
    yield Equation(
        Formula(
            f"{w} = (1/m) sum_x delta^(x,l) (a^(x,l-1))^T",
            rf"{w_latex} = \frac1m \sum_x \delta^{{x,l}} (a^{{x,l-1}})^T",
        ),
        "BP4",
    )
    for number in others:
        layer = layers[number - 2]
        if layer.gradient_formula:
            yield Prose(f"Layer {number}, for one example x, of which the mean is taken:")
            for text, latex in zip(*map(_parts, layer.gradient_formula), strict=True):
                yield Equation(Formula(text, latex))
        elif jax.tree.leaves(experiment.network.params[number - 2]):
            yield Prose(f"Layer {number} sums a gradient of its own; it gives no formula for it.")


def _parts(formula: str) -> list[str]:
    return re.split(r",\s\s+|,\\quad ", formula)
