"""One run from the shell: its folder, what it prints, and the objective of a job."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from bpframe.configuration import assembly, job_logging, trackers
from bpframe.data import Data
from bpframe.errors import (
    ConfigError,
    DivergenceError,
    OutputError,
    OutputWarning,
    described,
    unknown,
)
from bpframe.files import check_no_link
from bpframe.plugin_host.registry import Registry
from bpframe.runs import console, curves, examples, loop
from bpframe.runs.checkpoint import Checkpointing
from bpframe.runs.folder import RunFolder
from bpframe.runs.layout import PAGE
from bpframe.runs.listeners import Events, EventsOf
from bpframe.runs.records import RunResult
from bpframe.runs.screen import Screen
from bpframe.sweeps import objective
from bpframe.sweeps.rows import OBJECTIVES, scalars
from bpframe.training import advice, answers, compilation, loading
from bpframe.training.experiment import Experiment
from bpframe.training.programs import scalar_columns


def enter(cfg: DictConfig, output_dir: Path) -> None:
    """Note the run folder in the config; refuse links where Hydra would write into it.

    Raises:
        OutputError: a log file, or one of Hydra's own, is a link.

    """
    with open_dict(cfg.hydra):
        cfg.hydra.runtime.output_dir = str(output_dir)
    handlers = (job_logging.of_job(cfg, output_dir).get("handlers") or {}).values()
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


def job(cfg: DictConfig, registry: Registry, events: EventsOf) -> float | None:
    """One job of a multirun that runs its jobs one after another; its objective comes back."""
    experiment = assembly.assemble(cfg, registry)
    data = loading.load(experiment)
    wanted = objective.chosen(cfg.sweep)
    name = objective.fitting(wanted, has_accuracy=data.task.has_accuracy).name
    if name not in OBJECTIVES:
        columns = scalar_columns(experiment, data)
        if name not in columns:
            raise unknown("sweep.objective", name, (*OBJECTIVES, *columns))
    hydra = HydraConfig.get()
    sweep = Path(str(hydra.sweep.dir)).absolute()
    told = events(trackers.tracking(cfg, registry, sweep))
    output_dir = Path(hydra.runtime.output_dir)  # Hydra has made it
    result = show(loop.run, cfg, experiment, data, told, output_dir, plots=cfg.plots is True)
    return scalars(result.summary.as_dict(), result.history.last())[name]


def show(
    run: Callable[..., RunResult],
    cfg: DictConfig,
    experiment: Experiment,
    data: Data,
    events: Events,
    output_dir: Path | RunFolder,
    *,
    plots: bool,
) -> RunResult:
    """Begin a run or go on with it, and show how it goes."""
    screen = Screen()
    path = str(output_dir.path if isinstance(output_dir, RunFolder) else output_dir)
    compilation.use_cache()
    if plots:
        curves.import_early()
    for hint in advice.hints(experiment, data):
        screen.print(hint, highlight=False, soft_wrap=True)
    try:
        with console.progress(screen, experiment.training.epochs) as on_epoch:
            result = run(
                experiment,
                output_dir,
                data=data,
                on_epoch=on_epoch,
                events=events,
                plots=plots,
                checkpointing=Checkpointing(**cfg.checkpoint),
            )
        if cfg.show:
            _page(Path(path), experiment, data, result, cfg.learning_rule.name)
    except (DivergenceError, KeyboardInterrupt, SystemExit):
        if cfg.show:
            _write_page(Path(path))
        console.show_folder(screen, path)
        raise
    ready = experiment.fitted(len(data.train))
    rmse = answers.rmse(ready, result.params, data.test, data.task)
    console.show_result(screen, result, path, rmse)
    accuracy, cost = result.history.validation_accuracy[-1], result.history.validation_cost[-1]
    if not accuracy > 0.5 and (hint := advice.worse_than_constant(experiment, data, cost)):
        screen.print(hint, highlight=False, soft_wrap=True)
    return result


def _page(
    folder: Path, experiment: Experiment, data: Data, result: RunResult, rule_name: str
) -> None:
    """Write the page of a run that has ended, with its worst examples."""
    try:
        examples.write(folder, experiment, result.params, data, rule_name=rule_name)
    except Exception as error:  # the run is written, and does not depend on its page
        text = f"{folder / PAGE}: without examples: {described(error)}"
        warnings.warn(text, OutputWarning, stacklevel=2)
    _write_page(folder)


def _write_page(folder: Path) -> None:
    from bpframe.runs.page import page  # for those who ask for it alone

    page.wanted(folder)
