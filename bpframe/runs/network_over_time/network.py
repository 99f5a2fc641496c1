"""The network over the recorded times: its layers, with the neurons and examples that are drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bpframe.runs.arrays import RecordedArray, Recording
from bpframe.runs.network_over_time.layers import (
    Recorded,
    chosen_layers,
    chosen_neurons,
    is_image,
    not_dense,
    recorded,
)
from bpframe.runs.network_over_time.tracks import Track, track
from bpframe.runs.page.thinning import chosen

NUMBER_BYTES = 2
"""What a number takes in a page."""
FEWEST_TIMES = 10
"""Weights of an image are drawn as pictures where so many times fit."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much is kept: bytes of numbers of two bytes, times, and examples of the probe."""

    bytes: int
    times: int
    examples: int


@dataclasses.dataclass(frozen=True)
class LayerOverTime:
    """A layer as it is drawn.

    Attributes:
        number: of the layer, as in the book.
        size: how many neurons it has.
        neurons: (n,) which of them are drawn, from 0; of a picture all.
        shape: (rows, columns, channels) of an input that is drawn as a picture; else empty.
        activations, deltas: (rows, examples, n), or None where they were not recorded.
        weights: (rows, n, neurons of the layer before), or None where they are not drawn.

    """

    number: int
    size: int
    neurons: np.ndarray
    shape: tuple[int, ...]
    activations: Track | None
    deltas: Track | None
    weights: Track | None


@dataclasses.dataclass(frozen=True)
class NetworkOverTime:
    """What is drawn of a recording.

    Attributes:
        steps: (times,) how many steps had been made; 0 is before training.
        epochs: (times,) the same in epochs.
        recorded_times: how many times were recorded.
        layers: in order.
        examples: (examples,) which of the split `over`, from 0; empty where none was recorded.
        recorded_examples: how many examples were recorded.
        over: the split of the examples.
        left_out: what was recorded and is not drawn, and why, a sentence each.

    """

    steps: np.ndarray
    epochs: np.ndarray
    recorded_times: int
    layers: Sequence[LayerOverTime]
    examples: np.ndarray
    recorded_examples: int
    over: str
    left_out: Sequence[str]


def network_over_time(
    recording: Recording, shape: Sequence[object], limits: Limits
) -> NetworkOverTime | None:
    """What can be drawn of a recording; None where neither activations, deltas nor weights are.

    Args:
        recording: of a run.
        shape: (rows, columns, channels) of an input, if it is known.
        limits: where there is more, times are left out evenly.

    Raises:
        OutputError: a file of the recording is damaged.

    """
    layers, left_out = _of_one_probe(recorded(recording))
    if not layers:
        return None
    epochs = {
        int(step): float(epoch)
        for array in _arrays(layers)
        for step, epoch in zip(array.steps, array.epochs, strict=True)
    }
    every = sorted(epochs)
    drawn = chosen_layers(layers)
    if len(drawn) < len(layers):
        half = len(drawn) // 2
        left_out.append(f"Of {len(layers)} layers the first {half} and the last {half} are drawn.")
    if other := not_dense(recording, drawn):
        numbers = ", ".join(map(str, other))
        left_out.append(f"Weights of layers that are not dense are not drawn: {numbers}.")
    probe = next((array for array in _arrays(drawn) if array.examples is not None), None)
    examples = np.arange(0 if probe is None else min(probe.shape[1], limits.examples))
    cuts = _cuts(drawn, shape, np.asarray(chosen(every, limits.times)), limits, left_out)
    cost = NUMBER_BYTES * sum(cut.numbers(len(examples)) for cut in cuts)
    most = max(2, min(limits.times, limits.bytes // max(cost, 1)))
    steps = np.asarray(chosen(every, most))
    return NetworkOverTime(
        steps,
        np.asarray([epochs[int(step)] for step in steps]),
        len(every),
        [cut.over_time(steps, len(examples)) for cut in cuts],
        examples,
        0 if probe is None else probe.shape[1],
        "" if probe is None else probe.over,
        left_out,
    )


@dataclasses.dataclass(frozen=True)
class _Cut:
    """A layer, and which of its neurons are drawn."""

    layer: Recorded
    neurons: np.ndarray
    shape: tuple[int, ...]
    inputs: np.ndarray | None
    """The drawn neurons of the layer before, if the weights from it are drawn."""

    def numbers(self, examples: int) -> int:
        """How many of them a time takes."""
        per_example = [self.layer.activations if self.layer.number > 1 else None, self.layer.deltas]
        n = len(self.neurons)
        weights = 0 if self.inputs is None else len(self.inputs)
        return n * (examples * sum(array is not None for array in per_example) + weights)

    def over_time(self, steps: np.ndarray, examples: int) -> LayerOverTime:
        """What is drawn of it at these times; the input, which never changes, once."""
        layer = self.layer

        def of_examples(block: np.ndarray) -> np.ndarray:
            return block[:, :examples].reshape(len(block), examples, -1)[..., self.neurons]

        def of_weights(block: np.ndarray) -> np.ndarray:
            return block[:, self.neurons][..., self.inputs]

        seen = steps[:1] if layer.number == 1 else steps
        return LayerOverTime(
            *(layer.number, layer.size, self.neurons, self.shape),
            None if layer.activations is None else track(layer.activations, seen, of_examples),
            None if layer.deltas is None else track(layer.deltas, steps, of_examples),
            None
            if self.inputs is None or layer.weights is None
            else track(layer.weights, steps, of_weights),
        )


def _cuts(
    layers: Sequence[Recorded],
    shape: Sequence[object],
    steps: np.ndarray,
    limits: Limits,
    left_out: list[str],
) -> list[_Cut]:
    found: list[_Cut] = []
    for place, layer in enumerate(layers):
        after = layers[place + 1] if place + 1 < len(layers) else None
        before = found[-1] if found and found[-1].layer.number == layer.number - 1 else None
        as_picture = layer.number == 1 and is_image(shape, layer.size)
        neurons = np.arange(layer.size) if as_picture else chosen_neurons(layer, after, steps)
        inputs = None
        if before is not None and layer.weights is not None:
            if why_not := _undrawable(layer.weights, len(neurons), before, limits):
                left_out.append(f"The weights into layer {layer.number} {why_not}.")
            else:
                inputs = before.neurons
        picture = tuple(n for n in shape if isinstance(n, int)) if as_picture else ()
        found.append(_Cut(layer, neurons, picture, inputs))
    return found


def _undrawable(weights: RecordedArray, neurons: int, before: _Cut, limits: Limits) -> str:
    """Why weights from the layer before are not drawn; empty if they are."""
    of = before.layer
    if weights.shape[2] != of.size:
        return f"have {weights.shape[2]} inputs, layer {of.number} has {of.size}"
    numbers = neurons * len(before.neurons)
    is_too_large = before.shape and numbers * NUMBER_BYTES * FEWEST_TIMES > limits.bytes
    return "are too large a picture" if is_too_large else ""


def _of_one_probe(layers: Sequence[Recorded]) -> tuple[list[Recorded], list[str]]:
    """Without activations of other examples than those that the deltas are of."""
    deltas = next((layer.deltas for layer in layers if layer.deltas is not None), None)
    activations = next((each.activations for each in layers if each.activations is not None), None)
    if deltas is None or activations is None or _probe(deltas) == _probe(activations):
        return list(layers), []
    said = (
        f"Activations are of {activations.shape[1]} examples of the {activations.over} set and "
        f"deltas of {deltas.shape[1]} of the {deltas.over} set: deltas alone are drawn."
    )
    without = [dataclasses.replace(layer, activations=None) for layer in layers]
    return without, [said]


def _probe(array: RecordedArray) -> tuple[str, int]:
    return array.over, array.shape[1]


def _arrays(layers: Sequence[Recorded]) -> list[RecordedArray]:
    of_all = [(layer.activations, layer.deltas, layer.weights) for layer in layers]
    return [array for arrays in of_all for array in arrays if array is not None]
