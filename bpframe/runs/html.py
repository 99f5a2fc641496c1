"""Experiments and results as a notebook shows them: small tables, in which all text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bpframe.contracts import LayerParams
from bpframe.network import named_params


def table(rows: Iterable[Sequence[Any]], head: Sequence[str] = (), caption: str = "") -> str:
    """A table of texts and numbers."""
    parts = ["<table>"]
    if caption:
        parts.append(f"<caption>{html.escape(caption)}</caption>")
    if head:
        cells = "".join(f"<th>{html.escape(text)}</th>" for text in head)
        parts.append(f"<thead><tr>{cells}</tr></thead>")
    for row in rows:
        cells = "".join(f"<td>{html.escape(_text(value))}</td>" for value in row)
        parts.append(f"<tr>{cells}</tr>")
    return "".join([*parts, "</table>"])


def params_table(params: tuple[LayerParams, ...]) -> str:
    """The arrays of parameters with their shapes and norms."""
    rows = [
        (name, " x ".join(map(str, np.shape(array))), float(np.linalg.norm(np.asarray(array))))
        for name, array in named_params(params).items()
    ]
    return table(rows, ("parameters", "shape", "norm"))


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
