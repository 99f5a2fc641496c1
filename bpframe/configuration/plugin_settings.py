"""Reading `plugins.path` and `plugins.prefer` before there is a registry to compose with.

A config cannot be composed without the names that plugins offer, and may itself say where
plugins are. So where it might, it is composed once for this alone, with empty nodes in place of
the components that are not known yet.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from bpframe.configuration import composition, schemas
from bpframe.configuration.composition import initialised, translated
from bpframe.configuration.translation import missing
from bpframe.errors import ConfigError
from bpframe.plugin_host.registry import KINDS, Registry

_NODE = "plugins"
_PROVIDER = "bpframe_unknown"


class PluginSettings(NamedTuple):
    """What a config says of plugins; see `host.load_registry`."""

    paths: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()


def plugin_settings(
    overrides: Sequence[str],
    *,
    name: str | None = None,
    config_path: Path | None = None,
    config_dir: str | None = None,
) -> PluginSettings:
    """The settings that overrides and config files make.

    Raises:
        ConfigError: they cannot be read, or are not lists.

    """
    with translated():
        given = OverridesParser.create().parse_overrides(list(overrides))
    mine = [override for override in given if _is_ours(override)]
    for override in mine:
        if override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line}: plugins are loaded once for a whole sweep; give one list "
                "with all of them"
            )
    folders = [Path(folder) for folder in (config_path, config_dir) if folder]
    has_search_path = any(override.key_or_group == "hydra.searchpath" for override in given)
    if has_search_path or any(_mentions_plugins(folder) for folder in folders):
        return _composed(overrides, name, config_path, config_dir)
    return _read(_overridden(mine)) if mine else PluginSettings()


def _is_ours(override: Override) -> bool:
    return override.key_or_group.partition(".")[0] == _NODE


def _overridden(overrides: Sequence[Override]) -> Any:
    """The node `plugins` that overrides make of the defaults."""
    with translated():
        cfg = OmegaConf.create({_NODE: {"path": [], "prefer": []}})
        for override in overrides:
            key = override.key_or_group
            OmegaConf.update(cfg, key, override.value(), merge=key == _NODE, force_add=True)
        return cfg[_NODE]


def _read(node: Any) -> PluginSettings:
    """The settings in a node `plugins`."""
    return PluginSettings(_strings(node, "path"), _strings(node, "prefer"))


def _strings(node: Any, key: str) -> tuple[str, ...]:
    with translated():
        if not isinstance(node, DictConfig):
            raise ConfigError(f"{_NODE}: {node!r} is not a mapping with path and prefer")
        value = OmegaConf.to_container(node, resolve=True).get(key, [])  # pyright: ignore
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ConfigError(f"{_NODE}.{key}: {value!r} is not a list of texts; write [{value}]")
    return tuple(value)  # pyright: ignore[reportReturnType, reportArgumentType]


def _mentions_plugins(folder: Path) -> bool:
    files = [*folder.rglob("*.yaml"), *folder.rglob("*.yml")] if folder.is_dir() else []
    contents = (file.read_bytes() for file in files)
    return any(b"plugins" in content or b"searchpath" in content for content in contents)


def _composed(
    overrides: Sequence[str],
    name: str | None,
    config_path: Path | None,
    config_dir: str | None,
) -> PluginSettings:
    """The settings in the config, composed with empty nodes for unknown components.

    Of a sweep over config files it is the settings of all of them, since it loads plugins once.
    """
    schemas.store(Registry.of(()))
    try:
        with initialised(config_path, config_dir):
            found = [_read(_with_empty_nodes(chosen, name)) for chosen in _choices(overrides)]
    except MissingConfigException as error:
        raise missing(error) from error
    finally:
        _remove_empty_nodes()
    return PluginSettings(
        tuple(dict.fromkeys(path for settings in found for path in settings.paths)),
        tuple(dict.fromkeys(word for settings in found for word in settings.prefer)),
    )


def _choices(overrides: Sequence[str]) -> Iterator[list[str]]:
    """The overrides, but for those of components, whose nodes are empty here.

    A sweep has one list of them for each combination of files that it chooses.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    parser = OverridesParser.create(hydra.config_loader)
    own_keys = {field.name for field in dataclasses.fields(schemas.Config)}
    kept: list[list[str]] = []
    for override in parser.parse_overrides(list(overrides)):
        root, dot, _ = override.key_or_group.partition(".")
        if root in KINDS:
            continue
        if not override.is_sweep_override():
            kept.append([str(override.input_line)])
        elif not dot and root not in own_keys:
            key, _, _ = override.get_key_element().partition("=")
            kept.append([f"{key}={choice}" for choice in override.sweep_string_iterator()])
    return map(list, itertools.product(*kept))


def _with_empty_nodes(overrides: list[str], name: str | None) -> Any:
    """The node `plugins`, composed with an empty node for each component that is not known."""
    while True:
        try:
            return _node(overrides, name)
        except MissingConfigException as error:
            group, _, missing = (error.missing_cfg_file or "").rpartition("/")
            if group not in KINDS:
                raise
            ConfigStore.instance().store(group=group, name=missing, node={}, provider=_PROVIDER)


def _remove_empty_nodes() -> None:
    for kind in KINDS:
        group = ConfigStore.instance().repo.get(kind, {})
        for key in [key for key, node in group.items() if node.provider == _PROVIDER]:
            del group[key]


def _node(overrides: list[str], name: str | None) -> Any:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    with composition.composing(overrides, name=name or composition.CONFIG_NAME, missing_too=False):
        cfg = hydra.compose_config(
            config_name=name or composition.CONFIG_NAME,
            overrides=overrides,
            run_mode=RunMode.RUN,
            from_shell=False,
        )
        return cfg[_NODE]
