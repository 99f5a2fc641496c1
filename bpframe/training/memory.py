"""Whether an experiment fits the memory, by an estimate made before anything is allocated."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from bpframe.data import Data, Examples
from bpframe.errors import ConfigError, DataError
from bpframe.tables.streamed import StreamedExamples
from bpframe.training import devices, initial_state, parallel, streaming
from bpframe.training.devices import Device
from bpframe.training.evaluation import EVALUATION_CHUNK
from bpframe.training.experiment import Experiment
from bpframe.training.precision import precision, wide_dtype

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how much memory a container may take: a number, or "max"."""


def machine_bytes() -> int:
    """The memory of this machine, or of the container that this process runs in."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(_CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):
        return physical


def device_bytes(device: Device) -> int | None:
    """The memory of a device; None where it does not say."""
    if stats := device.memory_stats():
        return stats.get("bytes_limit")
    return machine_bytes() if device.platform == "cpu" else None


def params_bytes(experiment: Experiment) -> int:
    """The size of the parameters."""
    itemsize = wide_dtype(experiment.training.dtype).itemsize
    return itemsize * experiment.network.size


def state_bytes(experiment: Experiment) -> int:
    """The size of the state of training; nothing of it is made."""
    with precision(experiment.training.dtype):
        exact = initial_state.exact(experiment)
        state = jax.eval_shape(initial_state.draw_state, experiment, exact)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def check(experiment: Experiment, sizes: Sequence[int]) -> None:
    """Refuse what cannot fit: parameters before and after a step, or activations of its examples.

    `sizes` are the numbers of examples in the splits, that of training first. It is what training
    takes at least, so some of what passes may still not fit.

    Raises:
        ConfigError: it is more than the device has.

    """
    device = devices.of_platform(experiment.training.device)[0]
    limit = device_bytes(device)
    if limit is None:
        return
    whose = "this machine has" if device.platform == "cpu" else f"{device} has"
    network, m = experiment.network, experiment.training.rows(sizes[0])
    named = "-".join(map(str, network.sizes))
    sharing, copies = parallel.count(experiment.training), _copies(experiment, device)
    states = copies / (sharing if experiment.training.shard else 1)
    least = int(2 * states * params_bytes(experiment))
    if least <= limit < 64 * least:  # a small network need not be traced for it
        least = int(2 * states * state_bytes(experiment))
    if least > limit:
        raise ConfigError(
            f"network: {named} has {network.size:,} parameters, and training it takes at least "
            f"{shown(least)}; {whose} {shown(limit)}; give network.hidden or network.layers "
            "fewer neurons"
        )
    itemsize = jax.numpy.dtype(experiment.training.dtype).itemsize
    for path, rows, neurons, fix in (
        ("training.batch_size", m, sum(network.sizes), "set a smaller one"),
        (
            "network",
            min(EVALUATION_CHUNK, max(sizes)),
            max(network.sizes),
            "give network.hidden or network.layers fewer neurons",
        ),
    ):
        if (needed := itemsize * -(-rows // sharing) * copies * neurons) > limit:
            raise ConfigError(
                f"{path}: the activations of {rows:,} examples in {named} take at least "
                f"{shown(needed)}; {whose} {shown(limit)}; {fix}"
            )


def check_examples(experiment: Experiment, data: Data) -> None:
    """Refuse examples that cannot fit the device, on which all splits lie while it trains.

    Of examples that are streamed there are two portions at a time.

    Raises:
        ConfigError: they take more than it has.

    """
    device = devices.of_platform(experiment.training.device)[0]
    limit, dtype = device_bytes(device), experiment.training.dtype
    with precision(dtype):
        parts: list[Any] = [devices.shapes(examples, dtype) for examples in data]
    copies = [_copies(experiment, device)] * 3
    if isinstance(data.train, StreamedExamples):  # of which devices have shares
        copies[0], parts[0] = 2, streaming.portion_shapes(experiment, parts[0])
    needed = sum(
        number * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(part))
        for number, part in zip(copies, parts, strict=True)
    )
    if limit is not None and needed > limit:
        whose = "this machine has" if device.platform == "cpu" else f"{device} has"
        raise ConfigError(
            f"data.train_size: {len(data.train):,} training examples and those of the other splits "
            f"take {shown(needed)} on the device; {whose} {shown(limit)}; keep fewer"
        )


def _copies(experiment: Experiment, device: Device) -> int:
    """How often what is on every device is in the same memory: devices of a CPU share it."""
    return parallel.count(experiment.training) if device.platform == "cpu" else 1


def check_expansion(train: Examples, times: int) -> None:
    """Refuse a training set that does not fit this machine once it is so many times as large.

    Raises:
        DataError: it does not.

    """
    if times == 1:
        return
    needed, limit = times * (train.x.nbytes + train.y.nbytes), machine_bytes()
    if needed > limit:
        raise DataError(
            f"data: {len(train):,} training examples, {times} times as many when expanded, take "
            f"{shown(needed)}; this machine has {shown(limit)}; set a smaller data.train_size"
        )


def check_whole(train: Examples) -> None:
    """Refuse examples that a run can stream where they have to be in memory, and do not fit.

    Raises:
        DataError: they do not.

    """
    if not isinstance(train, StreamedExamples):
        return
    row_bytes = train.files.x.row_bytes + train.files.y.row_bytes
    needed, limit = len(train) * row_bytes, machine_bytes()
    if needed > limit:
        raise DataError(
            f"data: {len(train):,} training examples take {shown(needed)}, and a sweep has them in "
            f"memory; this machine has {shown(limit)}; train single runs, or set a smaller "
            "data.train_size"
        )


def shown(size: int) -> str:
    """A number of bytes, in GB."""
    return f"{size / 1e9:,.1f} GB"
