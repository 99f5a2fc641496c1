"""The subcommands about plugins: list them, check them, begin a new one."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bpframe.commands import listing, plugin_package, subcommands
from bpframe.configuration import schemas
from bpframe.configuration.plugin_settings import PluginSettings, plugin_settings
from bpframe.errors import ConfigError, unknown
from bpframe.plugin_host import discovery, host
from bpframe.plugin_host.registry import Plugin, Registry
from bpframe.runs.screen import Screen

_COLUMNS = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"))


def plugins(arguments: list[str]) -> None:
    """List every plugin and component, or show one in full."""
    words, overrides = _split(arguments)
    args = plugins_parser().parse_args(words)
    registry = _registry(overrides)
    console = Screen()
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


def plugins_parser() -> ArgumentParser:
    """What reads the words after `bpframe plugins`."""
    made = subcommands.parser("plugins", "list the plugins and what they offer")
    made.add_argument("name", nargs="?", help="a plugin or component to show in full")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("--hooks", action="store_true", help="list the hooks instead")
    return made


def check(arguments: list[str]) -> None:
    """Check plugins against their contracts.

    The process ends with exit status 1 unless everything passed or was skipped for a reason.
    """
    from bpframe import testing  # here, because nothing else needs them
    from bpframe.training import compilation

    words, overrides = _split(arguments)
    args = check_parser().parse_args(words)
    settings, registry, chosen = _chosen(args.what, overrides)
    effort = testing.Effort.deep(args.seed) if args.deep else testing.Effort(args.seed)
    cases = testing.cases(registry, chosen, effort)
    compilation.use_cache()
    console = Screen()
    with Progress(*_COLUMNS, console=console, transient=True) as bar:
        task = bar.add_task("checking", total=len(cases))
        outcomes = []
        for outcome in testing.run(cases, settings, effort):
            bar.update(task, description=f"{outcome.kind} {outcome.component}", advance=1)
            outcomes.append(outcome)
    report = testing.Verdict.of(outcomes)
    report.show(console)
    for line in testing.declared(cases) if args.what else ():
        console.print(f"declared: {line}", highlight=False, markup=False, soft_wrap=True)
    for line in testing.advised(cases) if args.what else ():
        console.print(f"advice: {line}", highlight=False, markup=False, soft_wrap=True)
    if not report.is_good:
        sys.exit(1)


def check_parser() -> ArgumentParser:
    """What reads the words after `bpframe check`."""
    made = subcommands.parser("check", "check whether plugins keep their contracts")
    made.add_argument("what", nargs="*", help="plugins by name, or Python files and folders")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="search other inputs")
    made.add_argument("--deep", action="store_true", help="search thirty times as many inputs")
    return made


def _chosen(
    words: list[str], overrides: list[str]
) -> tuple[PluginSettings, Registry, list[Plugin] | None]:
    """The settings and the registry, with what is named by a path in it, and the plugins named.

    Raises:
        ConfigError: a word names no plugin, no component and no file.

    """
    settings = plugin_settings(overrides)
    registry = _loaded(settings)
    if not words:
        return settings, registry, None
    paths = [word for word in words if not _named(registry, word)]
    for path in paths:
        _check_path(path, registry)
    # What is installed already is checked as it is installed, and not a second time from its file.
    files = {plugin.file for plugin in registry.plugins}
    new = [p for p in paths if any(found.file not in files for found in discovery.in_files([p]))]
    if new:
        settings = settings._replace(paths=(*settings.paths, *new))
        registry = _loaded(settings)
    chosen: list[Plugin] = []
    for word in words:
        found = {plugin.file for plugin in discovery.in_files([word])} if word in paths else set()
        named = _named(registry, word) or [p for p in registry.plugins if p.file in found]
        chosen += [plugin for plugin in named if plugin not in chosen]
    return settings, registry, chosen


def _named(registry: Registry, word: str) -> list[Plugin]:
    """The plugins that are called `word`, or else those that offer a component of that name."""
    plugins = [plugin for plugin in registry.plugins if plugin.is_called(word)]
    return plugins or [p for p in registry.plugins if any(word in o for o in p.offers.values())]


def _check_path(word: str, registry: Registry) -> None:
    """Raise a ConfigError unless `word` is a path with plugins in it."""
    path = Path(word).expanduser()
    if not path.exists():
        if path.suffix == ".py" or len(path.parts) > 1:
            raise ConfigError(f"check: {path.absolute()} does not exist")
        names = {plugin.name for plugin in registry.plugins}
        names |= {p.distribution for p in registry.plugins if p.distribution}
        raise unknown("check", word, names)
    if path.is_file() and path.suffix != ".py":
        raise ConfigError(f"check: {path} is not a Python file (NAME.py)")
    if not list(discovery.in_files([word])):
        hint = ""
        if (path / "pyproject.toml").exists():
            hint = f"; it is a package: pip install -e {word}, then bpframe check with its name"
        raise ConfigError(f"check: {path} holds no plugin (NAME.py or NAME/__init__.py){hint}")


def _loaded(settings: PluginSettings) -> Registry:
    return schemas.store(host.load_registry(paths=settings.paths, prefer=settings.prefer))


def new_plugin(arguments: list[str]) -> None:
    """Write a package to start a plugin from."""
    args = new_plugin_parser().parse_args(arguments)
    written = plugin_package.write(
        plugin_package.NewPackage(args.name, args.kind, args.licence, args.author),
        Path(args.into).expanduser(),
        _registry([]),
    )
    console = Screen()
    for path in written:
        console.print(f"wrote {escape(str(path))}", highlight=False, soft_wrap=True)
    folder, package = escape(str(Path(args.into) / args.name)), escape("'.[test]'")
    console.print(
        "\nIt holds an example that works; put yours in its place, in src.\n"
        f"Now: cd {folder} && pip install -e {package} && pytest && bpframe check {args.name}",
        highlight=False,
        soft_wrap=True,
    )


def new_plugin_parser() -> ArgumentParser:
    """What reads the words after `bpframe new-plugin`."""
    made = subcommands.parser("new-plugin", "write a package to start a plugin from")
    made.add_argument("name", help="the name of the package, such as my-sine")
    made.add_argument("--kind", default="activation", help=", ".join(plugin_package.KINDS))
    made.add_argument("--licence", default="MIT", help=", ".join(plugin_package.LICENCES))
    made.add_argument("--author", help="who holds the copyright")
    made.add_argument("--into", default=".", help="the folder to make the package in")
    return made


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
    return _loaded(plugin_settings(overrides))
