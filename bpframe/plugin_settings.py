"""Reading `plugins.path` and `plugins.prefer` before there is a registry to compose with.

A config cannot be composed without the names that plugins offer, and may itself say where
plugins are. So where it might, it is composed once for this alone, with empty nodes in place of
the components that are not known yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from bpframe import composition, schemas
from bpframe.composition import initialised, translated
from bpframe.errors import ConfigError
from bpframe.registry import KINDS, Registry

_PREFIX = "plugins."
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
    mine = [text for text in overrides if text.lstrip("+~").startswith(_PREFIX)]
    folders = [Path(folder) for folder in (config_path, config_dir) if folder]
    has_search_path = any(text.startswith("hydra.searchpath") for text in overrides)
    if has_search_path or any(_mentions_plugins(folder) for folder in folders):
        node = _composed(overrides, name, config_path, config_dir)
    elif mine:
        with translated():
            node = OmegaConf.create({"path": [], "prefer": []})
            for override in OverridesParser.create().parse_overrides(mine):
                key = override.key_or_group.removeprefix(_PREFIX)
                OmegaConf.update(node, key, override.value(), force_add=True)
    else:
        return PluginSettings()
    return PluginSettings(_strings(node, "path"), _strings(node, "prefer"))


def _strings(node: Any, key: str) -> tuple[str, ...]:
    with translated():
        value = OmegaConf.to_container(node, resolve=True).get(key, [])  # pyright: ignore
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ConfigError(f"plugins.{key}: {value!r} is not a list of texts; write [{value}]")
    return tuple(value)  # pyright: ignore[reportReturnType, reportArgumentType]


def _mentions_plugins(folder: Path) -> bool:
    files = [*folder.rglob("*.yaml"), *folder.rglob("*.yml")] if folder.is_dir() else []
    return any(b"plugins" in file.read_bytes() for file in files)


def _composed(
    overrides: Sequence[str],
    name: str | None,
    config_path: Path | None,
    config_dir: str | None,
) -> DictConfig:
    """The node `plugins` of the config, composed with empty nodes for unknown components."""
    schemas.store(Registry.of(()))
    parser = OverridesParser.create()
    kept = []
    with translated():
        for text in overrides:
            override = parser.parse_override(text)
            key = override.key_or_group
            is_choice = "." not in key and key not in KINDS
            if not override.is_sweep_override() and (is_choice or key.startswith(_PREFIX)):
                kept.append(text)
    store = ConfigStore.instance()
    try:
        with initialised(config_path, config_dir):
            while True:
                try:
                    return _compose(kept, name).plugins
                except MissingConfigException as error:
                    group, _, missing = (error.missing_cfg_file or "").rpartition("/")
                    if group not in KINDS:
                        raise
                    store.store(group=group, name=missing, node={}, provider=_PROVIDER)
    except MissingConfigException as error:
        raise composition.missing(error) from error
    finally:
        for kind in KINDS:
            group = store.repo.get(kind, {})
            for key in [k for k, node in group.items() if node.provider == _PROVIDER]:
                del group[key]


def _compose(overrides: list[str], name: str | None) -> DictConfig:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    try:
        with translated(missing_too=False):
            return hydra.compose_config(
                config_name=name or composition.CONFIG_NAME,
                overrides=overrides,
                run_mode=RunMode.RUN,
                from_shell=False,
            )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{' '.join(overrides)}: cannot be composed ({error})") from error
