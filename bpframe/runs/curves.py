"""The picture of a run."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import Any

import numpy as np

from bpframe.explanation.items import described
from bpframe.pages.text import for_matplotlib, shown
from bpframe.runs.page import columns, thinning
from bpframe.runs.page.columns import Curves, Matrix, Series
from bpframe.runs.records import History, finite
from bpframe.training.experiment import Experiment

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", "--", ":", "-.")
_MOST_PANELS = 11
_MOST_CURVES = 8
_MOST_NUMBERS = 10
"""Rows and columns of a matrix up to which its numbers are written into it."""
_MOST_POINTS = 3000


def import_early() -> None:
    """Import what draws, beside what compiles: XLA leaves one of two cores to it."""

    def imported() -> None:
        with suppress(Exception):  # which is told where the picture is drawn
            importlib.import_module("bpframe.runs.figure")

    Thread(target=imported, daemon=True).start()


def trained(experiment: Experiment) -> str:
    """What an experiment trains, as the title of a picture."""
    sizes = "-".join(map(str, experiment.network.sizes))
    m = experiment.training.batch_size
    cost, optimiser = experiment.cost.cost_function, experiment.optimiser
    parts = (
        f"{shown(sizes, 60)} on {type(experiment.data).__name__}",  # whose fields may be secrets
        *(shown(described(part), 60) for part in (cost, optimiser)),
        "full batches" if m is None else f"m = {m}",
        f"seed {int(experiment.seed)}",
    )
    return ", ".join(parts)


def learning_curves(history: History, title: str = "", best_epoch: int | None = None) -> bytes:
    """The figure of `curves` as a PNG."""
    buffer = io.BytesIO()
    curves(history, title, best_epoch).savefig(buffer, format="png")
    return buffer.getvalue()


def curves(history: History, title: str = "", best_epoch: int | None = None) -> Any:
    """Cost, accuracy and each family of metrics over the epochs, as a figure of matplotlib.

    Matrices, such as a confusion matrix, follow as they are after the last epoch. Where there is no
    accuracy, as in regression, there is none in the figure.

    Args:
        history: the records.
        title: what was trained.
        best_epoch: the epoch that is marked; unset, that with the highest validation accuracy, of
            equal ones with the least validation cost.

    """
    # Imported here: matplotlib takes longer to import than a small network to train.
    from bpframe.runs.figure import ShownFigure

    found = columns.figures(_records(history))
    drawn = [each for kind in (Curves, Matrix) for each in found if isinstance(each, kind)]
    panels = drawn[:_MOST_PANELS]
    has_accuracy = not np.isnan(history.validation_accuracy).any()
    if best_epoch is None and has_accuracy and len(history.epoch):
        best = np.lexsort((history.validation_cost, -history.validation_accuracy))[0]
        best_epoch = int(history.epoch[best])
    across = min(max(len(panels), 1), 3 if len(panels) > 4 else 2)
    down = max(1, -(-len(panels) // across))
    size = (4.5 * across, 3.4 * down + (0.4 if title else 0.2))
    figure = ShownFigure(figsize=size, dpi=120, layout="constrained")
    all_axes = figure.subplots(down, across, squeeze=False).ravel()
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(all_axes, panels, strict=False):
        if isinstance(panel, Matrix):
            _draw_matrix(axes, panel)
        else:
            _draw(axes, panel, history.epoch, best_epoch, is_first=panel is panels[0])
    if more := len(drawn) - len(panels):
        all_axes[-1].text(0.5, 0.5, f"{more} more: bpframe show", ha="center", va="center")
    if title:
        figure.suptitle(for_matplotlib(shown(title, 250)), fontsize=10, wrap=True)
    return figure


def _draw(
    axes: Any, panel: Curves, epochs: np.ndarray, best_epoch: int | None, *, is_first: bool
) -> None:
    for at, each in enumerate(thinning.chosen(panel.series, _MOST_CURVES)):
        # Both change from curve to curve: one of them is seen under another, and without colours.
        colour, dash = _COLOURS[at % len(_COLOURS)], _DASHES[at % len(_DASHES)]
        places = thinning.thinned(each.values, _MOST_POINTS).places
        x, y = epochs[places], _floats(each, "values", places)
        marker = "o" if np.isfinite(y).sum() < 2 else ""
        axes.plot(
            x, y, dash, color=colour, marker=marker, label=for_matplotlib(shown(each.name, 30))
        )
        if each.low:
            ends = (_floats(each, name, places) for name in ("low", "high"))
            axes.fill_between(x, *ends, color=colour, alpha=0.15, linewidth=0)
        here = np.flatnonzero(epochs == best_epoch)
        if here.size and each.values[here[0]] is not None:
            axes.plot(best_epoch, each.values[here[0]], "*", color=colour, markersize=9)
    if panel.is_log:
        axes.set_yscale("log", nonpositive="mask")
    if best_epoch is not None:
        label = f"best epoch, {best_epoch}" if is_first else None
        axes.axvline(best_epoch, color="0.4", linewidth=0.8, linestyle=":", label=label)
    if panel.unit == "%":
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -2), min(high, 102))
    axes.set_title(for_matplotlib(_titled(panel, epochs, best_epoch)), fontsize=10)
    axes.set_xlabel("epoch")
    axes.set_ylabel(panel.unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if len(panel.series) > 1:
        axes.legend(frameon=False, fontsize=10)


def _draw_matrix(axes: Any, panel: Matrix) -> None:
    """The entries as shades, and as numbers where there is room for them."""
    values = np.array([[np.nan if each is None else each for each in row] for row in panel.values])
    axes.imshow(values, cmap="Blues", aspect="auto")
    axes.set_title(for_matplotlib(f"{shown(panel.title, 60)}, last epoch"), fontsize=10)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.yaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if panel.title.startswith("confusion matrix"):
        axes.set(xlabel="answer", ylabel="class")
    if max(values.shape) > _MOST_NUMBERS:
        return
    dark = (np.nanmin(values) + np.nanmax(values)) / 2
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value > dark else "black"
        axes.text(column, row, f"{value:.3g}", ha="center", va="center", color=colour, fontsize=7)


def _titled(panel: Curves, epochs: np.ndarray, best_epoch: int | None) -> str:
    """Its title, with what the best epoch reached on the validation set."""
    title = shown(panel.title, 60)
    here = np.flatnonzero(epochs == best_epoch)
    validation = [each for each in panel.series if each.name == "validation"]
    if panel.unit == "%" and here.size and validation:
        value = validation[0].values[here[0]]
        if value is not None:
            return f"{title}: {value:.2f} % in the best epoch, {best_epoch}"
    return title


def _records(history: History) -> list[dict[str, Any]]:
    named = {**vars(history), **history.metrics}
    del named["metrics"]
    listed = {name: finite(column.tolist()) for name, column in named.items()}
    return [
        {name: column[at] for name, column in listed.items()} for at in range(len(history.epoch))
    ]


def _floats(each: Series, name: str, places: Sequence[int]) -> np.ndarray:
    values = getattr(each, name)
    return np.array([np.nan if values[at] is None else values[at] for at in places], float)
