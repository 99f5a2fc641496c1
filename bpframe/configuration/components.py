"""One component of a composed config, looked up by its name and checked."""

from __future__ import annotations

import dataclasses
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bpframe.component import check_fields
from bpframe.configuration import schemas
from bpframe.configuration.translation import translated
from bpframe.errors import ConfigError, unknown
from bpframe.plugin_host.registry import KINDS, Registry


def merged(schema: Any, given: Any, path: str) -> DictConfig:
    """`given` checked against a schema, with the full path in every error."""
    typed = schema if isinstance(schema, DictConfig) else OmegaConf.structured(schema)
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
    return _made(cls, merged(schemas.schema(registry, kind, name), node, kind), kind, registry)


def _made(cls: type[Any], node: DictConfig, path: str, registry: Registry) -> Any:
    """An instance with the fields of a checked node, and with the components inside of it."""
    inner = {
        field.name: named(node[field.name], kind, f"{path}.{field.name}", registry)[1]
        for field in dataclasses.fields(cls)
        if field.metadata.get("named") and (kind := _kind(cls.field_types()[field.name]))
    }
    fields = schemas.values(node) | inner
    fields.pop("name")
    component = cls(**fields)
    check_fields(component, path)
    return component


def _kind(contract: Any) -> str | None:
    """The kind of components that a contract is for."""
    return next((kind for kind, each in KINDS.items() if each.contract is contract), None)


def named(node: Any, kind: str, path: str, registry: Registry) -> tuple[str, Any]:
    """A component and its name, from "relu" or {name: leaky_relu, slope: 0.1}."""
    given = OmegaConf.create({"name": node}) if isinstance(node, str) else node
    if not isinstance(given, DictConfig) or "name" not in given:
        raise ConfigError(
            f"{path}: {node!r} is not {'an' if kind[0] in 'ao' else 'a'} {kind}; give a name, "
            "or {name: NAME, field: value}"
        )
    name = str(given["name"])
    cls = registry.get(kind, name, path)
    return name, _made(
        cls, merged(schemas.schema(registry, kind, name), given, path), path, registry
    )
