"""`bpframe show`: a run as a page, or on the terminal."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from bpframe.commands import subcommands
from bpframe.errors import ConfigError, OutputError
from bpframe.runs.layout import PAGE
from bpframe.runs.page import page
from bpframe.runs.page.reading import read
from bpframe.runs.screen import Screen


def show(words: list[str]) -> None:
    """Write the page of a run, or print the run.

    Raises:
        ConfigError: the command line is wrong.
        DataError: the examples are asked for, and the data cannot be read.
        OutputError: there is no run, or its folder cannot be written to.

    """
    args = parser().parse_args(words)
    if args.examples and args.terminal:
        raise ConfigError("--examples: stand on the page alone; leave --terminal out")
    folder = args.folder.absolute()
    written = read(folder)
    screen = Screen()
    if args.examples:
        _look(folder, trusted=args.trust)
        written = read(folder)
    if args.terminal:
        from bpframe.runs.page import terminal  # for those who ask for it alone

        terminal.show(written, screen)
        return
    try:
        path = page.write(folder)
    except OSError as error:
        raise OutputError(f"{folder / PAGE}: cannot be written: {error.strerror}") from error
    screen.print(f"written to {path}", highlight=False, soft_wrap=True, markup=False)


def parser() -> ArgumentParser:
    """What reads the words after `bpframe show`."""
    made = subcommands.parser(
        "show",
        "write report.html into the folder of a run: what was trained, its algorithm, curves, "
        "metrics and weights, on a page that needs no network",
    )
    made.add_argument("folder", metavar="RUN", type=Path)
    made.add_argument("--terminal", action="store_true", help="print it, 80 columns wide, instead")
    made.add_argument(
        "--examples",
        action="store_true",
        help="look for the examples with the largest cost and gradient too, for which the data are "
        "read; the page keeps them",
    )
    made.add_argument(
        "--trust",
        action="store_true",
        help="with --examples: run the plugins that the folder names, though no command of yours "
        "has",
    )
    return made


def _look(folder: Path, *, trusted: bool) -> None:
    # Imported here: JAX takes longer to import than a page to write.
    from bpframe.api.saved import load
    from bpframe.runs import examples

    run: Any = load(folder, trusted=trusted)
    rule = run.settings["learning_rule"]["name"]
    try:
        examples.write(folder, run.experiment, run.params, run.fitted_data, rule_name=rule)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}") from error
