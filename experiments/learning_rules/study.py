"""Learning rules without weight transport, on the network of Akrout et al. (2019)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves
from reproduction.rules import Between, Within
from reproduction.runs import Run, Runs
from reproduction.study import Row, Study

RULES = {
    "backprop": "backpropagation",
    "feedback_alignment": "feedback alignment",
    "weight_mirror": "weight mirror",
    "kolen_pollack": "Kolen-Pollack",
}
EPOCHS = (1, 5, 10, 30)
DELTA, FEEDBACK = "alignment.steps.layer_2", "feedback_alignment_angle.steps.layer_3"
ACCURACY = "accuracy.test"
PUBLISHED = {
    "backprop": {ACCURACY: (88.00, 91.84, 94.12, 97.07)},
    "feedback_alignment": {
        ACCURACY: (85.49, 89.88, 90.86, 93.32),
        DELTA: (42.1, 27.2, 26.1, 32.4),
        FEEDBACK: (40.0, 30.5, 29.3, 34.3),
    },
    "weight_mirror": {
        ACCURACY: (78.48, 88.48, 90.49, 94.58),
        DELTA: (63.4, 26.3, 16.9, 13.2),
        FEEDBACK: (61.3, 38.0, 27.5, 15.5),
    },
    "kolen_pollack": {
        ACCURACY: (88.90, 93.46, 95.41, 97.48),
        DELTA: (19.4, 15.3, 12.2, 7.3),
        FEEDBACK: (19.8, 13.9, 11.2, 7.5),
    },
}
"""After 1, 5, 10 and 30 epochs, of one seed: test accuracy in percent, angles in degrees."""
POINTS, DEGREES = 1.0, 5.0
"""By how much the range of our runs is widened."""
SOURCE = "makrout: fcnn"
NAMES = {ACCURACY: "test accuracy", DELTA: "angle of delta", FEEDBACK: "angle of w and B"}
BIASES = "In the source biases learn 128 times more slowly, and start at random."
ANGLE = f"{BIASES} Its angle of delta is that of one example, ours the mean over the epoch."
MIRROR = f"{BIASES} It does not say how fast its mirror learns; ours has a rate of 0.005."


def of(runs: Runs, rule: str) -> Runs:
    return runs.where({"learning_rule.name": rule})


def value(run: Run, column: str, epoch: int) -> float:
    """A column after an epoch; accuracies in percent."""
    return float(run.columns[column][epoch - 1]) * (100 if column == ACCURACY else 1)


def rows(runs: Runs, quick: bool) -> list[Row]:
    """A row for each published figure; of a quick run for those after the first epoch."""
    return [
        _row(of(runs, rule), rule, column, epoch, figure, quick)
        for rule, columns in PUBLISHED.items()
        for column, figures in columns.items()
        for epoch, figure in zip(EPOCHS, figures, strict=True)
        if epoch == 1 or not quick
    ]


def _row(own: Runs, rule: str, column: str, epoch: int, figure: float, quick: bool) -> Row:
    is_accuracy = column == ACCURACY
    judge = Within(figure, POINTS if is_accuracy else DEGREES)
    return Row(
        f"{RULES[rule]}: {NAMES[column]} after {epoch} epoch{'s' * (epoch > 1)}",
        tuple(value(run, column, epoch) for run in own),
        (Between(10, 100) if is_accuracy else Between(0, 90)) if quick else judge,
        figure,
        "%" if is_accuracy else "degrees",
        digits=2 if is_accuracy else 1,
        source=SOURCE,
        reason=MIRROR if rule == "weight_mirror" else ANGLE if column == DELTA else BIASES,
    )


def draw(runs: Runs, figure: Figure) -> None:
    """Accuracy and both angles over the epochs, with what is published."""
    panels = figure.subplots(1, 3)
    panels[2].sharey(panels[1])  # both are angles
    for axes, column in zip(panels, NAMES, strict=True):
        _draw(axes, runs, column)
    curves.shared_legend(figure, columns=5)


def _draw(axes: Axes, runs: Runs, column: str) -> None:
    for look, (rule, title) in enumerate(RULES.items()):
        if (column != ACCURACY and rule == "backprop") or not (own := of(runs, rule)):
            continue
        scale = 100 if column == ACCURACY else 1
        values = scale * np.array([run.columns[column] for run in own])
        curves.band(axes, own[0].epoch, values, label=title, look=look)
        shown = [epoch for epoch in EPOCHS if epoch <= own[0].epoch[-1]]
        figures = PUBLISHED[rule][column][: len(shown)]
        curves.published(axes, shown, figures, "published", look=look)
    unit = "%" if column == ACCURACY else "degrees"
    curves.tidy(axes, y=f"{NAMES[column]}, {unit}", legend=False)


STUDY = Study(
    name="learning_rules",
    place=14,
    title="Learning rules without weight transport",
    rows=rows,
    draw=draw,
    question="Must the error go back by the weights of the forward pass?",
    shows="Feedback weights that learn lead deltas nearer to backpropagation than random ones",
    figsize=(10, 4.4),
    quick=("seed=1", "data.train_size=5000", "training.epochs=1"),
)
