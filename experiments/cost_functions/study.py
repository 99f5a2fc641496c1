"""Chapter 3, the learning slowdown: one neuron that starts wrong, and the cost that helps it."""

from __future__ import annotations

import math

import numpy as np
from cost_functions.neuron import (
    ANIMATED_ETA,
    ENTROPY,
    QUADRATIC,
    animation,
    delta,
    epochs_in_theory,
    outputs,
    sigmoid,
    weighted_input,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves, style
from reproduction.rules import AtMost, Between, Within
from reproduction.runs import Run, Runs
from reproduction.study import Row, Study

NAMES = {QUADRATIC: "quadratic", ENTROPY: "cross-entropy"}
GOOD, BAD = (0.6, 0.9), (2.0, 2.0)
"""The book's two starting points (w, b)."""
EPOCHS = 300
"""How long the book's animations train."""
BOOK_ETA = {QUADRATIC: 0.15, ENTROPY: ANIMATED_ETA}
OWN_ETA = {QUADRATIC: 0.15, ENTROPY: 0.025}
"""The cross-entropy with a sixth of the quadratic cost's eta, the book's rule of thumb."""
LOOKS = {(QUADRATIC, 0.15): 0, (ENTROPY, 0.025): 1, (ENTROPY, 0.005): 2}
ANIMATION = (
    "The book's animations of the cross-entropy (js/saturation3.js and saturation4.js) step along "
    "dC/da = 1 / (1 - a) where gradient descent steps along delta = dC/dz = a - y. With delta, "
    "eta = 0.005 needs about 230 and 500 epochs to pass 0.5."
)


def output(run: Run) -> np.ndarray:
    """(records,): a, from C = a^2 / 2 or C = -ln(1 - a)."""
    cost = run.columns["validation_cost"]
    return np.sqrt(2 * cost) if run.config["cost"]["name"] == QUADRATIC else -np.expm1(-cost)


def epochs_needed(run: Run) -> float:
    """Epochs until a = 1/2, between two epochs by a straight line in z; NaN if it never is."""
    z = weighted_input(output(run))
    if not (z < 0).any():
        return math.nan
    after = int((z < 0).argmax())
    return after - 1 + z[after - 1] / (z[after - 1] - z[after])


def start(run: Run) -> tuple[float, float]:
    """(w, b)."""
    return run.config["initialiser"]["w"], run.config["initialiser"]["b"]


def of(runs: Runs, cost: str, eta: float) -> Runs:
    return runs.where({"cost.name": cost, "optimiser.eta": eta})


def one(runs: Runs, cost: str, eta: float, where: tuple[float, float]) -> Run:
    return of(runs, cost, eta).where({"initialiser.w": where[0], "initialiser.b": where[1]})[0]


def rows(runs: Runs, _: bool) -> list[Row]:
    return [*_book(runs), *_deltas(runs), *_times(runs)]


def _book(runs: Runs) -> list[Row]:
    """What the text and the animations show."""
    found = []
    for where, first, last in ((GOOD, 0.82, 0.09), (BAD, 0.98, 0.20)):
        a = output(one(runs, QUADRATIC, 0.15, where))
        name = f"w = {where[0]:g}, b = {where[1]:g}"
        source = "chapter 3" if where == GOOD else "chapter 3, animation"
        found += [
            Row(f"{name}: output at the start", (a[0],), Within(first, 0.005), first,
                source="chapter 3"),
            Row(f"{name}, quadratic: output after 300 epochs", (a[EPOCHS],), Within(last, 0.005),
                last, source=source),
        ]  # fmt: skip
        entropy = output(one(runs, ENTROPY, BOOK_ETA[ENTROPY], where))
        shown = round(float(animation(where, EPOCHS)[-1]), 2)
        found.append(
            Row(f"{name}, cross-entropy, eta 0.005: output after 300 epochs", (entropy[EPOCHS],),
                Within(shown, 0.005), shown, source="chapter 3, animation", reason=ANIMATION)
        )  # fmt: skip
    a = output(one(runs, QUADRATIC, 0.15, BAD))
    found.append(
        Row("w = 2, b = 2, quadratic: output after 150 epochs", (a[150],),
            Between(0.9, 1), source="chapter 3")
    )  # fmt: skip
    return found


def _deltas(runs: Runs) -> list[Row]:
    """The recursion as a whole, and the delta that its first step shows."""
    errors, first_errors = [], []
    for run in runs:
        cost, eta = run.config["cost"]["name"], run.config["optimiser"]["eta"]
        a = output(run)
        errors.append(np.abs(a - outputs(cost, eta, start(run), int(run.epoch[-1]))).max())
        z = weighted_input(a[:2])
        first_errors.append(abs((z[0] - z[1]) / (2 * eta) / delta(cost, a[0]) - 1))
    found = [
        Row("largest |output - recursion|", tuple(errors),
            AtMost(1e-12), digits=None, source="(55), (56), (61), (62)"),
        Row("first delta - formula, relative", tuple(first_errors),
            AtMost(1e-10), digits=None, source="(55), (61)"),
    ]  # fmt: skip
    for cost, rule in ((QUADRATIC, AtMost(1.0)), (ENTROPY, Between(1.0, 2.0))):
        good, bad = (
            weighted_input(output(one(runs, cost, OWN_ETA[cost], where))[:2])
            for where in (GOOD, BAD)
        )
        found.append(
            Row(f"{NAMES[cost]}: first delta, bad / good start",
                ((bad[0] - bad[1]) / (good[0] - good[1]),), rule, source="chapter 3")
        )  # fmt: skip
    return found


def _times(runs: Runs) -> list[Row]:
    """The epochs that learning takes, against the integral of the differential equation."""
    found = []
    for cost, eta in ((QUADRATIC, 0.15), (ENTROPY, 0.15), (ENTROPY, 0.025)):
        good, bad = (epochs_needed(one(runs, cost, eta, where)) for where in (GOOD, BAD))
        theory = round(epochs_in_theory(cost, eta, 4.0) / epochs_in_theory(cost, eta, 1.5), 2)
        found.append(
            Row(f"{NAMES[cost]}, eta {eta}: epochs to 0.5, bad / good start",
                (bad / good,), Within(theory, 0.05), source="integral of (55), (61)")
        )  # fmt: skip
    for cost, eta in OWN_ETA.items():
        errors = [
            abs(epochs_needed(run) / epochs_in_theory(cost, eta, sum(start(run))) - 1)
            for run in of(runs, cost, eta)
        ]
        found.append(
            Row(f"{NAMES[cost]}: epochs to 0.5 - integral, relative",
                tuple(errors), AtMost(0.01), digits=None, source="integral of (55), (61)")
        )  # fmt: skip
    return found


def draw(runs: Runs, figure: Figure) -> None:
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.3))
    for row, cost in enumerate(NAMES):  # neighbours have one scale
        good = figure.add_subplot(grid[row, 0])
        bad = figure.add_subplot(grid[row, 1], sharey=good)
        _draw_costs(good, runs, cost, GOOD)
        _draw_costs(bad, runs, cost, BAD)
        bad.set_ylim(bottom=0)
    _draw_times(figure.add_subplot(grid[:, 2]), runs)


def _draw_costs(axes: Axes, runs: Runs, cost: str, where: tuple[float, float]) -> None:
    """The cost over the epochs, as in the book."""
    epoch = np.arange(EPOCHS + 1)
    etas = sorted({OWN_ETA[cost], BOOK_ETA[cost]}, reverse=True)
    for eta in etas:
        values = one(runs, cost, eta, where).columns["validation_cost"][: EPOCHS + 1]
        label = rf"$\eta$ = {eta:g}"
        curves.band(axes, epoch, values, label=label, look=LOOKS[cost, eta])
    if cost == ENTROPY:
        curves.reference(axes, epoch, -np.log1p(-animation(where, EPOCHS)), "book's animation")
    axes.set_title(f"{NAMES[cost]}, $w$ = {where[0]:g}, $b$ = {where[1]:g}")
    axes.set_xlim(0, EPOCHS)
    is_good = where == GOOD
    curves.tidy(axes, y="cost" if is_good else "", legend=is_good)
    axes.set_xticks(range(0, EPOCHS + 1, 100))


def _draw_times(axes: Axes, runs: Runs) -> None:
    """Epochs to a = 1/2 against the weighted input at the start."""
    for cost, eta in OWN_ETA.items():
        chosen = of(runs, cost, eta)
        z = np.array([sum(start(run)) for run in chosen])
        line = np.linspace(z.min(), z.max(), 100)
        theory = [epochs_in_theory(cost, eta, value) for value in line]
        label = rf"{NAMES[cost]}, $\eta$ = {eta:g}"
        colour, marker = style.LOOKS[LOOKS[cost, eta]]
        axes.plot(z, list(map(epochs_needed, chosen)), marker, color=colour, label=label)
        curves.reference(axes, line, theory, "theory")
    axes.set_yscale("log")
    ticks = np.arange(1, 6)
    axes.set_xticks(ticks, [f"{z}\n{sigmoid(float(z)):.3f}" for z in ticks])
    axes.set_title("epochs until the output is 0.5")
    curves.tidy(axes, x=r"$z$ at the start, and output $\sigma(z)$", y="epochs")


STARTS = "tag(start,zip(0.6,1.0,2.0))", "tag(start,zip(0.9,1.0,2.0))"
STUDY = Study(
    name="cost_functions",
    place=12,
    title="The learning slowdown of one neuron, and the cross-entropy",
    rows=rows,
    draw=draw,
    question="Why does a neuron learn slowly when it is badly wrong?",
    shows="With the quadratic cost a badly wrong neuron hardly moves; the cross-entropy helps it",
    figsize=(10, 6),
    quick=(f"initialiser.w={STARTS[0]}", f"initialiser.b={STARTS[1]}", "training.epochs=300"),
)
