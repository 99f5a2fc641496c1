"""More data: how the accuracy grows with the number of training images."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from reproduction import curves
from reproduction.rules import Rule, Within
from reproduction.runs import Runs
from reproduction.study import Row, Study

BOOK = {
    100: 69.09, 200: 76.37, 500: 85.29, 1_000: 88.85, 2_000: 91.27, 5_000: 93.24, 10_000: 94.89,
    20_000: 95.85, 50_000: 95.97,
}  # fmt: skip
"""Validation accuracy in percent after the last epoch, by training images. Source: more_data.json
of Nielsen's repository, from which the figures of chapter 3 are drawn."""


def rows(runs: Runs, quick: bool) -> list[Row]:
    """The accuracy at the end for each number of images."""
    return [
        Row(f"{size:,} images: validation accuracy", tuple(_accuracy(runs, size)),
            _rule(BOOK[size], quick), BOOK[size], "%", source="chapter 3, overfitting")
        for size in runs.values("data.train_size")
    ]  # fmt: skip


def _rule(figure: float, quick: bool) -> Rule:
    return Within(figure, 3.0 if quick else 0.3)


def _accuracy(runs: Runs, size: int) -> np.ndarray:
    """(runs,): of the last epoch, in percent."""
    return 100 * runs.where({"data.train_size": size}).column("validation_accuracy")[:, -1]


def draw(runs: Runs, figure: Figure) -> None:
    """The accuracy over the number of images as in the book, and how far it is from the book's."""
    sizes = np.array(runs.values("data.train_size"))
    accuracy = np.stack([_accuracy(runs, size) for size in sizes], axis=1)
    book = np.array([BOOK[size] for size in sizes])
    left, right = figure.subplots(1, 2)
    curves.band(left, sizes, accuracy, label="ours", markevery=1)
    curves.reference(left, sizes, book, curves.BOOK)
    left.set_ylim(60, 100)
    right.axhspan(-0.3, 0.3, color="#dddddd", alpha=0.6, label="within 0.3 points")
    curves.band(right, sizes, accuracy - book, label="ours less the book", markevery=1)
    for axes, y in ((left, "validation accuracy, %"), (right, "difference, percentage points")):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
        curves.tidy(axes, x="training images", y=y)


STUDY = Study(
    name="more_data",
    place=6,
    title="More data: training sets of 100 to 50,000 images",
    rows=rows,
    draw=draw,
    question="How much do more training images help?",
    shows="Each doubling of the data helps less than the one before (shade: range over seeds)",
    figsize=(9, 4.2),
    quick=(  # N(0, 1) weights would need all the epochs: the penalty shrinks them so slowly
        "initialiser=scaled",
        "data.train_size=zip(100,500,2000)",
        "regulariser.strength=zip(0.01,0.05,0.2)",
        "training.epochs=zip(200,50,20)",
        "training.evaluate_every=zip(200,50,20)",
        "seed=0,1",
    ),
)
