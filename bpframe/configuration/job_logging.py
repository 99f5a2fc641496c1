"""Hydra's `job_logging`, checked before anything is trained."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from bpframe.configuration import hydra_internals
from bpframe.configuration.translation import translated
from bpframe.errors import ConfigError

_NODE = "hydra.job_logging"
_PARTS = ("formatters", "filters", "handlers", "loggers")


def of_job(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """The node hydra.job_logging of a job that runs in `folder`, resolved and checked.

    Raises:
        ConfigError: the job could not log by it.

    """
    with translated():
        settings: Any = OmegaConf.to_container(cfg.hydra.job_logging, resolve=True)
        check_verbose(cfg.hydra.verbose)
    check(settings, folder)
    return settings


def check_sweep(cfg: DictConfig, folder: Path) -> None:
    """Check the node of a sweep in `folder` as far as it is the same for all jobs."""
    cfg = copy.deepcopy(cfg)
    output_dir = folder / "0"
    with open_dict(cfg.hydra):
        cfg.hydra.job.id, cfg.hydra.job.num = "0", 0
        cfg.hydra.runtime.output_dir = str(output_dir)
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        of_job(cfg, output_dir)
    finally:
        HydraConfig.instance().cfg = before


def check(settings: Mapping[str, Any] | None, folder: Path) -> None:
    """Refuse a logging configuration with which a job in `folder` could not begin.

    `settings` are resolved. They are put in force as they will be, but that no file is opened;
    what was in force before comes back.

    Raises:
        ConfigError: they cannot be put in force.

    """
    if not settings:
        return
    parts = {part: _mappings(settings.get(part), part) for part in _PARTS}
    for name, handler in parts["handlers"].items():
        if "filename" in handler:
            _check_file(str(handler["filename"]), f"{_NODE}.handlers.{name}.filename", folder)
            if str(handler.get("class")).startswith("logging."):
                handler["delay"] = True
    root = settings.get("root")
    if root is None:
        return
    if not isinstance(root, Mapping):
        raise ConfigError(f"{_NODE}.root: {root!r} is not a mapping with level and handlers")
    dry = {**settings, **parts, "disable_existing_loggers": False}
    try:
        with _kept():
            hydra_internals.configure_logging(dry)
    except Exception as error:
        cause = error.__cause__ or error
        reason = f": {cause}" if isinstance(cause, ValueError | KeyError | TypeError) else ""
        raise ConfigError(f"{_NODE}: {error}{reason if cause is not error else ''}") from error


def check_verbose(setting: Any) -> None:
    """Refuse a value of hydra.verbose that names no loggers.

    Raises:
        ConfigError: it is neither a truth value nor the name of a logger, nor a list of names.

    """
    names = list(setting) if isinstance(setting, Sequence) else [setting]
    if not isinstance(setting, bool | str) and not all(isinstance(name, str) for name in names):
        raise ConfigError(f"hydra.verbose: {setting} is not true, false or names of loggers")


def _mappings(given: Any, part: str) -> dict[str, dict[str, Any]]:
    """A copy of a mapping of mappings."""
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise ConfigError(f"{_NODE}.{part}: {given!r} is not a mapping")
    for name, entry in given.items():
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{_NODE}.{part}.{name}: {entry!r} is not a mapping")
    return {name: dict(entry) for name, entry in given.items()}


def _check_file(filename: str, key: str, folder: Path) -> None:
    """Refuse a file that cannot be made: in a folder that is not there, or with no name for one."""
    path = Path(filename)
    try:
        Path(path.anchor, path.name).is_symlink()  # long names, and those with a null byte
        if path.parent != folder and not path.parent.is_dir():
            raise ConfigError(
                f"{key}: {filename} is in a folder that does not exist; make it, or choose a "
                "hydra.job.name without /"
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{key}: {filename}: {reason}") from error


@contextmanager
def _kept() -> Iterator[None]:
    """What is set for the loggers meanwhile is taken back."""
    manager = logging.Logger.manager
    names = [name for name, each in manager.loggerDict.items() if isinstance(each, logging.Logger)]
    loggers = [logging.getLogger(), *map(logging.getLogger, names)]
    before = [(each, each.level, each.handlers[:], each.propagate) for each in loggers]
    try:
        yield
    finally:
        for logger, level, handlers, propagate in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
            logger.propagate = propagate
