"""From a composed config to a checked Experiment: the only place where names become instances."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf

from bpframe.component import check_fields
from bpframe.configuration import schemas
from bpframe.configuration.translation import translated
from bpframe.contracts import Cost, ElementwiseActivation, Layer, OutputPair, Shape
from bpframe.equations import Unpaired
from bpframe.errors import ConfigError, unknown
from bpframe.metrics import Metric, Monitor
from bpframe.network import Network, PerNeuronActivation, shown_shape
from bpframe.plugin_host.registry import Registry
from bpframe.runs.checkpoint import Checkpointing
from bpframe.training.best import Criterion, rises
from bpframe.training.experiment import Experiment, Training

DENSE = "dense"
"""The kind of a layer that names none."""


def assemble(cfg: DictConfig, registry: Registry) -> Experiment:
    """Look every name up, make the instances, and check what can be checked without data.

    Raises:
        ConfigError: an unknown name or key, a wrong type, a value out of range, or parts that
            cannot go together.

    """
    with translated():
        _check_keys(cfg)
        _check_settings(cfg)
        parts = {group: component(cfg[group], group, registry) for group in schemas.GROUPS}
        network, output_name = _network(cfg.network, parts["data"], registry)
        training = Training(
            **schemas.values(_merged(schemas.TrainingConfig, cfg.training, "training")),
            shared_order=bool(cfg.sweep.shared_order),
        )
        cost = parts.pop("cost")
        pair = _pair(cost, str(cfg.cost.name), network, output_name, registry)
        experiment = Experiment(
            **parts,
            network=network,
            cost=pair,
            metrics=_metrics(cfg.metrics, registry),
            training=training,
            seed=cfg.seed,
            best=_criterion(cfg.sweep),
        )
    _check_schedule(experiment, str(cfg.schedule.name), str(cfg.optimiser.name))
    check_fields(experiment, "")
    return experiment


def _criterion(sweep: DictConfig) -> Criterion:
    """By what the best parameters are chosen: what the runs of a sweep are compared by."""
    name = str(sweep.objective)
    more_is_better = sweep.direction == "maximise" if sweep.direction else rises(name)
    return Criterion.of(name, maximise=more_is_better)


def _check_keys(cfg: DictConfig) -> None:
    """Refuse what was added or taken away at the top with + or ~."""
    known = {field.name for field in dataclasses.fields(schemas.Config)}
    for key in cfg:
        if key not in known | {"hydra"}:
            raise unknown(str(key), key, known)
    missing = [key for key in sorted(known) if key not in cfg or OmegaConf.is_missing(cfg, key)]
    if len(missing) == 1:
        raise ConfigError(f"{missing[0]}: is required; set {missing[0]}=...")
    if missing:
        raise ConfigError(
            f"{', '.join(missing)}: are required; let the defaults list of the primary config "
            "begin with config, which sets them"
        )


_SETTINGS = {
    "network": schemas.NetworkConfig,
    "checkpoint": schemas.CheckpointConfig,
    "sweep": schemas.SweepConfig,
    "plugins": schemas.PluginsConfig,
}


def _check_settings(cfg: DictConfig) -> None:
    """Check what belongs to no component: nothing is there that nobody reads, and of another type.

    Hydra checks neither what is added with + nor configs without a schema.
    """
    for path, schema in _SETTINGS.items():
        _merged(schema, cfg[path], path)
    Checkpointing(**cfg.checkpoint).check()
    for path, allowed, kinds in (
        ("seed", "an integer", (int,)),
        ("plots", "true, false or null", (bool, type(None))),
        ("metrics", "a list", (ListConfig,)),
    ):
        value = cfg[path]
        if not isinstance(value, kinds) or (path == "seed" and isinstance(value, bool)):
            raise ConfigError(f"{path}: {value!r} is not {allowed}")


def _merged(schema: Any, given: Any, path: str) -> DictConfig:
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
            merged = OmegaConf.merge(typed, OmegaConf.to_container(given, resolve=True))
    except ConfigError as error:
        raise ConfigError(f"{path}.{str(error).removeprefix(path + '.')}") from error
    assert isinstance(merged, DictConfig)
    for key in merged:
        if OmegaConf.is_missing(merged, key):
            raise ConfigError(f"{path}.{key}: is required; set it")
    return merged


def component(node: Any, kind: str, registry: Registry) -> Any:
    """The component that the node of a config group describes; see `assemble`."""
    if not isinstance(node, DictConfig) or "name" not in node:
        raise ConfigError(f"{kind}: {node!r} is not a component; choose one with {kind}=NAME")
    name = str(node.name)
    schema_type = OmegaConf.get_type(node)
    if dataclasses.is_dataclass(schema_type) and schema_type.__name__ != name:
        raise ConfigError(f"{kind}.name: cannot be set; choose the component with {kind}={name}")
    cls = registry.get(kind, name, kind)
    fields = schemas.values(_merged(schemas.schema(registry, kind, name), node, kind))
    fields.pop("name")
    component = cls(**fields)
    check_fields(component, kind)
    return component


def _named(node: Any, kind: str, path: str, registry: Registry) -> tuple[str, Any]:
    """A component and its name, from "relu" or {name: leaky_relu, slope: 0.1}."""
    given = OmegaConf.create({"name": node}) if isinstance(node, str) else node
    if not isinstance(given, DictConfig) or "name" not in given:
        raise ConfigError(
            f"{path}: {node!r} is not {'an' if kind == 'activation' else 'a'} {kind}; give a name, "
            "or {name: NAME, field: value}"
        )
    name = str(given["name"])
    cls = registry.get(kind, name, path)
    merged = _merged(schemas.schema(registry, kind, name), given, path)
    fields = schemas.values(merged)
    fields.pop("name")
    component = cls(**fields)
    check_fields(component, path)
    return name, component


def _metrics(nodes: Any, registry: Registry) -> tuple[Monitor, ...]:
    """The metrics with their names; each may stand once for what it is over."""
    monitors: list[Monitor] = []
    for index, node in enumerate(nodes):
        path = f"metrics[{index}]"
        name, metric = _named(node, "metric", path, registry)
        assert isinstance(metric, Metric)
        if any((name, metric.over) == (m.name, m.metric.over) for m in monitors):
            raise ConfigError(
                f"{path}: {name} over {metric.over} is chosen already; remove one, or set another "
                "over"
            )
        monitors.append(Monitor(name, metric))
    return tuple(monitors)


def _check_schedule(experiment: Experiment, name: str, optimiser: str) -> None:
    fields = {field.name for field in dataclasses.fields(experiment.optimiser)}
    if not experiment.schedule.is_constant and "eta" not in fields:
        raise ConfigError(
            f"schedule: {name} scales optimiser.eta, and {optimiser} has no eta; set "
            "schedule=constant, or choose another optimiser, such as sgd"
        )


class _LayerNode(NamedTuple):
    """A layer as the config has it: where it stands, where its activation does, and its fields."""

    path: str
    activation_path: str
    node: DictConfig


def _network(cfg: DictConfig, data: Any, registry: Registry) -> tuple[Network, str]:
    """The network, and the name of its output layer's activation."""
    layers, names, shape = [], [], data.shape
    for found in _layer_nodes(cfg, data.n_out):
        name, layer = _layer(found, registry)
        shape = _shape_after(layer, shape, found, name)
        layers.append(layer)
        names.append(name)
    if shape != (data.n_out,):
        given = f".n: {shape[0]}" if len(shape) == 1 else f": {shown_shape(shape)}"
        raise ConfigError(
            f"network.layers[{len(layers) - 1}]{given} output neurons; the data set has "
            f"{data.n_out} outputs; set n to {data.n_out}"
        )
    network = Network(data.shape, tuple(layers))
    return _modified(network, names, cfg.modified_neurons, registry), names[-1]


def _layer(found: _LayerNode, registry: Registry) -> tuple[str, Layer]:
    """A layer, and the name of its activation."""
    kind = str(found.node.get("name", DENSE))
    cls = registry.get("layer", kind, f"{found.path}.name")
    fields = _merged(schemas.schema(registry, "layer", kind), found.node, found.path)
    node = fields[schemas.ACTIVATION]
    name, activation = _named(node, "activation", found.activation_path, registry)
    inner = {
        field: _inner_layers(fields[field], f"{found.path}.{field}", registry)
        for field, hint in cls.field_types().items()
        if hint == tuple[Layer, ...]
    }
    own = schemas.values(fields)
    own.pop("name")
    layer = cls(**own | inner | {schemas.ACTIVATION: activation})
    check_fields(layer, found.path)
    return name, layer


def _inner_layers(nodes: Any, path: str, registry: Registry) -> tuple[Layer, ...]:
    """The layers inside of another one."""
    if not nodes:
        raise ConfigError(f"{path}: is empty; give at least one layer")
    return tuple(_layer(found, registry)[1] for found in _nodes(nodes, path))


def _shape_after(layer: Layer, shape_prev: Shape, found: _LayerNode, activation: str) -> Shape:
    """The shape of a layer, which its activation has to suit."""
    try:
        shape = layer.shape(shape_prev)
    except ConfigError as error:
        raise ConfigError(f"{found.path}: {error}") from error
    n, least = math.prod(shape), layer.activation.min_neurons
    if n < least:
        raise ConfigError(
            f"{found.activation_path}: {activation} needs a layer of at least {least} neurons, "
            f"and this one has {n}; choose another activation, such as sigmoid"
        )
    if len(shape) > 1 and not isinstance(layer.activation, ElementwiseActivation):
        raise ConfigError(
            f"{found.activation_path}: {activation} couples the neurons of its layer, and is for "
            f"flat ones; this one is {shown_shape(shape)}; choose another, such as sigmoid"
        )
    return shape


def _layer_nodes(cfg: DictConfig, n_out: int) -> list[_LayerNode]:
    """The layers 2..L, from either way of writing."""
    if cfg.layers is not None:
        _check_short_way_unused(cfg)
        nodes = list(_nodes(cfg.layers, "network.layers"))
        if not nodes:
            raise ConfigError("network.layers: is empty; give at least the output layer")
        return nodes
    for index, n in enumerate(cfg.hidden):
        if not isinstance(n, int):
            raise ConfigError(f"network.hidden[{index}]: {n} is not a number of neurons")
        if n < 1:
            raise ConfigError(f"network.hidden[{index}]: {n} is out of range; allowed: >= 1")
    dense = [("network.activation", n, cfg.activation) for n in cfg.hidden]
    dense.append(("network.output_activation", n_out, cfg.output_activation))
    return [
        _LayerNode("network", path, OmegaConf.create({"n": n, schemas.ACTIVATION: node}))
        for path, n, node in dense
    ]


def _nodes(nodes: Any, path: str) -> Iterator[_LayerNode]:
    for index, node in enumerate(nodes):
        place = f"{path}[{index}]"
        if not isinstance(node, DictConfig):
            raise ConfigError(
                f"{place}: {node!r} is not a mapping; write {{n: 30, activation: sigmoid}}"
            )
        yield _LayerNode(place, f"{place}.{schemas.ACTIVATION}", node)


def _check_short_way_unused(cfg: DictConfig) -> None:
    """Refuse layers that are given in both ways, wherever each stands."""
    defaults = network_defaults()
    for key in ("hidden", "activation", "output_activation"):
        if cfg[key] != defaults[key]:
            raise ConfigError(
                f"network.{key}: {cfg[key]} and network.layers exclude each other; set "
                f"network.layers=null, or leave network.{key} at {defaults[key]}"
            )


@functools.cache
def network_defaults() -> DictConfig:
    """The node `network` of bpframe's own config."""
    defaults = OmegaConf.load(schemas.directory() / "config.yaml").network
    assert isinstance(defaults, DictConfig)
    return defaults


def _modified(network: Network, names: list[str], nodes: Any, registry: Registry) -> Network:
    """The network with the activations of single neurons put in."""
    changes: dict[int, dict[int, ElementwiseActivation]] = {}
    for index, raw in enumerate(nodes):
        path = f"network.modified_neurons[{index}]"
        node = _merged(schemas.ModifiedNeuronConfig, raw, path)
        if not 2 <= node.layer <= len(network.sizes):
            raise ConfigError(
                f"{path}.layer: {node.layer} does not exist; allowed: 2 to {len(network.sizes)} "
                "(the input is layer 1 and has no activation)"
            )
        shape = network.shapes[node.layer - 1]
        if len(shape) > 1:
            raise ConfigError(
                f"{path}.layer: layer {node.layer} is an image of {shown_shape(shape)}; neurons "
                "are modified in flat layers, such as dense ones"
            )
        (n,) = shape
        if not 0 <= node.neuron < n:
            raise ConfigError(
                f"{path}.neuron: {node.neuron} does not exist in layer {node.layer}; "
                f"allowed: 0 to {n - 1}"
            )
        name, activation = _named(node.activation, "activation", f"{path}.activation", registry)
        base = network.layers[node.layer - 2].activation
        for which, candidate in ((names[node.layer - 2], base), (name, activation)):
            if not isinstance(candidate, ElementwiseActivation):
                raise ConfigError(
                    f"{path}: {which} couples the neurons of its layer, so it cannot stand beside "
                    "another activation; use elementwise ones, such as sigmoid"
                )
        layer = changes.setdefault(node.layer, {})
        if node.neuron in layer:
            raise ConfigError(
                f"{path}: neuron {node.neuron} of layer {node.layer} is modified twice; remove one"
            )
        assert isinstance(activation, ElementwiseActivation)
        layer[node.neuron] = activation
    return network.with_modified(changes)


def _pair(
    cost: Cost, cost_name: str, network: Network, output_name: str, registry: Registry
) -> OutputPair:
    """The pair that the cost and the output layer make; checks that they can go together."""
    output = network.layers[-1].activation
    modified = isinstance(output, PerNeuronActivation)
    members = output.members if isinstance(output, PerNeuronActivation) else (output,)
    for member in members:
        low, high = cost.domain
        if not (low <= member.range[0] and member.range[1] <= high):
            raise ConfigError(
                f"cost: {cost_name} is defined for outputs from {low:g} to {high:g}, and "
                f"{type(member).__name__} gives {member.range[0]:g} to {member.range[1]:g}; choose "
                "another cost, or an output activation with that range, such as sigmoid"
            )
    if cost.needs_distribution and not output.sums_to_one:
        raise ConfigError(
            f"cost: {cost_name} needs outputs that sum to one, and {output_name} does not give "
            "them; set network.output_activation=softmax, or choose another cost"
        )
    pair = None if modified else registry.pair(cost_name, output_name)
    return (pair or Unpaired)(cost, output)
