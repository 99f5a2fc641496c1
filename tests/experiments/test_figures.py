"""The figures of the studies: that they can be read, and what they are drawn of."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from test_reproduction import write_sweep

import bpframe

sys.path.append(str(Path(__file__).parents[2] / "experiments"))

from learning_rules_theory import study as theory_study
from reproduction import catalogue, curves, shown, style
from reproduction.study import Study

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
PIXEL = 1 / 120
NAMES = catalogue.names(EXPERIMENTS)
QUICK = Path(__file__).parent / "figures"
"""What quick runs show, of studies that train for hours and have kept nothing yet."""


def kept(name: str) -> Path:
    """What the figure of a study shows, of its run or, where that kept nothing, of a quick one."""
    full = EXPERIMENTS / name / f"{name}.json"
    return full if full.is_file() else QUICK / full.name


@pytest.fixture
def theory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors in place of those that take minutes to compute."""
    errors = {name: [1e-15, 2e-15] for name, *_ in theory_study.STATEMENTS}
    pulled = {
        name: np.array([[beta, 2 * beta] for beta in theory_study.BETAS])
        for name, *_ in theory_study.PULLS
    }
    monkeypatch.setattr(theory_study, "errors", lambda seeds: errors)
    monkeypatch.setattr(theory_study, "pulled", lambda seeds: pulled)


def drawn(name: str) -> tuple[Study, Figure]:
    study = catalogue.load(EXPERIMENTS, name)
    return study, laid_out(style.drawn(study, shown.read(kept(name))))


def laid_out(figure: Figure) -> Figure:
    """The figure with all texts where they stand in its picture."""
    with mpl.rc_context(dict(style.SETTINGS)):
        figure.canvas.draw()
    return figure


def overhang(figure: Figure) -> float:
    """How far texts and all else that is shown reach out of the picture, in inches; 0 if nowhere.

    Ticks beyond the limits of their axis, and what axes clip, are not shown.
    """
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return max(0.0, -box.x0, -box.y0, box.x1 - width, box.y1 - height)


def legend_of(holder: Axes | Figure) -> list[str]:
    legends = holder.legends if isinstance(holder, Figure) else [holder.get_legend()]
    return [text.get_text() for legend in legends if legend for text in legend.get_texts()]


@pytest.mark.slow
@pytest.mark.usefixtures("theory")
@pytest.mark.filterwarnings("ignore:Creating legend with loc")  # a busy machine is slow at it
@pytest.mark.parametrize("name", NAMES)
def test_a_figure_can_be_read(name: str) -> None:
    """Slow: a second each, most of it for the layout."""
    study, figure = drawn(name)
    assert overhang(figure) < PIXEL
    assert study.shows
    assert study.figsize[0] <= style.WIDEST
    panels = figure.findobj(Axes)
    assert any(axes.get_xlabel() for axes in panels)
    for holder in (figure, *panels):
        labels = legend_of(holder)
        assert len(set(labels)) == len(labels)
    sizes = [text.get_fontsize() for holder in panels if (legend := holder.get_legend())
             for text in legend.get_texts()]  # fmt: skip
    assert all(size >= style.SETTINGS["axes.labelsize"] for size in sizes)


def test_texts_that_are_cut_off_are_found() -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.set_xlim(0, 1)
    axes.set_xticks([0.5, 7.0], ["a tick", "a tick that is beyond the limits" * 9])
    axes.set_xlim(0, 1)
    assert overhang(laid_out(figure)) == 0
    text = figure.text(0.9, 0.5, "a text that is cut off at the right")
    assert overhang(laid_out(figure)) > 0.5
    text.remove()
    axes.set_ylabel("a label\n" * 9)
    assert overhang(laid_out(figure)) > 0.5


def test_every_point_of_the_book_belongs_to_a_learning_rate() -> None:
    _, figure = drawn("learning_rates")
    [axes] = figure.axes
    means = {line.get_label(): line for line in axes.lines if line.get_linestyle() == "-"}
    points = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert legend_of(axes) == [
        *(rf"$\eta$ = {eta}" for eta in ("0.025", "0.25", "2.5")),
        "the book, first and last epoch",
    ]
    looks = [(to_hex(line.get_color()), str(line.get_marker())) for line in means.values()]
    assert [(to_hex(line.get_color()), str(line.get_marker())) for line in points] == looks
    assert len({marker for _, marker in looks}) == len({colour for colour, _ in looks}) == 3


def test_the_panels_of_chapter_1_compare() -> None:
    _, figure = drawn("nielsen_chapter_1")
    (good, wide), (slow, wild) = figure.axes[:2], figure.axes[2:]
    assert good.get_ylim() == wide.get_ylim() != slow.get_ylim() == wild.get_ylim()
    assert len([line for line in wide.lines if line.get_linewidth() < 1]) == 10  # a seed each
    shapes = [line.get_marker() for line in slow.lines if line.get_linestyle() == "None"]
    assert shapes == ["o", "s"]
    assert legend_of(figure) == [
        *("a seed each", "their mean", "the book, after epoch 1"),
        *("the book, best epoch", "the book, after the last"),
    ]


def test_layers_are_listed_as_they_lie_and_the_book_last() -> None:
    _, figure = drawn("vanishing_gradients")
    *nets, accuracies = figure.axes
    [(low, high)] = {axes.get_ylim() for axes in nets}
    drawn_values = [line.get_ydata() for axes in nets for line in axes.lines]
    assert all((low < np.asarray(y)).all() and (np.asarray(y) < high).all() for y in drawn_values)
    assert legend_of(nets[-1]) == [
        *(f"layer {layer}" for layer in (5, 4, 3, 2)), "the book, before training"
    ]  # fmt: skip
    heights = [
        float(np.asarray(line.get_ydata())[-1])
        for line in nets[-1].lines
        if line.get_linestyle() == "-"
    ]
    assert heights == sorted(heights, reverse=True)
    assert legend_of(accuracies)[-1] == curves.BOOK


def test_what_is_kept_is_what_was_asked_for(tmp_path: Path) -> None:
    runs = shown.watched(write_sweep(tmp_path, "completed", "completed"))
    norms = runs.column("norm")
    first = runs.where({"optimiser.eta": 3.0})[0]
    w = first.arrays["layer_2.w"]
    path = tmp_path / "kept.json"
    path.write_text(shown.text(runs))
    again = shown.read(path)
    np.testing.assert_array_equal(again.column("norm"), norms)
    np.testing.assert_array_equal(again.epoch, runs.epoch)
    np.testing.assert_array_equal(again[0].arrays["layer_2.w"], w)
    assert [set(run.config) for run in again] == [{"optimiser"}] * 2
    assert not any(run.summary for run in again)
    with pytest.raises(bpframe.BpframeError, match=r"'cost'; known: norm"):
        again.column("cost")
    assert json.loads(path.read_text())["epochs"] == [[0, 5]]


@pytest.mark.parametrize("text", ["{", "[]", '{"runs": [{}], "epochs": []}'])
def test_what_was_not_kept_so_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "kept.json").write_text(text)
    with pytest.raises(bpframe.BpframeError, match=r"kept\.json: cannot be read .*run the study"):
        shown.read(tmp_path / "kept.json")
