"""What the deltas tell while a network learns: every metric of single examples and of curvature."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves
from reproduction.rules import AtMost, Between
from reproduction.runs import Run, Runs
from reproduction.study import Row, Study

NORMS, STEPS = "gradient_norms.train.whole", "steps.whole"
OVER, COSINE = "validation.whole", "gram.validation.cosine"
PANELS: tuple[tuple[str, dict[str, str], bool], ...] = (
    ("norms of gradients", {f"{NORMS}.{q}": q for q in ("q90", "q50", "q10")}, True),
    ("variance", {f"gradient_variance.{STEPS}": ""}, True),
    ("signal to noise", {f"signal_to_noise.{STEPS}": ""}, True),
    ("noise scale", {f"noise_scale.{STEPS}": ""}, True),
    ("cosine of two examples", {"gram.validation.cosine": ""}, False),
    ("effective rank of 32", {"gram.validation.effective_rank": ""}, False),
    ("gradient tests", {f"gradient_tests.steps.{test}": test.replace("_", " ")
                        for test in ("norm", "inner_product", "orthogonality")}, True),
    ("trace of curvature", {f"curvature_trace.{OVER}": "GGN", f"hessian_trace.{OVER}": "Hessian"},
     False),
    ("diagonal of the GGN", {f"curvature_diagonal.{OVER}": "mean"}, True),
    ("sharpness", {"sharpness.train": ""}, False),
)  # fmt: skip
"""Titles, their columns with labels, and whether the axis is logarithmic."""


def last(run: Run, column: str) -> float:
    return float(run.columns[column][-1])


def growth(run: Run, column: str, below: str | None = None) -> float:
    """The last value over the first, of a column or of two columns' ratio."""
    values = run.columns[column] / (1 if below is None else run.columns[below])
    return float(values[-1] / values[0])


def rows(runs: Runs, quick: bool) -> list[Row]:
    ratio = tuple(
        last(r, f"hessian_trace.{OVER}") / last(r, f"curvature_trace.{OVER}") for r in runs
    )
    if quick:
        return [Row("Hessian's trace over the GGN's", ratio, Between(-10, 10))]
    tail = (f"{NORMS}.q90", f"{NORMS}.q50")
    return [
        Row("Hessian's trace over the GGN's after the last epoch", ratio, Between(0.5, 1.5)),
        Row("ninth decile over median of the norms, last epoch over first",
            tuple(growth(run, *tail) for run in runs), Between(2, np.inf)),
        Row("noise scale, last epoch over first",
            tuple(growth(run, f"noise_scale.{STEPS}") for run in runs), Between(2, np.inf)),
        Row("mean cosine of gradients, last epoch less first",
            tuple(last(run, COSINE) - float(run.columns[COSINE][0]) for run in runs), AtMost(0),
            reason="It is near 0 from the first epoch on: ten classes pull in different ways."),
    ]  # fmt: skip


def draw(runs: Runs, figure: Figure) -> None:
    for axes, (title, columns, is_logarithmic) in zip(
        figure.subplots(2, 5).reshape(-1), PANELS, strict=True
    ):
        _draw(axes, runs[0], title, columns)
        if is_logarithmic:
            axes.set_yscale("log")


def _draw(axes: Axes, run: Run, title: str, columns: dict[str, str]) -> None:
    for (column, label), colour in zip(columns.items(), curves.COLOURS, strict=False):
        axes.plot(run.epoch, run.columns[column], color=colour, label=label or None)
    axes.set_title(title, fontsize=10)
    curves.tidy(axes, x="epoch", y="")


STUDY = Study(
    name="deltas",
    place=21,
    title="What the deltas tell, over one run",
    rows=rows,
    draw=draw,
    figsize=(15, 5.5),
    quick=("data.train_size=300", "training.epochs=2",
           ("metrics=[{name: gradient_norms, over: train},gradient_variance,signal_to_noise,"
           "noise_scale,gram,gradient_tests,{name: curvature_trace, over: validation, first: 20},"
           "{name: hessian_trace, over: validation, first: 20},"
           "{name: curvature_diagonal, over: validation, first: 20},sharpness]")),
)  # fmt: skip
