"""What an explanation is made of, and how it is written as plain text or as LaTeX."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bpframe.component import Component, hyperparameters
from bpframe.contracts import Formula

WIDTH = 80


class Heading(NamedTuple):
    """The title of a part."""

    text: str


class Prose(NamedTuple):
    """A sentence without formulas."""

    text: str


class Equation(NamedTuple):
    """A formula on a line of its own, with the book's name for it."""

    formula: Formula
    tag: str = ""


Item = Heading | Prose | Equation


def equation(
    pattern: str,
    formula: Formula | None,
    of: Component,
    tag: str = "",
    *,
    latex: str | None = None,
) -> Iterator[Item]:
    """An equation with a formula of a component in it, or what its docstring says instead."""
    if formula is None:
        what = pattern.partition(" = ")[0] if " = " in pattern else "it"
        said = first_line(of)
        said = f"; its docstring says: {said}" if said else ", and has no docstring."
        yield Prose(f"The plugin gives no formula for {what}{said}")
        return
    pattern_latex = latex or re.sub(r"\^(\d+)", r"^{{\1}}", pattern.replace("delta", r"\delta"))
    if latex is None:
        pattern_latex = pattern_latex.replace("grad_a", r"\nabla_a")
    yield Equation(Formula(pattern.format(formula.text), _fill(pattern_latex, formula.latex)), tag)


def _fill(pattern: str, latex: str) -> str:
    return pattern.replace("{{", "{").replace("}}", "}").replace("{}", latex)


def first_line(component: Component) -> str:
    """The first line of the docstring, with what it runs into, as a sentence; "" without one."""
    cls = type(component)
    text = (inspect.getdoc(cls) or "").partition("\n\n")[0]
    line = text.partition("\n")[0]
    if line.startswith(f"{cls.__name__}("):  # what a dataclass has without one
        return ""
    said = line if line.endswith(".") else " ".join(text.split())
    return said if not said or said.endswith((".", "!", "?")) else f"{said}."


def described(component: Component) -> str:
    """A component as it would be written in Python, without its parts."""
    fields = ", ".join(
        f"{name}={value!r}"
        for name, value in hyperparameters(component)
        if not isinstance(value, Component) and value is not None
    )
    return f"{type(component).__name__}({fields})" if fields else type(component).__name__


def as_text(items: Iterable[Item]) -> Iterator[str]:
    """The lines as plain text."""
    for position, item in enumerate(items):
        if isinstance(item, Heading):
            if position:
                yield ""
            yield item.text
            yield "=" * len(item.text)
        elif isinstance(item, Prose):
            yield from textwrap.wrap(item.text, WIDTH)
        else:
            tag = f"  ({item.tag})" if item.tag else ""
            yield f"    {item.formula.text}{tag}"


def as_latex(items: Iterable[Item]) -> Iterator[str]:
    """The lines as LaTeX."""
    for item in items:
        if isinstance(item, Heading):
            yield f"\\subsection*{{{_escaped(item.text)}}}"
        elif isinstance(item, Prose):
            yield f"{_escaped(item.text)}"
        else:
            tag = f" \\tag{{{item.tag}}}" if item.tag else ""
            yield f"\\begin{{equation*}}\n  {item.formula.latex}{tag}\n\\end{{equation*}}"


def as_plain(items: Iterable[Item]) -> list[dict[str, str]]:
    """The items as plain values, ready for JSON.

    Each has a `heading`, a `prose`, or an `equation` with its `latex` and its `tag`.
    """
    return [
        {type(item).__name__.lower(): item.text}
        if not isinstance(item, Equation)
        else {"equation": item.formula.text, "latex": item.formula.latex, "tag": item.tag}
        for item in items
    ]


def _escaped(text: str) -> str:
    return re.sub(r"([_%&#$])", r"\\\1", text).replace("^", r"\^{}")
