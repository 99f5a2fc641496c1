"""Texts of others in a page: cut, with what they do to a reader's screen written out."""

from __future__ import annotations

import html
from typing import Any

from bpframe.errors import printable

LONGEST = 300


def shown(value: Any, longest: int = LONGEST) -> str:
    """A value as a line of text that can be read, without the middle of what is longer."""
    text = " ".join(str(value)[: 50 * longest].split())
    if len(text) > longest:
        half = (longest - 3) // 2
        text = f"{text[:half]} … {text[-half:]}"
    return printable(text)


def escaped(value: Any, longest: int = LONGEST) -> str:
    """The same for HTML, as content or as an attribute in double quotes."""
    return html.escape(shown(value, longest))


def for_matplotlib(text: str) -> str:
    """A text in which matplotlib finds no mathematics."""
    return printable(text).replace("$", r"\$")


def short(value: float) -> str:
    """A number with four digits; none of a whole one is lost."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"
