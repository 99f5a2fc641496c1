"""Regularisation: the runs of the study overfitting once more, with a penalty on the weights."""

from __future__ import annotations

from matplotlib.figure import Figure
from overfitting.study import FULL, SMALL, Quoted, draw_parts, near, part, percent
from reproduction.rules import Within
from reproduction.runs import Runs
from reproduction.study import Row, Study

SOURCE = "chapter 3, regularization"
UNLUCKY = """the book has one run. The seeds 10 to 59 gave 87.51 ± 0.30 [86.76, 88.17]: its
figure is 1.9 standard deviations below their mean, and one of the fifty is below it. Its training
cost agrees, so nothing points to another setting."""
BOOK = Quoted(87.10, 0.1154, (29, 96.49), (29, 97.12))


def rows(runs: Runs, quick: bool) -> list[Row]:
    """What the book has; a quick run is held against the book's curves at its own last epochs."""
    return [*_small(part(runs, SMALL), quick), *_full(part(runs, FULL), quick)]


def _small(runs: Runs, quick: bool) -> list[Row]:
    test, by = percent(runs, "accuracy.test"), 3.0 if quick else 0.3
    cost = runs.column("train_cost")[:, -1]
    book_best, book_end, book_cost = (82.71, 82.71, 0.9463) if quick else (87.10, 86.95, 0.1154)
    n, last = "1,000 images", f"after epoch {runs.epoch[-1]}"
    return [
        Row(f"{n}: largest test accuracy", tuple(test.max(axis=1)), Within(book_best, by),
            book_best, "%", source=SOURCE),
        Row(f"{n}: test accuracy {last}", tuple(test[:, -1]), Within(book_end, by), book_end, "%",
            source="its regularized.json", reason="" if quick else UNLUCKY),
        Row(f"{n}: training cost {last}", tuple(cost), near(book_cost, quick), book_cost,
            digits=4, source="its regularized.json"),
    ]  # fmt: skip


def _full(runs: Runs, quick: bool) -> list[Row]:
    test, train = percent(runs, "accuracy.test"), percent(runs, "train_accuracy")
    by = 1.5 if quick else 0.3
    book_best, book_end = (93.41, 93.41) if quick else (96.49, 95.61)
    book_train, book_gap = (93.67, 0.26) if quick else (97.12, 0.86)
    n, last = "50,000 images", f"after epoch {runs.epoch[-1]}"
    source = "its regularized_full.json"
    return [
        Row(f"{n}: largest test accuracy", tuple(test.max(axis=1)), Within(book_best, by),
            book_best, "%", source=SOURCE),
        Row(f"{n}: test accuracy {last}", tuple(test[:, -1]), Within(book_end, by), book_end, "%",
            source=source),
        Row(f"{n}: largest training accuracy", tuple(train.max(axis=1)), Within(book_train, by),
            book_train, "%", source=source),
        Row(f"{n}: training less test accuracy {last}", tuple(train[:, -1] - test[:, -1]),
            Within(book_gap, by), book_gap, "points", source=source),
    ]  # fmt: skip


def draw(runs: Runs, figure: Figure) -> None:
    """The pictures of the study overfitting, of these runs."""
    draw_parts(runs, figure, BOOK)


STUDY = Study(
    name="regularisation",
    place=3,
    title="Regularisation: the same networks with a penalty on the weights",
    rows=rows,
    draw=draw,
    question="How much does weight decay help against overfitting?",
    shows="With a penalty on the weights the test accuracy keeps rising, and the test cost falling",
    figsize=(10, 6),
    quick=("training.epochs=zip(40,2)", "seed=0,1"),
)
