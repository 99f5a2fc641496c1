"""What the words after `bpframe` do: train, and the subcommands."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, configure_log, run_job
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from bpframe.commands import console, plugins, sweeps, trust
from bpframe.commands import resume as resuming
from bpframe.commands.explanation import explain as explained
from bpframe.commands.resume import Resumed
from bpframe.configuration import (
    assembly,
    composition,
    hydra_internals,
    job_logging,
    schemas,
)
from bpframe.configuration.plugin_settings import plugin_settings
from bpframe.data import Data
from bpframe.errors import ConfigError, DivergenceError, OutputError, printable, unknown
from bpframe.files import check_no_link
from bpframe.plugin_host import host
from bpframe.plugin_host.events import PluginEvents
from bpframe.plugin_host.registry import Registry
from bpframe.runs import checkpoint, folder, loop
from bpframe.runs.checkpoint import Checkpointing
from bpframe.runs.folder import RunFolder, last_epoch, read_summary
from bpframe.runs.records import RunResult
from bpframe.screen import Screen
from bpframe.sweeps import objective
from bpframe.sweeps.backends.selection import SUBMITIT
from bpframe.sweeps.errors import FailedJobsError
from bpframe.sweeps.rows import OBJECTIVES, scalars
from bpframe.sweeps.session import Command, SweepTask
from bpframe.sweeps.sweepers import grid
from bpframe.training import advice, compilation, loading
from bpframe.training.experiment import Experiment
from bpframe.training.programs import scalar_columns

KEEPS_A_LEDGER = "vmap"
"""The launcher that looks after the sweep's folder itself."""


def train(arguments: list[str]) -> None:
    """Run one experiment, or whatever else Hydra's options ask for.

    A run or a sweep is composed and checked, data included, before its folder is made; so bad
    input leaves nothing behind. --cfg, --help, --info and completion are Hydra's own.
    """
    args = _parsed(_parser(), arguments)
    if args.multirun or _may_set_the_mode(args):
        args.overrides = grid.in_step(args.overrides)
    registry = _registry(args, trust.note)
    if args.shell_completion:
        _leave_subcommand_out()
    if any((args.help, args.hydra_help, args.cfg, args.info, args.shell_completion)):
        _hydra(args, registry)
    elif args.multirun or _sweeps(args, registry):
        _multirun(args, registry)
    else:
        _single(args, registry)


def explain(arguments: list[str]) -> None:
    """Print the algorithm as it stands for a configuration."""
    parser = _parser()
    parser.add_argument("--latex", action="store_true")
    args = _parsed(parser, arguments)
    if args.help:
        print(parser.format_help())
        return
    for name in ("run", "multirun", "cfg", "info", "hydra_help", "shell_completion", "resolve"):
        if getattr(args, name):
            raise ConfigError(
                f"command line: --{name.replace('_', '-')} does not go with explain; leave it out"
            )
    registry = _registry(args, trust.note)
    with composition.initialised(args.config_path, args.config_dir), registry.explaining():
        cfg = composition.compose_config(args.overrides, name=args.config_name)
        experiment = assembly.assemble(cfg, registry)
    print(printable(explained(experiment, latex=args.latex)))


def resume(arguments: list[str]) -> None:
    """Go on with a run, or finish a sweep."""
    found = resuming.parsed(arguments)
    if found.is_sweep:
        command = resuming.sweep(found)
        again = [text for text in command.overrides if not text.startswith("hydra.sweep.dir=")]
        folder = composition.quoted(str(found.folder))
        args = _parsed(_parser(), ["--multirun", *again, f"hydra.sweep.dir={folder}"])
        args.config_name, args.config_dir = command.config_name, command.config_dir
        args.config_path = Path(command.config_path) if command.config_path else None
        _multirun(args, _registry(args, found.trusting), resumed=found)
        return
    with resuming.scratch() as place:
        resuming.run(found, Path(place))
        args = _parsed(_parser(), ["--config-dir", place, *found.overrides])
        args.config_name = resuming.PRIMARY
        own = trust.code_of((), [place])
        registry = _registry(args, lambda code: found.trusting([c for c in code if c not in own]))
        with composition.initialised(None, place), registry.explaining():
            cfg = composition.compose_config(args.overrides, name=args.config_name)
            experiment = assembly.assemble(cfg, registry)
    _enter(cfg, found.folder)
    HydraConfig.instance().set_config(cfg)
    configure_log(cfg.hydra.job_logging, cfg.hydra.verbose)
    data = loading.load(experiment)
    task = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    resuming.note(found, OmegaConf.to_yaml(task))
    ended = read_summary(found.folder) or {"status": None}
    if ended["status"] != "completed" and checkpoint.latest(found.folder) is None:
        epochs = last_epoch(found.folder)
        print(f"{found.folder}: has no checkpoint; its {epochs} epochs are trained again")
    go_on = functools.partial(loop.resume, accept_changes=found.accepts_changes)
    _show(go_on, cfg, experiment, data, registry, found.folder, plots=cfg.plots is not False)


SUBCOMMANDS: Mapping[str, Callable[[list[str]], None]] = MappingProxyType(
    {
        "explain": explain,
        "plugins": plugins.plugins,
        "check": plugins.check,
        "new-plugin": plugins.new_plugin,
        "resume": resume,
        "report": sweeps.report,
    }
)


def _parser() -> ArgumentParser:
    def error(message: str) -> NoReturn:
        raise ConfigError(f"command line: {message}; see bpframe --help")

    parser = hydra_internals.argument_parser()
    parser.error = error
    return parser


def _parsed(parser: ArgumentParser, arguments: list[str]) -> Namespace:
    args = parser.parse_args(arguments)
    if args.experimental_rerun:
        raise ConfigError(
            "--experimental-rerun: is not for runs of bpframe; run one again with --config-path "
            "RUN/.hydra, or go on with bpframe resume RUN"
        )
    if args.config_name == "":
        raise ConfigError("--config-name: '' is no name of a config")
    # Hydra reads a relative --config-path from the program's own folder; users mean theirs.
    args.config_path = Path(args.config_path).absolute() if args.config_path else None
    for option, given in (("path", args.config_path), ("dir", args.config_dir)):
        if given and not Path(given).is_dir():
            raise ConfigError(f"--config-{option}: {Path(given).absolute()} is not a folder")
    return args


def _registry(args: Namespace, trusting: Callable[[list[str]], None]) -> Registry:
    """The registry for a command; `trusting` is told first which code the command names."""
    settings = plugin_settings(
        args.overrides,
        name=args.config_name,
        config_path=args.config_path,
        config_dir=args.config_dir,
    )
    folders = (args.config_path, args.config_dir)
    trusting(trust.code_of(settings.paths, folders, args.overrides))
    registry = schemas.store(host.load_registry(paths=settings.paths, prefer=settings.prefer))
    host.warn_of_faults(registry)
    return registry


def _may_set_the_mode(args: Namespace) -> bool:
    """Whether more than bpframe's own config is composed, which is never a sweep."""
    own = args.config_name is args.config_path is args.config_dir is None
    added = any(text.startswith(("+", "hydra.mode=")) for text in args.overrides)
    return added or not own


def _sweeps(args: Namespace, registry: Registry) -> bool:
    """Whether the composed config makes a sweep of it, by hydra.mode."""
    if not _may_set_the_mode(args):
        return False
    with composition.initialised(args.config_path, args.config_dir), registry.explaining():
        cfg = composition.compose_sweep(args.overrides, name=args.config_name)
    return cfg.hydra.mode is RunMode.MULTIRUN


def _leave_subcommand_out() -> None:
    """Hydra completes overrides, from COMP_LINE; the subcommand before them is not one."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split(maxsplit=2)
    if len(words) > 1 and words[1] in SUBCOMMANDS:
        os.environ["COMP_LINE"] = line.replace(f" {words[1]}", "", 1)


def _single(args: Namespace, registry: Registry) -> None:
    with composition.initialised(args.config_path, args.config_dir):
        with registry.explaining():
            cfg = composition.compose_config(args.overrides, name=args.config_name)
            experiment = assembly.assemble(cfg, registry)
        data = loading.load(experiment)
        with composition.translated():
            output_dir = Path(os.path.abspath(str(cfg.hydra.run.dir)))
        folder.check_unused(output_dir)
        _enter(cfg, output_dir)
        callbacks = _callbacks(cfg)
        taken = RunFolder(output_dir)  # before Hydra writes into it
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        callbacks.on_run_start(config=cfg, config_name=args.config_name)
        with folder.writing(output_dir):
            job = run_job(
                task_function=lambda cfg: _show(
                    loop.run, cfg, experiment, data, registry, taken, plots=cfg.plots is not False
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
    command = Command(tuple(args.overrides), args.config_name, path, args.config_dir)
    with composition.initialised(args.config_path, args.config_dir), registry.explaining():
        cfg = composition.compose_sweep(args.overrides, name=args.config_name)
        with composition.translated():
            sweep_dir = Path(str(cfg.hydra.sweep.dir)).absolute()
        _check_logging(cfg, sweep_dir)
        if cfg.hydra.runtime.choices["hydra/launcher"] != KEEPS_A_LEDGER:
            _check_sweep_folder(sweep_dir)
        if cfg.hydra.launcher.get("backend") == SUBMITIT:
            trusting = resumed.trusting if resumed else trust.note
            trusting(trust.results_of(sweep_dir))
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        callbacks = _callbacks(cfg)
        callbacks.on_multirun_start(config=cfg, config_name=args.config_name)
        task = SweepTask(
            lambda cfg: _job(cfg, registry),
            registry,
            command,
            callbacks=callbacks,
            resumes=resumed is not None,
            accepts_changes=resumed is not None and resumed.accepts_changes,
        )
        with composition.translated():
            try:
                sweeper = Plugins.instance().instantiate_sweeper(
                    config=cfg,
                    hydra_context=HydraContext(hydra.config_loader, callbacks),
                    task_function=task,
                )
            except RuntimeError as error:  # of Hydra: _target_ is no plugin
                raise ConfigError(f"hydra.sweeper and hydra.launcher: {error}") from error
            try:
                # As they were given: each job resolves its interpolations for itself.
                given = OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False)
                assert isinstance(given, list)
                sweeper.sweep(arguments=[str(text) for text in given])
            except BaseException:
                with contextlib.suppress(FailedJobsError):
                    task.close()
                raise
        task.close()
        callbacks.on_multirun_end(config=cfg, config_name=args.config_name)


def _callbacks(cfg: DictConfig) -> hydra_internals.Callbacks:
    """The callbacks of hydra.callbacks."""
    try:
        return hydra_internals.callbacks(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        reason = str(error).partition(", set env var")[0]
        raise ConfigError(f"hydra.callbacks: {reason}") from error


def _hydra(args: Namespace, registry: Registry) -> None:
    if args.cfg or args.help or args.info:  # errors in bpframe's words, while its groups are known
        with composition.initialised(args.config_path, args.config_dir), registry.explaining():
            cfg = composition.compose_config(args.overrides, name=args.config_name)
        package = args.package or "_global_"
        if package != "_global_" and OmegaConf.select(cfg, package) is None:
            raise ConfigError(f"--package: {package!r} is not in the config")
    with (
        registry.explaining(),
        composition.translated(),
        schemas.hydra_defaults(),
        _command_line(),
    ):
        hydra_internals.run_hydra(
            args=args,
            args_parser=_parser(),
            task_function=lambda cfg: _job(cfg, registry),
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


def _enter(cfg: DictConfig, output_dir: Path) -> None:
    """Note the run folder in the config; refuse links where Hydra would write into it.

    Raises:
        OutputError: a log file, or one of Hydra's own, is a link.

    """
    with open_dict(cfg.hydra):
        cfg.hydra.runtime.output_dir = str(output_dir)
    handlers = (_logging(cfg, output_dir).get("handlers") or {}).values()
    paths = [output_dir / str(handler["filename"]) for handler in handlers if "filename" in handler]
    if cfg.hydra.output_subdir is not None:
        own = Path(os.path.normpath(output_dir / str(cfg.hydra.output_subdir)))
        if output_dir not in own.parents:
            raise ConfigError(
                f"hydra.output_subdir: {str(cfg.hydra.output_subdir)!r} is not strictly inside the "
                f"run folder {output_dir}; give a name of its own"
            )
        paths += [own, *(own / f"{name}.yaml" for name in ("config", "hydra", "overrides"))]
    for path in paths:
        try:
            check_no_link(path)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}") from error


def _logging(cfg: DictConfig, output_dir: Path) -> dict[str, Any]:
    """The node hydra.job_logging of a job, resolved and checked."""
    with composition.translated():
        settings: Any = OmegaConf.to_container(cfg.hydra.job_logging, resolve=True)
        job_logging.check_verbose(cfg.hydra.verbose)
    job_logging.check(settings, output_dir)
    return settings


def _check_logging(master: DictConfig, sweep_dir: Path) -> None:
    """Check the node hydra.job_logging of a sweep as far as it is the same for all jobs."""
    cfg = copy.deepcopy(master)
    output_dir = sweep_dir / "0"
    with open_dict(cfg.hydra):
        cfg.hydra.job.id, cfg.hydra.job.num = "0", 0
        cfg.hydra.runtime.output_dir = str(output_dir)
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        _logging(cfg, output_dir)
    finally:
        HydraConfig.instance().cfg = before


def _job(cfg: DictConfig, registry: Registry) -> float | None:
    """One job of a multirun that runs its jobs one after another; its objective comes back."""
    experiment = assembly.assemble(cfg, registry)
    data = loading.load(experiment)
    wanted = objective.chosen(cfg.sweep)
    if data.train.middle is None:
        wanted = objective.for_regression(wanted, is_fixed=False)
    name = wanted.name
    if name not in OBJECTIVES:
        columns = scalar_columns(experiment, data)
        if name not in columns:
            raise unknown("sweep.objective", name, (*OBJECTIVES, *columns))
    result = _run(cfg, experiment, data, registry, plots=cfg.plots is True)
    return scalars(result.summary.as_dict(), result.history.last())[name]


def _run(
    cfg: DictConfig, experiment: Experiment, data: Data, registry: Registry, *, plots: bool
) -> RunResult:
    """Train in the folder that Hydra made for this job."""
    output_dir = Path(HydraConfig.get().runtime.output_dir)
    return _show(loop.run, cfg, experiment, data, registry, output_dir, plots=plots)


def _show(
    run: Callable[..., RunResult],
    cfg: DictConfig,
    experiment: Experiment,
    data: Data,
    registry: Registry,
    output_dir: Path | RunFolder,
    *,
    plots: bool,
) -> RunResult:
    """Begin a run or go on with it, and show how it goes."""
    screen = Screen()
    path = str(output_dir.path if isinstance(output_dir, RunFolder) else output_dir)
    compilation.use_cache()
    for hint in advice.hints(experiment, data):
        screen.print(hint, highlight=False, soft_wrap=True)
    try:
        with console.progress(screen, experiment.training.epochs) as on_epoch:
            result = run(
                experiment,
                output_dir,
                data=data,
                on_epoch=on_epoch,
                events=PluginEvents(registry),
                plots=plots,
                checkpointing=Checkpointing(**cfg.checkpoint),
            )
    except (DivergenceError, KeyboardInterrupt, SystemExit):
        console.show_folder(screen, path)
        raise
    console.show_result(screen, result, path)
    return result


def _check_sweep_folder(path: Path) -> None:
    """Refuse a folder that is in use."""
    if path.exists() and any(path.iterdir()):
        raise OutputError(f"{path}: is not empty; choose another hydra.sweep.dir")
