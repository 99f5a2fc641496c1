"""`bpframe resume`: go on with a run or a sweep that was begun."""

from __future__ import annotations

import functools
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log

from bpframe.commands import arguments, run, subcommands
from bpframe.configuration import composition, saved_runs, trackers, trust
from bpframe.errors import ConfigError
from bpframe.plugin_host.events import PluginEvents
from bpframe.runs import checkpoint, folder, loop, resumption
from bpframe.runs.folder import last_epoch
from bpframe.runs.layout import read_summary
from bpframe.sweeps import ledger
from bpframe.training import hosts, loading


class Resumed(NamedTuple):
    """What to go on with: a folder, and settings that change.

    `accepts_changes` says whether code and data may be others than before, `trusts` whether code
    may be run that no command of this user has run.
    """

    folder: Path
    overrides: tuple[str, ...]
    accepts_changes: bool
    trusts: bool = False

    @property
    def is_sweep(self) -> bool:
        """Whether it is a sweep, and not a run."""
        return ledger.holds(self.folder)

    def trusting(self, code: Sequence[str]) -> None:
        """Note the code that is about to be run, or raise a ConfigError: see `trust.check`."""
        allowed = trust.note if self.trusts else trust.checking(self.folder, self.overrides)
        allowed(code)


def resume(words: list[str]) -> None:
    """Go on with a run, or finish a sweep."""
    found = parsed(words)
    if found.is_sweep:
        _finish(found)
    else:
        _go_on(found)


def _finish(found: Resumed) -> None:
    """Run what is missing of a sweep; the working directory is as when it began."""
    from bpframe.commands import multirun  # what a run does not need

    command = ledger.read(found.folder)[0]["command"]
    saved_runs.enter_as(command["cwd"], found.folder, "the sweep")
    overrides = (*command["overrides"], *found.overrides)
    again = [text for text in overrides if not text.startswith("hydra.sweep.dir=")]
    sweep_dir = composition.quoted(str(found.folder))
    args = arguments.parsed(["--multirun", *again, f"hydra.sweep.dir={sweep_dir}"])
    args.config_name, args.config_dir = command["config_name"], command["config_dir"]
    args.config_path = Path(command["config_path"]) if command["config_path"] else None
    multirun.launch(
        args,
        arguments.registry(args, found.trusting),
        trusting=found.trusting,
        resumes=True,
        accepts_changes=found.accepts_changes,
    )


def _go_on(found: Resumed) -> None:
    """Go on with a run."""
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
    with hosts.refusing():
        resumption.check_incomplete(read_summary(found.folder), experiment, found.folder)
    epochs = last_epoch(found.folder)
    if checkpoint.latest(found.folder) is None and epochs < experiment.training.epochs:
        print(f"{found.folder}: has no checkpoint; its {epochs} epochs are trained again")
    config = saved_runs.changed_files(found.folder, cfg, found.overrides)
    go_on = functools.partial(loop.resume, accept_changes=found.accepts_changes, config=config)
    run.show(go_on, cfg, experiment, data, events, found.folder, plots=cfg.plots is not False)


def parsed(arguments: list[str]) -> Resumed:
    """The words after `bpframe resume`.

    Raises:
        ConfigError: the command line is wrong.
        OutputError: there is neither a run nor a sweep.

    """
    args = parser().parse_intermixed_args(arguments)
    found = Resumed(args.folder.absolute(), tuple(args.overrides), args.accept_changes, args.trust)
    if not found.is_sweep:
        _check_no_job(found)
        saved_runs.check_run(found.folder, f" nor a sweep ({ledger.LEDGER})")
        saved_runs.check_changes(found.overrides)
    for text in found.overrides:
        if found.is_sweep and not text.startswith("hydra."):
            raise ConfigError(
                f"{text}: the jobs of a sweep stay as they are; only hydra.sweeper and "
                "hydra.launcher can be set when it is resumed"
            )
    return found


def _check_no_job(found: Resumed) -> None:
    """Raise a ConfigError for a job that is to be longer than the sweep that it is of says."""
    sweep = next((each for each in found.folder.parents if ledger.holds(each)), None)
    if sweep is not None and found.overrides:
        raise ConfigError(
            f"{found.folder}: is a job of the sweep {sweep}, whose tables would no longer hold; "
            f"bpframe rerun {found.folder} {' '.join(found.overrides)} is a run of its own"
        )


def parser() -> ArgumentParser:
    """What reads the words after `bpframe resume`."""
    made = subcommands.parser(
        "resume",
        "go on with a run from its last checkpoint, or finish a sweep: run what is "
        "missing, and keep what is done",
    )
    made.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on although code, data or versions have changed; the results tell of it",
    )
    made.add_argument(
        "--trust",
        action="store_true",
        help="run the plugins and other code that the folder names, though no command of yours has",
    )
    made.add_argument("folder", metavar="RUN_OR_SWEEP", type=Path)
    made.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="of a run training.epochs, checkpoint.*, plots, record_limit, show, trackers; of a "
        "sweep settings of the sweeper or the launcher, such as hydra.sweeper.n_trials=100",
    )
    return made
