"""`bpframe resume`: go on with a run or a sweep that was begun."""

from __future__ import annotations

import os
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from omegaconf import DictConfig

from bpframe.commands import arguments, subcommands, trust
from bpframe.configuration import assembly, composition, suggestions
from bpframe.configuration.primary import primary
from bpframe.errors import ConfigError, OutputError
from bpframe.files import check_no_link, write_whole
from bpframe.plugin_host.registry import Registry
from bpframe.runs.folder import METRICS
from bpframe.runs.locks import LOCK
from bpframe.sweeps import ledger
from bpframe.sweeps.session import Command
from bpframe.training.experiment import Experiment

PRIMARY = "resumed"
_ALLOWED = ("training.epochs=", "checkpoint.", "plots=")


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
        if not self.trusts:
            mine = trust.code_of((), (), self.overrides)
            trust.check([name for name in code if name not in mine], self.folder)
        trust.note(code)


def parsed(arguments: list[str]) -> Resumed:
    """The words after `bpframe resume`.

    Raises:
        ConfigError: the command line is wrong.
        OutputError: there is neither a run nor a sweep.

    """
    args = parser().parse_args(arguments)
    found = Resumed(args.folder.absolute(), tuple(args.overrides), args.accept_changes, args.trust)
    if not found.is_sweep:
        _check_run(found.folder, f" nor a sweep ({ledger.LEDGER})")
    for text in found.overrides:
        if found.is_sweep and not text.startswith("hydra."):
            raise ConfigError(
                f"{text}: the jobs of a sweep stay as they are; only hydra.sweeper and "
                "hydra.launcher can be set when it is resumed"
            )
        if not found.is_sweep and not text.startswith(_ALLOWED):
            raise ConfigError(
                f"{text}: a run stays as it is; only training.epochs, checkpoint and plots can be "
                "set when it is resumed"
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
        help="of a run training.epochs, checkpoint.*, plots; of a sweep settings of the sweeper or "
        "the launcher, such as hydra.sweeper.n_trials=100",
    )
    return made


def of_run(folder: Path, *, trusts: bool) -> Resumed:
    """A run that is not gone on with, but looked at.

    Raises:
        OutputError: there is none.

    """
    _check_run(folder)
    return Resumed(folder, (), accepts_changes=False, trusts=trusts)


def _check_run(folder: Path, or_else: str = "") -> None:
    has_begun = (folder / METRICS).exists()
    if not has_begun and (folder / LOCK).exists():
        raise OutputError(
            f"{folder}: its run was cut off before it began; give the command of the run again"
        )
    if not (has_begun and (folder / ".hydra").is_dir()):
        holds = "neither a run" if or_else else "no run"
        raise OutputError(f"{folder}: holds {holds} ({METRICS} and .hydra){or_else}")


def composed(found: Resumed) -> tuple[DictConfig, Registry, Experiment]:
    """The configuration of a run with what changes, and the experiment that it describes."""
    with scratch() as place:
        run(found, Path(place))
        args = arguments.parsed(["--config-dir", place, *found.overrides])
        args.config_name = PRIMARY
        own = trust.code_of((), [place])
        registry = arguments.registry(
            args, lambda code: found.trusting([name for name in code if name not in own])
        )
        with composition.initialised(None, place), suggestions.explaining(registry):
            cfg = composition.compose_config(args.overrides, name=args.config_name)
            return cfg, registry, assembly.assemble(cfg, registry)


def sweep(found: Resumed) -> Command:
    """The command that began a sweep; the working directory is as then."""
    head = ledger.read(found.folder)[0]
    command = Command(
        **{**head["command"], "overrides": (*head["command"]["overrides"], *found.overrides)}
    )
    _enter(command.cwd, found.folder, "the sweep")
    return command


def run(found: Resumed, into: Path) -> None:
    """Write the config of a run as the primary config `resumed.yaml` into a folder.

    The working directory is as the run began.
    """
    path = found.folder / ".hydra" / "hydra.yaml"
    try:
        cwd = yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]["runtime"]["cwd"]
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise OutputError(f"{path}: cannot be read, or is damaged") from error
    text = primary(found.folder / ".hydra" / "config.yaml")
    _enter(str(cwd), found.folder, "the run")
    (into / f"{PRIMARY}.yaml").write_text(text, encoding="utf-8")


def note(found: Resumed, config: str) -> None:
    """Write the config with which a run goes on into its folder, if settings have changed."""
    if not found.overrides:
        return
    folder = found.folder / ".hydra"
    path = folder / "overrides.yaml"
    try:
        check_no_link(folder)
        given = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else []
        texts = yaml.safe_dump([*given, *found.overrides], allow_unicode=True)
        write_whole(folder / "config.yaml", config.encode())
        write_whole(path, texts.encode())
    except (OSError, TypeError, yaml.YAMLError) as error:
        raise OutputError(f"{folder}: cannot be written, or is damaged: {error}") from error


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for a primary config."""
    return tempfile.TemporaryDirectory(prefix="bpframe-")


def _enter(cwd: str, folder: Path, what: str) -> None:
    try:
        os.chdir(cwd)
    except OSError as error:
        raise OutputError(
            f"{folder}: {what} was begun in {cwd}, which cannot be entered: {error.strerror}; "
            "relative paths in its configuration start there"
        ) from error
