"""Weight initialisation: N(0, 1) weights against N(0, 1/n_in)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from reproduction import curves
from reproduction.rules import Within
from reproduction.runs import Runs
from reproduction.study import Row, Study

FIRST = {(30, "scaled"): 92.70, (30, "large"): 86.43, (100, "scaled"): 92.95, (100, "large"): 89.94}
LAST = {(30, "scaled"): 96.50, (30, "large"): 96.37, (100, "scaled"): 97.81, (100, "large"): 97.42}
SECOND = {
    (30, "scaled"): 94.14,
    (30, "large"): 90.44,
    (100, "scaled"): 94.81,
    (100, "large"): 91.81,
}
"""The book's validation accuracies in percent after 1, 30 and 2 epochs, by neurons of the hidden
layer and start. Source: weight_initialization_30.json and weight_initialization_100.json
of Nielsen's repository, from which the figures of chapter 3 are drawn."""
REASONS = {
    (30, "large"): """the book has one run, and after one epoch N(0, 1) starts differ much. The
    seeds 10 to 59 gave 87.11 ± 0.57 [85.50, 88.17]: its figure is 1.2 standard deviations below
    their mean, and four of the fifty are below it."""
}
"""Why the accuracy after the first epoch disagrees."""
EPOCHS = 30
STARTS = {"scaled": "w ~ N(0, 1/n_in)", "large": "w ~ N(0, 1)"}
LABELS = {
    "scaled": r"$w \sim \mathcal{N}(0, 1/n_\mathrm{in})$",
    "large": r"$w \sim \mathcal{N}(0, 1)$",
}


def rows(runs: Runs, quick: bool) -> list[Row]:
    """Accuracy after the first epoch and at the end, which for a quick run is the second."""
    found, ends = [], SECOND if quick else LAST
    for n in _neurons(runs):
        for start, weights in STARTS.items():
            accuracy = _accuracy(_runs_of(runs, n, start))
            name = f"784-{n}-10, {weights}"
            first, last = f"{name}: after epoch 1", f"{name}: after epoch {accuracy.shape[1]}"
            reason = "" if quick else REASONS.get((n, start), "")
            found.append(_row(first, accuracy[:, 0], FIRST[n, start], quick, reason))
            found.append(_row(last, accuracy[:, -1], ends[n, start], quick))
    return found


def _row(quantity: str, values: np.ndarray, figure: float, quick: bool, reason: str = "") -> Row:
    rule = Within(figure, 1.5 if quick else 0.3)
    source = "chapter 3, weight initialization"
    return Row(quantity, tuple(values), rule, figure, "%", source=source, reason=reason)


def _neurons(runs: Runs) -> list[int]:
    return [hidden[0] for hidden in runs.values("network.hidden")]


def _runs_of(runs: Runs, n: int, start: str) -> Runs:
    return runs.where({"network.hidden": [n], "initialiser.name": start})


def _accuracy(runs: Runs) -> np.ndarray:
    return 100 * runs.column("validation_accuracy")


def draw(runs: Runs, figure: Figure) -> None:
    """Both starts over the epochs, a picture a network, as in the book."""
    neurons = _neurons(runs)
    panels = figure.subplots(1, len(neurons), sharey=True, squeeze=False)[0]
    for panel, n in zip(panels, neurons, strict=True):
        for look, (start, weights) in enumerate(LABELS.items()):
            chosen = _runs_of(runs, n, start)
            curves.band(panel, chosen.epoch, _accuracy(chosen), label=weights, look=look)
            ends = FIRST[n, start], LAST[n, start]
            curves.published(panel, (1, EPOCHS), ends, look=look)
        panel.set_ylim(85, 100)
        panel.set_title(f"784-{n}-10")
        curves.tidy(panel, y="validation accuracy, %")
        panel.label_outer()


STUDY = Study(
    name="weight_initialisation",
    place=4,
    title="Weight initialisation: N(0, 1) against N(0, 1/n_in)",
    rows=rows,
    draw=draw,
    question="Why should weights start small?",
    shows="Weights that start small learn faster from the first epoch on (shade: range over seeds)",
    figsize=(9, 4.2),
    quick=("network.hidden=[30]", "training.epochs=2", "seed=0,1"),
)
