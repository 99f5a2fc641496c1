"""The trackers that a configuration names, and what they are told of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bpframe.component import check_fields
from bpframe.configuration import components
from bpframe.errors import ConfigError
from bpframe.plugin_host.registry import Registry
from bpframe.runs.trackers import NO_TRACKING, Tracker, Tracking

Named = tuple[str, Tracker]
_NOT_TOLD = ("checkpoint", "hydra", "plots", "plugins", "show", "trackers")
"""What says how a run is shown and kept; the address of a server may hold a password."""


def chosen(nodes: Iterable[Any], registry: Registry) -> tuple[Named, ...]:
    """The trackers with their names, from names, {name: NAME, field: value}, and instances.

    Raises:
        ConfigError: an unknown name or field, a value out of range, or the same tracker twice.

    """
    found: list[Named] = []
    if isinstance(nodes, str | Mapping | Tracker):
        raise ConfigError(f"trackers: {nodes!r} is not a list; write [{nodes!r}]")
    for index, node in enumerate(nodes):
        path = f"trackers[{index}]"
        if isinstance(node, Tracker):
            check_fields(node, path)
            named = _name_of(node, registry), node
        else:
            node = OmegaConf.create(dict(node)) if isinstance(node, Mapping) else node
            named = components.named(node, "tracker", path, registry)
        if named in found:
            raise ConfigError(f"{path}: {named[0]} is chosen already; remove one")
        found.append(named)
    return tuple(found)


def ready(nodes: Iterable[Any], registry: Registry) -> tuple[Named, ...]:
    """The same, able to work.

    Raises:
        ConfigError: as `chosen`, or a library is not installed, or a tracker says why it cannot.

    """
    found = chosen(nodes, registry)
    for name, tracker in found:
        if missing := tracker.missing():
            raise ConfigError(f"trackers: {name} needs {missing}")
        tracker.check()
    return found


def tracking(cfg: DictConfig, registry: Registry, sweep: Path | None = None) -> Tracking:
    """What follows a run with this config, as `ready` gives it."""
    trackers = ready(cfg.trackers, registry)
    task: Any = OmegaConf.to_container(
        OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]),
        resolve=False,
        enum_to_str=True,
    )
    return of_config(trackers, task, sweep)


def of_config(
    trackers: Sequence[Named], config: Mapping[str, Any], sweep: Path | None = None
) -> Tracking:
    """What follows a run with a config in plain values."""
    if not trackers:
        return NO_TRACKING
    told = {key: value for key, value in config.items() if key not in _NOT_TOLD}
    return Tracking(tuple(trackers), dict(_by_key(told)), sweep)


def _by_key(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by key, such as optimiser.eta; lists are values."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _by_key(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _name_of(tracker: Tracker, registry: Registry) -> str:
    offers = registry.offers["tracker"].items()
    names = (name for name, offer in offers if offer.component is type(tracker))
    return next(names, type(tracker).__name__)


def is_offered(name: str, tracker: Tracker, registry: Registry) -> bool:
    """Whether a config can name the tracker."""
    offer = registry.offers["tracker"].get(name)
    return offer is not None and offer.component is type(tracker)


def node(name: str, tracker: Tracker) -> dict[str, Any]:
    """The node of a config that describes a tracker."""
    fields = dataclasses.fields(tracker)
    return {"name": name, **{field.name: getattr(tracker, field.name) for field in fields}}
