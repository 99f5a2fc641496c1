"""Chapter 2, the exercise on a modified neuron: one neuron has another function than the rest."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from modified_neuron.gradients import (
    FUNCTIONS,
    NEURON,
    Gradient,
    differences,
    doubles,
    examples,
    experiment,
    function,
    gradients,
    sigmoid_prime,
)
from reproduction import curves, style
from reproduction.rules import AtMost, Rule
from reproduction.runs import Run, Runs
from reproduction.study import Row, Study

import bpframe

EXERCISE = "chapter 2, exercise"


@dataclasses.dataclass(frozen=True)
class MeanBetween(Rule):
    """Low <= the mean of the values <= high."""

    low: float
    high: float

    @property
    def text(self) -> str:
        """Such as "mean in [-1, 1]"."""
        return f"mean in [{self.low:g}, {self.high:g}]"

    def holds(self, values: np.ndarray) -> bool:
        """Whether the mean lies between, the ends being inside."""
        return self.low <= float(values.mean()) <= self.high


def by_function(runs: Runs) -> dict[str, Runs]:
    """The runs of each f, sigma first."""
    names = dict.fromkeys(map(function, runs))
    found = {name: Runs(run for run in runs if function(run) == name) for name in names}
    return {"sigmoid": found.pop("sigmoid"), **found}


def accuracy(runs: Runs) -> np.ndarray:
    """(runs,): on the test set after the last epoch, in percent, by seed."""
    ordered = sorted(runs, key=lambda run: run.config["seed"])
    return np.array([100 * run.summary["test_accuracy"] for run in ordered])


def others(found: Gradient) -> float:
    """The largest change that the modification makes to delta^2_j of a neuron j that it is not."""
    change = np.abs(found.modified - found.unmodified)
    return float(np.delete(change, NEURON, axis=1).max())


def ratio_error(found: Gradient, name: str) -> float:
    """delta^2_3 modified / unmodified against f'(z) / sigma'(z); relative where that is above 1."""
    z = found.z[:, NEURON]
    expected = FUNCTIONS[name][1](z) / sigmoid_prime(z)
    ratio = found.modified[:, NEURON] / found.unmodified[:, NEURON]
    return float((np.abs(ratio - expected) / np.maximum(expected, 1)).max())


def output_error(run: Run) -> float:
    """delta^3 by BP1 as it stands, in entries relative to a - y, as f = sigma switches to it.

    A modified neuron in the output layer, even one with the function that it had, takes the
    layer's pair of cost and activation away.
    """
    modified = experiment(run, [{"layer": 3, "neuron": NEURON, "activation": "sigmoid"}])
    with jax.enable_x64(True):
        x, y = map(jnp.asarray, examples(modified.data.load()))
        found = bpframe.gradient(modified.network, modified.cost, doubles(run), x, y)
        return float(jnp.abs(found.deltas[1] / (found.trace.a[-1] - y) - 1).max())


def rows(runs: Runs, quick: bool) -> list[Row]:
    groups = by_function(runs)
    modified = [name for name in groups if name != "sigmoid"]
    x, y = examples(experiment(runs[0], []).data.load())
    against_differences, elsewhere, ratios = [], [], []
    for name in modified:
        for run, found in zip(groups[name], gradients(groups[name]), strict=True):
            numeric = differences(run, x, y)
            distance = np.linalg.norm(found.mean - numeric) / np.linalg.norm(numeric)
            against_differences.append(distance)
            elsewhere.append(others(found))
            ratios.append(ratio_error(found, name))
    by = 3.0 if quick else 1.0
    return [
        Row("gradient - central differences, relative",
            tuple(against_differences), AtMost(1e-5), digits=None, source=EXERCISE),
        Row("for the same error: change of delta^2_j, j not 3", tuple(elsewhere), AtMost(0),
            digits=None, source=EXERCISE),
        Row("for the same error: ratio of delta^2_3 against f'(z) / sigma'(z)", tuple(ratios),
            AtMost(1e-12), digits=None, source=EXERCISE),
        Row("output neuron, f = sigma: delta^3 - (a - y), relative",
            tuple(map(output_error, groups["sigmoid"])), AtMost(1e-6), digits=None,
            source="BP1"),
        *(
            Row(f"f = {name}: accuracy - unmodified, same seed",
                tuple(accuracy(groups[name]) - accuracy(groups["sigmoid"])), MeanBetween(-by, by),
                unit="points")
            for name in modified
        ),
    ]  # fmt: skip


def draw(runs: Runs, figure: Figure) -> None:
    panels = figure.subplot_mosaic([["deltas", "deltas"], ["validation", "test"]])
    groups = by_function(runs)
    _draw_deltas(panels["deltas"], groups)
    for look, (name, chosen) in enumerate(groups.items()):
        values = 100 * chosen.column("validation_accuracy")
        values = values if name == "sigmoid" else values.mean(axis=0)
        label = "unmodified, and range" if name == "sigmoid" else rf"$f$ = {name}"
        curves.band(panels["validation"], chosen.epoch, values, label=label, look=look)
    panels["validation"].set_ylim(bottom=88)
    panels["validation"].set_title("mean over seeds")
    curves.tidy(panels["validation"], y="validation accuracy, %")
    _draw_accuracies(panels["test"], groups)


def _draw_deltas(axes: Axes, groups: dict[str, Runs]) -> None:
    """delta^2 of one example, modified and unmodified, for the same error that arrives."""
    name = next(name for name in groups if name != "sigmoid")
    found = next(gradients(groups[name]))
    example = int(np.abs(found.modified[:, NEURON]).argmax())
    unmodified, modified = found.unmodified[example], found.modified[example]
    axes.axhline(0, color=style.DARK, linewidth=0.6)
    (colour, marker), (other, square) = style.LOOKS[:2]
    axes.plot(unmodified, marker, color=colour, label=r"all neurons: $\sigma$")
    axes.plot(modified, square, color=other, markersize=9, markerfacecolor="none",
              label=f"neuron {NEURON}: $f$ = {name}")  # fmt: skip
    axes.set_title(f"one example, the same error arriving: only neuron {NEURON} differs")
    curves.tidy(axes, x="neuron $j$ of layer 2", y=r"$\delta^2_j$")


def _draw_accuracies(axes: Axes, groups: dict[str, Runs]) -> None:
    """The paired differences, a marker a seed, and their mean."""
    names = [name for name in groups if name != "sigmoid"]
    axes.axhspan(-1, 1, color=style.DARK, alpha=0.08, linewidth=0)
    for place, name in enumerate(names):
        values = accuracy(groups[name]) - accuracy(groups["sigmoid"])
        across = place + np.linspace(-0.2, 0.2, len(values))
        colour, marker = style.LOOKS[place + 1]
        axes.plot(across, values, marker, color=colour)
        axes.hlines(values.mean(), place - 0.3, place + 0.3, color=colour)
    axes.set_xticks(range(len(names)), names)
    axes.set_title("test accuracy, modified - unmodified")
    curves.tidy(axes, x=f"$f$ of neuron {NEURON} in layer 2", y="points, a marker a seed")


STUDY = Study(
    name="modified_neuron",
    place=9,
    title="A modified neuron: its own entry of sigma'(z) changes, and nothing else",
    rows=rows,
    draw=draw,
    question="What changes in backpropagation if one neuron is of another kind?",
    shows="One neuron of another kind changes its own error, and hardly what the network learns",
    figsize=(9, 7),
    quick=(
        "network.modified_neurons=[],[{layer:2,neuron:3,activation:softplus}]",
        "seed=0,1,2",
        "training.epochs=5",
    ),
)
