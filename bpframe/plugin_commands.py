"""The subcommands about plugins: list them, check them, begin a new one."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import NoReturn

from rich.console import Console

from bpframe import host, listing, schemas
from bpframe.errors import ConfigError
from bpframe.plugin_settings import plugin_settings
from bpframe.registry import Registry


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
    """Check plugins against their contracts."""
    raise NotImplementedError


def new_plugin(arguments: list[str]) -> None:
    """Write a package to start a plugin from."""
    raise NotImplementedError


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
