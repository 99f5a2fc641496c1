"""Chapter 2, the exercise on linear neurons: what backpropagation becomes if sigma(z) = z."""

from __future__ import annotations

import itertools

import numpy as np
from linear_neurons.affine import bias_error, delta_error, output_error, passes
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import curves, style
from reproduction.rules import AtMost, Between
from reproduction.runs import Runs
from reproduction.study import Row, Study

STARTS = {"xavier_normal": "without biases", "scaled": "with biases"}
"""From biases of 0 they stay 0, as the mean of the inputs is 0."""
DU = "Du, Hu and Lee (2018)"
EXERCISE = "chapter 2, exercise"
STYLES = (("-", 4.5), ("-", 2.2), ("--", 1.2))
"""Of lines that lie on one another: kind and width."""
TIME = r"time $t = \eta \times$ steps"
BALANCE = "balancedness.train"
PRODUCT = "weight_gradient_product.train"


def etas(runs: Runs) -> list[float]:
    """From the largest to the smallest."""
    return sorted(runs.values("optimiser.eta"), reverse=True)


def of(runs: Runs, start: str, eta: float) -> Runs:
    return runs.where({"initialiser.name": start, "optimiser.eta": eta})


def balance(runs: Runs) -> np.ndarray:
    """(runs, records, entries): the matrices of all hidden layers, one after another."""
    layers = range(2, len(runs[0].summary["sizes"]))
    matrices = [runs.column(f"{BALANCE}.layer_{layer}") for layer in layers]
    return np.concatenate([m.reshape(*m.shape[:2], -1) for m in matrices], axis=-1)


def drift(runs: Runs) -> np.ndarray:
    """(runs, records, entries): how far the balance is from where it began, relative to that."""
    values = balance(runs)
    return (values - values[:, :1]) / np.linalg.norm(values[:, :1], axis=-1, keepdims=True)


def drift_at_the_end(runs: Runs, eta: float) -> np.ndarray:
    """(runs, entries): the drift when the smallest eta has trained to its end."""
    epoch = round(runs.epoch[-1] * etas(runs)[-1] / eta)
    chosen = runs.where({"optimiser.eta": eta})
    return drift(chosen)[:, int(np.flatnonzero(chosen.epoch == epoch)[0])]


def products(runs: Runs) -> np.ndarray:
    """(runs, records, layers): <w^l, dC/dw^l>."""
    layers = range(2, 1 + len(runs[0].summary["sizes"]))
    return np.stack([runs.column(f"{PRODUCT}.layer_{layer}") for layer in layers], axis=-1)


def rows(runs: Runs, quick: bool) -> list[Row]:
    del quick
    last = etas(runs)[-1]
    with_biases = list(passes(of(runs, "scaled", last)))
    both = [*passes(of(runs, "xavier_normal", last)), *with_biases]
    without = products(runs.where({"initialiser.name": "xavier_normal"}))
    spread = np.ptp(without, axis=2).max(axis=1) / np.abs(without).max(axis=(1, 2))
    found = [
        Row("outputs - (W x + c), relative", tuple(map(output_error, both)), AtMost(1e-12),
            digits=None, source=EXERCISE),
        Row("delta^l - (w^L ... w^(l+1))^T delta^L, relative", tuple(map(delta_error, both)),
            AtMost(1e-12), digits=None, source=EXERCISE),
        Row("without biases: spread of <w, dC/dw> over layers, relative",
            tuple(spread), AtMost(1e-12), digits=None, source="BP2, BP4"),
        Row("with biases: <w', dC/dw'> - <w, dC/dw> - <b, dC/db>, relative",
            tuple(map(bias_error, with_biases)), AtMost(1e-12), digits=None, source="BP2 to BP4"),
    ]  # fmt: skip
    for start in STARTS:
        found += _balance(start, runs.where({"initialiser.name": start}))
    return found


def _balance(start: str, runs: Runs) -> list[Row]:
    """The drift of the balance, which vanishes with eta."""
    drifts = {eta: drift_at_the_end(runs, eta) for eta in etas(runs)}
    size = {eta: np.linalg.norm(value, axis=-1) for eta, value in drifts.items()}
    found = [
        Row(f"{STARTS[start]}: drift at eta {eta} / at {half}",
            tuple(size[eta] / size[half]), Between(1.8, 2.2), digits=3, source=DU)
        for eta, half in itertools.pairwise(size)
    ]  # fmt: skip
    eta, half = list(size)[-2:]
    extrapolated = np.linalg.norm(2 * drifts[half] - drifts[eta], axis=-1) / size[half]
    found.append(
        Row(f"{STARTS[start]}: extrapolated drift / that at {half}",
            tuple(extrapolated), AtMost(0.2), digits=None, source=DU)
    )  # fmt: skip
    return found


def draw(runs: Runs, figure: Figure) -> None:
    left, middle, right = figure.subplots(1, 3)
    runs = runs.where({"seed": runs[0].config["seed"]})
    _draw_drift(left, runs.where({"initialiser.name": "scaled"}))
    for axes, start in zip((middle, right), STARTS, strict=True):
        _draw_products(axes, of(runs, start, etas(runs)[-1]), start)


def _draw_drift(axes: Axes, runs: Runs) -> None:
    """The drift over eta, the same for all etas as far as the drift is proportional to them."""
    for look, (eta, (dash, width)) in enumerate(zip(etas(runs), STYLES, strict=False)):
        chosen = runs.where({"optimiser.eta": eta})
        size = np.linalg.norm(drift(chosen)[0], axis=-1) / eta
        t = eta * chosen.epoch
        until = t <= etas(runs)[-1] * chosen.epoch[-1]
        colour, label = style.LOOKS[look].colour, rf"$\eta$ = {eta:g}"
        axes.plot(t[until], size[until], dash, linewidth=width, color=colour, label=label)
    axes.set_ylim(bottom=0)
    axes.set_title(f"with biases, seed {runs[0].config['seed']}")
    curves.tidy(axes, x=TIME, y=r"drift of the balance / $\eta$")


def _draw_products(axes: Axes, runs: Runs, start: str) -> None:
    values, t = products(runs)[0], etas(runs)[-1] * runs.epoch
    for layer, (dash, width) in zip(range(values.shape[1]), STYLES, strict=False):
        axes.plot(t, values[:, layer], dash, linewidth=width, color=style.LOOKS[layer].colour,
                  label=f"layer {layer + 2}")  # fmt: skip
    axes.set_xlim(0, 0.5)
    axes.set_title(f"{STARTS[start]}, seed {runs[0].config['seed']}")
    curves.tidy(axes, x=TIME, y=r"$\langle w^l, \partial C / \partial w^l \rangle$")


STUDY = Study(
    name="linear_neurons",
    place=10,
    title="Linear neurons: one affine map, and what its layers conserve",
    rows=rows,
    draw=draw,
    question="What is left of backpropagation if sigma(z) = z?",
    shows="What the layers conserve drifts in proportion to eta; without biases all layers agree",
    figsize=(10, 3.8),
    quick=(
        "optimiser.eta=0.005,0.0025",
        "seed=0,1",
        "training.epochs=400",
        "training.evaluate_every=20",
    ),
)
