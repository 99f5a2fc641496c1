"""Three learning rates: how the training cost falls, or does not."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from reproduction import curves
from reproduction.rules import Within
from reproduction.runs import Runs
from reproduction.study import Row, Study

FIRST = {0.025: 0.878, 0.25: 0.495, 2.5: 0.925}
LAST = {0.025: 0.339, 0.25: 0.339, 2.5: 0.861}
SECOND = {0.025: 0.674, 0.25: 0.406, 2.5: 0.839}
"""The book's training cost after 1, 30 and 2 epochs, by eta. Source: multiple_eta.json in Nielsen's
repository, from which the figure of chapter 3 is drawn."""
EPOCHS = 30


def rows(runs: Runs, quick: bool) -> list[Row]:
    """The training cost after the first epoch and at the end, which for a quick run is the second.

    The rule: 5 % of the book's figure, 15 % for the two seeds of a quick run.
    """
    found, ends, share = [], SECOND if quick else LAST, 0.15 if quick else 0.05
    for eta in FIRST:
        chosen = runs.where({"optimiser.eta": eta})
        cost, last = chosen.column("train_cost"), chosen.epoch[-1]
        name = f"eta {eta:g}: training cost after epoch"
        found.append(_row(f"{name} 1", cost[:, 0], FIRST[eta], share))
        found.append(_row(f"{name} {last}", cost[:, -1], ends[eta], share))
    return found


def _row(quantity: str, values: np.ndarray, figure: float, share: float) -> Row:
    source = "chapter 3, how to choose hyper-parameters"
    rule = Within(figure, round(share * figure, 4))
    return Row(quantity, tuple(values), rule, figure, digits=3, source=source)


def draw(runs: Runs, figure: Figure) -> None:
    """The training cost over the epochs for the three learning rates, as in the book."""
    axes = figure.subplots()
    for look, eta in enumerate(FIRST):
        chosen = runs.where({"optimiser.eta": eta})
        label = rf"$\eta$ = {eta:g}"
        curves.band(axes, chosen.epoch, chosen.column("train_cost"), label=label, look=look)
        ends = FIRST[eta], LAST[eta]
        curves.published(axes, (1, EPOCHS), ends, "the book, first and last epoch", look=look)
    axes.set_ylim(0)
    curves.tidy(axes, y="training cost with penalty")


STUDY = Study(
    name="learning_rates",
    place=5,
    title="Three learning rates",
    rows=rows,
    draw=draw,
    question="What do a small, a good and a large learning rate look like?",
    shows="A small learning rate is slow, a large one never settles (shade: range over seeds)",
    figsize=(8, 4.8),
    quick=("training.epochs=2", "seed=0,1"),
)
