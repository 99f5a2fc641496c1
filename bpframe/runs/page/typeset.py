"""The algorithm of a run as HTML, its formulas as MathML, which browsers draw by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from docutils.utils.math.latex2mathml import tex2mathml

from bpframe.errors import printable
from bpframe.pages.text import escaped

_LONGEST = 2000
"""The most characters of a formula that is typeset."""


def algorithm(items: Iterable[Mapping[str, Any]]) -> str:
    """The items of `explanation.items.as_plain` as HTML."""
    return "\n".join(map(_item, items))


def formula(latex: str, text: str) -> str:
    """A formula as MathML, or its plain text where its LaTeX is none that can be typeset."""
    plain = f"<code>{escaped(text)}</code>"
    if len(latex) > _LONGEST:
        return plain
    try:
        return tex2mathml(printable(latex), as_block=True)
    except Exception:  # the library meets what plugins write with errors of many kinds
        return plain


def _item(item: Mapping[str, Any]) -> str:
    if "heading" in item:
        return f"<h3>{escaped(item['heading'])}</h3>"
    if "equation" not in item:
        return f"<p>{escaped(item.get('prose', ''), 1000)}</p>"
    tag = f'<span class="tag">({escaped(item["tag"], 40)})</span>' if item.get("tag") else ""
    drawn = formula(str(item.get("latex", "")), str(item["equation"]))
    return f'<div class="math" tabindex="0">{drawn}{tag}</div>'
