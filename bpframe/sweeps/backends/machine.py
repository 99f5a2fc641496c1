"""The devices of this machine, found without taking them."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from typing import NamedTuple

from bpframe.errors import ConfigError

_PROBE = """
import jax
devices = jax.devices()
memory = (devices[0].memory_stats() or {}).get("bytes_limit", 2**33)
print(devices[0].platform, len(devices), memory)
"""


class Machine(NamedTuple):
    """The devices of this machine, each for a process; `memory` is what each has, in bytes."""

    platform: str
    devices: int
    memory: int


def machine_for(device: str) -> Machine:
    """The devices of this machine for an experiment's `training.device`.

    Raises:
        ConfigError: there is none, or it cannot be shared between processes.

    """
    machine = _cpu() if device == "cpu" else _machine()
    if device not in ("auto", machine.platform):
        raise ConfigError(
            f"training.device: JAX has no device for {device!r} here; set training.device=auto or "
            "cpu, or install the JAX that supports the device"
        )
    if machine.platform not in ("cpu", "gpu"):
        raise ConfigError(
            f"hydra.launcher.backend: processes cannot divide the devices of {machine.platform}; "
            "set here"
        )
    return machine


@functools.cache
def _machine() -> Machine:
    """What JAX finds here, asked in another process: one that starts JAX takes a GPU's memory."""
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    if not plugins and not any(map(importlib.util.find_spec, ("jax_plugins", "libtpu"))):
        return _cpu()
    command = [sys.executable, "-P", "-c", _PROBE]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        reason = found.stderr.strip().rpartition("\n")[2]
        raise ConfigError(f"training.device: JAX finds no device here: {reason}")
    platform, devices, memory = found.stdout.split()
    return _cpu() if platform == "cpu" else Machine(platform, int(devices), int(memory))


def _cpu() -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine("cpu", len(cores()), memory // len(cores()))


def cores() -> list[int]:
    """The cores of the CPU that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
