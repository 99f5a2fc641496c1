"""The subcommands about plugins: list them, check them, begin a new one."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bpframe import discovery, host, listing, packages, schemas
from bpframe.errors import ConfigError, unknown
from bpframe.plugin_settings import plugin_settings
from bpframe.registry import Plugin, Registry

_COLUMNS = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"))


def plugins(arguments: list[str]) -> None:
    """List every plugin and component, or show one in full."""
    parser = _parser("plugins", "list the plugins and what they offer")
    parser.add_argument("name", nargs="?", help="a plugin or component to show in full")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--hooks", action="store_true", help="list the hooks instead")
    words, overrides = _split(arguments)
    args = parser.parse_args(words)
    registry = _registry(overrides)
    console = Console()
    if args.name and (args.json or args.hooks):
        raise ConfigError("command line: NAME and --json or --hooks exclude each other; give one")
    if args.json:
        content = listing.hooks_as_dict(registry) if args.hooks else listing.as_dict(registry)
        print(json.dumps(content, indent=2, default=str))
    elif args.hooks:
        listing.show_hooks(console, registry)
    elif args.name:
        listing.show_one(console, registry, args.name)
    else:
        listing.show(console, registry)


def check(arguments: list[str]) -> None:
    """Check plugins against their contracts.

    The process ends with exit status 1 unless everything passed or was skipped for a reason.
    """
    from bpframe import testing  # here, because nothing else needs it

    parser = _parser("check", "check whether plugins keep their contracts")
    parser.add_argument("what", nargs="*", help="plugins by name, or Python files and folders")
    words, overrides = _split(arguments)
    args = parser.parse_args(words)
    registry, chosen = _chosen(args.what, overrides)
    cases = testing.cases(registry, chosen)
    console = Console()
    with Progress(*_COLUMNS, console=console, transient=True) as bar:
        task = bar.add_task("checking", total=len(cases))
        outcomes = []
        for outcome in testing.run(cases):
            bar.update(task, description=f"{outcome.kind} {outcome.component}", advance=1)
            outcomes.append(outcome)
    report = testing.Report.of(outcomes)
    report.show(console)
    if not report.is_good:
        sys.exit(1)


def _chosen(words: list[str], overrides: list[str]) -> tuple[Registry, list[Plugin] | None]:
    """The registry, with what is named by a path in it, and the plugins that are named.

    Raises:
        ConfigError: a word names no plugin and no file.

    """
    paths = [word for word in words if Path(word).expanduser().exists()]
    settings = plugin_settings(overrides)
    everywhere = (*settings.paths, *paths)
    registry = schemas.store(host.load_registry(paths=everywhere, prefer=settings.prefer))
    if not words:
        return registry, None
    chosen: list[Plugin] = []
    for word in words:
        named = [plugin for plugin in registry.plugins if plugin.is_called(word)]
        if word in paths and not named:
            origins = {found.origin for found in discovery.in_files([word])}
            named = [plugin for plugin in registry.plugins if plugin.origin in origins]
        if not named:
            raise unknown("check", word, [plugin.name for plugin in registry.plugins])
        chosen += [plugin for plugin in named if plugin not in chosen]
    return registry, chosen


def new_plugin(arguments: list[str]) -> None:
    """Write a package to start a plugin from."""
    parser = _parser("new-plugin", "write a package to start a plugin from")
    parser.add_argument("name", help="the name of the package, such as my-sine")
    parser.add_argument("--kind", default="activation", help=", ".join(packages.KINDS))
    parser.add_argument("--licence", default="MIT", help=", ".join(packages.LICENCES))
    parser.add_argument("--author", help="who holds the copyright")
    parser.add_argument("--into", default=".", help="the folder to make the package in")
    args = parser.parse_args(arguments)
    written = packages.write(
        packages.NewPackage(args.name, args.kind, args.licence, args.author),
        Path(args.into).expanduser(),
        _registry([]),
    )
    console = Console()
    for path in written:
        console.print(f"wrote {escape(str(path))}", highlight=False, soft_wrap=True)
    folder = escape(str(Path(args.into) / args.name))
    console.print(
        f"\nNow: cd {folder} && pip install -e . && pytest && bpframe check {args.name}",
        highlight=False,
        soft_wrap=True,
    )


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Words and options, and overrides such as plugins.path=[folder]."""
    overrides = [text for text in arguments if "=" in text and not text.startswith("-")]
    for text in overrides:
        if not text.startswith("plugins."):
            raise ConfigError(
                f"command line: {text} has no meaning here; allowed: plugins.path=[...] and "
                "plugins.prefer=[...]"
            )
    return [text for text in arguments if text not in overrides], overrides


def _registry(overrides: list[str]) -> Registry:
    paths, prefer = plugin_settings(overrides)
    return schemas.store(host.load_registry(paths=paths, prefer=prefer))


def _parser(name: str, description: str) -> ArgumentParser:
    def error(message: str) -> NoReturn:
        raise ConfigError(f"command line: {message}; see bpframe {name} --help")

    parser = ArgumentParser(f"bpframe {name}", description=description)
    parser.error = error
    return parser
