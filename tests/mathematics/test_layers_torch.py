"""Layers of every kind against PyTorch in float64: forward, deltas and all gradients.

Slow: importing PyTorch takes seconds. Nothing of bpframe's forward pass is used on its side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bpframe_plugins.activations import Linear, Relu, Sigmoid, Softmax, Tanh
from bpframe_plugins.costs import LogLikelihood, LogLikelihoodSoftmax, Quadratic
from bpframe_plugins.layers import (
    AveragePooling,
    Convolution,
    LayerNorm,
    MaxPooling,
    Repeat,
    Residual,
)
from oracles import assert_close

import bpframe
from bpframe import Dense, Layer, Network, Params

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install -e '.[bench]'")

pytestmark = pytest.mark.slow

SIGMOID, TANH, RELU, LINEAR = Sigmoid(), Tanh(), Relu(), Linear()
NAMES = {Sigmoid: torch.sigmoid, Tanh: torch.tanh, Relu: torch.relu, Linear: lambda z: z}
M = 3
TOLERANCE = 1e-12


class Theirs(NamedTuple):
    """What PyTorch computes: z of every layer, its deltas, and the gradients of the parameters."""

    z: list[np.ndarray]
    deltas: list[np.ndarray]
    gradients: list[Any]


# Images are (m, channels, rows, columns) here and (m, rows, columns, channels) in bpframe.


def channels_first(a: Any) -> Any:
    return a.permute(0, 3, 1, 2)


def channels_last(a: Any) -> Any:
    return a.permute(0, 2, 3, 1)


def z_of(layer: Layer, own: Any, a: Any) -> Any:
    """T(a) as PyTorch has it, with a leading axis m."""
    functional = torch.nn.functional
    if isinstance(layer, Dense):
        return functional.linear(a.flatten(1), own.w, own.b)
    if isinstance(layer, Convolution):
        a = channels_first(a)
        if layer.padding == "same":
            before, after = (layer.size - 1) // 2, layer.size // 2
            a = functional.pad(a, (before, after, before, after))
        return channels_last(
            functional.conv2d(a, own.w.permute(0, 3, 1, 2), own.b, stride=layer.stride)
        )
    if isinstance(layer, MaxPooling):
        return channels_last(functional.max_pool2d(channels_first(a), layer.size, layer.stride))
    if isinstance(layer, AveragePooling):
        return channels_last(functional.avg_pool2d(channels_first(a), layer.size, layer.stride))
    if isinstance(layer, LayerNorm):
        return functional.layer_norm(a, a.shape[1:], own.gain, own.bias, layer.epsilon)
    if isinstance(layer, Residual):
        return a + inside(layer.layers, own, a)
    assert isinstance(layer, Repeat)
    for number in range(layer.count):
        a = inside(layer.layers, jax.tree.map(lambda part, at=number: part[at], own.blocks), a)
    return a


def inside(layers: tuple[Layer, ...], params: Any, a: Any) -> Any:
    for layer, own in zip(layers, params, strict=True):
        a = NAMES[type(layer.activation)](z_of(layer, own, a))
    return a


def in_torch(network: Network, params: Any, x: np.ndarray, cost: Callable[[Any], Any]) -> Theirs:
    """The mean of `cost` (m,) of the output layer's z, differentiated by PyTorch."""
    leaves = jax.tree.map(lambda part: torch.tensor(np.asarray(part), requires_grad=True), params)
    a, zs = torch.tensor(x), []
    for layer, own in zip(network.layers, leaves, strict=True):
        z = z_of(layer, own, a)
        z.retain_grad()
        zs.append(z)
        a = NAMES.get(type(layer.activation), lambda z: z)(z)
    cost(zs[-1]).mean().backward()
    return Theirs(
        [z.detach().numpy() for z in zs],
        [M * z.grad.numpy() for z in zs],
        jax.tree.map(lambda part: part.grad.numpy(), leaves),
    )


def drawn(network: Network, seed: int) -> Any:
    """Parameters of the shapes that the layers ask for, all of them random."""
    shapes = jax.eval_shape(lambda: tuple(made(network)))
    rng = np.random.default_rng(seed)

    def one(info: Any) -> Any:
        return jnp.asarray(rng.normal(size=info.shape) / math.sqrt(max(1, info.shape[-1])))

    return jax.tree.map(one, shapes)


def made(network: Network) -> Iterator[Any]:
    shape = network.shape
    for layer in network.layers:
        yield layer.init(Zeros(), jax.random.key(0), shape)
        shape = layer.shape(shape)


class Zeros(bpframe.Initialiser):
    """0."""

    def __call__(self, key: Any, shape: Any, n_in: int, n_out: int) -> Params:
        return Params(jnp.zeros(shape), jnp.zeros(shape[:1]))

    def variance(self, n_in: int, n_out: int) -> float:
        return 0.0


CHAPTER_6 = (
    Convolution(4, 3, activation=SIGMOID),
    MaxPooling(2, activation=LINEAR),
    Convolution(5, 2, activation=RELU),
    MaxPooling(2, activation=LINEAR),
    Dense(7, activation=SIGMOID),
)
NETWORKS: dict[str, tuple[tuple[int, ...], tuple[Layer, ...]]] = {
    "dense": ((6,), (Dense(5, activation=SIGMOID), Dense(4, activation=TANH))),
    "two convolutions with pooling": ((12, 12, 1), CHAPTER_6),
    "same padding, even and odd size": (
        (6, 5, 2),
        (
            Convolution(3, 3, 1, "same", activation=TANH),
            Convolution(2, 2, 1, "same", activation=SIGMOID),
        ),
    ),
    "strides": (
        (9, 7, 2),
        (Convolution(3, 3, 2, activation=TANH), Convolution(2, 2, 1, activation=TANH)),
    ),
    "strides with padding": (
        (7, 5, 2),
        (
            Convolution(3, 1, activation=TANH),
            Convolution(3, 3, 2, "same", activation=TANH),
            Convolution(2, 2, 1, "same", activation=TANH),
        ),
    ),
    "strides wider than windows": (
        (7, 7, 1),
        (Convolution(3, 1, 3, activation=TANH), Convolution(2, 2, 1, activation=TANH)),
    ),
    "windows side by side": (
        (8, 6, 2),
        (Convolution(3, 2, 2, activation=TANH), Convolution(2, 3, 1, activation=TANH)),
    ),
    "pooling of sigmoids": (
        (8, 6, 2),
        (Convolution(3, 3, activation=SIGMOID), AveragePooling(2, activation=TANH)),
    ),
    "overlapping pooling": (
        (8, 8, 2),
        (
            Convolution(3, 2, activation=TANH),
            MaxPooling(3, 2, activation=TANH),
            AveragePooling(2, 1, activation=LINEAR),
        ),
    ),
    "pooling with gaps": (
        (6, 6, 2),
        (
            Convolution(2, 1, activation=TANH),
            MaxPooling(2, 4, activation=TANH),
            AveragePooling(1, activation=LINEAR),
        ),
    ),
    "layer norm": (
        (5, 4, 2),
        (
            LayerNorm(activation=TANH),
            Convolution(3, 2, activation=LINEAR),
            LayerNorm(0.1, activation=RELU),
        ),
    ),
    "residual": (
        (5, 5, 2),
        (
            Convolution(3, 2, activation=TANH),
            Residual(
                (
                    Convolution(4, 3, 1, "same", activation=TANH),
                    LayerNorm(activation=LINEAR),
                    Convolution(3, 1, activation=SIGMOID),
                ),
                activation=TANH,
            ),
        ),
    ),
    "repeat": (
        (5,),
        (
            Dense(6, activation=TANH),
            Repeat(3, (Dense(4, activation=TANH), Dense(6, activation=SIGMOID)), activation=LINEAR),
        ),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("output", ["quadratic", "log_likelihood"])
def test_a_network_computes_what_pytorch_computes(name: str, output: str) -> None:
    shape, layers = NETWORKS[name]
    rng = np.random.default_rng(len(name))
    y = np.eye(4)[rng.integers(0, 4, M)]
    labels = torch.tensor(y.argmax(axis=1))
    if output == "quadratic":
        activation, cost = SIGMOID, Quadratic()

        def theirs(z: Any) -> Any:
            return ((torch.sigmoid(z) - torch.tensor(y)) ** 2).sum(dim=1) / 2
    else:
        activation = Softmax()
        cost = LogLikelihoodSoftmax(LogLikelihood(), activation)

        def theirs(z: Any) -> Any:
            return torch.nn.functional.cross_entropy(z, labels, reduction="none")

    network = Network(shape, (*layers, Dense(4, activation=activation)))
    params = drawn(network, seed=len(name))
    x = rng.normal(size=(M, *shape))
    expected = in_torch(network, params, x, theirs)
    found = jax.jit(lambda *given: bpframe.gradient(network, cost, *given))(params, x, y)
    assert_close(found.trace.z, expected.z, TOLERANCE)
    assert_close(found.deltas, expected.deltas, TOLERANCE)
    assert_close(found.mean, expected.gradients, TOLERANCE)


def test_another_kernel_is_told_apart() -> None:
    """The comparison sees a kernel that is flipped, as that of a convolution in mathematics is."""
    shape, layers = NETWORKS["strides"]
    network = Network(shape, layers)
    params = drawn(network, seed=0)
    flipped = (params[0]._replace(w=params[0].w[:, ::-1, ::-1]), params[1])
    x = np.random.default_rng(0).normal(size=(M, *shape))
    expected = in_torch(network, params, x, lambda z: z.flatten(1).sum(dim=1))
    trace = jax.vmap(lambda x: bpframe.forward(network, flipped, x))(jnp.asarray(x))
    with pytest.raises(AssertionError):
        assert_close(trace.z, expected.z, TOLERANCE)


def test_of_equal_ones_pytorch_also_takes_the_first() -> None:
    layers = (MaxPooling(2, activation=LINEAR), Dense(2, activation=LINEAR))
    network = Network((4, 4, 1), layers)
    params = drawn(network, seed=1)
    x = np.ones((M, 4, 4, 1))
    a = torch.tensor(x, requires_grad=True)
    (z_of(layers[0], (), a) ** 2).sum().backward()
    kept = layers[0].forward((), jnp.asarray(x[0]), None)[1]
    error = layers[0].carry((), jnp.asarray(x[0]), kept, 2 * jnp.ones((2, 2, 1)))
    assert_close(error, a.grad[0].numpy(), TOLERANCE)
    assert network.size == sum(leaf.size for leaf in jax.tree.leaves(params))
