"""What a run shows on the terminal: live progress, or plain lines in a pipe, and a last table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from bpframe.runs.records import EpochRecord, RunResult

_USUAL = (1e-3, 1e5)
"""Between these sizes four decimals say what there is to say."""

MOST_CLASSES = 12
"""Classes of which a confusion matrix has room on a screen."""

MOST_NUMBERS = 8
"""Metrics that are shown at the end."""


@contextmanager
def progress(console: Console, epochs: int) -> Iterator[Callable[[EpochRecord], None]]:
    """Give a function that shows each epoch's record: live on a terminal, else a line each."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda record: console.print(_line(record, epochs), soft_wrap=True, highlight=False)
        return
    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(table_column=Column(min_width=2 * len(str(epochs)) + 1)),
        BarColumn(bar_width=None),
        TextColumn("{task.description}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, expand=True) as bar:
        task = bar.add_task("compiling", total=epochs)

        def show(record: EpochRecord) -> None:
            description = f"cost {cost_text(record.train_cost)}" + (
                f"  validation cost {cost_text(record.validation_cost)}"
                if record.train_accuracy is None or record.validation_accuracy is None
                else f"  accuracy {record.train_accuracy:.1%}"
                f"  validation {record.validation_accuracy:.1%}"
            )
            bar.update(task, completed=record.epoch, description=description)

        yield show


def _line(record: EpochRecord, epochs: int) -> str:
    return (
        f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}  "
        f"cost {cost_text(record.train_cost)}{_accuracy(record.train_accuracy)}  "
        f"validation cost {cost_text(record.validation_cost)}"
        f"{_accuracy(record.validation_accuracy)}"
    )


def cost_text(cost: float) -> str:
    """A cost with four decimals, or with three digits where it is very large or very small."""
    is_usual = cost == 0 or not math.isfinite(cost) or _USUAL[0] <= abs(cost) < _USUAL[1]
    return f"{cost:.4f}" if is_usual else f"{cost:.3g}"


def _accuracy(value: float | None) -> str:
    return "" if value is None else f"  accuracy {value:.2%}"


def show_result(
    console: Console, result: RunResult, output_dir: str, rmse: float | None = None
) -> None:
    """The short table at the end of a run; `rmse` is that of the test set of a regression."""
    summary, timing = result.summary, result.summary.timing
    sizes = "-".join(map(str, summary.sizes))
    table = Table(title=f"{sizes}, {summary.epochs} epochs", title_justify="left", min_width=44)
    table.add_column("")
    table.add_column("cost", justify="right")
    if summary.has_accuracy:
        table.add_column("accuracy", justify="right")
    history = result.history
    rows = (
        ("training", history.train_cost[-1], history.train_accuracy[-1]),
        ("validation", history.validation_cost[-1], history.validation_accuracy[-1]),
        ("test", summary.test_cost, summary.test_accuracy),
    )
    for name, cost, accuracy in rows:
        cells = [name, "-" if cost is None else cost_text(cost)]
        if summary.has_accuracy:
            cells.append("-" if accuracy is None else f"{accuracy:.2%}")
        table.add_row(*cells)
    console.print(table)
    assert summary.best_validation_cost is not None
    best = (
        f"validation cost {cost_text(summary.best_validation_cost)}"
        if summary.best_validation_accuracy is None
        else f"validation accuracy {summary.best_validation_accuracy:.2%}"
    )
    console.print(
        f"best {best}, best parameters after epoch {summary.best_epoch}; compiled in "
        f"{timing.compile_s:.1f} s, trained in {sum(timing.epoch_s):.1f} s",
        highlight=False,
        soft_wrap=True,
    )
    if rmse is not None:
        text = f"test rmse {rmse:.4g}, in the units of the targets"
        console.print(text, highlight=False, soft_wrap=True)
    _show_numbers(console, result)
    _show_confusion(console, result)
    if summary.privacy is not None:
        console.print(str(summary.privacy["text"]), highlight=False, soft_wrap=True, markup=False)
    show_folder(console, output_dir)


def _show_numbers(console: Console, result: RunResult) -> None:
    """What the chosen metrics gave last, as far as these are single numbers."""
    metrics = result.summary.metrics
    numbers = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
    for name, value in list(numbers.items())[:MOST_NUMBERS]:
        text = f"{name} {value:.4g}"
        console.print(text, highlight=False, soft_wrap=True, markup=False)
    if len(numbers) > MOST_NUMBERS:
        text = f"and {len(numbers) - MOST_NUMBERS} more metrics in metrics.jsonl"
        console.print(text, highlight=False, soft_wrap=True)


def _show_confusion(console: Console, result: RunResult) -> None:
    """Confusion matrices, if they were chosen: what was right down, what was answered across."""
    info = result.summary.data
    for name, counts in result.summary.metrics.items():
        if not name.startswith("confusion_matrix") or len(counts) > MOST_CLASSES:
            continue
        show_counts(console, name, (info.task.names if info and info.task else ()), counts)


def show_counts(
    console: Console, title: str, names: Sequence[Any], counts: Sequence[Sequence[float]]
) -> None:
    """A confusion matrix, with the names of the classes if they have any."""
    classes = names or range(len(counts))
    table = Table(title=escape(title), title_justify="left")
    table.add_column("target")
    for answer in classes:
        table.add_column(escape(str(answer)), justify="right")
    for target, row in zip(classes, counts, strict=True):
        table.add_row(escape(str(target)), *(f"{count:.0f}" if count else "" for count in row))
    console.print(table)


def show_folder(console: Console, output_dir: str) -> None:
    """Where the run has been written."""
    console.print(f"written to {output_dir}", highlight=False, soft_wrap=True, markup=False)
