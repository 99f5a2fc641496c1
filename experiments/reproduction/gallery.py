"""GALLERY.md: every study with its picture, what it asks, and what came out."""

from __future__ import annotations

from collections.abc import Mapping

from reproduction.page import Links
from reproduction.results import Result, Results

ABOUT = """\
What every study asks, what came out, and its picture. `python experiments/reproduce.py` writes this
page with the results; [what is asked](README.md) says how studies are run and judged, and
[RESULTS.md](RESULTS.md) has every row."""


def markdown(results: Results, links: Mapping[str, Links]) -> str:
    """The whole page, a section a study."""
    ordered = sorted(results.values(), key=lambda result: (result.place, result.name))
    parts = ["# Gallery", ABOUT]
    for result in ordered:
        parts += _section(result, links[result.name])
    return "\n\n".join(parts) + "\n"


def _section(result: Result, links: Links) -> list[str]:
    rows = f"RESULTS.md#{result.name}"
    picture = f"[![{result.title}]({links.figure})]({links.readme or rows})"
    leads = [f"[the study]({links.readme})"] if links.readme else []
    said = [result.question, f"{verdict(result)}.", " · ".join([*leads, f"[its rows]({rows})"])]
    pictures = [] if result.error is not None else [picture]
    return [f"## {result.title}", *pictures, " ".join(filter(None, said))]


def verdict(result: Result) -> str:
    """How many rows agree, and of the others whether a reason is known."""
    if result.error is not None:
        return "It failed"
    others = [row for row in result.rows if not row.agrees]
    unexplained = sum(not row.is_explained for row in others)
    parts = [f"{result.agreeing} of {len(result.rows)} rows agree"]
    if stated := len(others) - unexplained:
        parts.append(f"{stated} {_do(stated)} not, for a stated reason")
    if unexplained:
        parts.append(f"{unexplained} {_do(unexplained)} not, for no known reason")
    if result.not_run:
        parts.append(f"{len(result.not_run)} not run")
    return "; ".join(parts)


def _do(number: int) -> str:
    return "does" if number == 1 else "do"
