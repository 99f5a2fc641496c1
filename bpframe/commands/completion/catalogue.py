"""All that can be chosen, as plain values: made from plugins, configs and parsers."""

from __future__ import annotations

import dataclasses
import types
import typing
from argparse import Action, ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bpframe.commands import arguments, plugin_package
from bpframe.commands.completion.candidates import Catalogue, Spec
from bpframe.commands.subcommands import SUBCOMMANDS
from bpframe.component import Component
from bpframe.configuration import composition, networks, schemas
from bpframe.contracts import Layer
from bpframe.plugin_host import host
from bpframe.plugin_host.registry import KINDS, PAIRS, Registry
from bpframe.sweeps.backends.selection import BACKENDS
from bpframe.sweeps.objective import DIRECTIONS
from bpframe.sweeps.rows import OBJECTIVES
from bpframe.training.experiment import Training

ACTIVATION: Spec = {"kind": "activation"}
LAYER: Spec = {"kind": "layer", "default": networks.DENSE}
BOOLEAN: Spec = {"values": ["true", "false"]}
_HYDRAS = ("hydra/launcher", "hydra/sweeper")
_SKIPPED = ("runtime", "overrides", "help", "hydra_help", "job_logging", "hydra_logging", "env")
_FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.searchpath")
_KEYS: Mapping[str, Spec] = {
    "seed": {},
    "plots": BOOLEAN,
    "show": BOOLEAN,
    "metrics": {"list": {"kind": "metric"}},
    "record": {"list": {"kind": "recorder"}},
    "record_limit": {},
    "trackers": {"list": {"kind": "tracker"}},
    "network.hidden": {"list": {}},
    "network.activation": ACTIVATION,
    "network.output_activation": ACTIVATION,
    "network.layers": {"list": LAYER},
    "network.modified_neurons": {
        "list": {"fields": {"layer": {}, "neuron": {}, "activation": ACTIVATION}}
    },
    "checkpoint.seconds": {},
    "checkpoint.epochs": {},
    "checkpoint.keep": {},
    "sweep.shared_order": BOOLEAN,
    "sweep.objective": {"values": list(OBJECTIVES)},
    "sweep.direction": {"values": list(DIRECTIONS)},
    "plugins.path": {"list": {"file": True}},
    "plugins.prefer": {"list": {"kind": "plugin"}},
    "hydra.mode": {"values": ["RUN", "MULTIRUN"]},
    "hydra.launcher.backend": {"values": list(BACKENDS)},
}
"""The settings that belong to no component."""

_OF_COMMANDS: Mapping[str, Sequence[str]] = {
    "": (),
    "plugins": ("plugins.",),
    "check": ("plugins.",),
    "evaluate": ("data=", "data."),
    "resume": (
        "training.epochs",
        "checkpoint.",
        "plots",
        "show",
        "record_limit",
        "hydra.sweeper.",
        "hydra.launcher.",
    ),
}
"""The keys that subcommands take whose parsers do not tell; of no prefix: all keys."""

_NAMES: Mapping[tuple[str, str], Spec] = {
    ("plugins", "name"): {"kind": "name"},
    ("check", "what"): {"kind": "name", "file": True},
    ("new-plugin", "kind"): {"values": list(plugin_package.KINDS)},
    ("new-plugin", "licence"): {"values": list(plugin_package.LICENCES)},
    ("new-plugin", "into"): {"file": True},
    ("report", "objective"): {"values": list(OBJECTIVES)},
    ("", "config_dir"): {"file": True},
    ("", "config_path"): {"file": True},
    ("", "config_name"): {"kind": "config"},
}
"""What arguments of subcommands may be, where argparse does not know."""


def made(plugins: Sequence[str], folders: Sequence[str]) -> tuple[Catalogue, list[Path]]:
    """The catalogue with the plugins in some files and the configs in some folders.

    Returns:
        The catalogue: `groups` are the configs by group, `chosen` is what bpframe's own config
        chooses of them, `components` are the fields of all components by kind and name, with what
        each may be, `keys` the settings of no component, and `commands` the subcommands, "" for
        none, with `options`, `words` and `keys` (None: they take no overrides). And the files of
        the plugins.

    """
    registry = schemas.store(host.load_registry(paths=plugins))
    config_dir = folders[0] if folders else None
    with composition.initialised(None, config_dir):
        cfg = composition.compose_config(())
        groups = {group: composition.options(group) for group in (*composition.groups(), *_HYDRAS)}
    chosen = {group: str(cfg[group].name) for group in schemas.GROUPS}
    chosen |= {group: str(cfg.hydra.runtime.choices[group]) for group in _HYDRAS}
    components = _components(registry)
    found = {
        "groups": groups,
        "chosen": chosen,
        "components": components | _others(registry, components, folders),
        "keys": {**_of_hydra(cfg.hydra), **_KEYS, **_of_training()},
        "commands": {"": _command("", arguments.parser())}
        | {name: _command(name, each.argument_parser()) for name, each in SUBCOMMANDS.items()},
    }
    files = [plugin.file for plugin in registry.plugins if plugin.file]
    return found, [file.parent if file.name == "__init__.py" else file for file in files]


def _components(registry: Registry) -> dict[str, dict[str, dict[str, Spec]]]:
    return {
        kind: {name: _fields(offer.component) for name, offer in sorted(offers.items())}
        for kind, offers in registry.offers.items()
        if kind != PAIRS
    } | {group: {} for group in _HYDRAS}


def _fields(component: type[Component]) -> dict[str, Spec]:
    hints = component.field_types()
    return {
        field.name: _spec(hints[field.name], field.metadata)
        for field in dataclasses.fields(component)
    }


def _spec(hint: Any, metadata: Mapping[str, Any]) -> Spec:
    """What a field may be, by its annotation and its declared choices."""
    members = [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = list(typing.get_args(hint))
    values: list[str] = list(metadata.get("choices") or ())
    spec: Spec = {}
    for member in members:
        if member is bool:
            values += BOOLEAN["values"]
        elif member is type(None):
            values.append("null")
        elif member is str and not metadata.get("choices"):
            spec["file"] = True
        elif typing.get_origin(member) is tuple:
            spec["list"] = _spec(typing.get_args(member)[0], {})
        elif isinstance(member, type) and issubclass(member, Component):
            spec |= LAYER if issubclass(member, Layer) else {"kind": _kind(member)}
    return spec | ({"values": values} if values else {})


def _kind(contract: type[Component]) -> str | None:
    return next((kind for kind, each in KINDS.items() if each.contract is contract), None)


def _others(registry: Registry, components: Any, folders: Sequence[str]) -> dict[str, Any]:
    """Names that are no components, in the same form."""
    plugins = [plugin.name for plugin in registry.plugins]
    named = {name for kind, names in components.items() if kind in KINDS for name in names}
    configs = [file.stem for folder in folders for file in Path(folder).glob("*.yaml")]
    return {
        "plugin": {name: {} for name in plugins},
        "name": {name: {} for name in (*plugins, *sorted(named))},
        "config": {name: {} for name in sorted({"config", *configs})},
    }


def _of_training() -> dict[str, Spec]:
    fields = _fields(Training)
    fields.pop("shared_order")
    return {f"training.{name}": spec for name, spec in fields.items()}


def _of_hydra(node: DictConfig) -> dict[str, Spec]:
    """Hydra's own settings, but for those that are no settings."""
    kept = OmegaConf.masked_copy(node, [str(key) for key in node if key not in _SKIPPED])
    return dict(_flat("hydra", OmegaConf.to_container(kept, resolve=False)))


def _flat(key: str, value: Any) -> Iterator[tuple[str, Spec]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            if name != "_target_":
                yield from _flat(f"{key}.{name}", part)
    elif isinstance(value, bool):
        yield key, BOOLEAN
    elif key in _FOLDERS:
        yield key, {"list": {"file": True}} if isinstance(value, list) else {"file": True}
    else:
        yield key, {}


def _command(name: str, parser: ArgumentParser) -> dict[str, Any]:
    options: dict[str, Spec | None] = {}
    words: list[Spec] = []
    keys: Sequence[str] | None = _OF_COMMANDS.get(name)
    for action in parser._actions:
        if action.dest == "experimental_rerun":
            continue  # is refused
        takes = action.nargs != 0
        for option in action.option_strings:
            options[option] = _argument(name, action) if takes else None
        if action.dest == "overrides":
            keys = keys or ()
        elif not action.option_strings:
            words.append(_argument(name, action))
    return {"options": options, "words": words, "keys": keys}


def _argument(name: str, action: Action) -> Spec:
    """What an argument may be."""
    known = _NAMES.get((name, action.dest)) or _NAMES.get(("", action.dest))
    if known is not None:
        return known
    if action.choices is not None:
        return {"values": [str(choice) for choice in action.choices]}
    return {"file": True} if action.type is Path else {}
