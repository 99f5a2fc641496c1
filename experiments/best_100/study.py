"""A hundred hidden neurons for 60 epochs: the best of the book's networks with one hidden layer."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from reproduction import curves
from reproduction.rules import Within
from reproduction.runs import Runs
from reproduction.study import Row, Study

BOOK, EPOCHS = 98.04, 60
STARTS = {"scaled": "N(0, 1/n_in) start", "large": "N(0, 1) start"}
LABELS = {
    "scaled": r"$w \sim \mathcal{N}(0, 1/n_\mathrm{in})$ at the start",
    "large": r"$w \sim \mathcal{N}(0, 1)$ at the start",
}


def rows(runs: Runs, quick: bool) -> list[Row]:
    """The accuracy after the last epoch; of one start after 2 epochs for a quick run."""
    figure = 91.81 if quick else BOOK
    source = "its weight_initialization_100.json" if quick else "chapter 3, regularization"
    return [
        Row(f"784-100-10, {STARTS[start]}: validation accuracy after epoch {runs.epoch[-1]}",
            tuple(_accuracy(runs, start)[:, -1]), Within(figure, 1.5 if quick else 0.3), figure,
            "%", source=source)
        for start in (("large",) if quick else STARTS)
    ]  # fmt: skip


def _accuracy(runs: Runs, start: str) -> np.ndarray:
    return 100 * runs.where({"initialiser.name": start}).column("validation_accuracy")


def draw(runs: Runs, figure: Figure) -> None:
    """The validation accuracy over the epochs."""
    axes = figure.subplots()
    lowest = 94.0
    for look, start in enumerate(runs.values("initialiser.name")):
        accuracy = _accuracy(runs, start)
        curves.band(axes, runs.epoch, accuracy, label=LABELS[start], look=look)
        lowest = min(lowest, accuracy[:, -1].min() - 2)
    curves.published(axes, EPOCHS, BOOK)
    axes.set_ylim(lowest, 99)
    curves.tidy(axes, y="validation accuracy, %")


STUDY = Study(
    name="best_100",
    place=7,
    title="A hundred hidden neurons for 60 epochs",
    rows=rows,
    draw=draw,
    question="How far does the book come with 100 hidden neurons?",
    shows="Both starts come close to the book's best, one of them sooner (shade: range over seeds)",
    figsize=(8, 4.5),
    quick=("initialiser=large", "training.epochs=2", "seed=0,1"),
)
