"""How all figures of the studies look: text, colours, markers, and the figure as a whole."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reproduction.runs import Runs
from reproduction.study import Study

SETTINGS: Mapping[Any, Any] = MappingProxyType(
    {
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.labelsize": 10,
        "legend.fontsize": 10,
        "figure.titlesize": 10,
        "figure.titleweight": "bold",
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        "lines.markersize": 5,
        "legend.frameon": False,
        "mathtext.fontset": "dejavusans",
    }
)
"""Legends are as large as the labels of axes. A page shows a figure at most nine inches wide so
that its text stays readable."""
WIDEST = 10.0
"""Inches; a wider figure would have text that is too small on a page."""


class Look(NamedTuple):
    """What tells a series from the others, for readers who see no colours too."""

    colour: str
    marker: str


LOOKS = (
    Look("#4477aa", "o"),
    Look("#ee6677", "s"),
    Look("#228833", "^"),
    Look("#aa3377", "D"),
    Look("#997700", "v"),
    Look("#33bbee", "P"),
    Look("#777777", "X"),
)
"""Source of the colours: Tol (2021), Colour schemes, "bright" and, darker, "high-contrast"."""
DARK = "#222222"


def drawn(study: Study, runs: Runs) -> Figure:
    """The figure of a study, with the sentence on top that says what is to be seen."""
    with mpl.rc_context(dict(SETTINGS)):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=study.figsize, layout="constrained")
        FigureCanvasAgg(figure)
        if study.shows:
            figure.suptitle(study.shows)
        study.draw(runs, figure)
    return figure


def png(figure: Figure) -> bytes:
    """The picture of a figure."""
    buffer = io.BytesIO()
    with mpl.rc_context(dict(SETTINGS)):  # pyright: ignore[reportArgumentType]
        figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
