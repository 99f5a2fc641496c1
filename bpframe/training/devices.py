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
from bpframe.tables.streamed import StreamedExamples
from bpframe.tasks import Task, implied
from bpframe.training.experiment import Experiment
from bpframe.training.precision import wide_dtype

Device: TypeAlias = Any
"""A jax.Device, which is a variable to type checkers."""


class DeviceExamples(NamedTuple):
    """`Examples` on the device: x (n, n_in), images flat, y labels (n,) or targets (n, n_out).

    `scale` and `mean` are one number each, or (n_in,); see `Examples`. The numbers of the task are
    arrays here.
    """

    x: Array
    y: Array
    scale: Array
    mean: Array | None
    task: Task


def of_platform(name: str) -> list[Device]:
    """The devices of a platform on this host; of "auto" those of the one that JAX prefers.

    Raises:
        ConfigError: there are none.

    """
    try:
        return jax.local_devices(backend=None if name == "auto" else name)
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
    return jax.tree.map(lambda a: jnp.asarray(a, device=device), on_host(examples, dtype))


def on_host(examples: Examples, dtype: str) -> DeviceExamples:
    """What `to_device` copies, as arrays of NumPy."""
    arrays: Any = DeviceExamples(
        examples.x.reshape(len(examples), -1),  # pyright: ignore[reportArgumentType]
        examples.y,  # pyright: ignore[reportArgumentType]
        _flat(examples.scale, examples.shape),  # pyright: ignore[reportArgumentType]
        None if examples.mean is None else _flat(examples.mean, examples.shape),  # pyright: ignore[reportArgumentType]
        jax.tree.map(np.array, _task(examples)),
    )
    return jax.tree.map(
        lambda array, info: array.astype(info.dtype, copy=False),
        arrays,
        shapes(examples, dtype),
    )


def shapes(examples: Examples, dtype: str, sharding: Sharding | None = None) -> DeviceExamples:
    """The shapes and dtypes that `to_device` will give, as a DeviceExamples of them."""
    wide = wide_dtype(dtype)
    if isinstance(examples, StreamedExamples):
        return of_length(shapes(examples.examples(0, 1), dtype, sharding), len(examples))

    def info(shape: tuple[int, ...], dtype: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    return DeviceExamples(
        info(
            (len(examples), math.prod(examples.shape)),
            np.uint8 if examples.x.dtype == np.uint8 else wide,
        ),
        info(examples.y.shape, np.int32 if examples.y.ndim == 1 else wide),
        info(_flat(examples.scale, examples.shape).shape, wide),
        None if examples.mean is None else info(_flat(examples.mean, examples.shape).shape, wide),
        jax.tree.map(lambda number: info(np.shape(number), wide), _task(examples)),
    )


def of_length(others: DeviceExamples, n: int) -> DeviceExamples:
    """The shapes of n examples, by those of others."""

    def changed(info: Any) -> Any:
        shape = (n, *info.shape[1:])
        return jax.ShapeDtypeStruct(shape, info.dtype, sharding=info.sharding)

    return others._replace(x=changed(others.x), y=changed(others.y))


def _flat(values: float | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One number, or one for each entry of a flat input, of those for each feature or channel."""
    given = np.asarray(values)
    return given.reshape(()) if given.size == 1 else np.broadcast_to(given, shape).reshape(-1)


def _task(examples: Examples) -> Task:
    return implied(examples.y) if examples.task is None else examples.task


def take(examples: DeviceExamples, rows: Array) -> DeviceExamples:
    """The examples of some rows, which may have any shape: it replaces the axis n."""
    return examples._replace(
        x=examples.x.at[rows].get(mode="promise_in_bounds"),
        y=examples.y.at[rows].get(mode="promise_in_bounds"),
    )


def floats(experiment: Experiment, examples: DeviceExamples) -> tuple[Array, Array]:
    """x (..., n_in) and one-hot or float targets y (..., n_out), in the dtype of the products."""
    dtype = experiment.training.dtype
    x, y, scale, mean, _ = examples
    if jnp.issubdtype(y.dtype, jnp.integer):
        y = jax.nn.one_hot(y, experiment.network.n_out, dtype=dtype)
    x, scale = x.astype(dtype), scale.astype(dtype)
    if mean is None and not scale.ndim:
        return x * scale, y.astype(dtype)
    mean = jnp.zeros((), dtype) if mean is None else mean.astype(dtype)
    return (x - _like(mean, x)) * _like(scale, x), y.astype(dtype)


def _like(values: Array, x: Array) -> Array:
    """One number, or one for each entry (n_in,), with as many axes as x (..., n_in)."""
    return values.reshape((1,) * (x.ndim - values.ndim) + values.shape)
