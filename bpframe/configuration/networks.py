"""The node `network` of a composed config, as the network that it describes."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from omegaconf import DictConfig, OmegaConf

from bpframe.component import check_fields
from bpframe.configuration import schemas
from bpframe.configuration.components import merged, named
from bpframe.contracts import ElementwiseActivation, Layer, Shape
from bpframe.equations import Dense
from bpframe.errors import ConfigError
from bpframe.network import Network, shown_shape
from bpframe.plugin_host.registry import Registry

DENSE = "dense"
"""The kind of a layer that names none."""


class Sizes(Protocol):
    """What a network has to fit: the shape of an input, and the number of outputs."""

    @property
    def shape(self) -> Shape:
        """Of an input."""
        ...

    @property
    def n_out(self) -> int:
        """Of the output layer."""
        ...


class _LayerNode(NamedTuple):
    """A layer as the config has it: where it stands, where its activation does, and its fields."""

    path: str
    activation_path: str
    node: DictConfig


def network(cfg: DictConfig, data: Sizes, registry: Registry) -> tuple[Network, str]:
    """The network, and the name of its output layer's activation."""
    layers, names, shape = [], [], data.shape
    for node in _layer_nodes(cfg, data.n_out):
        name, layer = _layer(node, registry)
        shape = _shape_after(layer, shape, node, name)
        layers.append(layer)
        names.append(name)
    if shape != (data.n_out,):
        is_dense, n = isinstance(layers[-1], Dense), data.n_out
        given = f".n: {shape[0]}" if is_dense else f": {shown_shape(shape)}"
        mend = f"set n to {n}" if is_dense else f"add a dense layer of {n} neurons after it"
        raise ConfigError(
            f"network.layers[{len(layers) - 1}]{given} output neurons; the data set has {n} "
            f"outputs; {mend}"
        )
    found = Network(data.shape, tuple(layers))
    return _modified(found, names, cfg.modified_neurons, registry), names[-1]


def _layer(found: _LayerNode, registry: Registry) -> tuple[str, Layer]:
    """A layer, and the name of its activation."""
    kind = str(found.node.get("name", DENSE))
    cls = registry.get("layer", kind, f"{found.path}.name")
    fields = merged(schemas.schema(registry, "layer", kind), found.node, found.path)
    node = fields[schemas.ACTIVATION]
    name, activation = named(node, "activation", found.activation_path, registry)
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
        node = merged(schemas.ModifiedNeuronConfig, raw, path)
        if not 2 <= node.layer <= len(network.sizes):
            raise ConfigError(
                f"{path}.layer: {node.layer} does not exist; allowed: 2 to {len(network.sizes)} "
                "(the input is layer 1 and has no activation)"
            )
        *_, n = network.shapes[node.layer - 1]
        if not 0 <= node.neuron < n:
            raise ConfigError(
                f"{path}.neuron: {node.neuron} does not exist in layer {node.layer}; "
                f"allowed: 0 to {n - 1}"
            )
        name, activation = named(node.activation, "activation", f"{path}.activation", registry)
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
