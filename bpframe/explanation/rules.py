"""What an explanation says of a learning rule: its name, what it carries back, its letters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from bpframe.component import hyperparameters
from bpframe.contracts import Formula
from bpframe.explanation import layers as of_layers
from bpframe.explanation.items import Item, Prose, described, first_line
from bpframe.learning import LearningRule, replaces
from bpframe.training.experiment import Experiment

_BOOKS = "(w^(l+1))^T delta^(l+1)"
"""What the rule of the book carries, of which its equations say all."""

_CARRIED = re.compile(r"\be\^l = (?P<formula>.+?)\.?$")
_KNOWN = {
    *("w", "b", "a", "z", "x", "y", "e", "l", "L", "T", "C", "n", "m", "delta", "sigma", "grad_a"),
    *("sign", "softmax", "relu", "once", "has", "settled", "dT", "da", "max", "min", "exp", "ln"),
}
"""The letters of the book, and functions and words that stand for themselves."""


def introduced(experiment: Experiment, name: str) -> Iterator[Item]:
    """The fourth step's heading, and what the rule is; `name` is how a config calls it."""
    rule, depth = experiment.learning_rule, len(experiment.network.sizes)
    is_books = rule.is_gradient and rule.formula is not None and rule.formula.text == _BOOKS
    if depth == 2 or is_books:
        yield Prose("4. Backward, layer by layer.")
        return
    cls = described(rule)
    is_told = name.replace("_", "") == type(rule).__name__.lower()
    called = cls if is_told or not name else f"{name}, {cls}"
    yield Prose(f"4. Backward, layer by layer, by the learning rule {called}.")
    said = first_line(rule) or "It has no docstring."
    if replaces(rule, "assign") or rule.is_gradient:
        yield Prose(said)
    else:
        yield Prose(f"{said} In BP2 it replaces (w^(l+1))^T delta^(l+1): delta is not dC/dz.")
    if rule.formula is not None and not replaces(rule, "assign"):
        yield from _letters(rule, rule.formula)
    yield from _other_doors(rule)


def carried(experiment: Experiment, number: int) -> Formula:
    """What the learning rule carries to a layer, with its own number in place of l."""
    rule = experiment.learning_rule.formula
    if experiment.learning_rule.is_gradient:
        rule = of_layers.carried(experiment.network.layers[number - 1]) or rule
    if rule is None:
        return Formula(f"e^{number}", f"e^{{{number}}}")
    depth = len(experiment.network.sizes)
    return Formula(
        _filled(rule.text, number, depth),
        re.sub(
            r"\^(?:\{(l\+1|l|L)\}|([lL])\b)",
            lambda m: f"^{{{_index(m[1] or m[2], number, depth)}}}",
            rule.latex,
        ),
    )


def defined(experiment: Experiment, number: int) -> Iterator[Item]:
    """What e^l is at a layer, where the rule gives no formula for it."""
    rule, depth = experiment.learning_rule, len(experiment.network.sizes)
    if carried(experiment, number).text != f"e^{number}":
        return
    yield Prose(
        f"e^{number} is what the rule carries back to layer {number}, in place of "
        f"(w^{number + 1})^T delta^{number + 1}; the plugin gives no formula for it."
    )
    if match := _CARRIED.search(first_line(rule)):
        told = _filled(match["formula"], number, depth)
        yield Prose(f"By its docstring, e^{number} = {told}.")


def _filled(text: str, number: int, depth: int) -> str:
    return re.sub(
        r"\^(?:\((l\+1)\)|([lL])\b)",
        lambda match: f"^{_index(match[1] or match[2], number, depth)}",
        text,
    )


def _index(letter: str, number: int, depth: int) -> int:
    return {"l+1": number + 1, "l": number, "L": depth}[letter]


def _letters(rule: LearningRule, formula: Formula) -> Iterator[Item]:
    """What the letters are that are neither the book's nor fields of the rule."""
    fields = {name for name, _ in hyperparameters(rule)}
    words = dict.fromkeys(re.findall(r"[A-Za-z_]+", formula.text))
    said = first_line(rule)
    sentences = re.split(r"(?<=\.)\s+", " ".join((inspect.getdoc(type(rule)) or "").split()))
    for word in words:
        if word in _KNOWN | fields or _mentions(said, word):
            continue
        told = next((sentence for sentence in sentences if _mentions(sentence, word)), None)
        yield Prose(told or f"Its docstring does not say what {word} is.")


def _mentions(text: str, word: str) -> bool:
    return re.search(rf"(?<![A-Za-z_]){word}(?![A-Za-z_])", text) is not None


def _other_doors(rule: LearningRule) -> Iterator[Item]:
    """What a learning rule replaces besides what carries the error back."""
    for method, sentence in (
        ("assign", "It gives all layers deltas, or terms of its own, in place of BP1 and BP2."),
        ("answer", "The network's answer is what the rule makes of it, and not a^L."),
        ("learn", "Its state learns after every step."),
    ):
        if replaces(rule, method):
            yield Prose(sentence)
