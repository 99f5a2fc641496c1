"""Convolutional networks as users of JAX and PyTorch write them, and their parameters as bpframe's.

bpframe has images (rows, columns, channels), kernels (maps, 5, 5, channels), and takes an image
flat in that order. A layout in which channels come first takes it flat in another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from tasks import Task

Layout: TypeAlias = str
Pairs = list[tuple[np.ndarray, np.ndarray]]

LAYOUTS: tuple[Layout, ...] = ("NHWC", "NCHW")
KERNELS = {"NHWC": "HWIO", "NCHW": "OIHW"}


def images(flat: np.ndarray, layout: Layout) -> np.ndarray:
    """Images (n, 784) with the axes of a layout."""
    shape = {"NHWC": (-1, 28, 28, 1), "NCHW": (-1, 1, 28, 28)}[layout]
    return flat.reshape(shape)


def params(pairs: Pairs, layout: Layout) -> list[tuple[jax.Array, jax.Array]]:
    """Kernels as the layout has them, and dense weights (n_in, n_out)."""
    if layout == "NCHW":
        pairs = channels_first(pairs)
        kernels = [(w if w.ndim == 4 else w.T, b) for w, b in pairs]
    else:
        kernels = [(w.transpose(1, 2, 3, 0) if w.ndim == 4 else w.T, b) for w, b in pairs]
    return [(jnp.asarray(w), jnp.asarray(b)) for w, b in kernels]


def as_ours(found: Any, layout: Layout) -> list[np.ndarray]:
    """The inverse of `params`, as a flat list."""
    arrays = [(np.asarray(w), np.asarray(b)) for w, b in found]
    if layout == "NCHW":
        return rows_first([(w if w.ndim == 4 else w.T, b) for w, b in arrays])
    pairs = [(w.transpose(3, 0, 1, 2) if w.ndim == 4 else w.T, b) for w, b in arrays]
    return [leaf for pair in pairs for leaf in pair]


def channels_first(pairs: Pairs) -> Pairs:
    """bpframe's parameters for images (channels, rows, columns); dense weights (n_out, n_in)."""
    found: Pairs = []
    channels = None
    for w, b in pairs:
        if w.ndim == 4:
            channels, new = len(w), w.transpose(0, 3, 1, 2)
        else:
            new = w if channels is None else _flat_as(w, channels, first=True)
            channels = None
        found.append((np.ascontiguousarray(new), b))
    return found


def rows_first(pairs: Pairs) -> list[np.ndarray]:
    """The inverse of `channels_first`, as a flat list."""
    found = []
    channels = None
    for w, b in pairs:
        if w.ndim == 4:
            channels, new = len(w), w.transpose(0, 2, 3, 1)
        else:
            new = w if channels is None else _flat_as(w, channels, first=False)
            channels = None
        found += [new, b]
    return found


def _flat_as(w: np.ndarray, channels: int, first: bool) -> np.ndarray:
    """Dense weights for a flat image whose channels come first, or last, of one with the other."""
    side = math.isqrt(w.shape[1] // channels)
    if first:
        return w.reshape(-1, side, side, channels).transpose(0, 3, 1, 2).reshape(len(w), -1)
    return w.reshape(-1, channels, side, side).transpose(0, 2, 3, 1).reshape(len(w), -1)


def loss(task: Task, layout: Layout) -> Callable[[Any, jax.Array, jax.Array], jax.Array]:
    """The mean cost of a mini-batch: softmax with log-likelihood, the activation of the task."""
    activation = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}[task.activation]
    numbers = (layout, KERNELS[layout], layout)
    window = tuple(2 if axis in "HW" else 1 for axis in layout)
    wide = tuple(-1 if axis == "C" else 1 for axis in layout)

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        a = x
        for w, b in params[: len(task.maps)]:
            z = jax.lax.conv_general_dilated(a, w, (1, 1), "VALID", dimension_numbers=numbers)
            a = activation(z + b.reshape(wide))
            a = jax.lax.reduce_window(a, -jnp.inf, jax.lax.max, window, window, "VALID")
        a = a.reshape(len(a), -1)
        for w, b in params[len(task.maps) : -1]:
            a = activation(a @ w + b)
        w, b = params[-1]
        return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(a @ w + b), axis=-1))

    return loss
