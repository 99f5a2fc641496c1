"""results.png: the learning curves of a sweep, and the effect of what it swept.

Imported by who draws it: matplotlib takes longer to import than a small network to train.
"""

from __future__ import annotations

import dataclasses
import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from bpframe.pages.text import for_matplotlib, shown
from bpframe.sweeps.objective import Direction
from bpframe.sweeps.report.effects import SettingEffects, effects
from bpframe.sweeps.report.runs import (
    ReportRun,
    SweptSetting,
    bounds,
    colour_range,
    shown_column,
    swept_settings,
)
from bpframe.sweeps.rows import COMPLETED

_MARK, _NO_VALUE = "#1f6fb4", "#8a929c"
# Okabe and Ito's colours, which readers of all kinds of colour vision tell apart; and dashes.
_DISTINCT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", "--", "-.", ":")
_MOST_NAMED, _MOST_TICKS = 10, 6
"""Values of a setting that are named one by one; more are a colour bar."""


def picture(title: str, runs: Sequence[ReportRun], objective: str, direction: Direction) -> bytes:
    """The figure of `results` as a PNG."""
    buffer = io.BytesIO()
    results(title, runs, objective, direction).savefig(buffer, format="png")
    return buffer.getvalue()


def results(title: str, runs: Sequence[ReportRun], objective: str, direction: Direction) -> Figure:
    """Learning curves coloured by what was swept, and the mean objective for each of its values.

    The arguments are those of `bpframe.sweeps.report.page`.
    """
    settings = swept_settings(runs)
    panels = [each for each in settings if each.varies and each.key != "seed"]
    across = min(2, len(panels))
    down = -(-len(panels) // 2)
    figure = Figure(
        figsize=(6.6 + 3.2 * across, max(4.4, 2.3 * down)), dpi=120, layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(textwrap.fill(_plain(title, 250), 90), fontsize=12)
    left, *right = figure.subfigures(
        1, 1 + bool(panels), width_ratios=[6.6, 3.2 * across][: 1 + bool(panels)], squeeze=False
    )[0]
    _draw_curves(left, runs, objective, direction)
    if panels:
        drawn = right[0].subplots(down, across, sharey=True, squeeze=False).ravel()
        limits = bounds(objective, [v for run in runs if (v := run.value(objective)) is not None])
        for index, axes in enumerate(drawn):
            if index < len(panels):
                found = effects(panels[index], settings, runs, objective)
                _draw_effect(axes, panels[index], found, limits)
            else:
                axes.set_visible(False)
        right[0].supylabel(_named(objective), fontsize=9)
    return figure


def _draw_curves(
    figure: SubFigure, runs: Sequence[ReportRun], objective: str, direction: Direction
) -> None:
    """A line a run, coloured by the first setting that is swept, else by the objective."""
    axes = figure.subplots()
    column = shown_column(objective, runs)
    told = _by_setting(runs) or _by_objective(runs, objective, direction)
    segments, colours, dashes = [], [], []
    points: dict[str, list[Any]] = {".": [], "x": []}
    for index in told.order:
        is_complete = runs[index].row.status == COMPLETED
        pieces = _pieces(runs[index].epochs, runs[index].curves.get(column, ()))
        for piece in pieces:
            segments.append(piece)
            colours.append(told.colours[index])
            dashes.append(told.dashes[index])
            if len(piece) == 1:
                points["."].append((*piece[0], told.colours[index]))
        if pieces and not is_complete:
            points["x"].append((*pieces[-1][-1], told.colours[index]))
    width = 0.8 if len(runs) > 200 else 1.3
    axes.add_collection(
        LineCollection(segments, colors=colours, linestyles=dashes, linewidths=width, alpha=0.85)
    )
    for marker, found in points.items():
        if found:
            x, y, shades = zip(*found, strict=True)
            axes.scatter(x, y, c=list(shades), marker=marker, s=25, linewidths=1.2, zorder=3)
    axes.autoscale_view()
    heights = [height for piece in segments for _, height in piece]
    if heights and min(heights) > 0 and max(heights) / min(heights) >= 1000:
        axes.set_yscale("log")
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_ylabel(_named(column), fontsize=9)
    axes.locator_params(axis="x", integer=True)
    _calm(axes)
    completed = sum(run.row.status == COMPLETED for run in runs)
    others = " (\u00d7: where another one ended)" if points["x"] else ""
    axes.set_title(f"{completed} of {len(runs)} runs completed{others}", fontsize=9, loc="left")
    told.explain(figure, axes)


@dataclasses.dataclass(frozen=True)
class _Told:
    """How the runs are told apart: their colours and dashes, and the order of drawing.

    `entries` are those of a legend, a name and the properties of its line each; `scale`, where
    there are too many values for one, is what a colour bar shows, with its label.
    """

    order: Sequence[int]
    colours: Sequence[Any]
    dashes: Sequence[str]
    entries: Sequence[tuple[str, Mapping[str, Any]]] = ()
    scale: tuple[str, ScalarMappable, Sequence[str]] | None = None

    def explain(self, figure: SubFigure, axes: Axes) -> None:
        """Draw the legend below the axes, and the colour bar beside them."""
        if self.entries:
            handles = [Line2D([], [], label=name, **how) for name, how in self.entries]
            columns = max(1, 90 // (8 + max(len(name) for name, _ in self.entries)))
            figure.legend(
                handles=handles,
                loc="outside lower center",
                ncols=min(columns, 4),
                fontsize=9,
                frameon=False,
            )
        if self.scale:
            label, scale, ends = self.scale
            bar = figure.colorbar(scale, ax=axes, aspect=40, pad=0.02)
            bar.set_label(_plain(label), fontsize=9)
            if ends:
                bar.set_ticks([scale.norm.vmin, scale.norm.vmax], labels=[_plain(e) for e in ends])  # pyright: ignore[reportArgumentType]
            bar.ax.tick_params(labelsize=8)
            bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def _by_setting(runs: Sequence[ReportRun]) -> _Told | None:
    """By the first setting that is swept, as colours, and another one of few values, as dashes."""
    swept = [each for each in swept_settings(runs) if each.varies and each.key != "seed"]
    if not swept:
        return None
    first, others = swept[0], [each for each in swept[1:] if len(each.texts) <= len(_DASHES)]
    number = len(first.texts)
    is_unordered = first.numbers is None and number <= len(_DISTINCT)
    shades = _DISTINCT if is_unordered else _shades()(np.linspace(0, 1, number))
    entries: list[tuple[str, Mapping[str, Any]]] = []
    scale = None
    if number <= _MOST_NAMED:
        named = zip(first.texts, shades, strict=False)
        entries += [(_plain(f"{first.label} = {text}"), {"color": shade}) for text, shade in named]
    else:  # by rank, as the colours are
        ranks = ScalarMappable(Normalize(0, number - 1), _shades())
        scale = first.label, ranks, (first.texts[0], first.texts[-1])
    dashes = ["-"] * len(runs)
    if others:
        second = others[0]
        dashes = ["-" if place is None else _DASHES[place] for place in second.places]
        entries += [
            (_plain(f"{second.label} = {text}"), {"color": "0.3", "linestyle": dash})
            for text, dash in zip(second.texts, _DASHES, strict=False)
        ]
    colours = [_NO_VALUE if place is None else shades[place] for place in first.places]
    return _Told(range(len(runs)), colours, dashes, entries, scale)


def _by_objective(runs: Sequence[ReportRun], objective: str, direction: Direction) -> _Told:
    """By what they reached; the best are the darkest, as in report.html, and drawn last."""
    values = [run.value(objective) for run in runs]
    present = [value for value in values if value is not None]
    sign = 1 if direction == "maximise" else -1
    shades = _shades() if direction == "maximise" else _shades().reversed()
    scale = ScalarMappable(Normalize(*colour_range(present)), shades)
    known = scale.to_rgba(np.array([0.0 if value is None else value for value in values]))
    colours = [
        _NO_VALUE if value is None else shade for value, shade in zip(values, known, strict=True)
    ]
    order = sorted(
        range(len(runs)),
        key=lambda index: (values[index] is not None, sign * (values[index] or 0)),
    )
    told = (objective.replace("_", " "), scale, ()) if present else None
    return _Told(order, colours, ["-"] * len(runs), scale=told)


def _shades() -> ListedColormap:
    """Viridis from bright to dark, without the palest yellows."""
    return ListedColormap(colormaps["viridis"](np.linspace(0.85, 0, 256)))


def _pieces(epochs: Sequence[int], curve: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The points (epoch, value) of a curve, cut where there is no value."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for epoch, value in zip(epochs, curve, strict=False):  # a run may lack the column
        if value is not None:
            pieces[-1].append((epoch, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _draw_effect(
    axes: Axes,
    setting: SweptSetting,
    found: SettingEffects,
    limits: tuple[float | None, float | None],
) -> None:
    """Means with their deviations, which end where values do."""
    numbers = setting.numbers if setting.scale != "category" else None
    means = np.array([each.mean for each in found.points], float)
    deviations = np.array([each.deviation or 0.0 for each in found.points], float)
    least, most = (
        np.inf * sign if end is None else end for end, sign in zip(limits, (-1, 1), strict=True)
    )
    lowest, highest = np.maximum(means - deviations, least), np.minimum(means + deviations, most)
    axes.errorbar(
        [each.place if numbers is None else numbers[each.place] for each in found.points],
        means,
        [means - lowest, highest - means],
        fmt="o" if numbers is None else "o-",
        color=_MARK,
        ecolor=_NO_VALUE,
        capsize=3,
        markersize=4,
        linewidth=1,
    )
    if numbers is None:
        crowded = sum(min(len(text), 14) for text in setting.texts) > 30
        axes.set_xticks(
            range(len(setting.texts)),
            [_plain(text, 14) for text in setting.texts],
            rotation=30 if crowded else 0,
            ha="right" if crowded else "center",
        )
        axes.set_xlim(-0.5, len(setting.texts) - 0.5)
    else:
        axes.set_xscale(setting.scale)
        if len(numbers) <= _MOST_TICKS:
            axes.set_xticks(numbers, [_plain(text, 14) for text in setting.texts])
            axes.minorticks_off()
    axes.set_xlabel(_plain(setting.label), fontsize=9)
    single = all(each.of == 1 for each in found.points)
    note = "completed runs" if single else f"mean ± std over {found.over}"
    axes.set_title(note if found.points else "no completed run", fontsize=8, loc="left")
    _calm(axes)


def _calm(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)


def _named(column: str) -> str:
    return _plain(column.replace("_", " "), 60)


def _plain(text: str, longest: int = 40) -> str:
    """A text in which matplotlib finds no mathematics, cut, with what commands a screen shown."""
    return for_matplotlib(shown(text, longest))
