"""What others have published for learning rules: predictive coding, equilibria, DFA, labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves
from reproduction.rules import Between, Within
from reproduction.runs import Run, Runs
from reproduction.study import NotRun, Row, Study

TEST, TRAIN = "accuracy.test", "train_accuracy"
COMMAND = "bpframe +experiment=published_rules published_rules="


class Curve(NamedTuple):
    """A published curve of errors in percent, or a few of its points.

    Attributes:
        config: of conf/published_rules.
        rule: its learning rule.
        title: what was trained.
        source: who published it.
        column: the accuracy that 100 % less the error stands for.
        errors: by epoch of the source.
        by: percentage points by which the range of our runs is widened.
        stretch: epochs here for one of the source, which are as many steps.
        reason: what may make them differ.

    """

    config: str
    rule: str
    title: str
    source: str
    column: str
    errors: dict[int, float]
    by: float
    stretch: float = 1.0
    reason: str = ""


FEWER = "The source trains on 60,000 examples, here on 50,000."
BACKPROP = Curve(
    "dfa_backprop",
    "backprop",
    "backpropagation, 784-800-10",
    "iacolippo: DFA",
    TRAIN,
    {5: 17.10, 10: 12.18, 20: 8.83, 50: 5.01, 100: 2.46},
    1.5,
    1.2,
    FEWER,
)
DFA = BACKPROP._replace(
    config="dfa",
    rule="direct_feedback_alignment",
    title="DFA, 784-800-10",
    errors={5: 25.72, 10: 18.48, 20: 13.51, 50: 8.33},
)
CURVES = (
    Curve(
        "predictive_coding",
        "predictive_coding",
        "predictive coding, 784-256-256-10",
        "Bogacz-Group",
        TEST,
        {1: 4.1, 2: 2.9, 5: 1.9, 9: 1.7},
        0.5,
        reason=f"{FEWER} It settles weighted inputs, ours activations.",
    ),
    Curve(
        "equilibrium_propagation",
        "gaussian_equilibrium",
        "equilibrium propagation, 784-1000-10",
        "smonsays",
        TEST,
        {1: 5.10, 2: 3.49, 5: 2.19, 10: 1.79},
        0.5,
        reason=FEWER,
    ),
    BACKPROP,
    BACKPROP._replace(column=TEST, errors={100: 7.71}, by=1.0),
    DFA,
    DFA._replace(column=TEST, errors={98: 7.70}, by=1.0),
    Curve(
        "forward_forward",
        "forward_forward",
        "forward-forward, 784-500-500",
        "hinton-problems",
        TEST,
        {30: 3.60},
        0.5,
        reason="The source does not say its threshold, nor its batch size.",
    ),
)
NAMES = {TEST: "test error", TRAIN: "training error"}


def of(curve: Curve, runs: Runs) -> Runs:
    """The runs of a curve; there may be none."""
    return Runs(run for run in runs if run.settings("learning_rule.name") == [curve.rule])


def error(run: Run, column: str) -> np.ndarray:
    """(records,) in percent."""
    return 100 * (1 - run.columns[column])


def rows(runs: Runs, quick: bool) -> list[Row | NotRun]:
    """A row for each published figure; of a quick run one for each curve."""
    return [
        _row(curve, of(curve, runs), epoch, figure, quick)
        for curve in CURVES
        for number, (epoch, figure) in enumerate(curve.errors.items())
        if not quick or (not number and of(curve, runs))
    ]


def _row(curve: Curve, own: Runs, epoch: int, figure: float, quick: bool) -> Row | NotRun:
    quantity = f"{curve.title}: {NAMES[curve.column]} after {epoch} epoch{'s' * (epoch > 1)}"
    ours = round(curve.stretch * epoch)  # not every epoch is evaluated
    places = [0 if quick else int(np.searchsorted(run.epoch, ours)) for run in own]
    trained = quick or all(ours in run.epoch for run in own)
    if not own or not trained:
        return NotRun(quantity, COMMAND + curve.config, figure, "%", source=curve.source)
    return Row(
        quantity,
        tuple(float(error(run, curve.column)[at]) for run, at in zip(own, places, strict=True)),
        Between(0, 95) if quick else Within(figure, curve.by),
        figure,
        "%",
        source=curve.source,
        reason=curve.reason,
    )


PANELS = (
    ("predictive coding", ("predictive_coding",), TEST),
    ("equilibrium propagation", ("equilibrium_propagation",), TEST),
    ("direct feedback alignment", ("dfa_backprop", "dfa"), TRAIN),
    ("forward-forward", ("forward_forward",), TEST),
)


def draw(runs: Runs, figure: Figure) -> None:
    """The errors over the epochs, with what is published as open markers."""
    for axes, (title, configs, column) in zip(
        figure.subplots(2, 2).reshape(-1), PANELS, strict=True
    ):
        drawn = [c for c in CURVES if c.config in configs and c.column == column]
        for look, curve in enumerate(drawn):
            _draw(axes, curve, of(curve, runs), look)
        axes.set_title(title)
        if column == TRAIN:
            axes.set_yscale("log")
            curves.plain_log(axes.yaxis)
        else:
            axes.set_ylim(bottom=0)
        curves.tidy(axes, y=f"{NAMES[column]}, %")


def _draw(axes: Axes, curve: Curve, own: Runs, look: int) -> None:
    epochs = curve.stretch * np.array(list(curve.errors))
    label = f"published, {curve.source}"
    curves.published(axes, epochs, list(curve.errors.values()), label, look=look)
    if own:
        records = min(len(run.epoch) for run in own)
        values = np.stack([error(run, curve.column)[:records] for run in own])
        label = curve.title.partition(",")[0]
        curves.band(axes, own[0].epoch[:records], values, label=label, look=look)


STUDY = Study(
    name="published_rules",
    place=15,
    title="Learning rules: what others have published",
    rows=rows,
    draw=draw,
    question="Do predictive coding, equilibria, DFA and forward-forward learn as published?",
    shows="Four other ways to learn digits, beside what others have published",
    figsize=(9, 7),
    quick=("seed=1", "data.train_size=2000", "training.epochs=1"),
)
