"""The figure of a run."""

from __future__ import annotations

import numpy as np

from bpframe.runs.records import History


def history(accuracy: float) -> History:
    falling = np.array([3.0, 2.0, 1.0])
    accuracies = np.full(3, accuracy)
    return History(np.arange(1, 4), falling, 2 * falling, accuracies, accuracies, falling, {})


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
