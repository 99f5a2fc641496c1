"""What the deltas tell while a network learns: every metric of single examples and of curvature."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from reproduction import curves
from reproduction.rules import AtMost, Between
from reproduction.runs import Run, Runs
from reproduction.study import Row, Study

NORMS, STEPS = "gradient_norms.train.whole", "steps.whole"
OVER, COSINE = "validation.whole", "gram.validation.cosine"
PANELS: tuple[tuple[str, dict[str, str], bool], ...] = (
    ("norms of gradients of examples", {f"{NORMS}.q90": "ninth decile", f"{NORMS}.q50": "median",
                                       f"{NORMS}.q10": "first decile"}, True),
    ("variance of gradients", {f"gradient_variance.{STEPS}": ""}, True),
    ("signal to noise of gradients", {f"signal_to_noise.{STEPS}": ""}, True),
    ("noise scale, examples", {f"noise_scale.{STEPS}": ""}, True),
    ("mean cosine of the gradients of two examples", {"gram.validation.cosine": ""}, False),
    ("effective rank of 32 gradients", {"gram.validation.effective_rank": ""}, False),
    ("gradient tests", {f"gradient_tests.steps.{test}": test.replace("_", " ")
                        for test in ("norm", "inner_product", "orthogonality")}, True),
    ("trace of curvature", {f"curvature_trace.{OVER}": "GGN", f"hessian_trace.{OVER}": "Hessian"},
     False),
    ("mean of the diagonal of the GGN", {f"curvature_diagonal.{OVER}": ""}, True),
    ("sharpness: largest eigenvalue", {"sharpness.train": ""}, False),
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
    across = figure.subplots(-(-len(PANELS) // 2), 2).ravel()
    for axes, (title, columns, is_logarithmic) in zip(across, PANELS, strict=True):
        for look, (column, label) in enumerate(columns.items()):
            curves.band(axes, runs[0].epoch, runs[0].columns[column], label=label, look=look)
        if is_logarithmic:
            axes.set_yscale("log")
        axes.set_title(title)
        if has_legend := len(columns) > 1:
            axes.margins(y=0.65)  # room for it
        curves.tidy(axes, legend=has_legend, loc="upper right", ncols=2)


STUDY = Study(
    name="deltas",
    place=21,
    title="What the deltas tell, over one run",
    rows=rows,
    draw=draw,
    question="What do the deltas of single examples tell while a network learns?",
    shows="Gradients of most examples shrink, those of a few hardly do, and the noise scale grows",
    figsize=(9, 12),
    quick=("data.train_size=300", "training.epochs=2",
           ("metrics=[{name: gradient_norms, over: train},gradient_variance,signal_to_noise,"
           "noise_scale,gram,gradient_tests,{name: curvature_trace, over: validation, first: 20},"
           "{name: hessian_trace, over: validation, first: 20},"
           "{name: curvature_diagonal, over: validation, first: 20},sharpness]")),
)  # fmt: skip
