"""The network at one time beside the learning curve, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap

from bpframe.pages.text import for_matplotlib, shown
from bpframe.runs.figure import ShownFigure
from bpframe.runs.network_over_time.network import LayerOverTime, NetworkOverTime
from bpframe.runs.network_over_time.tracks import Track
from bpframe.runs.page.columns import Curves
from bpframe.runs.page.pictures import NEGATIVE, POSITIVE

SIZE, DPI = (9.6, 4.8), 80
_SIGNED = LinearSegmentedColormap.from_list(
    "signed", np.array([NEGATIVE, (255, 255, 255), POSITIVE]) / 255
)
_INK, _SOFT = "#1c2430", "#5a6573"
_AREA = 130.0
"""Of a neuron, and of the largest delta, in square points."""


class Drawn(Protocol):
    """What is drawn anew at each time."""

    def show(self, step: int) -> None:
        """Draw the state after so many steps."""


class Movie:
    """A figure that shows the network after one number of steps after the other.

    Args:
        network: what was recorded.
        example: the place of the example among those of the network.
        names: of the outputs that are drawn; may be empty.
        curves: the cost over the epochs; None where no epoch was recorded.
        epochs: those of the records of the curves.

    """

    def __init__(
        self,
        network: NetworkOverTime,
        example: int,
        names: Sequence[str],
        curves: Curves | None,
        epochs: Sequence[int],
    ) -> None:
        self.figure = ShownFigure(figsize=SIZE, dpi=DPI)
        width = 0.64 if curves else 0.98
        axes = self.figure.add_axes((0.01, 0.02, width, 0.86))
        axes.set_axis_off()
        axes.set_xlim(-0.12, 1.14)
        axes.set_ylim(1.04, -0.06)
        self._network = network
        self._parts = _parts(axes, network, example, names)
        self._curves = curves and _Costs(self.figure, curves, epochs)
        self._title = self.figure.suptitle("", fontsize=11, color=_INK)
        number = network.examples[example] if len(network.examples) else None
        self._example = "" if number is None else f", example {number} of the {network.over} set"

    def show(self, time: int) -> None:
        """Draw one of the times of the network."""
        step, epoch = int(self._network.steps[time]), float(self._network.epochs[time])
        for part in self._parts:
            part.show(step)
        if self._curves:
            self._curves.show(epoch)
        self._title.set_text(
            for_matplotlib(f"epoch {round(epoch, 2):g}, step {step}{self._example}")
        )


class _Costs:
    """The learning curves up to an epoch."""

    def __init__(self, figure: Any, curves: Curves, epochs: Sequence[int]) -> None:
        axes = figure.add_axes((0.725, 0.13, 0.26, 0.72))
        self._epochs = np.asarray(epochs)
        self._lines = []
        for each, colour in zip(curves.series, ("#0072b2", "#d55e00"), strict=False):
            values = np.array([np.nan if v is None else v for v in each.values], float)
            axes.plot(epochs, values, color=colour, alpha=0.15)
            (line,) = axes.plot([], [], color=colour, label=each.name, marker="o", markevery=[-1])
            self._lines.append((line, values))
        if curves.is_log:
            axes.set_yscale("log", nonpositive="mask")
        axes.set_title(for_matplotlib(shown(curves.title, 60)), fontsize=10)
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.tick_params(labelsize=8)
        axes.legend(frameon=False, fontsize=8)

    def show(self, epoch: float) -> None:
        known = self._epochs <= epoch
        for line, values in self._lines:
            line.set_data(self._epochs[known], values[known])
            line.set_markevery([-1] if known.any() else [])


def _parts(axes: Any, network: NetworkOverTime, example: int, names: Sequence[str]) -> list[Drawn]:
    """All that is drawn: edges first, under the neurons."""
    layers = network.layers
    x = np.linspace(0, 1, len(layers)) if len(layers) > 1 else np.array([0.5])
    deltas = [each.deltas for each in layers if each.deltas is not None]
    largest = max((_largest(track, example) for track in deltas), default=1.0)
    found: list[Drawn] = []
    for place, layer in enumerate(layers):
        before = layers[place - 1] if place else None
        if layer.weights is not None and before is not None:
            if before.shape:
                found.append(_Pictures(axes, layer, layer.weights, before.shape, x[place]))
            else:
                found.append(_Edges(axes, layer, layer.weights, before, x[place - 1], x[place]))
        count = f"\n{len(layer.neurons)} of {layer.size}" if len(layer.neurons) < layer.size else ""
        name = "input" if layer.number == 1 else f"layer {layer.number}"
        axes.text(x[place], -0.05, name + count, ha="center", va="bottom", fontsize=9, color=_SOFT)
        if layer.shape:
            found.append(_Input(axes, layer, example, x[place]))
            continue
        found.append(_Neurons(axes, layer, example, x[place], largest))
        for y, text in zip(
            _heights(layer), names if place == len(layers) - 1 else (), strict=False
        ):
            label = for_matplotlib(shown(text, 14))
            axes.text(x[place] + 0.055, y, label, va="center", fontsize=8, color=_SOFT)
    return found


class _Neurons:
    """Circles, the deeper the larger the activation, and discs of the size of the deltas."""

    def __init__(
        self, axes: Any, layer: LayerOverTime, example: int, x: float, largest: float
    ) -> None:
        y = _heights(layer)
        self._layer, self._example, self._largest_delta = layer, example, largest
        self._largest = _largest(layer.activations, example)
        at = np.full(len(y), x)
        self._circles = axes.scatter(at, y, _AREA, "white", edgecolors=_SOFT, zorder=3)
        self._discs = axes.scatter(at + 0.03, y, np.zeros(len(y)), zorder=3, linewidths=0)

    def show(self, step: int) -> None:
        layer = self._layer
        if layer.activations is not None:
            values = layer.activations.at(step)[self._example] / self._largest
            self._circles.set_facecolor(_SIGNED(_half(np.nan_to_num(values))))
        if layer.deltas is not None:
            values = np.nan_to_num(layer.deltas.at(step)[self._example] / self._largest_delta)
            self._discs.set_sizes(_AREA * np.minimum(np.abs(values), 1))
            self._discs.set_facecolor(_SIGNED(np.where(values < 0, 0.0, 1.0)))


class _Edges:
    """Weights as lines, whose width and strength are their size."""

    def __init__(
        self,
        axes: Any,
        layer: LayerOverTime,
        weights: Track,
        before: LayerOverTime,
        x_prev: float,
        x: float,
    ) -> None:
        self._weights, self._largest = weights, _largest(weights)
        ends = [
            [(x_prev + 0.05, from_y), (x - 0.02, to_y)]
            for to_y in _heights(layer)
            for from_y in _heights(before)
        ]
        self._lines = LineCollection(ends, zorder=1)
        axes.add_collection(self._lines)

    def show(self, step: int) -> None:
        values = np.nan_to_num(self._weights.at(step).ravel() / self._largest)
        share = np.minimum(np.abs(values), 1)
        colours = _SIGNED(np.where(values < 0, 0.0, 1.0))
        colours[:, 3] = 0.05 + 0.9 * np.sqrt(share)
        self._lines.set_color(colours)  # pyright: ignore[reportArgumentType]
        self._lines.set_linewidth(0.2 + 2.3 * share)  # pyright: ignore[reportArgumentType]


class _Pictures:
    """The weights from an image into each neuron, as an image before it."""

    def __init__(
        self,
        axes: Any,
        layer: LayerOverTime,
        weights: Track,
        shape: tuple[int, ...],
        x: float,
    ) -> None:
        self._weights, self._shape, self._largest = weights, shape, _largest(weights)
        y = _heights(layer)
        high = min(0.16, 0.9 / len(y)) / 2
        wide = high * 0.7
        self._images = [
            axes.imshow(
                np.zeros(shape[:2]),
                _SIGNED,
                aspect="auto",
                vmin=-1,
                vmax=1,
                zorder=2,
                extent=(x - 0.035 - 2 * wide, x - 0.035, centre + high, centre - high),
            )
            for centre in y
        ]

    def show(self, step: int) -> None:
        values = np.nan_to_num(self._weights.at(step) / self._largest)
        for image, each in zip(self._images, values, strict=True):
            picture = each.reshape(self._shape).mean(axis=2)
            image.set_data(np.sign(picture) * np.sqrt(np.abs(picture)))


class _Input:
    """The input as a picture, dark where it is large."""

    def __init__(self, axes: Any, layer: LayerOverTime, example: int, x: float) -> None:
        extent = (x - 0.09, x + 0.09, 0.63, 0.37)
        if layer.activations is None:
            return
        values = np.nan_to_num(layer.activations.values[0, example].astype(float))
        picture = values.reshape(layer.shape)
        picture = (picture - picture.min()) / (np.ptp(picture) or 1)
        grey = layer.shape[2] == 1
        drawn = picture[..., 0] if grey else picture
        axes.imshow(drawn, "Greys" if grey else None, aspect="auto", extent=extent)

    def show(self, step: int) -> None:
        """It never changes."""


def _heights(layer: LayerOverTime) -> np.ndarray:
    """Where the neurons of a layer stand, from 0, the top, to 1."""
    n = 1 if layer.shape else len(layer.neurons)
    gap = min(0.16, 1 / max(n, 1))
    return 0.5 + (np.arange(n) - (n - 1) / 2) * gap


def _half(values: np.ndarray) -> np.ndarray:
    """From -1 to 1 to the place in a map of colours, from 0 to 1."""
    return np.clip((values + 1) / 2, 0, 1)


def _largest(track: Track | None, example: int | None = None) -> float:
    """The largest size of a finite number of a track, of one example; 1 where all are 0."""
    if track is None:
        return 1.0
    values = track.values if example is None else track.values[:, example]
    return float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0
