"""`bpframe resume`: go on with a run or a sweep that was begun."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bpframe.commands import subcommands
from bpframe.configuration import saved_runs, trust
from bpframe.errors import ConfigError
from bpframe.sweeps import ledger
from bpframe.sweeps.session import Command


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


def parsed(arguments: list[str]) -> Resumed:
    """The words after `bpframe resume`.

    Raises:
        ConfigError: the command line is wrong.
        OutputError: there is neither a run nor a sweep.

    """
    args = parser().parse_args(arguments)
    found = Resumed(args.folder.absolute(), tuple(args.overrides), args.accept_changes, args.trust)
    if not found.is_sweep:
        saved_runs.check_run(found.folder, f" nor a sweep ({ledger.LEDGER})")
        saved_runs.check_changes(found.overrides)
    for text in found.overrides:
        if found.is_sweep and not text.startswith("hydra."):
            raise ConfigError(
                f"{text}: the jobs of a sweep stay as they are; only hydra.sweeper and "
                "hydra.launcher can be set when it is resumed"
            )
    return found


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
        metavar="KEY=VALUE",
        help="of a run training.epochs, checkpoint.*, plots, record_limit, show, trackers; of a "
        "sweep settings of the sweeper or the launcher, such as hydra.sweeper.n_trials=100",
    )
    return made


def sweep(found: Resumed) -> Command:
    """The command that began a sweep; the working directory is as then."""
    head = ledger.read(found.folder)[0]
    command = Command(
        **{**head["command"], "overrides": (*head["command"]["overrides"], *found.overrides)}
    )
    saved_runs.enter_as(command.cwd, found.folder, "the sweep")
    return command
