"""Overfitting: what a network without a penalty learns from 1,000 and from 50,000 images."""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves
from reproduction.rules import Between, Within
from reproduction.runs import Runs
from reproduction.study import Row, Study

SMALL, FULL = 1_000, 50_000
SOURCE = "chapter 3, overfitting"
EPOCHS = 400
FROM = 200
"""The epoch from which the book draws training cost and test accuracy."""
TRAIN, TEST = 0, 1
"""Their looks."""
TITLES = {
    "cost": "training cost",
    "test": "test accuracy",
    "test cost": "test cost",
    "train": "training accuracy",
}
"""What the book draws of the 1,000 images, by panel."""


@dataclasses.dataclass(frozen=True)
class Quoted:
    """The book's figures that are drawn: accuracies in percent, the cost with its penalty.

    Attributes:
        best_test: the largest test accuracy on the 1,000 images.
        train_cost: the training cost on them after the last epoch.
        full_test: the test accuracy on the 50,000 images, drawn at its epoch.
        full_train: the training accuracy on them, likewise.

    """

    best_test: float
    train_cost: float
    full_test: tuple[int, float]
    full_train: tuple[int, float]


BOOK = Quoted(82.27, 0.0042, (30, 95.31), (30, 97.86))


def part(runs: Runs, size: int) -> Runs:
    """The runs on the first `size` images."""
    return runs.where({"data.train_size": size})


def percent(runs: Runs, column: str) -> np.ndarray:
    """(runs, records): an accuracy in percent."""
    return 100 * runs.column(column)


def rows(runs: Runs, quick: bool) -> list[Row]:
    """What the book has; a quick run is held against the book's curves at its own last epochs."""
    return [*_small(part(runs, SMALL), quick), *_full(part(runs, FULL), quick)]


def _small(runs: Runs, quick: bool) -> list[Row]:
    test, by = percent(runs, "accuracy.test"), 3.0 if quick else 0.3
    right = np.rint(SMALL * runs.column("train_accuracy")[:, -1])
    cost = runs.column("train_cost")[:, -1]
    lowest = runs.epoch[runs.column("cost.test").argmin(axis=1)]
    book_best, book_end, book_cost = (81.65, 81.65, 0.0975) if quick else (82.27, 82.23, 0.0042)
    n, last = "1,000 images", f"after epoch {runs.epoch[-1]}"
    return [
        Row(f"{n}: largest test accuracy", tuple(test.max(axis=1)), Within(book_best, by),
            book_best, "%", source=SOURCE),
        Row(f"{n}: test accuracy {last}", tuple(test[:, -1]), Within(book_end, by),
            book_end, "%", source="its overfitting.json"),
        Row(f"{n}: training images right {last}", tuple(right),
            Between(980 if quick else 1000, 1000), 995 if quick else 1000, digits=0, source=SOURCE),
        Row(f"{n}: training cost {last}", tuple(cost), near(book_cost, quick), book_cost,
            digits=4, source="its overfitting.json"),
        Row(f"{n}: epoch of the lowest test cost", tuple(lowest), Within(15, 5), 15, digits=0,
            source=f'{SOURCE}: "around epoch 15"'),
    ]  # fmt: skip


def near(cost: float, quick: bool) -> Within:
    """The rule for a cost: 5 % of the book's figure, 25 % for the two seeds of a quick run."""
    return Within(cost, round((0.25 if quick else 0.05) * cost, 5))


def _full(runs: Runs, quick: bool) -> list[Row]:
    test = percent(runs, "accuracy.test")[:, -1]
    train = percent(runs, "train_accuracy")[:, -1]
    by = 1.5 if quick else 0.3
    book_test, book_train, book_gap = (92.75, 93.21, 0.46) if quick else (95.31, 97.86, 2.55)
    n, last = "50,000 images", f"after epoch {runs.epoch[-1]}"
    return [
        Row(f"{n}: test accuracy {last}", tuple(test), Within(book_test, by), book_test, "%",
            source="its overfitting_full.json"),
        Row(f"{n}: training accuracy {last}", tuple(train), Within(book_train, by), book_train,
            "%", source=SOURCE),
        Row(f"{n}: training less test accuracy {last}", tuple(train - test),
            Within(book_gap, by), book_gap, "points", source="the two rows above"),
    ]  # fmt: skip


def draw(runs: Runs, figure: Figure) -> None:
    """The book's four pictures of the 1,000 images, and the one of the 50,000."""
    draw_parts(runs, figure, BOOK)


def draw_parts(runs: Runs, figure: Figure, book: Quoted) -> None:
    """The same, with these of the book's figures."""
    axes = figure.subplot_mosaic([["cost", "test", "full"], ["test cost", "train", "full"]])
    small, full = part(runs, SMALL), part(runs, FULL)
    _draw_small(axes, small, book)
    panel = axes["full"]
    curves.band(panel, full.epoch, percent(full, "train_accuracy"), label="training", look=TRAIN)
    curves.band(panel, full.epoch, percent(full, "accuracy.test"), label="test", look=TEST)
    curves.published(panel, *book.full_train, look=TRAIN)
    curves.published(panel, *book.full_test, look=TEST)
    panel.set_ylim(90, 100)
    panel.set_title("accuracy, 50,000 images")
    curves.tidy(panel, y="accuracy, %")


def _draw_small(axes: dict[str, Axes], runs: Runs, book: Quoted) -> None:
    epoch = runs.epoch
    late = epoch >= (FROM if epoch[-1] > FROM else 1)
    cost = runs.column("train_cost")[:, late]
    test = percent(runs, "accuracy.test")[:, late]
    curves.band(axes["cost"], epoch[late], cost, look=TRAIN)
    curves.published(axes["cost"], EPOCHS, book.train_cost, look=TRAIN)
    curves.band(axes["test"], epoch[late], test, look=TEST)
    curves.level(axes["test"], book.best_test, "the book's largest")
    curves.band(axes["test cost"], epoch, runs.column("cost.test"), look=TEST)
    curves.band(axes["train"], epoch, percent(runs, "train_accuracy"), look=TRAIN)
    curves.published(axes["train"], EPOCHS, 100.0, look=TRAIN)
    for name, title in TITLES.items():
        curves.tidy(axes[name], y="accuracy, %" if "accuracy" in title else "cost")
        axes[name].set_title(f"{title}, 1,000 images")


STUDY = Study(
    name="overfitting",
    place=2,
    title="Overfitting: 1,000 images against 50,000, without a penalty",
    rows=rows,
    draw=draw,
    question="When does a network stop learning and start memorising?",
    shows="1,000 images are learnt by heart: the training cost keeps falling, the test cost rises",
    figsize=(10, 6),
    quick=("training.epochs=zip(40,2)", "seed=0,1"),
)
