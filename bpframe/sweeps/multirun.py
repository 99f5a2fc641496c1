"""One sweep from its command to its results, through Hydra's sweeper and launcher."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from bpframe.configuration import (
    composition,
    hydra_internals,
    job_logging,
    suggestions,
    trust,
)
from bpframe.configuration.translation import translated
from bpframe.errors import ConfigError, OutputError
from bpframe.plugin_host.registry import Registry
from bpframe.runs import folder
from bpframe.sweeps.backends.selection import SUBMITIT
from bpframe.sweeps.errors import FailedJobsError
from bpframe.sweeps.session import Command, SweepTask

KEEPS_A_LEDGER = "vmap"
"""The launcher that looks after the sweep's folder itself."""

RunOne = Callable[[DictConfig], float | None]


def multirun(
    command: Command,
    registry: Registry,
    run_one: RunOne | None,
    *,
    console: Console | None = None,
    trusting: Callable[[list[str]], None] = trust.note,
    resumes: bool = False,
    accepts_changes: bool = False,
) -> Path:
    """Run a sweep, and return its folder.

    Args:
        command: what begins it.
        registry: all components.
        run_one: runs a job of a launcher that runs them one after another; None: such a launcher is
            refused.
        console: where it shows how it goes; the terminal unless said.
        trusting: is told of results that are code, before they are read.
        resumes: whether its folder holds a part of it.
        accepts_changes: whether it may go on with other code or data than it began with.

    Raises:
        ConfigError: it cannot be composed.
        FailedJobsError: some jobs did not complete; the others are written.
        OutputError: its folder is not free, or cannot be written.

    """
    config_path = Path(command.config_path) if command.config_path else None
    for text in command.overrides:
        if text.startswith("hydra.run.dir="):
            raise ConfigError(f"{text}: is of single runs; of a sweep set hydra.sweep.dir")
    with (
        composition.initialised(config_path, command.config_dir),
        suggestions.explaining(registry),
    ):
        cfg = composition.compose_sweep(command.overrides, name=command.config_name)
        with translated():
            sweep_dir = Path(str(cfg.hydra.sweep.dir)).absolute()
        job_logging.check_sweep(cfg, sweep_dir)
        writing: AbstractContextManager[None] = contextlib.nullcontext()
        launcher = cfg.hydra.runtime.choices["hydra/launcher"]
        if launcher != KEEPS_A_LEDGER:
            if run_one is None:
                raise ConfigError(
                    f"hydra/launcher={launcher}: a sweep from Python is run by hydra/launcher="
                    f"{KEEPS_A_LEDGER}; leave it out, or begin the sweep on the command line"
                )
            _check_unused(sweep_dir)
            writing = folder.writing(sweep_dir)
        if cfg.hydra.launcher.get("backend") == SUBMITIT:
            trusting(trust.results_of(sweep_dir))
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        told = hydra_internals.callbacks(cfg)
        told.on_multirun_start(config=cfg, config_name=command.config_name)
        task = SweepTask(
            *(run_one, registry, command),
            callbacks=told,
            resumes=resumes,
            accepts_changes=accepts_changes,
            console=console,
        )
        with translated():
            try:
                sweeper = Plugins.instance().instantiate_sweeper(
                    config=cfg,
                    hydra_context=HydraContext(hydra.config_loader, told),
                    task_function=task,
                )
            except RuntimeError as error:  # of Hydra: _target_ is no plugin
                raise ConfigError(f"hydra.sweeper and hydra.launcher: {error}") from error
            try:
                # As they were given: each job resolves its interpolations for itself.
                given = OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False)
                assert isinstance(given, list)
                with writing:
                    sweeper.sweep(arguments=[str(text) for text in given])
            except BaseException:
                with contextlib.suppress(FailedJobsError):
                    task.close()
                raise
        try:
            task.close()
        finally:
            told.on_multirun_end(config=cfg, config_name=command.config_name)
    return sweep_dir


def _check_unused(path: Path) -> None:
    """Refuse a folder that is in use."""
    if path.exists() and any(path.iterdir()):
        raise OutputError(f"{path}: is not empty; choose another hydra.sweep.dir")
