"""What `bpframe` does without a subcommand: train, or what Hydra's options ask for."""

from __future__ import annotations

import contextlib
import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf, open_dict

from bpframe.commands import arguments, overview, run
from bpframe.configuration import (
    assembly,
    composition,
    hydra_internals,
    schemas,
    suggestions,
    trackers,
    trust,
)
from bpframe.configuration.translation import translated
from bpframe.errors import ConfigError
from bpframe.plugin_host.events import PluginEvents, events_of
from bpframe.plugin_host.registry import Registry
from bpframe.runs import folder, loop
from bpframe.runs.folder import RunFolder
from bpframe.training import hosts, loading


def train(words: list[str]) -> None:
    """Run one experiment, or whatever else Hydra's options ask for.

    A run or a sweep is composed and checked, data included, before its folder is made; so bad
    input leaves nothing behind. --cfg, --info and --hydra-help are Hydra's own.
    """
    args = arguments.parsed(words)
    if args.multirun or _may_set_the_mode(args):
        from bpframe.sweeps.sweepers.grid import in_step  # a single run needs nothing of sweeps

        args.overrides = in_step(args.overrides)
    registry = arguments.registry(args, trust.note)
    if args.help:
        _help(args, registry)
    elif any((args.hydra_help, args.cfg, args.info)):
        _hydra(args, registry)
    elif args.multirun or _sweeps(args, registry):
        from bpframe.commands import multirun

        multirun.launch(args, registry)
    else:
        _single(args, registry)


def _may_set_the_mode(args: Namespace) -> bool:
    """Whether more than bpframe's own config is composed, which is never a sweep."""
    own = args.config_name is args.config_path is args.config_dir is None
    added = any(text.startswith(("+", "hydra.mode=")) for text in args.overrides)
    return added or not own


def _sweeps(args: Namespace, registry: Registry) -> bool:
    """Whether the composed config makes a sweep of it, by hydra.mode."""
    if not _may_set_the_mode(args):
        return False
    with (
        composition.initialised(args.config_path, args.config_dir),
        suggestions.explaining(registry),
    ):
        cfg = composition.compose_sweep(args.overrides, name=args.config_name)
    return cfg.hydra.mode is RunMode.MULTIRUN


@contextlib.contextmanager
def _initialised(args: Namespace, registry: Registry) -> Iterator[None]:
    """Hydra for a command line, with errors in the words of bpframe."""
    with (
        composition.initialised(args.config_path, args.config_dir),
        suggestions.explaining(registry),
    ):
        yield


def _help(args: Namespace, registry: Registry) -> None:
    with _initialised(args, registry):
        cfg = composition.compose_config(args.overrides, name=args.config_name)
        groups = {group: composition.options(group) for group in composition.groups()}
    with open_dict(cfg):
        del cfg.hydra
    print(overview.text(groups, OmegaConf.to_yaml(cfg)))


def _single(args: Namespace, registry: Registry) -> None:
    with composition.initialised(args.config_path, args.config_dir):
        with suggestions.explaining(registry):
            cfg = composition.compose_config(args.overrides, name=args.config_name)
            experiment = assembly.assemble(cfg, registry)
            events = PluginEvents(registry, trackers.tracking(cfg, registry))
        data = loading.load(experiment)
        if not hosts.is_first():
            loop.run(experiment, data=data)
            return
        with hosts.refusing():
            with translated():
                output_dir = Path(os.path.abspath(str(cfg.hydra.run.dir)))
            folder.check_unused(output_dir)
            run.enter(cfg, output_dir)
            callbacks = hydra_internals.callbacks(cfg)
            taken = RunFolder(output_dir)  # before Hydra writes into it
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        callbacks.on_run_start(config=cfg, config_name=args.config_name)
        with folder.writing(output_dir):
            job = run_job(
                task_function=lambda cfg: run.show(
                    loop.run, cfg, experiment, data, events, taken, plots=cfg.plots is not False
                ),
                config=cfg,
                job_dir_key="hydra.run.dir",
                job_subdir_key=None,
                hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=callbacks),
            )
        callbacks.on_run_end(config=cfg, config_name=args.config_name, job_return=job)
    if job.status is not JobStatus.COMPLETED:
        raise hydra_internals.returned(job)


def _hydra(args: Namespace, registry: Registry) -> None:
    if args.config_name is None:
        args.overrides = [*args.overrides, *composition.suited(args.overrides)]
    if args.cfg or args.info:  # errors in bpframe's words, while its groups are known
        with (
            composition.initialised(args.config_path, args.config_dir),
            suggestions.explaining(registry),
        ):
            cfg = composition.compose_config(args.overrides, name=args.config_name)
        package = args.package or "_global_"
        if package != "_global_" and OmegaConf.select(cfg, package) is None:
            raise ConfigError(f"--package: {package!r} is not in the config")
    with (
        suggestions.explaining(registry),
        translated(),
        schemas.hydra_defaults(),
        _command_line(),
    ):
        hydra_internals.run_hydra(
            args=args,
            args_parser=arguments.parser(),
            task_function=lambda cfg: run.job(cfg, registry, events_of(registry)),
            config_path=str(args.config_path or schemas.directory()),
            config_name=args.config_name or composition.CONFIG_NAME,
        )


@contextlib.contextmanager
def _command_line() -> Iterator[None]:
    """Hydra's own options do not go together, or what they are given is not known."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"command line: {error}; see bpframe --help") from error
