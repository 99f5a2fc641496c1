"""What the figures of the studies are drawn of, alike in all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from reproduction.style import DARK, LOOKS

BOOK = "the book"
"""The name of the book's figures in legends."""
MARKERS = 8
"""About how many markers a curve has."""
_LAST = "last in the legend"


def band(
    axes: Axes,
    x: np.ndarray,
    values: np.ndarray,
    *,
    label: str | None = None,
    look: int = 0,
    **line: Any,
) -> None:
    """The mean over runs as a line, in a shade from the smallest to the largest.

    Args:
        axes: where to draw.
        x: (records,).
        values: (runs, records), or (records,) of one run. Records that no run has are left out;
            the line has a gap where only some have one.
        label: its name in the legend.
        look: the place of its colour and marker in LOOKS.
        **line: further settings of the line.

    """
    values = np.atleast_2d(values)
    there = ~np.isnan(values).all(axis=0)
    x, values = x[there], values[:, there]
    colour, marker = LOOKS[look % len(LOOKS)]
    every = max(1, -(-len(x) // MARKERS))
    first = look * every // len(LOOKS) % every  # so that markers of curves do not hide each other
    settings: dict[str, Any] = {"color": colour, "marker": marker, "markevery": (first, every)}
    axes.plot(x, values.mean(axis=0), label=label, **(settings | line))
    if len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def seeds(axes: Axes, x: np.ndarray, values: np.ndarray, *, look: int = 0) -> None:
    """Every run as a thin line, for what spreads too widely for a mean, and the mean."""
    for number, one in enumerate(values):
        axes.plot(x, one, color=LOOKS[look].colour, alpha=0.55, linewidth=0.9,
                  label=None if number else "a seed each")  # fmt: skip
    axes.plot(x, values.mean(axis=0), color=LOOKS[look].colour, linewidth=2.6, label="their mean")


def reference(axes: Axes, x: Any, y: Any, label: str | None = None) -> None:
    """A curve that ours are held against, thin, dark and dashed: the book's, or a theory."""
    axes.plot(x, y, label=label, color=DARK, linestyle="--", linewidth=1.1, zorder=3, gid=_LAST)


def published(
    axes: Axes, x: Any, y: Any, label: str = BOOK, *, look: int | None = None, marker: str = "o"
) -> None:
    """Points that ours are held against: open markers in the look of the series they belong to.

    Without a look they belong to no series among others: they are dark, with this marker.
    """
    colour, shape = (DARK, marker) if look is None else LOOKS[look]
    axes.plot(x, y, shape, label=label, color=colour, markerfacecolor="none", markersize=9,
              markeredgewidth=1.6, zorder=4, clip_on=False, gid=_LAST)  # fmt: skip


def level(axes: Axes, y: float, label: str | None = None) -> None:
    """A value that ours are held against, as a line across."""
    axes.axhline(y, label=label, color=DARK, linestyle="--", linewidth=1.1, zorder=3, gid=_LAST)


def tidy(axes: Axes, *, x: str = "epoch", y: str = "", legend: bool = True, **place: Any) -> None:
    """Names the axes and adds the legend when everything is drawn; epochs get whole ticks.

    `place` says where the legend stands, and in how many columns (loc, ncols).
    """
    axes.set(xlabel=x, ylabel=y)
    if x == "epoch" and axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if legend and (entries := _entries([axes])):
        axes.legend(**_arguments(entries), **place)


def shared_legend(figure: Figure | SubFigure, *, columns: int) -> None:
    """One legend below all panels, in place of one in each."""
    entries = _entries(figure.axes)
    figure.legend(**_arguments(entries), loc="outside lower center", ncols=columns)


def plain_log(axis: Axis) -> None:
    """A logarithmic axis over few decades, with ticks such as 1, 2, 5, 10."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _arguments(entries: dict[str, tuple[Artist, ...]]) -> dict[str, Any]:
    """What a legend is given: the looks of an entry stand side by side, with enough room."""
    return {
        "handles": list(entries.values()),
        "labels": list(entries),
        "handler_map": {tuple: HandlerTuple(ndivide=None)},
        "handlelength": max(2.0, *map(len, entries.values())),
    }


def _entries(panels: Iterable[Axes]) -> dict[str, tuple[Artist, ...]]:
    """The artists of every label, each look once; what ours are held against comes last."""
    found: dict[str, dict[Any, Artist]] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, {}).setdefault(_look(handle), handle)
    ordered = sorted(found.items(), key=lambda entry: _is_last(entry[1].values()))
    return {label: tuple(handles.values()) for label, handles in ordered}


def _look(handle: Artist) -> Any:
    if isinstance(handle, Line2D):
        return handle.get_color(), handle.get_marker(), handle.get_linestyle()
    return id(handle)


def _is_last(handles: Iterable[Artist]) -> bool:
    return any(handle.get_gid() == _LAST for handle in handles)
