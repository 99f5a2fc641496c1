"""One component of a composed config, looked up by its name and checked."""

from __future__ import annotations

import dataclasses
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bpframe.component import check_fields
from bpframe.configuration import schemas
from bpframe.configuration.translation import translated
from bpframe.errors import ConfigError, unknown
from bpframe.plugin_host.registry import Registry


def merged(schema: Any, given: Any, path: str) -> DictConfig:
    """`given` checked against a schema, with the full path in every error."""
    typed = OmegaConf.structured(schema)
    if not isinstance(given, DictConfig):
        raise ConfigError(f"{path}: {given!r} is not a mapping with {', '.join(map(str, typed))}")
    known = [str(key) for key in typed]  # `in typed` would not find required fields
    for key in given:
        if key not in known:
            raise unknown(f"{path}.{key}", key, [name for name in known if name != "name"])
        if OmegaConf.is_missing(given, key):
            raise ConfigError(f"{path}.{key}: is required; set it")
    try:
        with translated():
            checked = OmegaConf.merge(typed, OmegaConf.to_container(given, resolve=True))
    except ConfigError as error:
        raise ConfigError(f"{path}.{str(error).removeprefix(path + '.')}") from error
    assert isinstance(checked, DictConfig)
    for key in checked:
        if OmegaConf.is_missing(checked, key):
            raise ConfigError(f"{path}.{key}: is required; set it")
    return checked


def component(node: Any, kind: str, registry: Registry) -> Any:
    """The component that the node of a config group describes; see `assemble`."""
    if not isinstance(node, DictConfig) or "name" not in node:
        raise ConfigError(f"{kind}: {node!r} is not a component; choose one with {kind}=NAME")
    name = str(node.name)
    schema_type = OmegaConf.get_type(node)
    if dataclasses.is_dataclass(schema_type) and schema_type.__name__ != name:
        raise ConfigError(f"{kind}.name: cannot be set; choose the component with {kind}={name}")
    cls = registry.get(kind, name, kind)
    fields = schemas.values(merged(schemas.schema(registry, kind, name), node, kind))
    fields.pop("name")
    component = cls(**fields)
    check_fields(component, kind)
    return component


def named(node: Any, kind: str, path: str, registry: Registry) -> tuple[str, Any]:
    """A component and its name, from "relu" or {name: leaky_relu, slope: 0.1}."""
    given = OmegaConf.create({"name": node}) if isinstance(node, str) else node
    if not isinstance(given, DictConfig) or "name" not in given:
        raise ConfigError(
            f"{path}: {node!r} is not {'an' if kind == 'activation' else 'a'} {kind}; give a name, "
            "or {name: NAME, field: value}"
        )
    name = str(given["name"])
    cls = registry.get(kind, name, path)
    values = merged(schemas.schema(registry, kind, name), given, path)
    fields = schemas.values(values)
    fields.pop("name")
    component = cls(**fields)
    check_fields(component, path)
    return name, component
