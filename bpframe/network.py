"""The network: layers of neurons, where any neuron may have an activation of its own.

Layers are numbered as in the book: the input is layer 1, the first hidden layer is layer 2.
Neurons in a layer count from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.component import Component
from bpframe.contracts import Activation, ElementwiseActivation


class ModifiedNeurons(Component):
    """The neurons of one layer that share another activation f; `neurons` count from 0."""

    neurons: tuple[int, ...]
    activation: ElementwiseActivation

    def mask(self, n: int) -> np.ndarray:
        """(n,) booleans: True at the modified neurons."""
        return np.isin(np.arange(n), self.neurons)


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
        """sigma(z), or f(z) at the modified neurons; z is (n,)."""
        a = self.base(z)
        for group in self.modified:
            a = jnp.where(group.mask(z.shape[-1]), group.activation(z), a)
        return a

    def prime(self, z: Array) -> Array:
        """sigma'(z), or f'(z) at the modified neurons; z is (n,)."""
        prime = self.base.prime(z)
        for group in self.modified:
            prime = jnp.where(group.mask(z.shape[-1]), group.activation.prime(z), prime)
        return prime


class Layer(Component):
    """n neurons with the activation sigma_l."""

    n: int
    activation: Activation


class Network(Component):
    """A fully connected network; `layers` are the layers 2..L, `n_in` the size of layer 1."""

    n_in: int
    layers: tuple[Layer, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of neurons in each layer, from the input to the output."""
        return (self.n_in, *(layer.n for layer in self.layers))

    @property
    def shapes(self) -> Iterator[tuple[int, int]]:
        """(n_in, n_out) of each of the layers 2..L."""
        return zip(self.sizes[:-1], self.sizes[1:], strict=True)

    def with_modified(self, changes: Mapping[int, Mapping[int, ElementwiseActivation]]) -> Network:
        """The network with other activations for single neurons.

        `changes` maps a layer, as the book numbers them, to neurons and their activations.
        """
        layers = list(self.layers)
        for number, neurons in changes.items():
            layer = layers[number - 2]
            assert isinstance(layer.activation, ElementwiseActivation)
            activation = PerNeuronActivation(layer.activation, _grouped(neurons))
            layers[number - 2] = Layer(layer.n, activation)
        return Network(self.n_in, tuple(layers))


def _grouped(neurons: Mapping[int, ElementwiseActivation]) -> tuple[ModifiedNeurons, ...]:
    """Neurons that share an activation, together: each activation is evaluated once."""
    groups: dict[ElementwiseActivation, list[int]] = {}
    for neuron, activation in sorted(neurons.items()):
        groups.setdefault(activation, []).append(neuron)
    return tuple(ModifiedNeurons(tuple(group), f) for f, group in groups.items())
