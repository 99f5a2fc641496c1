"""RESULTS.md, made of the whole of results.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from reproduction import wording
from reproduction.results import Result, Results
from reproduction.study import NotRun, Row

OVERVIEW = ("study", "rows agreeing", "seconds", "the book's loop, s", "ratio")
ROWS = ("quantity", "the book, or theory", "ours", "rule", "verdict")
ABOUT = """\
Each study repeats an experiment of Nielsen's *Neural Networks and Deep Learning* (2015), or holds
training against a theory. Its rules stand in its code; a row that disagrees stays in its table,
with the reason below where one was found. Values are mean ± standard deviation
[smallest, largest] over n seeds; the rule says what of them the verdict depends on."""
TIMES = """\
*Seconds* are those of the whole sweep, from the start of its process to the exit, with compiling,
evaluating and writing. *The book's loop* is an estimate of the same training example by example in
NumPy and float64, as chapter 2 has it, evaluation left out: epochs x training examples x the time
of an example, which was measured for each size of network and mini-batch on a slice, with sigmoid
neurons whatever the study has. *Ratio* is the one divided by the other. A study of convolutions has
no such estimate, and is left out of the times together; where its sweeps were run before, one by
one, its seconds are those of training alone."""


@dataclasses.dataclass(frozen=True)
class Links:
    """What RESULTS.md refers to, relative to its folder."""

    readme: str | None
    figure: str


def markdown(results: Results, links: Mapping[str, Links]) -> str:
    """The whole page."""
    ordered = sorted(results.values(), key=lambda result: (result.place, result.name))
    parts = ["# The book, reproduced", ABOUT, *_head(ordered), *_overview(ordered)]
    for result in ordered:
        parts += _section(result, links[result.name])
    return "\n\n".join(parts) + "\n"


def _head(results: list[Result]) -> list[str]:
    """The command, the dates, the machines and the versions: a line for each that differ."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(_measured(result), []).append(result)
    lines = []
    for measured, members in groups.items():
        names = ", ".join(member.name for member in members)
        whose = f" ({names})" if len(groups) > 1 else ""
        dates = sorted({member.date for member in members})
        between = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        lines.append(f"Measured on {between}{whose} {measured}")
    return lines


def _measured(result: Result) -> str:
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    quick = "  \n**A quick run**: shorter than the study, so its verdicts mean little."
    return (
        f"with `python experiments/reproduce.py{' --quick' * result.quick}`: "
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, computing on "
        f"{machine['device']}; Python {machine['python']}, {versions}.{quick * result.quick}"
    )


def _overview(results: list[Result]) -> list[str]:
    lines = []
    for result in results:
        name = f"[{result.name}](#{result.name})"
        if result.error is not None:
            lines.append([name, "failed", "", "", ""])
            continue
        not_run = f", {len(result.not_run)} not run" if result.not_run else ""
        agreeing = f"{result.agreeing} of {len(result.rows)}{not_run}"
        lines.append([name, agreeing, *_times(result.seconds, result.book_loop_s)])
    if len(whole := [result for result in results if result.error is None]) > 1:
        agreeing = sum(result.agreeing for result in whole)
        rows = sum(len(result.rows) for result in whole)
        both = [
            (result.seconds, result.book_loop_s)
            for result in whole
            if result.seconds is not None and result.book_loop_s is not None
        ]
        seconds, loop = (sum(times) for times in zip(*both, strict=True)) if both else (None, None)
        lines.append(["**together**", f"{agreeing} of {rows}", *_times(seconds, loop)])
    return [_table(OVERVIEW, lines), TIMES]


def _times(seconds: float | None, loop: float | None) -> list[str]:
    """Ours, the book's and their ratio, as far as they are known."""
    shown = ["" if time is None else wording.duration(time) for time in (seconds, loop)]
    both = seconds and loop is not None
    return [*shown, wording.duration((loop or 0) / (seconds or 1)) if both else ""]


def _section(result: Result, links: Links) -> list[str]:
    title = [f"## {result.name}", f"**{result.title}**"]
    readme = [f"What was asked, and how: [README]({links.readme})."] if links.readme else []
    if result.error is not None:
        return [*title, *readme, f"It failed on {result.date}: {_cell(result.error)}"]
    runs = f"{result.runs} run{'s' * (result.runs != 1)}"
    took = f" in {wording.duration(result.seconds)} s" if result.seconds is not None else ""
    parts = [*title, *readme, f"{runs}{took}, on {result.date}{', quick' * result.quick}."]
    if lines := [*map(_line, result.rows), *map(_line_not_run, result.not_run)]:
        parts.append(_table(ROWS, lines))
    if disagreeing := [row for row in result.rows if not row.agrees]:
        parts += ["What disagrees, and why:", "\n".join(map(_reason, disagreeing))]
    if result.not_run:
        commands = "\n".join(f"- {row.quantity}: `{row.command}`" for row in result.not_run)
        parts += ["What was not run, and the command that runs it:", commands]
    return [*parts, f"![{result.title}]({links.figure})"]


def _reason(row: Row) -> str:
    return f"- {row.quantity}: {' '.join(row.reason.split()) or 'no reason is known.'}"


def _line(row: Row) -> list[str]:
    verdict = row.verdict if row.agrees else f"**{row.verdict}**"
    ours = f"{wording.ours(row)}, n {len(row.values)}"
    return [row.quantity, _theirs(row), ours, row.rule.text, verdict]


def _line_not_run(row: NotRun) -> list[str]:
    return [row.quantity, _theirs(row), "not run", "", ""]


def _theirs(row: Row | NotRun) -> str:
    source = f"({row.source})" if row.source and row.book is not None else row.source
    return f"{wording.book(row)} {source}".strip()


def _table(header: tuple[str, ...], lines: Iterable[list[str]]) -> str:
    ruled = [header, ("---",) * len(header), *lines]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in ruled)


def _cell(text: str) -> str:
    """A text that stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|")
