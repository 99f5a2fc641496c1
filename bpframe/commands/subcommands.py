"""The words that may stand first after `bpframe`: what each does, and where its function is."""

from __future__ import annotations

import importlib
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from bpframe.errors import ConfigError, did_you_mean


class Subcommand(NamedTuple):
    """A subcommand; nothing of it is imported before it is used.

    `arguments` and `does` are what `bpframe --help` says of it. `function` takes the words after
    it, and `parser` makes its ArgumentParser, of which tab completion knows its options; both are
    given as MODULE:NAME in `bpframe.commands`.
    """

    arguments: str
    does: str
    function: str
    parser: str

    def run(self, words: Sequence[str]) -> None:
        """Do it."""
        _found(self.function)(list(words))

    def argument_parser(self) -> ArgumentParser:
        """What reads its words."""
        return _found(self.parser)()


SUBCOMMANDS: Mapping[str, Subcommand] = MappingProxyType(
    {
        "explain": Subcommand(
            "[KEY=VALUE ...]",
            "the algorithm, equation by equation",
            "explain:explain",
            "explain:parser",
        ),
        "resume": Subcommand(
            "RUN_OR_SWEEP", "go on with a run, or finish a sweep", "resume:resume", "resume:parser"
        ),
        "report": Subcommand(
            "SWEEP ...", "the tables and the page of sweeps", "sweeps:report", "sweeps:parser"
        ),
        "show": Subcommand(
            "RUN [--terminal]", "the page of a run, or its curves here", "show:show", "show:parser"
        ),
        "movie": Subcommand(
            "RUN [--out FILE]",
            "the network while it learns, as a GIF or MP4",
            "movie:movie",
            "movie:parser",
        ),
        "predict": Subcommand(
            "RUN --input FILE",
            "what a run answers to new examples",
            "saved:predict",
            "saved:predict_parser",
        ),
        "evaluate": Subcommand(
            "RUN [data=...]",
            "how good a run is, over its data or over others",
            "saved:evaluate",
            "saved:evaluate_parser",
        ),
        "rerun": Subcommand(
            "RUN [KEY=VALUE ...]",
            "the configuration of a run once more",
            "saved:rerun",
            "saved:rerun_parser",
        ),
        "outliers": Subcommand(
            "RUN", "the examples with the largest gradients", "outliers:show", "outliers:parser"
        ),
        "plugins": Subcommand(
            "[NAME]",
            "what can be chosen, and where it comes from",
            "plugins:plugins",
            "plugins:plugins_parser",
        ),
        "check": Subcommand(
            "[NAME | PATH ...]",
            "whether plugins keep their contracts",
            "plugins:check",
            "plugins:check_parser",
        ),
        "new-plugin": Subcommand(
            "NAME",
            "a package to start a plugin from",
            "plugins:new_plugin",
            "plugins:new_plugin_parser",
        ),
    }
)


def parser(name: str, description: str) -> ArgumentParser:
    """The parser of a subcommand; what it refuses is a ConfigError."""

    def error(message: str) -> NoReturn:
        known = made._option_string_actions
        found = (word for word in message.split() if word.startswith("-") and word not in known)
        near = did_you_mean(next(found, ""), known)
        raise ConfigError(f"command line: {message}{near or ';'} see bpframe {name} --help")

    made = ArgumentParser(f"bpframe {name}", description=description)
    made.error = error
    return made


def _found(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"bpframe.commands.{module}"), name)
