"""The trace of the Hessian of the mean cost: that of the Gauss-Newton matrix, and what bends.

    tr H = tr GGN + 1/m sum_x sum_l sum_j e_j sigma_l''(z_j) |dz_j/dparams|^2,   e = dC_x/da^l

The second sum is over all neurons j of the layers l, whose activations bend. Layers that are linear
in what they are given and in their parameters add nothing of their own.
Source: Dangel, Kunstner and Hennig (2020), BackPACK, DiagHessian.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import checks
from bpframe.contracts import ElementwiseActivation, OutputPair, Trace
from bpframe.deltas.curvature import Curvature, has_curvature
from bpframe.errors import ConfigError
from bpframe.network import Network


def hessian_trace(at: Curvature, key: Array | None = None) -> tuple[Array, ...]:
    """The trace of the block of each layer.

    Exactly it takes a backward pass for each neuron; with a key two for each layer, by random
    signs, which are right on average.

    Raises:
        ConfigError: the network or the cost does not tell what it takes.
        DataError: `at` is no Curvature, or of targets of other shapes.

    """
    checks.check_kind(at, Curvature, "at")
    if lacking := lacks_hessian(at.network, at.pair):
        raise ConfigError(f"hessian_trace: needs {lacking}; choose other layers, or another cost")
    at.check()
    m = len(at.y)
    blocks = list(at.trace_of_layers())
    for depth, bend in _bends(at):
        below = _up_to(depth, at)
        added = (
            _one_by_one(below, bend)
            if key is None
            else _sampled(below, bend, jax.random.fold_in(key, depth))
        )
        for number, part in enumerate(added):
            blocks[number] = blocks[number] + part / m
    return tuple(blocks)


def lacks_hessian(network: Network, pair: OutputPair) -> str:
    """What is missing for the trace, in words; empty if it can be told."""
    if not has_curvature(pair, network.n_out):
        return "the curvature of the cost, which is not told for this output activation"
    for number, layer in enumerate(network.layers, start=2):
        if not layer.is_linear:
            return f"layers without curvature of their own, and layer {number}, {_name(layer)}, has"
        if number == len(network.layers) + 1 and pair.is_convex:
            continue
        if _second_derivative(layer.activation, jnp.zeros(2)) is None:
            return f"sigma'' of every layer, which {_name(layer.activation)} does not tell"
    return ""


def _name(part: Any) -> str:
    return type(part).__name__


def _second_derivative(activation: Any, z: Array) -> Array | None:
    if not isinstance(activation, ElementwiseActivation):
        return None
    return activation.second_derivative(z)


def _bends(at: Curvature) -> list[tuple[int, Array]]:
    """The layers that bend, by how many are below and with it, and e * sigma''(z), (m, ...)."""
    layers, (z, a, kept) = at.network.layers, at.trace
    deltas = at.carried_back(jax.vmap(at.pair.delta)(z[-1], a[-1], at.y))
    found = []
    for depth, (layer, here) in enumerate(zip(layers, z, strict=True), start=1):
        if depth < len(layers):
            back = jax.vmap(layers[depth].carry, in_axes=(None, 0, 0, 0))
            e = back(at.params[depth], a[depth], kept[depth], deltas[depth])
        elif at.pair.is_convex:
            continue  # the root of its curvature has all of it
        else:
            e = jax.vmap(at.pair.cost_function.prime)(a[-1], at.y)
        second = _second_derivative(layer.activation, here)
        assert second is not None  # which has been checked when the experiment was assembled
        found.append((depth, e * second))
    return found


def _up_to(depth: int, at: Curvature) -> Curvature:
    """The network as if so many layers were all."""
    z, a, kept = at.trace
    trace = Trace(z[:depth], a[: depth + 1], kept[:depth])
    network = Network(at.network.shape, at.network.layers[:depth])
    return at._replace(network=network, params=at.params[:depth], trace=trace)


def _one_by_one(below: Curvature, bend: Array) -> tuple[Array, ...]:
    """sum_x sum_j bend_j |dz_j/dparams|^2 over each layer."""
    flat = bend.reshape(len(bend), -1)

    def add(sums: tuple[Array, ...], j: Array) -> tuple[tuple[Array, ...], None]:
        unit = jnp.zeros_like(flat).at[:, j].set(1).reshape(bend.shape)
        norms = below.gradients(unit).squared_norms()
        return tuple(s + flat[:, j] @ own for s, own in zip(sums, norms, strict=True)), None

    nothing = (jnp.zeros((), bend.dtype),) * len(below.params)
    return jax.lax.scan(add, nothing, jnp.arange(flat.shape[1]))[0]


def _sampled(below: Curvature, bend: Array, key: Array) -> tuple[Array, ...]:
    """The same on average: once for the neurons that bend up, and once for those that bend down."""
    sums = (jnp.zeros((), bend.dtype),) * len(below.params)
    for sign, own in zip((1, -1), jax.random.split(key), strict=True):
        root = jnp.sqrt(jnp.maximum(sign * bend, 0))
        signs = jax.random.rademacher(own, root.shape, root.dtype)
        norms = below.gradients(root * signs).squared_norms()
        sums = tuple(s + sign * jnp.sum(of_layer) for s, of_layer in zip(sums, norms, strict=True))
    return sums
