"""How large a batch pays: epochs to a target cost over batch sizes, and the noise scale's word."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves, style
from reproduction.rules import Between
from reproduction.runs import Run, Runs
from reproduction.study import Row, Study

TARGET = 0.4
"""The validation cost that has to be reached."""
SCALE = "noise_scale.train"
REASON = (
    "The noise scale weighs all directions alike; steep ones limit the learning rate of large "
    "mini-batches, which plain gradient descent cannot make up for."
)


def epochs_needed(run: Run) -> float:
    """Epochs until the target, between two of them by a straight line in ln C; inf if never."""
    cost = run.columns["validation_cost"]
    below = np.flatnonzero(cost <= TARGET)
    if not below.size:
        return math.inf
    at = int(below[0])
    if not at:
        return float(run.epoch[0])
    before, after = np.log(cost[at - 1]), np.log(cost[at])
    share = (before - math.log(TARGET)) / (before - after)
    return float(run.epoch[at - 1] + share * (run.epoch[at] - run.epoch[at - 1]))


def tuned(runs: Runs) -> dict[int, list[Run]]:
    """By batch size the runs of the learning rate that needs the fewest epochs, one a seed."""
    found: dict[int, list[Run]] = {}
    for m in sorted({run.config["training"]["batch_size"] for run in runs}):
        own = runs.where({"training.batch_size": m})
        etas = sorted({run.config["optimiser"]["eta"] for run in own})
        by_eta = [list(own.where({"optimiser.eta": eta})) for eta in etas]
        best = min(by_eta, key=lambda runs: np.mean([epochs_needed(run) for run in runs]))
        if all(math.isfinite(epochs_needed(run)) for run in best):
            found[m] = best
    return found


def critical(chosen: dict[int, list[Run]], seed: int) -> tuple[float, float]:
    """E_min and B of epochs = E_min (1 + m / B), by least squares in ln epochs."""
    m = np.array(list(chosen), float)
    epochs = np.log([epochs_needed(runs[seed]) for runs in chosen.values()])
    sizes = np.geomspace(1, 1e5, 2001)
    shapes = np.log1p(m[None] / sizes[:, None])
    starts = (epochs[None] - shapes).mean(axis=1)
    errors = ((epochs[None] - shapes - starts[:, None]) ** 2).sum(axis=1)
    at = int(np.argmin(errors))
    return math.exp(starts[at]), float(sizes[at])


def predicted(chosen: dict[int, list[Run]], seed: int) -> float:
    """The noise scale on the way to the target, averaged over the batch sizes.

    Both of its parts are averaged over the epochs up to the target before they are divided.
    """
    found = []
    for runs in chosen.values():
        run = runs[seed]
        until = max(1, math.ceil(epochs_needed(run)))
        trace, square = (run.columns[f"{SCALE}.{part}"][:until] for part in ("trace", "square"))
        found.append(trace.mean() / square.mean())
    return float(np.exp(np.mean(np.log(found))))


def rows(runs: Runs, quick: bool) -> list[Row]:
    chosen = tuned(runs)
    seeds = range(min(map(len, chosen.values())))
    fits = [critical(chosen, seed) for seed in seeds]
    scales = [predicted(chosen, seed) for seed in seeds]
    ratios = [scale / size for scale, (_, size) in zip(scales, fits, strict=True)]
    found = [
        Row("batch size from which epochs double, fitted", tuple(b for _, b in fits),
            Between(0, math.inf), digits=0, source="equation 2.11"),
        Row("noise scale on the way to the target", tuple(scales),
            Between(0, math.inf), digits=0, source="equation 2.9"),
        Row("noise scale / fitted batch size", tuple(ratios),
            Between(0, math.inf) if quick else Between(1 / 4, 4),
            source="equal in theory, for a curvature alike in all directions", reason=REASON),
    ]  # fmt: skip
    if quick:
        return found
    small = max(m for m in chosen if m <= min(scales) / 8)
    least = [min(epochs_needed(runs[seed]) for runs in chosen.values()) for seed in seeds]
    few = tuple(epochs_needed(chosen[small][seed]) / least[seed] for seed in seeds)
    largest = sorted(chosen)[-2:]
    growth = tuple(
        epochs_needed(chosen[largest[1]][seed]) / epochs_needed(chosen[largest[0]][seed])
        for seed in seeds
    )
    return [
        *found,
        Row(f"epochs at m = {small} over the fewest", few, Between(1, 1.5),
            source="an eighth of the noise scale or less costs at most 1.125"),
        Row(f"epochs at m = {largest[1]} over those at {largest[0]}", growth, Between(1.5, 4.5),
            source="steps no longer get fewer: at most 4"),
    ]  # fmt: skip


def draw(runs: Runs, figure: Figure) -> None:
    chosen = tuned(runs)
    left, right = figure.subplots(1, 2)
    _draw_epochs(left, chosen)
    _draw_scale(right, chosen)


def _draw_epochs(axes: Axes, chosen: dict[int, list[Run]]) -> None:
    m = np.array(list(chosen), float)
    epochs = np.array([[epochs_needed(run) for run in runs] for runs in chosen.values()])
    curves.band(axes, m, epochs.T, label="measured, and range", markevery=1)
    line = np.geomspace(m.min(), m.max(), 200)
    start, fitted = critical(chosen, 0)
    for label, size, look in (
        (f"fitted: $E (1 + m / B)$, $B$ = {fitted:.0f}", fitted, 3),
        (f"$B$ = noise scale = {(scale := predicted(chosen, 0)):.0f}", scale, 1),
    ):
        colour = style.LOOKS[look].colour
        axes.plot(line, start * (1 + line / size), "--", color=colour, label=label)
        axes.axvline(size, color=colour, linewidth=0.8, alpha=0.5)
    axes.set(xscale="log", yscale="log")
    axes.set_title(f"epochs to a validation cost of {TARGET:g}, best $\\eta$")
    curves.tidy(axes, x="batch size $m$", y="epochs")


def _draw_scale(axes: Axes, chosen: dict[int, list[Run]]) -> None:
    for look, (m, runs) in enumerate(chosen.items()):
        until = max(2, math.ceil(epochs_needed(runs[0])))
        values = runs[0].columns[f"{SCALE}.whole"][:until]
        share = runs[0].epoch[:until] / epochs_needed(runs[0])
        curves.band(axes, share, values, label=f"$m$ = {m:,}", look=look, linewidth=1)
    axes.set_yscale("log")
    axes.set_title("noise scale after each epoch, one seed")
    curves.tidy(axes, x="epochs, as a share of those to the target", y="noise scale, examples")


STUDY = Study(
    name="noise_scale",
    place=18,
    title="The noise scale, and how large a batch pays",
    rows=rows,
    draw=draw,
    question="How large a mini-batch pays, as told by the gradients of single examples?",
    shows="Epochs stay the same up to some batch size, and then grow with it",
    figsize=(10, 4.4),
    quick=("training.batch_size=tag(m,zip(32,128))", "optimiser.eta=tag(m,zip(0.6,1.2))",
           "training.epochs=tag(m,zip(5,10))", "seed=1"),
)  # fmt: skip
