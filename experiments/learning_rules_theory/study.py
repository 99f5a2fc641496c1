"""What is known of learning rules exactly: small networks, and digits trained with a weak pull."""

from __future__ import annotations

import functools
import itertools

import numpy as np
from learning_rules_theory.theory import BETAS, PULLS, STATEMENTS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves, style
from reproduction.rules import AtMost, Between
from reproduction.runs import Runs
from reproduction.study import Row, Study

SEEDS, QUICK_SEEDS = range(10), range(1)
ANGLE = "alignment.validation.layer_2"


@functools.cache
def errors(seeds: range) -> dict[str, list[float]]:
    """Of every statement, by seed."""
    return {name: [error(seed) for seed in seeds] for name, _, error, _ in STATEMENTS}


@functools.cache
def pulled(seeds: range) -> dict[str, np.ndarray]:
    """(betas, seeds): the errors of rules with a pull."""
    return {
        name: np.array([[error(beta)(seed) for seed in seeds] for beta in BETAS])
        for name, error, _ in PULLS
    }


def _seeds(runs: Runs) -> range:
    return SEEDS if len(runs.values("seed")) > 1 else QUICK_SEEDS


def rows(runs: Runs, quick: bool) -> list[Row]:
    """An error for each statement, a power of beta for each pull, and the angles of the digits."""
    del quick
    seeds = _seeds(runs)
    return [
        *(
            Row(name, tuple(errors(seeds)[name]), AtMost(bound), digits=None, source=source)
            for name, source, _, bound in STATEMENTS
        ),
        *(_power(name, pulled(seeds)[name], power) for name, _, power in PULLS),
        *_digits(runs),
    ]


def _power(name: str, found: np.ndarray, power: float) -> Row:
    """The slope in double logarithms between the last two betas."""
    slope = np.log(found[-2] / found[-1]) / np.log(BETAS[-2] / BETAS[-1])
    return Row(
        f"{name}: error as a power of beta",
        tuple(slope),
        Between(power - 0.05, power + 0.05),
        power,
        digits=3,
    )


def angles(runs: Runs, beta: float) -> np.ndarray:
    """(runs,): the angle between delta^2 and that of backpropagation after an epoch, in degrees."""
    return runs.where({"learning_rule.beta": beta}).column(ANGLE)[:, -1]


def _digits(runs: Runs) -> list[Row]:
    """The digits, trained for an epoch: a tenth of the pull has a tenth of the angle."""
    betas = sorted(runs.values("learning_rule.beta"), reverse=True)
    return [
        Row(
            f"digits: angle at beta {beta:g} / at {next_:g}",
            tuple(angles(runs, beta) / angles(runs, next_)),
            Between(9, 11),
            10.0,
            digits=2,
        )
        for beta, next_ in itertools.pairwise(betas)
        if beta < 1
    ]


def draw(runs: Runs, figure: Figure) -> None:
    """The errors of all statements, and those of weak pulls against beta."""
    left, right = figure.subplots(2, 1)
    _draw_statements(left, errors(_seeds(runs)))
    _draw_pulls(right, pulled(_seeds(runs)))


def _draw_statements(axes: Axes, found: dict[str, list[float]]) -> None:
    shown = [(name, bound) for name, _, _, bound in STATEMENTS if bound < 1]
    colour, marker = style.LOOKS[0]
    for at, (name, bound) in enumerate(shown):
        values = np.maximum(found[name], 1e-18)
        axes.plot(values, np.full(len(values), at), marker, color=colour)
        axes.plot([bound], [at], "|", markersize=14, color=style.DARK)
    axes.set_yticks(range(len(shown)), [name for name, _ in shown])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_title("statements that are exact: a point a seed, and a bar where the rule ends")
    curves.tidy(axes, x="error: largest difference over largest value")


def _draw_pulls(axes: Axes, found: dict[str, np.ndarray]) -> None:
    for look, (name, _, _) in enumerate(PULLS):
        curves.band(axes, np.array(BETAS), found[name].T, label=name, look=look, markevery=1)
    axes.set(xscale="log", yscale="log")
    axes.set_title("statements of a weak pull: mean, and range over seeds")
    curves.tidy(axes, x=r"strength $\beta$ of the pull", y="error")


STUDY = Study(
    name="learning_rules_theory",
    place=17,
    title="Learning rules: what is known exactly",
    rows=rows,
    draw=draw,
    question="What is true of other ways back to the last digit?",
    shows="Exact statements hold to rounding, and a weaker pull is nearer to the gradient",
    figsize=(9, 8),
    quick=("seed=0", "learning_rule.beta=0.1,0.01"),
)
