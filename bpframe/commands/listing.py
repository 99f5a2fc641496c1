"""What `bpframe plugins` shows: every plugin, its components and their fields."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bpframe.component import BOUNDS
from bpframe.errors import unknown
from bpframe.plugin_host import hookspecs
from bpframe.plugin_host.registry import ACTIVE, EVENTS, KINDS, PAIRS, Plugin, Registry

_STYLES = {"active": "green", "disabled": "red", "blocked": "yellow"}


class Field(NamedTuple):
    """A field of a component as users set it; `allowed` is its range, or its choices."""

    name: str
    type: str
    default: Any
    is_required: bool
    allowed: str

    def __str__(self) -> str:
        """The field as in Python."""
        return f"{self.name}: {self.type}" + ("" if self.is_required else f" = {self.default!r}")


def fields(component: type[Any]) -> list[Field]:
    """The fields of a component class."""
    hints = component.field_types()
    found = []
    for field in dataclasses.fields(component):
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        default = field.metadata.get("named") or default
        is_required = default is dataclasses.MISSING
        found.append(
            Field(
                field.name,
                _type_name(hints[field.name]),
                None if is_required else default,
                is_required,
                _allowed(field.metadata),
            )
        )
    return found


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not _is_generic(hint) else str(hint)


def _is_generic(hint: Any) -> bool:
    return isinstance(hint, types.GenericAlias)


def _allowed(metadata: Any) -> str:
    bounds = [f"{BOUNDS[name]} {bound}" for name, bound in metadata.get("bounds", {}).items()]
    return " and ".join(bounds) or ", ".join(metadata.get("choices", ()))


def as_dict(registry: Registry) -> dict[str, Any]:
    """The whole registry in plain values, ready for JSON."""
    return {
        "api_version": hookspecs.API_VERSION,
        "plugins": [_plugin_dict(plugin) for plugin in registry.plugins],
        "conflicts": [
            {"kind": kind, "name": _shown(name), "plugins": [plugin.name for plugin in rivals]}
            for (kind, name), rivals in registry.conflicts.items()
        ],
    }


def _plugin_dict(plugin: Plugin) -> dict[str, Any]:
    copied = ("name", "distribution", "version", "origin", "status", "reason", "api_version", "doc")
    return {
        **{name: getattr(plugin, name) for name in copied},
        "hooks": list(_hooks_of(plugin)),
        "components": [
            {
                "kind": kind,
                "name": _shown(name),
                "class": f"{component.__module__}.{component.__qualname__}",
                "doc": inspect.getdoc(component) or "",
                "fields": [field._asdict() for field in fields(component)],
            }
            for kind, name, component in _components(plugin)
        ],
    }


def hooks_as_dict(registry: Registry) -> list[dict[str, Any]]:
    """Every hook with its arguments, its documentation and the plugins that implement it."""
    found = []
    for hook in (*(kind.hook for kind in KINDS.values()), *EVENTS):
        specification = getattr(hookspecs, hook)
        users = [p.name for p in registry.plugins if p.status == ACTIVE and hook in _hooks_of(p)]
        found.append(
            {
                "name": hook,
                "signature": f"{hook}{inspect.signature(specification)}",
                "doc": inspect.getdoc(specification) or "",
                "plugins": users,
            }
        )
    return found


def _hooks_of(plugin: Plugin) -> Iterator[str]:
    yield from (KINDS[kind].hook for kind, offers in plugin.offers.items() if offers)
    yield from plugin.listeners


def _components(plugin: Plugin) -> Iterator[tuple[str, Any, type[Any]]]:
    for kind, offers in plugin.offers.items():
        for name, component in offers.items():
            yield kind, name, component


def _shown(name: Any) -> str:
    return " with ".join(name) if isinstance(name, tuple) else str(name)


def show(console: Console, registry: Registry) -> None:
    """Every plugin with its status, and its components with their fields."""
    for plugin in registry.plugins:
        _show_head(console, plugin)
        table = Table.grid(padding=(0, 2))
        for kind, name, component in _components(plugin):
            listed = ", ".join(map(str, fields(component) if kind != PAIRS else ()))
            table.add_row(kind, escape(_shown(name)), escape(listed))
        for hook in plugin.listeners:
            table.add_row("event", hook, "")
        console.print(Padding(table, (0, 0, 0, 2)))
        console.print()
    for (kind, name), rivals in registry.conflicts.items():
        listed = " and ".join(plugin.name for plugin in rivals)
        console.print(
            f"[red]conflict[/red] {kind} {escape(_shown(name))} is offered by {escape(listed)}; "
            "choose with plugins.prefer"
        )
    counts = {status: sum(p.status == status for p in registry.plugins) for status in _STYLES}
    total = sum(len(offers) for offers in registry.offers.values())
    console.print(
        f"{total} components; plugins: "
        + ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    )


def _show_head(console: Console, plugin: Plugin) -> None:
    version = f"  {plugin.distribution} {plugin.version}" if plugin.distribution else ""
    style = _STYLES[plugin.status]
    console.print(
        f"[bold]{escape(plugin.name)}[/bold]{escape(version)}  "
        f"[{style}]{plugin.status}[/{style}]  from {escape(plugin.origin)}",
        soft_wrap=True,
    )
    if plugin.reason:
        console.print(Padding(f"[{style}]{escape(plugin.reason)}[/{style}]", (0, 0, 0, 2)))


def show_hooks(console: Console, registry: Registry) -> None:
    """Every hook, what it is for, and who implements it."""
    for hook in hooks_as_dict(registry):
        console.print(f"[bold]{hook['name']}[/bold]")
        console.print(Padding(escape(hook["doc"]), (0, 0, 0, 2)))
        listed = ", ".join(hook["plugins"]) or "no plugin"
        console.print(Padding(f"implemented by {escape(listed)}", (0, 0, 0, 2)))


def show_one(console: Console, registry: Registry, word: str) -> None:
    """One plugin in full, or one component, or all components of that name.

    Raises:
        ConfigError: there is none.

    """
    plugins = [plugin for plugin in registry.plugins if plugin.is_called(word)]
    for plugin in plugins:
        _show_head(console, plugin)
        declared = plugin.api_version or "not declared"
        console.print(Padding(f"plugin API version: {declared}", (0, 0, 0, 2)))
        if plugin.doc:
            console.print(Padding(escape(plugin.doc), (1, 0, 0, 2)))
        for kind, name, component in _components(plugin):
            _show_component(console, kind, name, component)
        for hook in plugin.listeners:
            console.print(Padding(f"[bold]event {hook}[/bold]", (1, 0, 0, 2)))
        console.print()
    named = [
        (plugin, kind, name, component)
        for plugin in registry.plugins
        for kind, name, component in _components(plugin)
        if word == _shown(name)
    ]
    if not plugins:
        for plugin, kind, name, component in named:
            _show_head(console, plugin)
            _show_component(console, kind, name, component)
            console.print()
    if not plugins and not named:
        known = {plugin.name for plugin in registry.plugins}
        known |= {n for p in registry.plugins for _, n, _ in _components(p) if isinstance(n, str)}
        raise unknown("plugins", word, known)


def _show_component(console: Console, kind: str, name: Any, component: type[Any]) -> None:
    console.print(Padding(f"[bold]{kind} {escape(_shown(name))}[/bold]", (1, 0, 0, 2)))
    console.print(Padding(escape(inspect.getdoc(component) or "(no docstring)"), (0, 0, 0, 4)))
    for field in fields(component) if kind != PAIRS else ():
        allowed = f"   allowed: {field.allowed}" if field.allowed else ""
        console.print(Padding(escape(f"{field}{allowed}"), (0, 0, 0, 4)))
