"""A deep linear network against the exact solution of its learning: Saxe et al. (2014)."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from deep_linear_theory.theory import exact, first_order, recursion
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves
from reproduction.rules import AtMost, Between, Within
from reproduction.runs import Runs
from reproduction.study import Row, Study

SAXE = "Saxe et al. (2014)"


def singular_values(runs: Runs) -> np.ndarray:
    """(modes,): those of the data, and zeros for the other modes of the network."""
    given = runs[0].config["data"]["singular_values"]
    modes = min(runs[0].summary["sizes"])
    return np.array([*given, *[0.0] * (modes - len(given))])


def strengths(runs: Runs) -> np.ndarray:
    """(runs, records, modes): u of every mode."""
    modes = range(1, 1 + len(singular_values(runs)))
    return np.stack([runs.column(f"mode_strengths.train.mode_{mode}") for mode in modes], axis=-1)


def start(runs: Runs) -> float:
    """u0."""
    return runs[0].config["initialiser"]["strength"]


def etas(runs: Runs) -> list[float]:
    """From the largest to the smallest."""
    return sorted(runs.values("optimiser.eta"), reverse=True)


@dataclasses.dataclass(frozen=True)
class Errors:
    """u - u(t) at the times t (times,) that are recorded for every eta.

    `by_eta` holds (runs, times, modes), from the largest eta to the smallest.
    """

    t: np.ndarray
    by_eta: dict[float, np.ndarray]


def errors(runs: Runs) -> Errors:
    """The errors; all runs have the same epochs, so the smallest eta gets least far in time."""
    found, s, t = {}, singular_values(runs), np.zeros(0)
    first, last = etas(runs)[0], etas(runs)[-1]
    every = runs[0].config["training"]["evaluate_every"]
    records = round(runs.epoch[-1] * last / first) // every + 1
    for eta in etas(runs):
        stride = round(first / eta)
        u = strengths(runs.where({"optimiser.eta": eta}))[:, ::stride][:, :records]
        t = eta * runs.epoch[::stride][:records]
        found[eta] = u - exact(s, start(runs), t)
    return Errors(t, found)


def largest(error: np.ndarray, s: np.ndarray) -> np.ndarray:
    """(runs,): the largest |error| / s over times and modes with s > 0."""
    there = s > 0
    return (np.abs(error[..., there]) / s[there]).max(axis=(-2, -1))


def rows(runs: Runs, quick: bool) -> list[Row]:
    del quick
    s, found = singular_values(runs), errors(runs)
    return [
        *_exactness(runs),
        *_sizes(found, s, start(runs)),
        *_orders(found.by_eta, s),
        _idle(found.by_eta, s, start(runs)),
    ]


def _sizes(found: Errors, s: np.ndarray, u0: float) -> list[Row]:
    """The errors beside what is predicted to first order in eta."""
    predicted = float(largest(first_order(s, u0, found.t), s))
    rules = {
        eta: Within(float(f"{eta * predicted:.3g}"), by=float(f"{0.02 * eta * predicted:.1g}"))
        for eta in found.by_eta
    }
    return [
        Row(f"eta {eta}: largest |u - u(t)| / s", tuple(largest(error, s)), rules[eta],
            digits=None, source="first order in eta")
        for eta, error in found.by_eta.items()
    ]  # fmt: skip


def _orders(by_eta: dict[float, np.ndarray], s: np.ndarray) -> list[Row]:
    """How the errors shrink with eta, as they are and extrapolated to eta = 0."""
    found, extrapolated = [], {}
    for eta, half in itertools.pairwise(by_eta):
        size = largest(by_eta[half], s)
        extrapolated[half] = largest(2 * by_eta[half] - by_eta[eta], s)
        found += [
            Row(f"error at eta {eta} / at {half}", tuple(largest(by_eta[eta], s) / size),
                Between(1.95, 2.05), digits=3, source="first order in eta"),
            Row(f"extrapolated error / error at {half}",
                tuple(extrapolated[half] / size), AtMost(0.1), digits=None, source=SAXE),
        ]  # fmt: skip
    for eta, half in itertools.pairwise(extrapolated):
        found.append(
            Row(f"extrapolated error from {eta} / from {half}",
                tuple(extrapolated[eta] / extrapolated[half]), Between(3.6, 4.4), digits=3,
                source="second order in eta")
        )  # fmt: skip
    return found


def _idle(by_eta: dict[float, np.ndarray], s: np.ndarray, u0: float) -> Row:
    """The modes that only decay; their error is of the order of eta u0, relative to u0."""
    eta = list(by_eta)[-1]
    error = np.abs(by_eta[eta][..., s == 0]).max(axis=(1, 2)) / u0
    return Row(
        f"eta {eta}: modes with s = 0, error / u0",
        tuple(error), AtMost(eta * u0), digits=None, source=SAXE,
    )  # fmt: skip


def _exactness(runs: Runs) -> list[Row]:
    """What holds to rounding, whatever eta."""
    s, steps = singular_values(runs), int(runs.epoch[-1])
    deviations, spreads = [], []
    for eta in etas(runs):
        u = strengths(runs.where({"optimiser.eta": eta}))
        deviation = np.abs(u - recursion(s, start(runs), eta, steps)[runs.epoch])
        deviations += list(deviation.max(axis=(1, 2)))
        spreads.append(np.ptp(u, axis=0).max())
    return [
        Row("largest |u - recursion|", tuple(deviations),
            AtMost(1e-12), digits=None, source="gradient descent, mode by mode"),
        Row("largest spread of u over the seeds", tuple(spreads),
            AtMost(1e-12), digits=None, source=SAXE),
    ]  # fmt: skip


def draw(runs: Runs, figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    runs = runs.where({"seed": runs[0].config["seed"]})  # all are alike to rounding
    _draw_modes(left, runs)
    _draw_errors(right, runs)
    curves.shared_legend(figure, columns=6)


def _draw_modes(axes: Axes, runs: Runs) -> None:
    """u over time for the largest eta, over the exact curves."""
    eta, s = etas(runs)[0], singular_values(runs)
    u = strengths(runs.where({"optimiser.eta": eta}))
    t = eta * runs.epoch
    until = t <= 4
    theory = exact(s, start(runs), t)
    learned = [mode for mode, value in enumerate(s) if value > 0]
    for look, mode in enumerate(learned):
        label = f"$s$ = {s[mode]:g}"
        curves.band(axes, t[until], u[:, until, mode], label=label, look=look)
        curves.reference(axes, t[until], theory[until, mode], "theory")
    axes.set_title(rf"strength of each mode, $\eta$ = {eta:g}")
    curves.tidy(axes, x=r"time $t = \eta \times$ steps", y="strength $u$", legend=False)


def _draw_errors(axes: Axes, runs: Runs) -> None:
    """The error of each mode against eta."""
    s, error = singular_values(runs), errors(runs).by_eta
    eta = np.array(list(error))
    size = np.array([np.abs(error[value]).max(axis=(0, 1)) for value in error])
    learned = [mode for mode, value in enumerate(s) if value > 0]
    for look, mode in enumerate(learned):
        label = f"$s$ = {s[mode]:g}"
        curves.band(axes, eta, size[:, mode] / s[mode], label=label, look=look, markevery=1)
    curves.reference(axes, eta, 0.4 * eta, r"proportional to $\eta$")
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(eta, [f"{value:g}" for value in eta])
    axes.minorticks_off()
    axes.set_title("error against the learning rate")
    curves.tidy(axes, x=r"$\eta$", y="largest $|u - u(t)| / s$", legend=False)


STUDY = Study(
    name="deep_linear_theory",
    place=11,
    title="A deep linear network against its exact solution",
    rows=rows,
    draw=draw,
    question="In which order, and when, does a deep linear network learn?",
    shows="Strong modes are learnt first, when theory says; the error vanishes with eta",
    figsize=(9, 4.2),
    quick=("optimiser.eta=0.02,0.01,0.005", "seed=0,1", "training.epochs=1000"),
)
