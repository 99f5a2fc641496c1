"""What the terminal shows of a sweep at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bpframe.configuration.hydra_internals import value_text
from bpframe.sweeps.objective import Objective
from bpframe.sweeps.rows import Row

MOST_ROWS = 20
"""How many jobs the table of failures names; results.csv has them all."""


def show_end(
    console: Console,
    rows: Sequence[Row],
    failed: Sequence[Row],
    objective: Objective,
    folder: Path,
) -> None:
    """A table of the jobs that failed, the best job of all, and where the results are."""
    if failed:
        show_failures(console, [(row.num, text(row), row.status, row.error) for row in failed])
    if best := objective.best(rows):
        reached = f"{objective.name} {objective.of(best):.4g}"
        say(console, f"best: job {best.num}, {reached} with {text(best)}")
    say(console, f"written to {folder} (report.html, results.csv)")


def show_failures(console: Console, failures: Sequence[tuple[int, str, str, str | None]]) -> None:
    """A paragraph each of (number, overrides, status, error)."""
    say(console, "jobs that did not complete:")
    for num, overrides, status, error in failures[:MOST_ROWS]:
        told = f"job {num} {status}: {overrides}" + f"; {error}" * bool(error)
        console.print(Padding(Text(told), (0, 0, 0, 2)), highlight=False)
    if len(failures) > MOST_ROWS:
        say(console, f"and {len(failures) - MOST_ROWS} more")


def text(row: Row) -> str:
    """The settings of a job as overrides."""
    return " ".join(f"{key}={value_text(value)}" for key, value in row.settings.items())


def say(console: Console, line: str) -> None:
    """Print a line without wrapping it."""
    console.print(line, highlight=False, soft_wrap=True, markup=False)
