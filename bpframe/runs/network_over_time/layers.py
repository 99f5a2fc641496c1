"""Which layers were recorded, how many neurons they have, and which of these are drawn."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from bpframe.runs.arrays import RecordedArray, Recording
from bpframe.runs.network_over_time.tracks import track

MOST_NEURONS = 16
"""The most neurons of a layer that are drawn."""
MOST_LAYERS = 8
LARGEST_IMAGE = 128
"""The most rows or columns of an image that is drawn."""
_JUDGED = 32
"""At how many times it is judged which neurons are large."""
_LAYER = re.compile(r"layer_(\d{1,4})")


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What was recorded of a layer.

    Attributes:
        number: of the layer, as in the book.
        size: how many neurons it has; of an image, rows times columns times channels.
        activations, deltas: (times, examples, ...), or None.
        weights: (times, neuron, input) of a dense layer, or None.

    """

    number: int
    size: int
    activations: RecordedArray | None = None
    deltas: RecordedArray | None = None
    weights: RecordedArray | None = None


def recorded(recording: Recording) -> list[Recorded]:
    """The layers of which activations, deltas or the weights of a dense layer were recorded."""
    found: dict[int, dict[str, RecordedArray]] = {}
    for kind in ("activations", "deltas", "weights"):
        for key, array in recording[kind].items() if kind in recording else ():
            if match := _LAYER.fullmatch(key.removesuffix(".w") if kind == "weights" else key):
                found.setdefault(int(match[1]), {})[kind] = array
    layers = {number: _layer(number, arrays) for number, arrays in found.items()}
    for number, layer in sorted(layers.items()):
        if layer.weights is not None:  # they tell the size of the layer before
            layers.setdefault(number - 1, Recorded(number - 1, layer.weights.shape[2]))
    return [layers[number] for number in sorted(layers) if layers[number].size]


def _layer(number: int, arrays: Mapping[str, RecordedArray]) -> Recorded:
    neurons = [arrays[kind] for kind in ("activations", "deltas") if kind in arrays]
    w = arrays.get("weights")
    w = w if w is not None and len(w.shape) == 3 else None
    sizes = [int(np.prod(array.shape[2:], dtype=int)) for array in neurons]
    if len(set(sizes)) > 1:
        raise ValueError(f"layer {number} has {sizes[0]} activations and {sizes[1]} deltas")
    size = (sizes or [w.shape[1] if w is not None else 0])[0]
    if w is not None and w.shape[1] != size:
        w = None
    same = {kind: arrays.get(kind) for kind in ("activations", "deltas")}
    return Recorded(number, size, **same, weights=w)


def not_dense(recording: Recording, layers: Sequence[Recorded]) -> list[int]:
    """Those of the layers whose weights were recorded and are no matrix, such as kernels."""
    if "weights" not in recording:
        return []
    keys = list(recording["weights"])
    return [
        layer.number
        for layer in layers
        if layer.weights is None and any(key.startswith(f"layer_{layer.number}.") for key in keys)
    ]


def is_image(shape: Sequence[object], size: int) -> bool:
    """Whether inputs of so many numbers are pictures of this shape: rows, columns, channels."""
    whole = [n for n in shape if isinstance(n, int) and not isinstance(n, bool) and n > 0]
    if len(shape) != 3 or len(whole) != 3 or max(whole[:2]) > LARGEST_IMAGE:
        return False
    return whole[2] in (1, 3) and min(whole[:2]) > 1 and whole[0] * whole[1] * whole[2] == size


def chosen_layers(layers: Sequence[Recorded]) -> list[Recorded]:
    """All layers, or of many the first and the last, which lie next to each other."""
    if len(layers) <= MOST_LAYERS:
        return list(layers)
    half = MOST_LAYERS // 2
    return [*layers[:half], *layers[-half:]]


def chosen_neurons(layer: Recorded, after: Recorded | None, steps: np.ndarray) -> np.ndarray:
    """All neurons, or of many those with the largest deltas over the times, in order.

    Where no deltas were recorded, the largest activations count; where these were not either, the
    norms of the weights into the neurons, or out of them.
    """
    if layer.size <= MOST_NEURONS:
        return np.arange(layer.size)
    judged = steps[np.unique(np.linspace(0, len(steps) - 1, _JUDGED).astype(int))]
    by_neuron = layer.deltas if layer.deltas is not None else layer.activations
    if by_neuron is not None:
        squares = _squares(by_neuron, judged, over=1)
    elif layer.weights is not None:
        squares = _squares(layer.weights, judged, over=2)
    elif after is not None and after.weights is not None:
        squares = _squares(after.weights, judged, over=1)
    else:
        squares = np.zeros(layer.size)
    return np.sort(np.argsort(-np.nan_to_num(squares), kind="stable")[:MOST_NEURONS])


def _squares(array: RecordedArray, steps: np.ndarray, over: int) -> np.ndarray:
    """The squares of (times, examples, ...) or (times, neuron, input), summed but for neurons."""

    def cut(block: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.square(block.reshape(*block.shape[:2], -1).astype(float)).sum(over)

    return track(array, steps, cut).values.sum(axis=0)
