"""Examples on the device that trains on them, and which device that is."""

from __future__ import annotations

import contextlib
import math
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Sharding

from bpframe.data import Examples
from bpframe.errors import ConfigError
from bpframe.training.experiment import Experiment
from bpframe.training.precision import wide_dtype

Device: TypeAlias = Any
"""A jax.Device, which is a variable to type checkers."""


class DeviceExamples(NamedTuple):
    """`Examples` on the device: x (n, n_in), images flat, y labels (n,) or targets (n, n_out).

    `middle` is NaN where targets are no classes.
    """

    x: Array
    y: Array
    scale: Array
    middle: Array


def of_platform(name: str) -> list[Device]:
    """All devices of a platform; of "auto" those of the one that JAX prefers.

    Raises:
        ConfigError: there are none.

    """
    try:
        return jax.devices(None if name == "auto" else name)
    except (RuntimeError, AssertionError) as error:  # JAX asserts if JAX_PLATFORMS names no device
        platforms = jax.config.values["jax_platforms"]
        allowed = f" with JAX_PLATFORMS={platforms}" if platforms else ""
        raise ConfigError(
            f"training.device: JAX has no device for {name!r} here{allowed}; set "
            "training.device=auto or cpu, or install the JAX that supports the device"
        ) from error


def on_device(name: str) -> AbstractContextManager[None]:
    """The context in which arrays go to a platform's first device; "auto" changes nothing.

    Raises:
        ConfigError: there is none.

    """
    device = of_platform(name)[0]
    return contextlib.nullcontext() if name == "auto" else jax.default_device(device)


def to_device(
    examples: Examples, dtype: str, device: Device | Sharding | None = None
) -> DeviceExamples:
    """Copy examples to the device: bytes stay bytes, the rest takes the dtype of the parameters."""
    middle = np.nan if examples.middle is None else examples.middle
    flat = examples.x.reshape(len(examples), -1)
    arrays: Any = DeviceExamples(flat, examples.y, np.array(examples.scale), np.array(middle))  # pyright: ignore[reportArgumentType]
    return jax.tree.map(
        lambda array, info: jnp.asarray(array.astype(info.dtype, copy=False), device=device),
        arrays,
        shapes(examples, dtype),
    )


def shapes(examples: Examples, dtype: str, sharding: Sharding | None = None) -> DeviceExamples:
    """The shapes and dtypes that `to_device` will give, as a DeviceExamples of them."""
    wide = wide_dtype(dtype)

    def info(shape: tuple[int, ...], dtype: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    return DeviceExamples(
        info(
            (len(examples), math.prod(examples.shape)),
            np.uint8 if examples.x.dtype == np.uint8 else wide,
        ),
        info(examples.y.shape, np.int32 if examples.y.ndim == 1 else wide),
        info((), wide),
        info((), wide),
    )


def take(examples: DeviceExamples, rows: Array) -> DeviceExamples:
    """The examples of some rows, which may have any shape: it replaces the axis n."""
    return examples._replace(
        x=examples.x.at[rows].get(mode="promise_in_bounds"),
        y=examples.y.at[rows].get(mode="promise_in_bounds"),
    )


def floats(experiment: Experiment, examples: DeviceExamples) -> tuple[Array, Array]:
    """x (..., n_in) and one-hot or float targets y (..., n_out), in the dtype of the products."""
    dtype = experiment.training.dtype
    x, y, scale, _ = examples
    if jnp.issubdtype(y.dtype, jnp.integer):
        y = jax.nn.one_hot(y, experiment.network.n_out, dtype=dtype)
    return x.astype(dtype) * scale.astype(dtype), y.astype(dtype)
