"""Docstrings, which are plain text with `names` and formulas, as reStructuredText.

The name of a public class becomes a link, any other `code` stays code, and signs of formulas (a
star, a bar, an underscore at the end of a word) mean nothing but themselves.
"""

import inspect
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature
from sphinx.util.typing import ExtensionMetadata

import bpframe

_CODE = re.compile(r"`([^`]+)`")
_NAME = re.compile(r"(?:bpframe\.)?([A-Z]\w+)(?:\.\w+)*")
_SIGNS = re.compile(r"[\\*|]|_(?!\w)")


def as_rest(text: str) -> str:
    """A docstring, or a part of one, as reStructuredText."""
    parts = _CODE.split(text)
    for at in range(len(parts)):
        parts[at] = _code(parts[at]) if at % 2 else _SIGNS.sub(r"\\\g<0>", parts[at])
    return "".join(parts)


def _code(text: str) -> str:
    text = " ".join(text.split())
    name = _NAME.fullmatch(text)
    if name and name[1] in dir(bpframe):
        return f":py:obj:`{text} <bpframe.{name[1]}>`"
    return f"``{text}``"


def _of_docstring(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    lines[:] = as_rest("\n".join(lines)).split("\n")
    if what in ("attribute", "property"):
        # Of these napoleon takes what stands before a colon in the first line for a type.
        lines[:1] = lines[0].split(" ", 1)


def _without_fields(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out the fields of a NamedTuple, of which the docstring of the class tells."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def _as_written(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str | None] | None:
    """The signature with its annotations as they stand in the source: LayerParams, and not Any."""
    if not signature:
        return None
    found = inspect.signature(obj)
    parameters = [_written(part) for part in found.parameters.values() if part.name != "self"]
    before, arrow, after = stringify_signature(found.replace(parameters=parameters)).partition(
        " -> "
    )
    return before, after if arrow and what in ("function", "method") else None


class _Omitted:
    def __repr__(self) -> str:
        return "..."


def _written(parameter: inspect.Parameter) -> inspect.Parameter:
    """One with its annotation as a text, and with ... for a default that is no text of Python."""
    annotation, default = parameter.annotation, parameter.default
    if default is not inspect.Parameter.empty and repr(default).startswith("<"):
        default = _Omitted()
    return parameter.replace(
        annotation=getattr(annotation, "__forward_arg__", annotation),  # of a NamedTuple
        default=default,
    )


def _with_dashes(app: Sphinx, doctree: nodes.document) -> None:
    """Between a parameter and its description, where Sphinx puts two hyphens."""
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Take part in autodoc, before napoleon reads the sections."""
    app.connect("autodoc-process-docstring", _of_docstring, priority=400)
    app.connect("autodoc-process-signature", _as_written)
    app.connect("autodoc-skip-member", _without_fields)
    app.connect("doctree-read", _with_dashes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
