"""The picture of a run."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from bpframe.runs.records import History

_TRAIN, _VALIDATION = "#1f6fb4", "#d9622b"


def learning_curves(history: History) -> bytes:
    """The figure of `curves` as a PNG."""
    buffer = io.BytesIO()
    curves(history).savefig(buffer, format="png")
    return buffer.getvalue()


def curves(history: History) -> Any:
    """Cost and accuracy over the epochs, training and validation, as a figure of matplotlib.

    Where there is no accuracy, as in regression, there is the cost alone.
    """
    # Imported here: matplotlib takes longer to import than a small network to train.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    has_accuracy = not np.isnan(history.validation_accuracy).any()
    figure = Figure(figsize=(9 if has_accuracy else 4.5, 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    cost, *others = figure.subplots(1, 2 if has_accuracy else 1, squeeze=False)[0]
    marker = "o" if len(history.epoch) < 2 else ""
    for axes, name, scale in zip((cost, *others), ("cost", "accuracy"), (1, 100), strict=False):
        for split, colour in (("train", _TRAIN), ("validation", _VALIDATION)):
            values = getattr(history, f"{split}_{name}") * scale
            axes.plot(history.epoch, values, color=colour, marker=marker, label=split)
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    cost.set_ylabel("mean cost per example")
    for accuracy in others:
        accuracy.set_ylabel("accuracy, %")
        best = int(np.argmax(history.validation_accuracy))
        accuracy.set_title(
            f"best validation accuracy {history.validation_accuracy[best]:.2%} "
            f"in epoch {history.epoch[best]}",
            fontsize=10,
        )
    cost.legend(frameon=False)
    return figure
