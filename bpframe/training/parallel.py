"""One run on several devices: each computes its share of every mini-batch, and all step alike.

Inside of `on_devices` what is traced is one program of all of them. Examples and state lie on every
device, and a mini-batch is split where it is gathered: XLA's partitioner then leaves traces and
deltas where they are computed, and makes of the sums of BP3 and BP4 one sum over the devices. What
draws, weighs or measures examples is written for a whole mini-batch, and stays so. With
`training.shard=params` large arrays of the state are split as well. On one device nothing here
changes a program.

Examples are on every device because each epoch has another order of them: split, they would have to
change places in every step. Those that are streamed are brought to the device that takes them.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bpframe.errors import ConfigError
from bpframe.learning import BatchGradient
from bpframe.training import devices, hosts
from bpframe.training.devices import Device
from bpframe.training.experiment import ALL, PARAMS, Experiment, Training
from bpframe.training.orders import NOBODY

AXIS = "examples"
"""The axis of the devices, along which a mini-batch is split."""

SPLIT_FROM = 2**16
"""The entries from which on an array of the state is split; sending smaller ones costs more."""

T = TypeVar("T")


def count(training: Training) -> int:
    """How many devices a run is on.

    Raises:
        ConfigError: so many are not there.

    """
    wanted = training.devices
    if wanted == 1:
        return 1
    make_cores_devices(None if wanted == ALL else int(wanted))
    there = devices.of_platform(training.device)
    if wanted == ALL:
        return len(there)
    if int(wanted) > len(there):
        platform = there[0].platform
        fix = "set training.devices=all for all of them"
        if platform == "cpu" and int(wanted) <= cores():
            fix = (
                f"JAX computed before: call jax.config.update('jax_num_cpu_devices', {wanted}) "
                "when a program begins, or run bpframe as a command"
            )
        elif platform == "cpu":
            fix += ", or XLA_FLAGS=--xla_force_host_platform_device_count=N, which simulates more"
        raise ConfigError(
            f"training.devices: {wanted} is out of range; there are {len(there)} of the platform "
            f"{platform}, so allowed: 1 to {len(there)}; {fix}"
        )
    return int(wanted)


def cores() -> int:
    """The cores that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found or 1


def make_cores_devices(wanted: int | None = None) -> None:
    """Make each core of the CPU a device, or so many cores, unless the user has said how many.

    JAX takes it only before its first computation; after that there is what there is.
    """
    named = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if named or jax.config.values["jax_num_cpu_devices"] != -1:
        return
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(wanted or cores(), cores()))


@contextlib.contextmanager
def on_devices(training: Training) -> Iterator[None]:
    """The context of a run: what is traced in it is for all of its devices.

    Raises:
        ConfigError: they are not there.

    """
    number = count(training)
    with devices.on_device(training.device):
        if number == hosts.count() == 1:
            yield
            return
        with jax.set_mesh(Mesh(np.array(_of_all_hosts(training, number)), (AXIS,))):
            yield


def named(array: Array) -> str:
    """The device of an array, or how many there are of which kind."""
    found = sorted(array.devices(), key=lambda device: device.id)
    return str(found[0]) if len(found) == 1 else f"{len(found)} x {found[0].device_kind}"


def _of_all_hosts(training: Training, number: int) -> list[Device]:
    """So many devices of each host, host by host."""
    platform = devices.of_platform(training.device)[0].platform
    of_hosts: dict[int, list[Device]] = {}
    for device in jax.devices(platform):
        of_hosts.setdefault(device.process_index, []).append(device)
    return [device for host in sorted(of_hosts) for device in of_hosts[host][:number]]


def shares() -> int:
    """Into how many shares a mini-batch is split: 1 but inside of `on_devices`."""
    return jax.sharding.get_abstract_mesh().shape.get(AXIS, 1)


def everywhere() -> NamedSharding | None:
    """Where examples lie, and a state that is not split; None on one device."""
    return NamedSharding(jax.sharding.get_mesh(), PartitionSpec()) if shares() > 1 else None


def sharing() -> Callable[[int], NamedSharding] | None:
    """How devices share arrays, by the axis along which they do; None on one device."""
    if shares() == 1:
        return None
    mesh = jax.sharding.get_mesh()
    return lambda axis: NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def own_shares() -> list[int]:
    """Which shares are those of this host's devices."""
    if shares() == 1:
        return [0]
    host = jax.process_index()
    found = jax.sharding.get_mesh().devices.reshape(-1)
    return [share for share, device in enumerate(found) if device.process_index == host]


def taken(arrays: T, rows: Array) -> T:
    """Rows (..., m) of arrays (n, ...), on each device from its share of both."""
    last = PartitionSpec(*[None] * (rows.ndim - 1), AXIS)

    def own(arrays: T, rows: Array) -> T:
        return jax.tree.map(lambda a: a.at[rows].get(mode="promise_in_bounds"), arrays)

    own_of_each = jax.shard_map(own, in_specs=(PartitionSpec(AXIS), last), out_specs=last)
    return own_of_each(arrays, rows)


def filled(rows: Array) -> Array:
    """Rows (..., m) of mini-batches with `NOBODY` after them, as many for each device."""
    missing = -rows.shape[-1] % shares()
    if not missing:
        return rows
    widths = [(0, 0)] * (rows.ndim - 1) + [(0, missing)]
    return jnp.pad(rows, widths, constant_values=NOBODY)


def split(batches: T, axis: int = 0) -> T:
    """Arrays with the mini-batch along an axis, each device's share of it on that device."""
    return _placed(batches, lambda _: PartitionSpec(*[None] * axis, AXIS))


def without_nobody(found: BatchGradient, y: Array, m: int) -> tuple[BatchGradient, Array]:
    """What was found of the first m examples, where a mini-batch was filled up after them."""
    mean, *of_examples = found
    kept, y = jax.tree.map(lambda array: array[:m], (of_examples, y))
    return BatchGradient(mean, *kept), y


def parts(arrays: T) -> T:
    """Arrays (n, ...) as (devices, n / devices, ...), the last example repeated to fill them up."""
    devices = shares()

    def one(array: Array) -> Array:
        missing = -len(array) % devices
        widths = [(0, missing)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, widths, mode="edge").reshape(devices, -1, *array.shape[1:])

    return split(jax.tree.map(one, arrays))


def of_state(experiment: Experiment, state: T) -> T:
    """A state, or a part of it, where its arrays belong."""
    shards = experiment.training.shard == PARAMS
    return _placed(state, lambda shape: _spec(shape) if shards else PartitionSpec())


def on_all(found: T) -> T:
    """Results that every device has whole."""
    return _placed(found, lambda _: PartitionSpec())


def shaped(experiment: Experiment, state: T) -> T:
    """The shapes of a state with the places of its arrays, for a program to be compiled."""
    if shares() == 1:
        return state
    mesh, shards = jax.sharding.get_mesh(), experiment.training.shard == PARAMS

    def one(info: Any) -> Any:
        spec = _spec(info.shape) if shards else PartitionSpec()
        return jax.ShapeDtypeStruct(info.shape, info.dtype, sharding=NamedSharding(mesh, spec))

    return jax.tree.map(one, state)


def _spec(shape: tuple[int, ...]) -> PartitionSpec:
    """A large array is split along its first axis that has as many entries for each device."""
    if math.prod(shape) >= SPLIT_FROM:
        for axis, length in enumerate(shape):
            if length % shares() == 0:
                return PartitionSpec(*[None] * axis, AXIS)
    return PartitionSpec()


def _placed(tree: T, spec: Any) -> T:
    if shares() == 1:
        return tree
    return jax.tree.map(lambda a: jax.lax.with_sharding_constraint(a, spec(a.shape)), tree)
