"""A run on the terminal, 80 columns wide: what was trained, its curves, and a table.

The curves are drawn by plotille: pure Python, dots of Braille, which show four times the rows that
characters would, and no dependency of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import plotille
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bpframe.pages.text import short, shown
from bpframe.runs.page import columns, thinning, words
from bpframe.runs.page.columns import Curves, Matrix, Series
from bpframe.runs.page.reading import Written, number

WIDTH = 80
MOST_CURVES = 4
MOST_FIGURES = 8
_INSIDE, _HEIGHT = 60, 10
_COLOURS = ("blue", "yellow", "cyan", "magenta")
_MARKERS = (None, "+", "x", "o")
_LINE = "⠤⠤"


def show(written: Written, console: Console) -> None:
    """Print a run."""
    for part in _parts(written, has_colours=console.color_system is not None):
        console.print(part, highlight=False, width=WIDTH)


def _parts(written: Written, *, has_colours: bool) -> Iterator[RenderableType]:
    status = written.summary.get("status", "not ended")
    yield Text(shown(written.folder, 200), style="bold")
    yield Text(words.trained(written))
    yield Text(f"{shown(status, 40)}. {words.ended(written)}")
    if error := written.summary.get("error"):
        yield Text(shown(error, 500), style="red")
    for text in written.missing:
        yield Text(f"missing: {shown(text, 300)}", style="yellow")
    figures = columns.figures(written.records)
    curves = [each for each in figures if isinstance(each, Curves)]
    epochs = [record["epoch"] for record in written.records]
    for each in curves[:MOST_FIGURES]:
        yield Text(f"\n{_titled(each)}", style="bold")
        yield Text.from_ansi(_drawn(each, epochs, has_colours=has_colours))
    if len(curves) > MOST_FIGURES:
        yield Text(f"\n{len(curves) - MOST_FIGURES} more families of columns: bpframe show RUN")
    if epochs:
        yield _table(written)
    for each in figures:
        if (
            isinstance(each, Matrix)
            and len(each.values) <= 12
            and len(each.values[0]) == len(each.values)
        ):
            yield Text(f"\n{shown(each.title, 60)}", style="bold")
            yield _matrix(each, written.names)
    for what, text in words.again(written).items():
        yield Text(f"{what}: {shown(text, 1000)}")


def _titled(curves: Curves) -> str:
    unit = f", {curves.unit}" if curves.unit else ", logarithmic" if curves.is_log else ""
    return f"{shown(curves.title, 60)}{unit}"


def _drawn(curves: Curves, epochs: Sequence[int], *, has_colours: bool) -> str:
    figure: Any = plotille.Figure()
    figure.width, figure.height = _INSIDE, _HEIGHT
    figure.with_colors, figure.color_mode = has_colours, "names"
    figure.origin = False
    series = thinning.chosen(curves.series, MOST_CURVES)
    drawn = [_points(each, epochs, is_log=curves.is_log) for each in series]
    values = [y for _, ys in drawn for y in ys]
    if not values:
        return "no finite value"
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    least = -math.inf if curves.is_log or low < 0 else 0.0
    most = 100 if curves.unit == "%" else math.inf
    low, high = max(low - margin, least), min(high + margin, most)
    if high == most:  # a dot more, so that a curve at the top is seen
        high += (high - low) / (4 * _HEIGHT - 1)
    figure.set_y_limits(min_=low, max_=high)
    figure.set_x_limits(min_=epochs[0], max_=max(epochs[-1], epochs[0] + 1))
    is_short = epochs[-1] - epochs[0] < 12
    figure.x_ticks_fkt = lambda low, _: _epoch(low, is_short=is_short)
    figure.y_ticks_fkt = lambda low, _: _tick(min(low, most), is_log=curves.is_log)
    named = []
    for at, (each, (x, y)) in enumerate(zip(series, drawn, strict=True)):
        marker = _MARKERS[at % len(_MARKERS)]
        figure.plot(x, y, lc=_COLOURS[at % len(_COLOURS)] if has_colours else None, marker=marker)
        named.append(f"{marker or _LINE} {shown(each.name, 30)}")
    left = len(curves.series) - len(series)
    legend = "   ".join(named) + (f"   and {left} more" if left > 0 else "")
    drawing = [line.rstrip(" ⠀") for line in figure.show().splitlines()[1:]]
    axis, ticks = drawing[-2:]
    drawing[-2:] = [axis.partition("->")[0], f"     epoch{ticks[10:]}"]
    return "\n".join([*drawing, f"{'':13}{legend}"[:WIDTH]])


def _epoch(value: float, *, is_short: bool) -> str:
    """A label of the axis of epochs; of a few of them only where one is."""
    return "" if is_short and abs(value - round(value)) > 0.05 else f"{value:.0f}"


def _tick(value: float, *, is_log: bool) -> str:
    return f"{10**value if is_log else value:>10.3g}"


def _points(each: Series, epochs: Sequence[int], *, is_log: bool) -> tuple[list[int], list[float]]:
    places = thinning.thinned(each.values, 3 * _INSIDE).places
    finite = [(epochs[place], each.values[place]) for place in places]
    pairs = [(x, y) for x, y in finite if y is not None and (y > 0 or not is_log)]
    return [x for x, _ in pairs], [math.log10(y) if is_log else y for _, y in pairs]


def _table(written: Written) -> Table:
    records = written.records
    best = next((r for r in records if r["epoch"] == written.best_epoch), None)
    listed = [("first", records[0]), *([("best", best)] if best else []), ("last", records[-1])]
    table = Table(width=WIDTH)
    table.add_column("column", overflow="ellipsis", no_wrap=True, ratio=1)
    for name, record in listed:
        table.add_column(f"{name}: {record['epoch']}", justify="right", no_wrap=True)
    names = [
        name
        for name in dict.fromkeys(name for _, record in listed for name in record)
        if name != "epoch" and any(number(record.get(name)) for _, record in listed)
    ]
    for name in names[:30]:
        cells = (record.get(name) for _, record in listed)
        table.add_row(
            Text(shown(name, 60)), *(short(cell) if number(cell) else "" for cell in cells)
        )
    if len(names) > 30:
        table.add_row(Text(f"and {len(names) - 30} more in metrics.jsonl"))
    return table


def _matrix(matrix: Matrix, names: Sequence[str]) -> Table:
    n = len(matrix.values)
    known = names if matrix.title.startswith("confusion matrix") else ()
    labels = [words.class_name(known, place)[:8] for place in range(n)]
    table = Table(padding=(0, 0))
    table.add_column("", no_wrap=True)
    for label in labels:
        table.add_column(Text(label), justify="right", no_wrap=True, max_width=8)
    for label, row in zip(labels, matrix.values, strict=True):
        table.add_row(Text(label), *("" if not value else f"{value:.4g}" for value in row))
    return table
