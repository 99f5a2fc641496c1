"""Schemas for Hydra, made from the fields of the plugin classes."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bpframe.component import Component
from bpframe.contracts import Layer
from bpframe.errors import PluginError
from bpframe.plugin_host.registry import ACTIVE, KINDS, PAIRS, Registry
from bpframe.runs.checkpoint import DEFAULT
from bpframe.training.experiment import RECORD_LIMIT, Training

_LISTED = ("activation", "layer", "metric", "recorder", "tracker", PAIRS)
GROUPS = tuple(kind for kind in KINDS if kind not in _LISTED)
"""The config groups: every kind of component that is chosen as `group=name`."""

_PROVIDER = "bpframe"
ACTIVATION = "activation"
"""The field of a layer that holds another component: a name or {name: NAME, field: value}."""


@dataclasses.dataclass
class ModifiedNeuronConfig:
    """One neuron with an activation of its own; the input is layer 1, neurons count from 0."""

    layer: int = MISSING
    neuron: int = MISSING
    activation: Any = MISSING


@dataclasses.dataclass
class NetworkConfig:
    """The layers after the input, in short (the first three fields) or one by one (`layers`)."""

    hidden: list[int] = MISSING
    activation: Any = MISSING
    output_activation: Any = MISSING
    layers: list[Any] | None = MISSING  # of mappings, checked one by one to name the place
    modified_neurons: list[Any] = MISSING  # of ModifiedNeuronConfig


def _fields(component: type[Any]) -> list[Any]:
    """The name, type and default of each field of a component's class, as a config holds them."""
    fields: list[Any] = []
    for field in dataclasses.fields(component):
        if issubclass(component, Layer) and field.name == ACTIVATION:
            fields.append((ACTIVATION, typing.Any, component.default_activation or MISSING))
            continue
        if (part := field.metadata.get("named")) is not None:
            fields.append((field.name, typing.Any, _free(part)))
            continue
        default: Any = MISSING if field.default is dataclasses.MISSING else field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if isinstance(default, tuple | list):
            default = dataclasses.field(default_factory=lambda default=default: _lists(default))
        fields.append((field.name, _with_lists(component.field_types()[field.name]), default))
    return fields


def _free(name: str) -> Any:
    """A component inside of another: its keys are known only with its name; see `components`."""
    return dataclasses.field(
        default_factory=lambda: DictConfig({"name": name}, flags={"struct": False})
    )


def _lists(value: Any) -> Any:
    return [_lists(part) for part in value] if isinstance(value, tuple | list) else value


def _with_lists(hint: Any) -> Any:
    """A type that a config can hold: lists for tuples of any length, of anything where they nest.

    OmegaConf takes no integer for a float in a list of lists; `check_fields` looks at those.
    """
    if typing.get_origin(hint) is not tuple or typing.get_args(hint)[-1] is not Ellipsis:
        return hint
    part = typing.get_args(hint)[0]
    is_nested = typing.get_origin(part) is tuple or issubclass(part, Component)
    return list[Any if is_nested else part]


# Not `shared_order`, which concerns the runs of a sweep together and stands in SweepConfig.
TrainingConfig = dataclasses.make_dataclass(
    "TrainingConfig", [field for field in _fields(Training) if field[0] != "shared_order"]
)


@dataclasses.dataclass
class SweepConfig:
    """What concerns the runs of a sweep together.

    `shared_order`: see bpframe.Training. `objective` is the scalar by which runs are
    compared, a column of results.csv (None: validation accuracy, or validation cost where there
    is none), and `direction` whether more of it is better; None decides by its name.
    """

    shared_order: bool = Training.shared_order
    objective: str | None = MISSING
    direction: str | None = MISSING


@dataclasses.dataclass
class PluginsConfig:
    """Where plugins are besides the installed ones, and whom to take a contested name from."""

    path: list[str] = MISSING
    prefer: list[str] = MISSING


@dataclasses.dataclass
class CheckpointConfig:
    """When a run writes a checkpoint into its folder, and how many of them stay."""

    seconds: float | None = DEFAULT.seconds
    epochs: int | None = DEFAULT.epochs
    keep: int = DEFAULT.keep


@dataclasses.dataclass
class Config:
    """The whole configuration; the groups are filled by the component that is chosen."""

    seed: int = MISSING
    data: Any = MISSING
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    cost: Any = MISSING
    optimiser: Any = MISSING
    initialiser: Any = MISSING
    regulariser: Any = MISSING
    learning_rule: Any = MISSING
    aggregation: Any = MISSING
    schedule: Any = MISSING
    stopping: Any = MISSING
    metrics: list[Any] = MISSING  # names, or {name: ..., field: ...}; checked one by one
    record: list[Any] = MISSING  # as metrics
    record_limit: int = RECORD_LIMIT
    training: TrainingConfig = dataclasses.field(  # pyright: ignore[reportInvalidTypeForm]
        default_factory=TrainingConfig
    )
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)
    plots: bool | None = MISSING
    show: bool = False  # whether to write a page about the run when it has ended
    trackers: list[Any] = MISSING  # as metrics
    sweep: SweepConfig = dataclasses.field(default_factory=SweepConfig)
    plugins: PluginsConfig = dataclasses.field(default_factory=PluginsConfig)


def directory() -> Path:
    """The folder of the config files: inside the package when installed, else beside it."""
    here = Path(__file__).parents[1]
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"


def store(registry: Registry) -> Registry:
    """Put the schemas of all components into Hydra's ConfigStore, in place of earlier ones.

    Returns:
        The registry, without the plugins of which a component has a field that no config can hold.

    Raises:
        PluginError: such a plugin was given as an object.

    """
    registry = _with_schemas(registry)
    config_store = ConfigStore.instance()
    # Hydra copies it whole to compose, a third of the time, and again each node that it takes out.
    config_store.__deepcopy__ = lambda _: config_store  # pyright: ignore[reportAttributeAccessIssue]
    repo = config_store.repo
    for key in [key for key, found in repo.items() if isinstance(found, _Schema)]:
        del repo[key]
    config_store.store(name="bpframe_schema", node=Config, provider=_PROVIDER)
    for group in GROUPS:
        folder = repo.setdefault(group, {})
        for key in [key for key, found in folder.items() if isinstance(found, _Schema)]:
            del folder[key]
        for name in registry.names(group):
            component = registry.offers[group][name].component
            folder[f"{name}.yaml"] = _Schema(f"{name}.yaml", group, component)
    return registry


class _Schema(ConfigNode):
    """The schema of a component, made when Hydra first asks for it: most are never chosen."""

    def __init__(self, name: str, group: str, component: type[Any]) -> None:
        self.name, self.group, self.package, self.provider = name, group, None, _PROVIDER
        self._component = component

    def __getattr__(self, name: str) -> DictConfig:
        if name != "node":
            raise AttributeError(name)
        return _structured(self._component, self.name.removesuffix(".yaml"))


@contextmanager
def hydra_defaults() -> Iterator[None]:
    """Hydra's own config with bpframe's launcher, sweeper and logging, as long as this lasts.

    As the defaults of a primary config they could be overridden by no experiment.
    """
    mine = {"launcher": "vmap", "sweeper": "grid", "job_logging": "bpframe"}
    before = ConfigStore.instance().load("hydra/config.yaml")
    # Hydra's default, but for the console: what the terminal shows bpframe says itself.
    logging = {"defaults": ["default", "_self_"], "root": {"handlers": ["file"]}}
    defaults = [
        {group: mine.get(group, choice) for group, choice in entry.items()}
        for entry in before.node.defaults
    ]
    own = HydraConf(defaults=defaults)
    store, provider = ConfigStore.instance(), before.provider
    store.store(group="hydra", name="config", node=own, provider=provider)
    store.store(group="hydra/job_logging", name="bpframe", node=logging, provider=provider)
    try:
        yield
    finally:
        store.repo["hydra"]["config.yaml"] = before
        store.repo["hydra"]["job_logging"].pop("bpframe.yaml", None)


def _with_schemas(registry: Registry) -> Registry:
    for plugin in registry.plugins:
        for kind, offers in plugin.offers.items():
            for name, component in offers.items() if kind != PAIRS else ():
                if (error := _unfit(component, name)) is not None:
                    reason = f"{kind} {name!r} has a field that a config cannot hold: {error}"
                    if plugin.is_given:
                        raise PluginError(f"plugin {plugin.name}: {reason}") from error
                    if plugin.status == ACTIVE:
                        registry = registry.without(plugin.name, one_line(reason))
    return registry


@functools.cache
def _unfit(component: type[Any], name: str) -> Exception | None:
    """Why no config can hold a component; found once, for speed."""
    if all(_is_plain(hint, default) for _, hint, default in _fields(component)):
        return None
    try:
        _structured(component, name)
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        return error
    return None


def _is_plain(hint: Any, default: Any) -> bool:
    """Whether a config can surely hold a field, so that none has to be made to find out."""
    if isinstance(default, dataclasses.Field):
        assert callable(default.default_factory)
        default = default.default_factory()
    if default is MISSING or isinstance(default, DictConfig):
        return hint is Any or hint in _PLAIN
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is list:
        return all(_is_plain(arguments[0], part) for part in default)
    if default is None:
        return type(None) in arguments and all(each in (*_PLAIN, type(None)) for each in arguments)
    return type(default) in _PLAIN and hint in (type(default), Any)


_PLAIN = (bool, int, float, str)


def schema(registry: Registry, kind: str, name: str) -> DictConfig:
    """The typed config of one component, to read: its name, and its fields with their defaults."""
    return _structured(registry.offers[kind][name].component, name)


@functools.cache
def _structured(component: type[Any], name: str) -> DictConfig:
    """Made once, for speed."""
    return OmegaConf.structured(_schema_class(component, name))


@functools.cache
def _schema_class(component: type[Any], name: str) -> type[Any]:
    """A dataclass with the component's name, fields and defaults; made once, for speed."""
    return dataclasses.make_dataclass(name, [("name", str, name), *_fields(component)])


def values(node: DictConfig) -> dict[str, Any]:
    """The fields of a config node as Python values; lists become tuples."""
    container = OmegaConf.to_container(node, resolve=True)
    assert isinstance(container, dict)
    return {str(key): _hashable(value) for key, value in container.items()}


def one_line(text: str) -> str:
    """Text of several lines as one."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
