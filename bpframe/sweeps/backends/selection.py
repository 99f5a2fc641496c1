"""Where the units of a sweep are trained: hydra.launcher.backend."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hydra_plugins.bpframe import VmapLauncherConf
from omegaconf import OmegaConf

from bpframe.errors import ConfigError, unknown
from bpframe.plugin_host.events import events_of
from bpframe.plugin_host.registry import Registry
from bpframe.sweeps.backends.backend import Backend
from bpframe.sweeps.backends.cluster import Cluster
from bpframe.sweeps.backends.in_process import InProcess
from bpframe.sweeps.backends.messages import WorkerSettings
from bpframe.sweeps.backends.processes import Processes
from bpframe.sweeps.backends.submitit_parameters import Parameters

HERE, PROCESSES, SUBMITIT = "here", "processes", "submitit"
BACKENDS = (HERE, PROCESSES, SUBMITIT)


class SweepContext(NamedTuple):
    """What a backend needs to know of its sweep; see `WorkerSettings` for what workers are told."""

    registry: Registry
    environment: Mapping[str, str]
    logging: Mapping[str, Any]
    folder: Path


def check(launcher: Mapping[str, Any]) -> None:
    """Look at the node hydra.launcher before anything is done.

    Raises:
        ConfigError: a setting is out of range or has no effect, or submitit is not installed or
            refuses it.

    """
    name, lanes = launcher["backend"], launcher["lanes"]
    if name not in BACKENDS:
        raise unknown("hydra.launcher.backend", name, BACKENDS)
    if lanes is not None and lanes < 1:
        raise ConfigError(f"hydra.launcher.lanes: {lanes} is out of range; allowed: >= 1")
    if name == SUBMITIT:
        _parameters(launcher)
    else:
        _check_without_parameters(launcher)


def trains_here(launcher: Mapping[str, Any]) -> bool:
    """Whether the driver itself is to have the devices."""
    return launcher["backend"] == HERE


def backend(launcher: Mapping[str, Any], lanes: int | None, context: SweepContext) -> Backend:
    """The backend that the node hydra.launcher names; a unit holds at most `lanes` jobs.

    Raises:
        ConfigError: see `check`.

    """
    check(launcher)
    if trains_here(launcher):
        return InProcess(lanes, events_of(context.registry))
    if launcher["backend"] == PROCESSES:
        return Processes(lanes, _worker_settings(context))
    return Cluster(lanes, _parameters(launcher), _worker_settings(context), context.folder)


def _parameters(launcher: Mapping[str, Any]) -> Parameters:
    return Parameters(_given(launcher))


def _check_without_parameters(launcher: Mapping[str, Any]) -> None:
    """Refuse parameters for submitit where it is not used."""
    defaults = VmapLauncherConf().submitit
    for key, value in _given(launcher).items():
        if key not in defaults or value != defaults[key]:
            raise ConfigError(
                f"hydra.launcher.submitit.{key}: {value!r} has no effect with hydra.launcher."
                f"backend={launcher['backend']}; set hydra.launcher.backend={SUBMITIT}, or leave "
                f"{key} out"
            )


def _given(launcher: Mapping[str, Any]) -> Mapping[str, Any]:
    node = launcher["submitit"]
    given: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    return given


def _worker_settings(context: SweepContext) -> WorkerSettings:
    """What workers need to know of the driver; they find installed plugins for themselves."""
    plugins = context.registry.plugins
    own = {name: text for name, text in os.environ.items() if name.startswith("BPFRAME_")}
    return WorkerSettings(
        paths=tuple(p.origin for p in plugins if p.file and not p.distribution and not p.is_given),
        prefer=context.registry.prefer,
        folder=os.getcwd(),
        environment={**own, **context.environment},
        logging=context.logging,
    )
