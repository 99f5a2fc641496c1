"""Windows of an image: what convolution and pooling look through."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from bpframe import ConfigError, Shape


def counts(shape: Shape, size: int, stride: int, what: str) -> tuple[int, int]:
    """How many windows stand below and beside each other in an image of this shape.

    Raises:
        ConfigError: it is no image, a window is larger, or the last does not end at its edge;
            `what` is the layer, in words.

    """
    shown = " x ".join(map(str, shape))
    if len(shape) != 3:
        raise ConfigError(
            f"{what} on {shown}: needs an image (rows x columns x channels); choose data with "
            "images, and put it before dense layers"
        )
    if size > min(shape[:2]):
        raise ConfigError(f"{what} on {shown}: is larger than the image; choose a smaller size")
    if any((n - size) % stride for n in shape[:2]):
        raise ConfigError(
            f"{what} on {shown}: its windows do not end at the edge; choose a size and a stride "
            "that fit"
        )
    rows, columns = ((n - size) // stride + 1 for n in shape[:2])
    return rows, columns


def unfolded(image: Array, size: int, stride: int = 1) -> Array:
    """The windows of an image (rows, columns, channels): (down, across, size * size, channels)."""
    down, across = ((n - size) // stride + 1 for n in image.shape[:2])
    parts = [
        image[i : i + stride * down : stride, j : j + stride * across : stride]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.stack(parts, axis=2)


def folded(windows: Array, shape: Shape, size: int, stride: int) -> Array:
    """The transpose of `unfolded`: an image of this shape, to which each window adds its part."""
    down, across = windows.shape[:2]
    image = jnp.zeros(shape, windows.dtype)
    for place in range(size * size):
        i, j = divmod(place, size)
        rows, columns = slice(i, i + stride * down, stride), slice(j, j + stride * across, stride)
        image = image.at[rows, columns].add(windows[:, :, place])
    return image
