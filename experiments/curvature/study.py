"""K-FAC and momentum after the same search: epochs and seconds to the same validation cost."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves, style
from reproduction.rules import AtMost, Between
from reproduction.runs import Run, Runs
from reproduction.study import Row, Study

MARGIN = 1.01
"""The target is the least validation cost of the best runs with momentum, times this."""
NAMES = {"momentum": "momentum", "kfac": "K-FAC"}


def of(runs: Runs, optimiser: str) -> Runs:
    return Runs(run for run in runs if run.settings("optimiser.name") == [optimiser])


def least(run: Run) -> float:
    cost = run.columns["validation_cost"]
    return float(np.min(cost[np.isfinite(cost)], initial=math.inf))


def target(runs: Runs) -> float:
    """What momentum reaches at its best."""
    return MARGIN * min(map(least, of(runs, "momentum")))


def epochs_needed(run: Run, cost: float) -> float:
    """The first epoch after which the validation cost is at most this; inf if it never is."""
    below = np.flatnonzero(run.columns["validation_cost"] <= cost)
    return float(run.epoch[below[0]]) if below.size else math.inf


def seconds_needed(run: Run, cost: float) -> float:
    """Seconds of training and evaluation until then."""
    until = epochs_needed(run, cost)
    return float(run.columns["seconds"][run.epoch <= until].sum()) if until < math.inf else until


def best(runs: Runs, optimiser: str) -> Run:
    """The run of an optimiser that is first at the target, of equals the one that goes lowest."""
    cost = target(runs)
    return min(of(runs, optimiser), key=lambda run: (epochs_needed(run, cost), least(run)))


def rows(runs: Runs, quick: bool) -> list[Row]:
    cost = target(runs)
    momentum, kfac = (best(runs, name) for name in NAMES)
    slow, fast = (epochs_needed(run, cost) for run in (momentum, kfac))
    if quick:
        return [Row("least validation cost with K-FAC", (least(kfac),), Between(0, 2))]
    times = [seconds_needed(run, cost) for run in (momentum, kfac)]
    return [
        Row(f"momentum: epochs to a validation cost of {cost:.4f}", (slow,), Between(1, 15),
            digits=0),
        Row("K-FAC: epochs to the same", (fast,), Between(1, 6), digits=0),
        Row("K-FAC / momentum: epochs", (fast / slow,), AtMost(1 / 3), source="target"),
        Row("K-FAC / momentum: seconds", (times[1] / times[0],), Between(0, math.inf),
            source="whatever it is"),
        Row("least validation cost with K-FAC over that with momentum",
            (least(min(of(runs, "kfac"), key=least)) / (cost / MARGIN),), AtMost(1.0)),
    ]  # fmt: skip


def draw(runs: Runs, figure: Figure) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    _draw(left, runs, lambda run: run.epoch, "epoch")
    _draw(
        right,
        runs,
        lambda run: np.cumsum(run.columns["seconds"]),
        "seconds of the run",
    )
    right.set_xscale("log")


def _draw(axes: Axes, runs: Runs, over: Callable[[Run], np.ndarray], name: str) -> None:
    for look, (optimiser, title) in enumerate(NAMES.items()):
        for run in of(runs, optimiser):
            axes.plot(over(run), run.columns["validation_cost"], color=style.LOOKS[look].colour,
                      alpha=0.25, linewidth=0.8)  # fmt: skip
        run = best(runs, optimiser)
        eta, mu = run.config["optimiser"]["eta"], run.config["optimiser"]["mu"]
        label = rf"{title}, $\eta$ = {eta:g}, $\mu$ = {mu:g}"
        curves.band(axes, over(run), run.columns["validation_cost"], label=label, look=look,
                    markevery=1)  # fmt: skip
    curves.level(axes, target(runs), "target")
    axes.set_yscale("log")
    axes.set_ylim(0.9 * min(map(least, runs)), 6 * target(runs))
    curves.plain_log(axes.yaxis)
    curves.tidy(axes, x=name, y="validation cost")
    axes.label_outer()


STUDY = Study(
    name="curvature",
    place=19,
    title="K-FAC and momentum after the same search",
    rows=rows,
    draw=draw,
    question="Does knowing the curvature pay, in epochs and in seconds?",
    shows="K-FAC needs fewer epochs to the target (thin: the other settings of the search)",
    figsize=(10, 4.4),
    quick=("training.epochs=tag(o,zip(2,1))", "optimiser.eta=0.1", "optimiser.mu=0.0",
           "data.train_size=2000", "network.hidden=[50]"),
)  # fmt: skip
