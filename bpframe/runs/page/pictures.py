"""Weights and examples as small pictures: PNGs in the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

MOST = 48
"""The most pictures of a kind."""
LARGEST = 128
"""The most rows or columns of a picture."""
NEGATIVE, POSITIVE = (5, 113, 176), (202, 82, 0)
"""Blue and orange, which readers of all kinds of colour vision tell apart."""


class Picture(NamedTuple):
    """A picture: the URL that holds it, and what it shows in words."""

    url: str
    text: str


class Weights(NamedTuple):
    """The weights of the first layer as pictures.

    Attributes:
        title: what they are.
        note: how many there are, and the scale of the colours.
        pictures: one for each neuron or map.

    """

    title: str
    note: str
    pictures: Sequence[Picture]


def first_layer(params: Mapping[str, np.ndarray], shape: Sequence[Any]) -> Weights | None:
    """The weights into each neuron of layer 2, where inputs are images; or kernels.

    Args:
        params: arrays by name; `layer_2.w` is (n, n_in) of a dense layer, (maps, rows, columns,
            channels) of a convolution.
        shape: (rows, columns, channels) of an input.

    """
    w = params.get("layer_2.w")
    is_image = len(shape) == 3 and all(isinstance(n, int) and n > 0 for n in shape)
    if w is None or not is_image or w.size == 0 or w.dtype.kind != "f":
        return None
    rows, columns, channels = shape
    w = np.asarray(w, float)
    if w.ndim == 4:
        kind, images = "map", w
    elif w.ndim == 2 and w.shape[1] == rows * columns * channels and min(rows, columns) > 1:
        kind, images = "neuron", w.reshape(-1, rows, columns, channels)
    else:
        return None
    if max(images.shape[1:3]) > LARGEST or not np.isfinite(images).all():
        return None
    flat = images.reshape(len(images), -1)
    chosen = np.sort(np.argsort(-np.linalg.norm(flat, axis=1), kind="stable")[:MOST])
    scale = float(np.abs(images[chosen]).max()) or 1.0
    drawn = [Picture(_signed(images[n].mean(axis=2) / scale), f"{kind} {n}") for n in chosen]
    all_of = (
        f"all {len(images)} {kind}s"
        if len(chosen) == len(images)
        else (f"{len(chosen)} of {len(images)} {kind}s, those with the largest norms")
    )
    note = (
        f"{all_of[0].upper()}{all_of[1:]}{', mean over the channels' * (images.shape[3] > 1)}. "
        f"Orange is positive, blue negative, white 0; the deepest colour is {scale:.3g}, in all."
    )
    title = "Kernels of layer 2" if kind == "map" else "Weights into layer 2"
    return Weights(title, note, drawn)


def grey(pixels: Sequence[Any], shape: Sequence[Any]) -> str | None:
    """An input as a picture, dark where it is large; None if it is no image."""
    try:
        image = np.asarray(pixels, float).reshape([int(n) for n in shape])
    except (TypeError, ValueError, OverflowError):
        return None
    is_image = image.ndim == 3 and image.shape[2] in (1, 3) and min(image.shape[:2]) > 1
    if not is_image or max(image.shape[:2]) > LARGEST or not np.isfinite(image).all():
        return None
    image = image / (float(np.abs(image).max()) or 1.0)  # the largest float has no double
    low, span = image.min(), max(float(np.ptp(image)), 1e-30)
    levels = (255 * (image - low) / span).astype(np.uint8)
    return _png(255 - levels[:, :, 0] if image.shape[2] == 1 else levels)


def _signed(values: np.ndarray) -> str:
    """(rows, columns) from -1 to 1 as blue, white and orange."""
    share = np.round(np.abs(values) * 63)[..., None] / 63  # fewer levels, smaller files
    ends = np.where(values[..., None] < 0, NEGATIVE, POSITIVE)
    return _png((255 + share * (ends - 255.0)).astype(np.uint8))


def _png(levels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
