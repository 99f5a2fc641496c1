"""results.png: the learning curves of a sweep, and the effect of what it swept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bpframe.sweeps.objective import Direction
from bpframe.sweeps.report.effects import SettingEffects, effects
from bpframe.sweeps.report.runs import (
    ReportRun,
    SweptSetting,
    colour_range,
    shown_column,
    swept_settings,
)
from bpframe.sweeps.rows import COMPLETED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_MARK, _NO_VALUE = "#1f6fb4", "#8a929c"


def picture(title: str, runs: Sequence[ReportRun], objective: str, direction: Direction) -> bytes:
    """Learning curves coloured by the objective, and its mean for each value swept, as a PNG.

    The arguments are those of `bpframe.sweeps.report.page`.
    """
    # Imported here: matplotlib takes longer to import than a small network to train.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings = swept_settings(runs)
    shown = [each for each in settings if each.varies and each.key != "seed"]
    across = min(2, len(shown))
    down = -(-len(shown) // 2)
    figure = Figure(
        figsize=(6.6 + 3.2 * across, max(4.4, 2.3 * down)), dpi=120, layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(_plain(title), fontsize=12)
    left, *right = figure.subfigures(
        1, 1 + bool(shown), width_ratios=[6.6, 3.2 * across][: 1 + bool(shown)], squeeze=False
    )[0]
    _draw_curves(left, runs, objective, direction)
    if shown:
        panels = right[0].subplots(down, across, sharey=True, squeeze=False).ravel()
        for index, axes in enumerate(panels):
            if index < len(shown):
                found = effects(shown[index], settings, runs, objective)
                _draw_effect(axes, shown[index], found)
            else:
                axes.set_visible(False)
        right[0].supylabel(_plain(objective.replace("_", " ")), fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_curves(
    figure: SubFigure, runs: Sequence[ReportRun], objective: str, direction: Direction
) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import ListedColormap, Normalize

    axes = figure.subplots()
    column = shown_column(objective, runs)
    values = [run.value(objective) for run in runs]
    present = [value for value in values if value is not None]
    # The best are the darkest, as in report.html, and the palest yellows are left out.
    shades = [0.85 * index / 255 for index in range(256)]
    ordered = shades[::-1] if direction == "maximise" else shades
    colours = ListedColormap(colormaps["viridis"](ordered))
    low, high = colour_range(present)
    scale = ScalarMappable(Normalize(low, high), colours)
    sign = 1 if direction == "maximise" else -1
    worst_first = sorted(
        range(len(runs)),
        key=lambda index: (values[index] is not None, sign * (values[index] or 0)),
    )
    segments, shown, styles = [], [], []
    for index in worst_first:
        value = values[index]
        colour = _NO_VALUE if value is None else scale.to_rgba(np.asarray(value))
        for piece in _pieces(runs[index].epochs, runs[index].curves.get(column, ())):
            if len(piece) == 1:
                axes.plot(*piece[0], ".", color=colour)
            segments.append(piece)
            shown.append(colour)
            styles.append("-" if runs[index].row.status == COMPLETED else ":")
    width = 0.8 if len(runs) > 200 else 1.2
    axes.add_collection(
        LineCollection(segments, colors=shown, linestyles=styles, linewidths=width, alpha=0.85)
    )
    axes.autoscale_view()
    heights = [height for piece in segments for _, height in piece]
    if heights and min(heights) > 0 and max(heights) / min(heights) >= 1000:
        axes.set_yscale("log")
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_ylabel(_plain(column.replace("_", " ")), fontsize=9)
    axes.locator_params(axis="x", integer=True)
    _calm(axes)
    completed = sum(run.row.status == COMPLETED for run in runs)
    axes.set_title(
        f"{completed} of {len(runs)} runs completed (dotted: the others)", fontsize=9, loc="left"
    )
    if present:
        bar = figure.colorbar(scale, ax=axes, aspect=40, pad=0.02)
        bar.set_label(_plain(objective.replace("_", " ")), fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def _pieces(epochs: Sequence[int], curve: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The points (epoch, value) of a curve, cut where there is no value."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for epoch, value in zip(epochs, curve, strict=False):  # a run may lack the column
        if value is not None:
            pieces[-1].append((epoch, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _draw_effect(axes: Axes, setting: SweptSetting, found: SettingEffects) -> None:
    numbers = setting.numbers if setting.scale != "category" else None
    x = [each.place if numbers is None else numbers[each.place] for each in found.points]
    axes.errorbar(
        x,
        [each.mean for each in found.points],
        [each.deviation or 0.0 for each in found.points],
        fmt="o" if numbers is None else "o-",
        color=_MARK,
        ecolor=_NO_VALUE,
        capsize=3,
        markersize=4,
        linewidth=1,
    )
    if numbers is None:
        crowded = sum(map(len, setting.texts)) > 30
        axes.set_xticks(
            range(len(setting.texts)),
            [_plain(text if len(text) <= 14 else f"{text[:13]}…") for text in setting.texts],
            rotation=30 if crowded else 0,
            ha="right" if crowded else "center",
        )
        axes.set_xlim(-0.5, len(setting.texts) - 0.5)
    else:
        axes.set_xscale(setting.scale)
    axes.set_xlabel(_plain(setting.label), fontsize=9)
    single = all(each.of == 1 for each in found.points)
    note = "completed runs" if single else f"completed runs: mean ± std over {found.over}"
    axes.set_title(note if found.points else "no completed run", fontsize=8, loc="left")
    _calm(axes)


def _calm(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)


def _plain(text: str) -> str:
    """The text without what matplotlib would typeset: mathematics between dollar signs."""
    return text.replace("$", r"\$")
