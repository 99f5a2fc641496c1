"""Chapter 6: convolutional networks, from 784-100-10 to two convolutions with dropout."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure, SubFigure
from reproduction import curves, style
from reproduction.rules import Between, Within
from reproduction.runs import Run, Runs
from reproduction.study import NotRun, Row, Study

SOURCE = "chapter 6"
WIDENED = 0.1
"""Percentage points: the standard error of 99 % of the 10,000 test images."""
QUICK = ("data.train_size=5000", "training.epochs=1")
EXPERIMENT = "bpframe +experiment=nielsen_chapter_6 nielsen_chapter_6="


class Net(NamedTuple):
    """One of the book's networks: its config in conf/nielsen_chapter_6, and the book's figure.

    `quick` is the test accuracy in percent that a quick run exceeds.
    """

    config: str
    title: str
    book: float
    epochs: int = 60
    quick: float = 0.0


NETS = (
    Net("dense", "784-100-10", 97.80, quick=70.0),
    Net("one_convolution", "one convolution", 98.78, quick=30.0),
    Net("two_convolutions", "two convolutions", 99.06),
    Net("rectified", "two convolutions, ReLU", 99.23),
    Net("expanded", "the same, expanded data", 99.37),
    Net("dropout", "2 x 1000 neurons, dropout, expanded data", 99.60, epochs=40),
)


def config_of(run: Run) -> str:
    """The file of conf/nielsen_chapter_6 that describes its network."""
    layers: list[dict[str, Any]] = run.config["network"]["layers"]
    kinds = [layer.get("name", "dense") for layer in layers]
    if "dropout" in kinds:
        return "dropout"
    if run.config["data"].get("expand"):
        return "expanded"
    if layers[0]["activation"] == "relu":
        return "rectified"
    return ("dense", "one_convolution", "two_convolutions")[kinds.count("convolution")]


def of(net: Net, runs: Runs) -> Runs:
    """The runs of a network; there may be none."""
    return Runs(run for run in runs if config_of(run) == net.config)


def test_accuracy(run: Run) -> float:
    """In percent, after the last epoch with the best validation accuracy, as in the book."""
    validation = run.columns["validation_accuracy"]
    best = np.flatnonzero(validation == np.nanmax(validation))[-1]
    return 100 * float(run.columns["accuracy.test"][best])


def rows(runs: Runs, quick: bool) -> list[Row | NotRun]:
    """A row for each network of the book, whether or not it was run."""
    return [_row(net, of(net, runs), quick) for net in NETS]


def _row(net: Net, own: Runs, quick: bool) -> Row | NotRun:
    if not own:
        return NotRun(
            f"{net.title}: test accuracy", EXPERIMENT + net.config, net.book, "%", source=SOURCE
        )
    rule = Between(net.quick, net.book) if quick else Within(net.book, WIDENED)
    epochs = [int(run.epoch[-1]) for run in own]
    few = f"the book trains {net.epochs} epochs, and ours had {_span(epochs)}."
    return Row(
        f"{net.title}: test accuracy, {_span(epochs)}{_images(own)}",
        tuple(map(test_accuracy, own)), rule, net.book, "%", source=SOURCE,
        reason=few if max(epochs) < net.epochs else "",
    )  # fmt: skip


def _span(epochs: list[int]) -> str:
    number = " to ".join(dict.fromkeys(map(str, (min(epochs), max(epochs)))))
    return f"{number} epoch{'s' * (max(epochs) > 1)}"


def _images(runs: Runs) -> str:
    """How many images, if they are not all."""
    sizes = runs.values("data.train_size")
    shown = " or ".join("all" if size is None else f"{size:,}" for size in sizes)
    return "" if sizes == [None] else f", {shown} images"


def draw(runs: Runs, figure: Figure) -> None:
    """The test accuracies beside the book's, and the kernels of the one convolution."""
    left, right = figure.subfigures(1, 2, width_ratios=(1.6, 1), squeeze=False)[0]
    _draw_accuracies(runs, left)
    if convolution := of(NETS[1], runs):
        _draw_kernels(convolution[0], right)


def _draw_accuracies(runs: Runs, figure: SubFigure) -> None:
    axes = figure.subplots()
    found = [(net, own) for net in NETS if (own := of(net, runs))]
    colour, marker = style.LOOKS[0]
    for place, (net, own) in enumerate(found):
        values = [test_accuracy(run) for run in own]
        axes.plot(values, [place] * len(own), marker, color=colour, label="ours, a seed each")
        curves.published(axes, net.book, place, marker="D")
    axes.set_yticks(range(len(found)), [net.title.replace(", ", ",\n", 1) for net, _ in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_title("at the best epoch of the validation images")
    curves.tidy(axes, x="test accuracy, %")


def _draw_kernels(run: Run, figure: SubFigure) -> None:
    """As in the book: the darker, the larger the weight, each kernel in its own grey scale."""
    grid = figure.subplots(5, 4)
    for axes, kernel in zip(grid.flat, run.arrays["layer_2.w"][..., 0], strict=False):
        axes.imshow(kernel, cmap="Greys")
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
    title = f"kernels of one convolution, seed {run.config['seed']};\ndark is large"
    figure.suptitle(title, fontweight="normal")


STUDY = Study(
    name="nielsen_chapter_6",
    place=13,
    title="Convolutional networks",
    rows=rows,
    draw=draw,
    question="What does a network gain that is told that its inputs are images?",
    shows="Convolutions, rectified neurons and more data each bring the network nearer to 100 %",
    figsize=(10, 5),
    quick=("nielsen_chapter_6=dense,one_convolution", "seed=1", *QUICK),
)
