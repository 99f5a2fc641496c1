"""hydra/launcher=vmap: trains jobs of bpframe together, runs those of other programs one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from bpframe.configuration import hydra_internals
from bpframe.sweeps.backends import selection
from bpframe.sweeps.session import SweepTask
from bpframe.training import compilation, parallel

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
        parallel.make_cores_devices()
    else:
        # The driver only traces, and that on the CPU; the memory of a GPU is its workers'.
        jax.config.update("jax_platforms", "cpu")

    def launch(batch: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        sweep = task.sweep(config, context.config_loader, most=settings["lanes"])
        return sweep.launch(batch, first)

    return launch, True
