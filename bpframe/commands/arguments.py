"""The words after `bpframe` as Hydra's options and overrides, and the plugins they name."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from bpframe.commands import words
from bpframe.commands.subcommands import SUBCOMMANDS
from bpframe.configuration import composition, hydra_internals, schemas, suggestions, trust
from bpframe.configuration.plugin_settings import plugin_settings
from bpframe.errors import ConfigError
from bpframe.plugin_host import host
from bpframe.plugin_host.registry import Registry


def parser() -> ArgumentParser:
    """The parser of Hydra; what it refuses is a ConfigError."""

    def error(message: str) -> NoReturn:
        raise ConfigError(f"command line: {message}; see bpframe --help")

    made = hydra_internals.argument_parser()
    made.error = error
    return made


def parsed(arguments: list[str], by: ArgumentParser | None = None) -> Namespace:
    """The arguments as Hydra's options, checked; paths are absolute.

    Raises:
        ConfigError: an option is unknown, is not for bpframe, or names a folder that is none.

    """
    reader = by or parser()
    args, unknown = reader.parse_known_args(arguments)
    subcommands = () if by else list(SUBCOMMANDS)
    if unknown:
        options = sorted(reader._option_string_actions)
        words.refuse_options(unknown, arguments, options, subcommands, _places)
    words.check(args.overrides, subcommands, _places)
    if args.experimental_rerun:
        raise ConfigError(
            "--experimental-rerun: is not for runs of bpframe; run one again with bpframe rerun "
            "RUN, or go on with bpframe resume RUN"
        )
    if args.config_name == "":
        raise ConfigError("--config-name: '' is no name of a config")
    # Hydra reads a relative --config-path from the program's own folder; users mean theirs.
    args.config_path = Path(args.config_path).absolute() if args.config_path else None
    for option, given in (("path", args.config_path), ("dir", args.config_dir)):
        if given and not Path(given).is_dir():
            raise ConfigError(f"--config-{option}: {Path(given).absolute()} is not a folder")
        if given:  # before what it names counts as code that has been run
            composition.check_no_run(Path(given).absolute())
    return args


def _places(name: str) -> list[str]:
    return suggestions.places(name, schemas.store(host.load_registry()))


def registry(args: Namespace, trusting: Callable[[list[str]], None]) -> Registry:
    """The registry for a command; `trusting` is told first which code the command names."""
    settings = plugin_settings(
        args.overrides,
        name=args.config_name,
        config_path=args.config_path,
        config_dir=args.config_dir,
    )
    folders = (args.config_path, args.config_dir)
    trusting(trust.code_of(settings.paths, folders, args.overrides))
    found = schemas.store(host.load_registry(paths=settings.paths, prefer=settings.prefer))
    host.warn_of_faults(found)
    return found
