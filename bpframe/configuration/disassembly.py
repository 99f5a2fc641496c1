"""From an Experiment back to the config that describes it, for runs that begin in Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bpframe.component import Component
from bpframe.configuration import assembly, networks, schemas, trackers
from bpframe.contracts import Activation, Layer
from bpframe.errors import BpframeError, ConfigError
from bpframe.network import Network, PerNeuronActivation
from bpframe.plugin_host import discovery
from bpframe.plugin_host.registry import Registry
from bpframe.runs.checkpoint import DEFAULT, Checkpointing
from bpframe.runs.provenance import components
from bpframe.tables.in_memory import GIVEN, InMemory
from bpframe.training.best import Criterion, rises
from bpframe.training.experiment import Experiment


def config_files(
    experiment: Experiment,
    registry: Registry,
    checkpointing: Checkpointing,
    *,
    plots: bool,
    has_own_data: bool,
    followed_by: Sequence[trackers.Named] = (),
) -> dict[str, str]:
    """What Hydra would have written for a run of this experiment, by the names of the files.

    Trackers that no plugin offers are left out.

    Raises:
        ConfigError: no config describes the experiment, for a part of it is offered by no plugin.

    """
    config = _config(experiment, registry)
    config |= {"checkpoint": checkpointing._asdict(), "plots": None if plots else False}
    named = [trackers.node(*one) for one in followed_by if trackers.is_offered(*one, registry)]
    config["trackers"] = named
    if has_own_data:
        kept = {field.name for field in dataclasses.fields(InMemory)}
        fields = {k: v for k, v in _fields(experiment.data).items() if k in kept}
        config["data"] = {"name": GIVEN, **fields}
    begun = {"hydra": {"runtime": {"cwd": str(Path.cwd())}}}
    return {
        "config.yaml": OmegaConf.to_yaml(OmegaConf.create(config)),
        "hydra.yaml": OmegaConf.to_yaml(OmegaConf.create(begun)),
        "overrides.yaml": "[]\n",
    }


def files_of(experiment: Experiment) -> list[str]:
    """The plugins that are files or folders and that parts of the experiment come from."""
    return discovery.files_of(type(part).__module__ for part in components(experiment))


def _config(experiment: Experiment, registry: Registry) -> dict[str, Any]:
    """The config that `assembly.assemble` makes this experiment of."""
    parts = {group: getattr(experiment, group) for group in schemas.GROUPS}
    parts["cost"] = experiment.cost.cost_function
    training = _fields(experiment.training)
    shared_order = training.pop("shared_order")
    config = {
        "seed": int(experiment.seed),
        **{group: _node(part, group, registry) for group, part in parts.items()},
        "network": _network(experiment.network, registry),
        "metrics": [_node(each.metric, "metric", registry) for each in experiment.metrics],
        "record": [_node(each.recorder, "recorder", registry) for each in experiment.recorders],
        "record_limit": experiment.record_limit,
        "training": training,
        "checkpoint": DEFAULT._asdict(),
        "plots": None,
        "show": False,
        "trackers": [],
        "sweep": {"shared_order": shared_order, **_objective(experiment.best)},
        "plugins": {"path": files_of(experiment), "prefer": []},
    }
    try:
        again = assembly.assemble(OmegaConf.create(config), registry)
    except BpframeError as error:
        raise ConfigError(f"no configuration describes the experiment: {error}") from error
    for field in dataclasses.fields(Experiment):
        if repr(getattr(again, field.name)) != repr(getattr(experiment, field.name)):
            raise ConfigError(
                f"no configuration describes the experiment: its {field.name} is not what bpframe "
                "assembles"
            )
    return config


def _node(part: Component, kind: str, registry: Registry) -> dict[str, Any]:
    offers = registry.offers[kind].items()
    name = next((name for name, offer in offers if offer.component is type(part)), None)
    if name is None:
        raise ConfigError(
            f"no configuration describes the experiment: {type(part).__name__} is offered by no "
            f"plugin as {kind}"
        )
    fields = _fields(part)
    for field in dataclasses.fields(part):
        if field.metadata.get("named"):  # of the same kind, as an optimiser in an optimiser
            fields[field.name] = _node(getattr(part, field.name), kind, registry)
    return {"name": name, **fields}


def _fields(part: Component) -> dict[str, Any]:
    return {field.name: _plain(getattr(part, field.name)) for field in dataclasses.fields(part)}


def _plain(value: Any) -> Any:
    """A value as YAML knows it: lists for tuples, Python's numbers for those of arrays."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value.item() if hasattr(value, "item") else value


def _network(network: Network, registry: Registry) -> dict[str, Any]:
    modified = [
        {
            "layer": number,
            "neuron": neuron,
            "activation": _node(group.activation, "activation", registry),
        }
        for number, layer in enumerate(network.layers, start=2)
        if isinstance(layer.activation, PerNeuronActivation)
        for group in layer.activation.modified
        for neuron in group.neurons
    ]
    bases = [
        layer.activation.base
        if isinstance(layer.activation, PerNeuronActivation)
        else layer.activation
        for layer in network.layers
    ]
    layers = [
        _layer(dataclasses.replace(layer, activation=base), registry)
        for layer, base in zip(network.layers, bases, strict=True)
    ]
    defaults = {str(key): value for key, value in networks.network_defaults().items()}
    return {**defaults, "layers": layers, "modified_neurons": modified}


def _layer(layer: Layer, registry: Registry) -> dict[str, Any]:
    """The node of a layer, with those of its activation and of the layers inside of it."""
    node = _node(layer, "layer", registry)
    for name in node:
        value = getattr(layer, name, None)
        if isinstance(value, Activation):
            node[name] = _node(value, "activation", registry)
        elif isinstance(value, tuple) and any(isinstance(part, Layer) for part in value):
            node[name] = [_layer(part, registry) for part in value]
    return node


def _objective(best: Criterion) -> dict[str, Any]:
    objective = best.objective
    is_implied = objective is None or best.maximise == rises(objective)
    direction = None if is_implied else "maximise" if best.maximise else "minimise"
    return {"objective": objective, "direction": direction}
