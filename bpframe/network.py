"""The network: layers of neurons, where any neuron may have an activation of its own.

Layers are numbered as in the book: the input is layer 1, the first hidden layer is layer 2.
Neurons in a layer count from 0.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe import checks
from bpframe.component import Component
from bpframe.contracts import (
    ElementwiseActivation,
    Initialiser,
    Layer,
    LayerParams,
    Params,
    Shape,
    Shapes,
    Stacked,
)


class ModifiedNeurons(Component):
    """The neurons of one layer that share another activation f; `neurons` count from 0.

    In a layer (rows, columns, maps) a neuron is that of one map, at all its places, which share
    their weights as well.
    """

    neurons: tuple[int, ...]
    activation: ElementwiseActivation

    def mask(self, n: int) -> np.ndarray:
        """(n,) booleans: True at the modified neurons."""
        return np.isin(np.arange(n), self.neurons)


class _Zeros(Initialiser):
    """Parameters of zeros, for their shapes."""

    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        """0."""
        del key, n_in, n_out
        return Params(jnp.zeros(shape, np.float32), jnp.zeros(shape[:1], np.float32))

    def variance(self, n_in: int, n_out: int) -> float:
        """0."""
        del n_in, n_out
        return 0.0


class PerNeuronActivation(ElementwiseActivation):
    """sigma for a layer in which some neurons use another f.

    Only those neurons' entries of a and of sigma'(z) change: a_j = f(z_j), sigma'(z)_j = f'(z_j).
    Both functions are evaluated on the whole layer and one is selected, which compiles to one
    fused loop; a scatter would not.
    """

    base: ElementwiseActivation
    modified: tuple[ModifiedNeurons, ...]

    @property
    def members(self) -> tuple[ElementwiseActivation, ...]:
        """The layer's own activation and those of the modified neurons."""
        return (self.base, *(group.activation for group in self.modified))

    def __call__(self, z: Array) -> Array:
        """sigma(z), or f(z) at the modified neurons; z is (n,) or (rows, columns, n)."""
        a = self.base(z)
        for group in self.modified:
            a = jnp.where(group.mask(z.shape[-1]), group.activation(z), a)
        return a

    def prime(self, z: Array) -> Array:
        """sigma'(z), or f'(z) at the modified neurons; z is (n,) or (rows, columns, n)."""
        prime = self.base.prime(z)
        for group in self.modified:
            prime = jnp.where(group.mask(z.shape[-1]), group.activation.prime(z), prime)
        return prime

    def second_derivative(self, z: Array) -> Array | None:
        """sigma''(z), or f''(z) at the modified neurons; None if one of them is not told."""
        second = self.base.second_derivative(z)
        for group in self.modified:
            own = group.activation.second_derivative(z)
            if second is None or own is None:
                return None
            second = jnp.where(group.mask(z.shape[-1]), own, second)
        return second


class Network(Component):
    """A network: `shape` is that of the input, layer 1, and `layers` are the layers 2..L."""

    shape: Shape
    layers: tuple[Layer, ...]

    @property
    def shapes(self) -> Shapes:
        """The shapes of the layers 1..L.

        Raises:
            ConfigError: a layer cannot stand where it does.

        """
        return tuple(
            itertools.accumulate(
                self.layers, lambda shape, layer: layer.shape(shape), initial=self.shape
            )
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of neurons in each layer, from the input to the output."""
        return tuple(map(math.prod, self.shapes))

    @property
    def params(self) -> tuple[LayerParams, ...]:
        """The parameters of the layers 2..L by their shapes and dtypes alone."""
        return jax.eval_shape(lambda: self.init(_Zeros(), jax.random.key(0)))

    @property
    def size(self) -> int:
        """The number of parameters."""
        return sum(array.size for array in jax.tree.leaves(self.params))

    @property
    def products(self) -> int:
        """The multiplications that the answer to one example takes, about."""
        return sum(
            n * _fan_in(path, w) * math.prod(w.shape[: _blocks(path)])
            for own, n in zip(self.params, self.sizes[1:], strict=True)
            for path, w in _leaves(own)
            if _is_weight(path)
        )

    @property
    def n_out(self) -> int:
        """The number of output neurons."""
        return self.sizes[-1]

    def init(self, initialiser: Initialiser, key: Array) -> tuple[LayerParams, ...]:
        """Fresh parameters of the layers 2..L."""
        keys = jax.random.split(key, len(self.layers))
        return tuple(
            layer.init(initialiser, key, shape)
            for layer, key, shape in zip(self.layers, keys, self.shapes[:-1], strict=True)
        )

    def with_modified(self, changes: Mapping[int, Mapping[int, ElementwiseActivation]]) -> Network:
        """The network with other activations for single neurons.

        `changes` maps a layer, as the book numbers them, to neurons and their activations.
        """
        layers = list(self.layers)
        for number, neurons in changes.items():
            layer = layers[number - 2]
            assert isinstance(layer.activation, ElementwiseActivation)
            activation = PerNeuronActivation(layer.activation, _grouped(neurons))
            layers[number - 2] = dataclasses.replace(layer, activation=activation)
        return Network(self.shape, tuple(layers))


def shown_shape(shape: Shape) -> str:
    """A shape as messages have it: 28 x 28 x 1."""
    return " x ".join(map(str, shape))


def named_params(params: tuple[LayerParams, ...]) -> dict[str, Array]:
    """The parameters by the book's numbering: layer_2.w, layer_2.b, layer_3.w, ..."""
    return {
        ".".join([f"layer_{number}", *map(_name, path)]): array
        for number, own in enumerate(params, start=2)
        for path, array in _leaves(own)
    }


def weights(params: Any) -> list[Array]:
    """The weights among parameters of layers: the arrays that are called `w`."""
    return [leaf for path, leaf in _leaves(params) if _is_weight(path)]


def map_weights(function: Callable[[Array, int], Array], params: Any) -> Any:
    """Parameters with `function` of weights and their fan-in, and with zeros in place of all else.

    The weights are (neurons, ...), after axes for blocks where equal layers are repeated.

    Raises:
        DataError: `params` holds something else than arrays of numbers.

    """

    def mapped(path: Any, leaf: Any) -> Array:
        checks.check_real(leaf, "params", "the arrays of layers")
        return function(leaf, _fan_in(path, leaf)) if _is_weight(path) else jnp.zeros_like(leaf)

    return jax.tree_util.tree_map_with_path(mapped, params)


def with_weights(params: Any, others: Any) -> Any:
    """Parameters with the weights of others, and their own in place of all else.

    Raises:
        DataError: the others have other arrays or shapes.

    """
    checks.check_alike(others, params, "others", "params")
    return jax.tree_util.tree_map_with_path(
        lambda path, own, other: other if _is_weight(path) else own, params, others
    )


def _leaves(params: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(params)


def _fan_in(path: tuple[Any, ...], w: Array) -> int:
    """How many weights a neuron has."""
    return math.prod(w.shape[_blocks(path) + 1 :])


def _blocks(path: tuple[Any, ...]) -> int:
    """How many axes for blocks stand before the neurons."""
    return sum(_name(key) == Stacked._fields[0] for key in path)


def _is_weight(path: tuple[Any, ...]) -> bool:
    return bool(path) and _name(path[-1]) == "w"


def _name(key: Any) -> str:
    """One key of a path, as a file names it: of a NamedTuple, a dict, or a tuple."""
    return str(next(getattr(key, at) for at in ("name", "key", "idx") if hasattr(key, at)))


def _grouped(neurons: Mapping[int, ElementwiseActivation]) -> tuple[ModifiedNeurons, ...]:
    """Neurons that share an activation, together: each activation is evaluated once."""
    groups: dict[ElementwiseActivation, list[int]] = {}
    for neuron, activation in sorted(neurons.items()):
        groups.setdefault(activation, []).append(neuron)
    return tuple(ModifiedNeurons(tuple(group), f) for f, group in groups.items())
