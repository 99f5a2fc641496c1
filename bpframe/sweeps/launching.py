"""hydra/launcher=vmap: trains jobs of bpframe together, runs those of other programs one by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from bpframe.configuration import hydra_internals
from bpframe.sweeps.backends import selection
from bpframe.sweeps.session import SweepTask
from bpframe.training import compilation

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]


def launcher(
    context: HydraContext, task: TaskFunction, config: DictConfig, settings: Mapping[str, Any]
) -> tuple[Launch, bool]:
    """The function that launches a batch, and whether it checks all jobs of it itself.

    Raises:
        ConfigError: a setting is out of range; see `backends.check`.

    """
    if not isinstance(task, SweepTask):
        basic = hydra_internals.basic_launcher()
        basic.setup(hydra_context=context, task_function=task, config=config)
        return basic.launch, False
    selection.check(settings)
    if selection.trains_here(settings):
        compilation.use_cache()
        use_all_cores()
    else:
        # The driver only traces, and that on the CPU; the memory of a GPU is its workers'.
        jax.config.update("jax_platforms", "cpu")

    def launch(batch: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        sweep = task.sweep(config, context.config_loader, most=settings["lanes"])
        return sweep.launch(batch, first)

    return launch, True


def use_all_cores() -> None:
    """Make each core of the CPU a device, unless the user has said how many there are.

    JAX takes it only before its first computation; after that there is what there is.
    """
    named = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if named or jax.config.values["jax_num_cpu_devices"] != -1:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        jax.config.update("jax_num_cpu_devices", cores or 1)
    except RuntimeError:
        return
