"""LeNet: rules that know the signs of the weights are near backpropagation, others are behind."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves, style
from reproduction.rules import Between
from reproduction.runs import Runs
from reproduction.study import Row, Study

RULES = {
    "backprop": "BP",
    "sign_symmetry": "uSF",
    "batchwise_random_sign": "brSF",
    "fixed_random_sign": "frSF",
    "feedback_alignment": "FA",
    "direct_feedback_alignment": "DFA",
}
TITLES = {
    "BP": "backpropagation (BP)",
    "uSF": "signs of the weights (uSF)",
    "brSF": "signs, sizes drawn anew (brSF)",
    "frSF": "signs, sizes fixed (frSF)",
    "FA": "feedback alignment (FA)",
    "DFA": "direct feedback alignment (DFA)",
}
LAYERS = range(2, 8)
SIGNS, RANDOM = list(RULES)[1:4], list(RULES)[4:]
PUBLISHED = {"BP": 0.91, "uSF": 0.94, "brSF": 0.91, "frSF": 0.97, "FA": 1.70, "DFA": 1.61}
"""Test errors in percent after 100 epochs of the whole training set, of one seed."""
SOURCE = "BioTorch"


def of(runs: Runs, rule: str) -> Runs:
    return runs.where({"learning_rule.name": rule})


def errors(runs: Runs, rule: str) -> np.ndarray:
    """(runs, records): test errors in percent."""
    return 100 * (1 - of(runs, rule).column("accuracy.test"))


def behind(runs: Runs, rule: str) -> np.ndarray:
    """(runs,): the error after the last epoch less that of backpropagation with the same seed."""
    return errors(runs, rule)[:, -1] - errors(runs, "backprop")[:, -1]


def rows(runs: Runs, quick: bool) -> list[Row]:
    """How far each rule is behind backpropagation, of the way that feedback alignment is."""
    ends = (-100, 100)
    signs = ends if quick else (-0.5, 0.5)
    random = ends if quick else (0.0, 100.0)
    way = behind(runs, "feedback_alignment").mean()
    return [
        *(_way(runs, rule, way, signs) for rule in SIGNS),
        *(_behind(runs, rule, random) for rule in RANDOM),
    ]


def _way(runs: Runs, rule: str, way: float, ends: tuple[float, float]) -> Row:
    short, bp, fa = RULES[rule], PUBLISHED["BP"], PUBLISHED["FA"]
    return Row(
        f"({short} - BP) / (FA - BP), test errors",
        (float(behind(runs, rule).mean() / way),),
        Between(*ends),
        (PUBLISHED[short] - bp) / (fa - bp),
        source=SOURCE,
    )


def _behind(runs: Runs, rule: str, ends: tuple[float, float]) -> Row:
    short = RULES[rule]
    return Row(
        f"{short} - BP, test errors",
        tuple(behind(runs, rule)),
        Between(*ends),
        PUBLISHED[short] - PUBLISHED["BP"],
        "%",
        source=SOURCE,
    )


def draw(runs: Runs, figure: Figure) -> None:
    """Errors over the epochs, and the angle of each layer's delta after the last."""
    left, right = figure.subplots(1, 2)
    for look, (rule, short) in enumerate(RULES.items()):
        own = of(runs, rule)
        curves.band(left, own.epoch, errors(runs, rule), label=TITLES[short], look=look)
        if rule != "backprop":
            _draw_angles(right, own, look)
    left.set_yscale("log")
    curves.plain_log(left.yaxis)
    left.set_title("mean, and range over seeds")
    curves.tidy(left, y="test error, %", legend=False)
    right.set_title("after the last epoch: mean, and range over seeds")
    curves.tidy(right, x="layer", y="angle of delta to backpropagation's, degrees", legend=False)
    curves.shared_legend(figure, columns=3)


def _draw_angles(axes: Axes, own: Runs, look: int) -> None:
    """Side by side in every layer, as their ranges would hide each other."""
    columns = [own.column(f"alignment.validation.layer_{layer}")[:, -1] for layer in LAYERS]
    angles = np.stack(columns, axis=1)
    mean = angles.mean(axis=0)
    colour, marker = style.LOOKS[look]
    ends = mean - angles.min(axis=0), angles.max(axis=0) - mean
    across = np.array(LAYERS) + 0.12 * (look - len(RULES) / 2)
    axes.errorbar(across, mean, ends, color=colour, marker=marker, linestyle="none")


STUDY = Study(
    name="lenet_rules",
    place=16,
    title="Learning rules through convolutions",
    rows=rows,
    draw=draw,
    question="Which way back works through convolutions?",
    shows="Rules that know the signs of the weights stay near backpropagation, others fall behind",
    figsize=(9, 4.8),
    quick=("seed=1", "data.train_size=500", "training.epochs=1"),
)
