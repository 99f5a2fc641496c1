"""A page as one document: no network, no server and no other file is needed to read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

from bpframe.pages.text import escaped


def page(title: str, body: str, *, data: Mapping[str, Any], style: str, script: str) -> str:
    """An HTML document, to be written in UTF-8.

    Args:
        title: as text.
        body: as HTML.
        data: what the script finds in the element `report-data`, as JSON.
        style: CSS after that of all pages.
        script: JavaScript, which may use what is in `Page` and plotly.js.

    Raises:
        ValueError: a number in `data` is not finite.

    """
    parts = {
        "title": escaped(title),
        "style": f"{_part('theme.css')}\n{style}",
        "body": body,
        "data": _json(data),
        "plotly": _part("plotly-basic.min.js"),  # scatter, bar and pie: a quarter of plotly.js
        "plots": _part("plots.js"),
        "script": script,
    }
    return Template(_part("shell.html")).substitute(parts)


def _json(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    # ASCII, so that U+2028 and U+2029 are escaped too; nothing in it can end the element.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _part(name: str) -> str:
    return (resources.files("bpframe.pages") / name).read_text(encoding="utf-8")
