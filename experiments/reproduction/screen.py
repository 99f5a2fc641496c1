"""What the terminal shows of the results."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from reproduction import wording
from reproduction.results import Result

WIDTH = 80


def console() -> Console:
    """A terminal of 80 columns that prints texts as they are."""
    return Console(width=WIDTH, markup=False, highlight=False, emoji=False)


def show(screen: Console, result: Result) -> None:
    """The rows of a study as a table, and what disagrees with its reason."""
    if result.error is not None:
        screen.print(f"{result.name}: failed: {result.error}")
        return
    title = result.name
    if result.seconds is not None:
        title += f", {wording.duration(result.seconds)} s"
    if result.book_loop_s is not None:
        title += f"; the book's loop: about {wording.duration(result.book_loop_s)} s"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("quantity", ratio=1)
    table.add_column("book", justify="right", no_wrap=True)
    table.add_column("ours", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in result.rows:
        table.add_row(row.quantity, wording.book(row), wording.ours(row), row.verdict)
    for row in result.not_run:
        table.add_row(row.quantity, wording.book(row), "not run", "")
    screen.print(table)
    for row in result.rows:
        if not row.agrees:
            screen.print(f"disagrees: {row.quantity}: {row.reason or 'no reason is known'}")
