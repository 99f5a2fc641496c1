"""Windows of an image: what convolution and pooling look through."""

from __future__ import annotations

import jax
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
    """The windows of an image (rows, columns, channels): (down, across, size^2 channels)."""
    down, across = ((n - size) // stride + 1 for n in image.shape[:2])
    if stride == size:
        cut = image[: down * size, : across * size].reshape(down, size, across, -1)
        return cut.swapaxes(1, 2).reshape(down, across, -1)
    seen = beside(image, size, stride)
    rows = [seen[i : i + stride * (down - 1) + 1 : stride] for i in range(size)]
    return jnp.stack(rows, axis=2).reshape(down, across, -1)


def places(image: Array, size: int, stride: int) -> list[Array]:
    """What stands at each place of all windows, row by row: size^2 of (down, across, channels)."""
    down, across = (n - size + 1 for n in image.shape[:2])
    return [
        image[i : i + down : stride, j : j + across : stride]
        for i in range(size)
        for j in range(size)
    ]


def folded(windows: Array, shape: Shape, stride: int) -> Array:
    """An image of this shape, to which each window adds its part."""
    rows, columns, channels = shape
    down, across, size = windows.shape[:3]
    if stride == size:
        cut = windows.swapaxes(1, 2).reshape(down * size, across * size, channels)
        return jnp.pad(cut, ((0, rows - down * size), (0, columns - across * size), (0, 0)))
    parts = [spread(windows[:, :, :, j], 1, j, columns, stride) for j in range(size)]
    return below(sum(parts[1:], start=parts[0]), rows, stride)


def beside(image: Array, size: int, stride: int = 1) -> Array:
    """What stands beside each other in windows, row by row: (rows, across, size channels)."""
    last = image.shape[1] - size + 1
    parts = jnp.stack([image[:, j : j + last : stride] for j in range(size)], axis=2)
    return parts.reshape(*parts.shape[:2], -1)


def below(parts: Array, rows: int, stride: int) -> Array:
    """Adds the rows of windows, (down, columns, size, channels), where they are in the image."""
    spread_out = [spread(parts[:, :, i], 0, i, rows, stride) for i in range(parts.shape[2])]
    return sum(spread_out[1:], start=spread_out[0])


def spread(part: Array, axis: int, start: int, n: int, stride: int) -> Array:
    """Zeros, n along the axis, with what `part` holds at every `stride` of them."""
    last = start + stride * (part.shape[axis] - 1) + 1
    edges = [(0, 0, 0)] * part.ndim
    edges[axis] = (start, n - last, stride - 1)
    return jax.lax.pad(part, jnp.zeros((), part.dtype), edges)
