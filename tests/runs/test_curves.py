"""The figure of a run."""

from __future__ import annotations

import numpy as np
import pytest

from bpframe.runs.records import History


def history(accuracy: float, metrics: dict | None = None, epochs: int = 3) -> History:
    falling = np.arange(epochs, 0.0, -1.0)
    accuracies = np.full(epochs, accuracy)
    epoch = np.arange(1, epochs + 1)
    return History(epoch, falling, 2 * falling, accuracies, accuracies, falling, metrics or {})


def legend_of(axes) -> list[str]:
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_a_figure_has_the_curves_and_shows_itself() -> None:
    """A notebook asks for `_repr_png_`, whether or not pyplot was imported."""
    figure = history(0.5).curves()
    cost, accuracy = figure.axes
    curves = {line.get_label(): line.get_ydata() for line in cost.lines}
    np.testing.assert_array_equal(curves["validation"], [6, 4, 2])
    np.testing.assert_array_equal(curves["training"], [3, 2, 1])
    np.testing.assert_array_equal(accuracy.lines[0].get_ydata(), [50, 50, 50])
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_regression_has_no_accuracy_to_draw() -> None:
    assert len(history(np.nan).curves().axes) == 1


def test_every_family_of_metrics_has_a_panel_and_matrices_come_last() -> None:
    rising = np.array([0.1, 0.2, 0.4])
    metrics = {
        "confusion_matrix.validation": np.stack([np.eye(2) * n for n in (1, 2, 40)]),
        "delta_norm.steps.layer_2": rising,
        "delta_norm.steps.layer_3": 2 * rising,
        "saturation.steps.layer_2": rising,
    }
    figure = history(0.5, metrics).curves()
    *curves, confusion = [axes for axes in figure.axes if axes.axison]
    titles = [axes.get_title() for axes in curves]
    assert titles[2:] == ["delta norm, over the steps", "saturation, over the steps"]
    assert legend_of(curves[2]) == ["layer 2", "layer 3"]
    assert "confusion matrix" in confusion.get_title()
    assert [text.get_text() for text in confusion.texts] == ["40", "0", "0", "40"]
    assert (confusion.get_xlabel(), confusion.get_ylabel()) == ("answer", "class")


def test_the_best_epoch_is_named_where_there_is_no_accuracy() -> None:
    from bpframe.runs.curves import curves

    [cost] = curves(history(np.nan), "2-3-1 on $Csv$", best_epoch=2).axes
    assert legend_of(cost) == ["training", "validation", "best epoch, 2"]
    assert cost.figure.get_suptitle() == r"2-3-1 on \$Csv\$"


def test_curves_that_hide_each_other_differ_in_dashes_too() -> None:
    cost = history(0.5).curves().axes[0]
    training, validation = (line for line in cost.lines if len(line.get_xdata()) == 3)
    assert training.get_linestyle() != validation.get_linestyle()


@pytest.mark.parametrize("epochs", [1, 2, 1000])
def test_epochs_are_whole(epochs: int) -> None:
    for axes in history(0.5, epochs=epochs).curves().axes:
        assert all(tick == round(tick) for tick in axes.get_xticks())


def test_panels_that_are_left_out_are_counted() -> None:
    metrics = {f"m{n}.steps": np.arange(3.0) for n in range(12)}
    *_, last = history(0.5, metrics).curves().axes
    assert [text.get_text() for text in last.texts] == ["3 more: bpframe show"]
