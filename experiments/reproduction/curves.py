"""Curves over the epochs, drawn alike in all studies."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee", "#777777")
"""To be told apart by colour-blind readers too. Source: Tol (2021), Colour schemes, "bright"."""
DARK = "#222222"


def band(
    axes: Axes,
    epoch: np.ndarray,
    values: np.ndarray,
    *,
    label: str | None = None,
    colour: str = COLOURS[0],
    **line: Any,
) -> None:
    """The mean over runs as a line, in a shade from the smallest to the largest.

    Args:
        axes: where to draw.
        epoch: (records,).
        values: (runs, records), or (records,) of one run. Records that no run has are left out;
            the line has a gap where only some have one.
        label: its name in the legend.
        colour: of the line and the shade.
        **line: further settings of the line.

    """
    values = np.atleast_2d(values)
    there = ~np.isnan(values).all(axis=0)
    epoch, values = epoch[there], values[:, there]
    axes.plot(epoch, values.mean(axis=0), label=label, color=colour, **line)
    if len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(epoch, low, high, color=colour, alpha=0.2, linewidth=0)


def book(axes: Axes, epoch: np.ndarray, values: np.ndarray, label: str | None = None) -> None:
    """The book's own curve, thin, dark and dashed; a point of it alone as a dot."""
    marker = "o" if np.size(values) == 1 else ""
    axes.plot(
        epoch, values, label=label, color=DARK, linestyle="--", linewidth=0.9, marker=marker,
        markersize=4, zorder=3,
    )  # fmt: skip


def tidy(axes: Axes, *, x: str = "epoch", y: str = "", legend: bool = True) -> None:
    """The style of all figures, to be called when everything is drawn; epochs get whole ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if x == "epoch" and axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
