"""What the words after `bpframe` do: train, and the subcommands."""

from __future__ import annotations

import contextlib
import functools
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus, configure_log, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf, open_dict

from bpframe.commands import arguments, overview, run, saved
from bpframe.commands import resume as resuming
from bpframe.commands.resume import Resumed
from bpframe.configuration import (
    assembly,
    composition,
    hydra_internals,
    saved_runs,
    schemas,
    suggestions,
    trackers,
    trust,
)
from bpframe.configuration.translation import translated
from bpframe.errors import ConfigError, printable
from bpframe.explanation.algorithm import explain as explained
from bpframe.plugin_host.events import PluginEvents, events_of
from bpframe.plugin_host.registry import Registry
from bpframe.runs import checkpoint, folder, loop
from bpframe.runs.folder import RunFolder, last_epoch
from bpframe.runs.layout import read_summary
from bpframe.sweeps.multirun import callbacks as made_callbacks
from bpframe.sweeps.multirun import multirun
from bpframe.sweeps.session import Command
from bpframe.sweeps.sweepers import grid
from bpframe.training import hosts, loading


def train(words: list[str]) -> None:
    """Run one experiment, or whatever else Hydra's options ask for.

    A run or a sweep is composed and checked, data included, before its folder is made; so bad
    input leaves nothing behind. --cfg, --info and --hydra-help are Hydra's own.
    """
    args = arguments.parsed(words)
    if args.multirun or _may_set_the_mode(args):
        args.overrides = grid.in_step(args.overrides)
    registry = arguments.registry(args, trust.note)
    if args.help:
        _help(args, registry)
    elif any((args.hydra_help, args.cfg, args.info)):
        _hydra(args, registry)
    elif args.multirun or _sweeps(args, registry):
        _multirun(args, registry)
    else:
        _single(args, registry)


_EXPLAIN_HELP = """usage: bpframe explain [--latex] [OPTIONS] [OVERRIDES]

Print the algorithm that `bpframe [OVERRIDES]` would run, equation by equation.

options:
  --latex                   print the equations as LaTeX
  --config-name, -cn NAME   another primary config than config
  --config-path, -cp FOLDER the folder of the primary config
  --config-dir, -cd FOLDER  a folder of configs besides bpframe's own"""


def explain(words: list[str]) -> None:
    """Print the algorithm as it stands for a configuration."""
    args = arguments.parsed(words, explain_parser())
    if args.help:
        print(_EXPLAIN_HELP)
        return
    for name in ("run", "multirun", "cfg", "info", "hydra_help", "shell_completion", "resolve"):
        if getattr(args, name):
            raise ConfigError(
                f"command line: --{name.replace('_', '-')} does not go with explain; leave it out"
            )
    registry = arguments.registry(args, trust.note)
    with (
        composition.initialised(args.config_path, args.config_dir),
        suggestions.explaining(registry),
    ):
        cfg = composition.compose_config(args.overrides, name=args.config_name)
        experiment = assembly.assemble(cfg, registry)
    print(printable(explained(experiment, rule_name=cfg.learning_rule.name, latex=args.latex)))


def explain_parser() -> ArgumentParser:
    """What reads the words after `bpframe explain`."""
    made = arguments.parser()
    made.add_argument("--latex", action="store_true")
    return made


def resume(words: list[str]) -> None:
    """Go on with a run, or finish a sweep."""
    found = resuming.parsed(words)
    if found.is_sweep:
        command = resuming.sweep(found)
        again = [text for text in command.overrides if not text.startswith("hydra.sweep.dir=")]
        sweep_dir = composition.quoted(str(found.folder))
        args = arguments.parsed(["--multirun", *again, f"hydra.sweep.dir={sweep_dir}"])
        args.config_name, args.config_dir = command.config_name, command.config_dir
        args.config_path = Path(command.config_path) if command.config_path else None
        _multirun(args, arguments.registry(args, found.trusting), resumed=found)
        return
    cfg, registry, experiment = saved_runs.composed(
        found.folder, found.overrides, trusting=found.trusting
    )
    events = PluginEvents(registry, trackers.tracking(cfg, registry))
    run.enter(cfg, found.folder)
    HydraConfig.instance().set_config(cfg)
    with folder.writing(found.folder):
        configure_log(cfg.hydra.job_logging, cfg.hydra.verbose)
    data = loading.load(experiment)
    if not hosts.is_first():
        loop.resume(experiment, found.folder, data=data, accept_changes=found.accepts_changes)
        return
    read_summary(found.folder)  # a damaged one is told of first
    epochs = last_epoch(found.folder)
    if checkpoint.latest(found.folder) is None and epochs < experiment.training.epochs:
        print(f"{found.folder}: has no checkpoint; its {epochs} epochs are trained again")
    config = saved_runs.changed_files(found.folder, cfg, found.overrides)
    go_on = functools.partial(loop.resume, accept_changes=found.accepts_changes, config=config)
    run.show(go_on, cfg, experiment, data, events, found.folder, plots=cfg.plots is not False)


def rerun(words: list[str]) -> None:
    """Run the configuration of a run once more."""
    saved.rerun(words, train)


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
        with translated():
            output_dir = Path(os.path.abspath(str(cfg.hydra.run.dir)))
        folder.check_unused(output_dir)
        run.enter(cfg, output_dir)
        callbacks = made_callbacks(cfg)
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


def _multirun(args: Namespace, registry: Registry, resumed: Resumed | None = None) -> None:
    path = str(args.config_path) if args.config_path else None
    events = events_of(registry)
    multirun(
        Command(tuple(args.overrides), args.config_name, path, args.config_dir),
        registry,
        lambda cfg: run.job(cfg, registry, events),
        trusting=resumed.trusting if resumed else trust.note,
        resumes=resumed is not None,
        accepts_changes=resumed is not None and resumed.accepts_changes,
    )


def _hydra(args: Namespace, registry: Registry) -> None:
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
