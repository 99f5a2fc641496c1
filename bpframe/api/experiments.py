"""Compose an experiment, run it, go on with it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bpframe import checks
from bpframe.api.given import GivenData, given_folder, given_overrides, with_data
from bpframe.api.showing import shown
from bpframe.configuration import (
    assembly,
    composition,
    disassembly,
    saved_runs,
    schemas,
    suggestions,
    trust,
)
from bpframe.configuration import trackers as tracking
from bpframe.configuration.plugin_settings import plugin_settings
from bpframe.data import Data
from bpframe.errors import AdviceWarning, ConfigError, DataError, OutputWarning, plainly
from bpframe.plugin_host import host
from bpframe.plugin_host.events import PluginEvents
from bpframe.plugin_host.registry import Registry
from bpframe.runs import loop
from bpframe.runs.bookkeeping import OnEpoch
from bpframe.runs.checkpoint import DEFAULT, Checkpointing
from bpframe.runs.records import RunResult
from bpframe.runs.trackers import Tracker
from bpframe.sweeps import ledger
from bpframe.tables.in_memory import InMemory
from bpframe.training import advice, loading
from bpframe.training.experiment import Experiment

_OF_RUNS = ("checkpoint.", "checkpoint=", "plots=", "trackers=")
_OF_HYDRA = ("hydra.", "hydra/")


@plainly
def compose(
    overrides: Sequence[str] = (),
    *,
    config_name: str | None = None,
    config_dir: str | Path | None = None,
    plugins: Iterable[object] = (),
    data: Any = None,
    target: str | Sequence[str] | None = None,
) -> Experiment:
    """The experiment that `bpframe [overrides]` would run.

    Args:
        overrides: what stands after `bpframe` on the command line, such as "optimiser.eta=0.1".
        data: examples in memory, in place of a data set: arrays (x, y), a frame (pandas, polars, or
            columns by name), or `bpframe.Data` with its three splits. Classes may be text or
            numbers. Settings are those of data=csv, such as "data.validation=0.2".
        target: which column of a frame is to be answered, or which columns.
        config_name: another primary config than `config`.
        config_dir: a folder of configs besides bpframe's own, as `--config-dir`.
        plugins: modules or objects with hooks, besides the installed plugins.

    Raises:
        ConfigError: an unknown name or key, a wrong type, a value out of range, or parts that
            cannot go together.
        DataError: `data` cannot be trained on.
        PluginError: one of `plugins` breaks its contract.

    """
    plugins, overrides = with_data(plugins, given_overrides(overrides), data, target)
    extra = str(config_dir) if config_dir is not None else None
    if extra is not None and not Path(extra).is_dir():
        raise ConfigError(f"config_dir: {Path(extra).absolute()} is not a folder")
    paths, prefer = plugin_settings(overrides, name=config_name, config_dir=extra)
    registry = schemas.store(host.load_registry(plugins, paths=paths, prefer=prefer))
    host.warn_of_faults(registry)
    with composition.initialised(config_dir=extra), suggestions.explaining(registry):
        composition.check_single(overrides)
        config = composition.compose_config(overrides, name=config_name)
        experiment = assembly.assemble(config, registry)
    for text in overrides:
        if text.lstrip("+~").startswith("show="):
            raise ConfigError(
                f"{text}: is no part of an experiment; bpframe show RUN writes the page of a run"
            )
        if text.lstrip("+~").startswith(_OF_RUNS):
            raise ConfigError(
                f"{text}: is no part of an experiment; give it to bpframe.run, as checkpointing, "
                "plots or trackers"
            )
        if text.lstrip("+~").startswith(_OF_HYDRA):
            raise ConfigError(
                f"{text}: is of commands, and does nothing here; leave it out, and give "
                "bpframe.run the folder as output_dir"
            )
    return experiment


@plainly
def run(
    experiment: Experiment,
    output_dir: str | Path | None = None,
    *,
    data: Data | None = None,
    on_epoch: OnEpoch | None = None,
    plugins: Iterable[object] = (),
    checkpointing: Checkpointing = DEFAULT,
    plots: bool = True,
    trackers: Sequence[str | Mapping[str, Any] | Tracker] = (),
    progress: bool | None = None,
) -> RunResult:
    """Train, and evaluate on the test set at the end.

    Args:
        experiment: what to run, as `compose` assembles it.
        output_dir: the run folder to write, as `bpframe` writes it; nothing is written without.
        data: the data to use instead of loading the experiment's.
        on_epoch: called with the record of each epoch.
        plugins: modules or objects with event hooks, besides the installed plugins.
        checkpointing: when checkpoints are written into `output_dir`, as the node `checkpoint`.
        plots: whether to draw the learning curves into `output_dir`.
        trackers: where the run is shown besides `output_dir`, which it then must have: names as
            in a config, {"name": NAME, field: value}, and instances.
        progress: whether to show how it goes; unset, in a notebook alone.

    Raises:
        ConfigError: the experiment does not fit its data, or a tracker is unknown or cannot work.
        DataError: the data cannot be loaded.
        DivergenceError: a value is not finite; the run folder then holds the last finite
            parameters and a summary with the status "diverged".
        OutputError: `output_dir` holds a run already, or cannot be written.
        PluginError: one of `plugins` breaks its contract.

    """
    checks.check_kind(experiment, Experiment, "experiment")
    if output_dir is not None:
        output_dir = given_folder(output_dir, "output_dir")
    if data is not None and not isinstance(data, Data):
        raise DataError(
            f"data: is {type(data).__name__}; expected bpframe.Data(train, validation, test), or "
            "give it to bpframe.compose, as data=(x, y)"
        )
    if isinstance(experiment.data, InMemory):
        plugins = [*plugins, GivenData(type(experiment.data))]
    registry = host.load_registry(plugins, paths=disassembly.files_of(experiment))
    followed_by = _ready(trackers, registry, output_dir)
    config: dict[str, str] = {}
    if output_dir is not None:
        try:
            config = disassembly.config_files(
                experiment,
                registry,
                checkpointing,
                plots=plots,
                has_own_data=data is not None or isinstance(experiment.data, InMemory),
                followed_by=followed_by,
            )
        except ConfigError as error:
            text = f"{output_dir}: is written without a configuration, so that bpframe resume "
            warnings.warn(f"{text}cannot go on with it: {error}", OutputWarning, stacklevel=3)
    if data is not None or isinstance(experiment.data, InMemory):
        data = _advised(experiment, data)
    with shown(progress, experiment.training.epochs, on_epoch) as told:
        return loop.run(
            experiment,
            output_dir,
            data=data,
            on_epoch=told,
            events=PluginEvents(registry, tracking.of_config(followed_by, _settings(config))),
            plots=plots,
            checkpointing=checkpointing,
            config=config,
        )


def _advised(experiment: Experiment, data: Data | None) -> Data:
    """Data given in Python, as they are trained on; what may not be meant of them is a warning."""
    found = loading.load(experiment) if data is None else loading.fitting(experiment.data, data)
    for hint in advice.odd(experiment, found):
        warnings.warn(hint, AdviceWarning, stacklevel=4)  # of who calls `run`
    return found


@plainly
def resume(
    run_dir: str | Path,
    overrides: Sequence[str] = (),
    *,
    data: Any = None,
    target: str | Sequence[str] | None = None,
    on_epoch: OnEpoch | None = None,
    plugins: Iterable[object] = (),
    accept_changes: bool = False,
    trusted: bool = False,
    progress: bool | None = None,
) -> RunResult:
    """Go on with a run from its last checkpoint, as `bpframe resume` does.

    Args:
        run_dir: the folder of the run.
        overrides: `training.epochs`, and settings of `checkpoint`.
        data: the examples, of a run whose data were given in Python; see `compose`.
        target: likewise.
        on_epoch: called with the record of each epoch.
        plugins: modules or objects with hooks, besides the installed plugins.
        accept_changes: whether code, data and versions may be others than before.
        trusted: whether plugins that the folder names may be imported, though no command or program
            of this user has.
        progress: whether to show how it goes; unset, in a notebook alone.

    Raises:
        BpframeError: see `run`.
        OutputError: there is no run, it is complete or still running, or its checkpoint is damaged.

    """
    folder, words = given_folder(run_dir, "run_dir").absolute(), given_overrides(overrides)
    ledger.check_no_sweep(folder)
    saved_runs.check_run(folder)
    saved_runs.check_changes(words)
    more, _ = with_data(plugins, [], data, target)
    with contextlib.chdir(Path.cwd()):
        found = saved_runs.composed(
            folder,
            words,
            trusting=trust.note if trusted else trust.checking(folder, words),
            plugins=more,
            given=data is not None,
        )
        following = tracking.tracking(found.cfg, found.registry)
        with shown(progress, found.experiment.training.epochs, on_epoch) as told:
            return loop.resume(
                found.experiment,
                folder,
                on_epoch=told,
                events=PluginEvents(found.registry, following),
                plots=found.cfg.plots is not False,
                checkpointing=Checkpointing(**found.cfg.checkpoint),
                accept_changes=accept_changes,
                config=saved_runs.changed_files(folder, found.cfg, words),
            )


def _ready(
    trackers: Sequence[str | Mapping[str, Any] | Tracker],
    registry: Registry,
    output_dir: str | Path | None,
) -> tuple[tracking.Named, ...]:
    """The trackers, able to work."""
    if trackers and output_dir is None:
        raise ConfigError(
            "trackers: show what is in the run folder, and there is none; give bpframe.run an "
            "output_dir, or leave trackers out"
        )
    found = tracking.ready(trackers, registry)
    for name, tracker in found:
        if not tracking.is_offered(name, tracker, registry):
            text = f"{output_dir}: its configuration does not name tracker {name}, which no plugin "
            text += "offers, so that bpframe resume goes on without it"
            warnings.warn(text, OutputWarning, stacklevel=3)
    return found


def _settings(config: Mapping[str, str]) -> Mapping[str, Any]:
    """The configuration of a run, of which there may be none, in plain values."""
    return yaml.safe_load(config["config.yaml"]) if config else {}
