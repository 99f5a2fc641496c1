"""The four equations of backpropagation, as chapter 2 of Nielsen's book has them.

For one example x with target y and layers l = 1 (input) to L (output):

    a^1 = x,  z^l = T^l(a^(l-1)),  a^l = sigma_l(z^l)                    l = 2..L
    (BP1)  delta^L = grad_a C * sigma_L'(z^L)
    (BP2)  delta^l = (what T^(l+1) carries back of delta^(l+1)) * sigma_l'(z^l)
    (BP3, BP4)  the gradient of T^l from a^(l-1) and delta^l

In the book every layer is dense, `Dense` below:

    T^l(a) = w^l a + b^l,  (BP2) (w^(l+1))^T delta^(l+1),  (BP3) delta^l,  (BP4) delta^l (a^(l-1))^T

All of it is written for one example and vmapped over the mini-batch in one place, `gradient`.

Source: Nielsen, Neural Networks and Deep Learning (2015), sections 2.3 and 2.7.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from bpframe.component import hyperparameter
from bpframe.contracts import (
    Activation,
    BackwardStep,
    Cost,
    Formula,
    Initialiser,
    Layer,
    LayerParams,
    OutputPair,
    Params,
    Shape,
    Trace,
)
from bpframe.data import check_batch
from bpframe.network import Network
from bpframe.products import neurons_first, sum_of_deltas, sum_of_products

Carry = Callable[[Any, BackwardStep], Array]


class Dense(Layer):
    """w a + b: n neurons that see every neuron of the layer before; an image is taken flat."""

    n: int = hyperparameter(ge=1)

    examples = ({"n": 4},)

    formula = Formula("w a + b", "w a + b")

    def shape(self, shape_prev: Shape) -> Shape:
        """(n,)."""
        del shape_prev
        return (self.n,)

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Params:
        """w (n, n_prev) and b (n,)."""
        n_prev = math.prod(shape_prev)
        return initialiser(key, (self.n, n_prev), n_prev, self.n)

    def forward(self, params: Params, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        """z = w a + b."""
        product = neurons_first if key is None else jnp.matmul
        return product(params.w, a_prev.reshape(-1)) + params.b, None

    def carry(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        """(BP2) w^T delta."""
        del kept
        return (params.w.T @ delta).reshape(a_prev.shape)

    def gradient(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        """(BP3) sum_x delta, and (BP4) sum_x delta a^T: one matrix product."""
        del params, kept
        a_prev = a_prev.reshape(len(a_prev), -1)
        return Params(sum_of_products(delta, a_prev), sum_of_deltas(delta))

    def squared_norms(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        """|delta|^2 (|a|^2 + 1). Source: Goodfellow (2015), Efficient per-example gradients."""
        del params, kept
        squares = (jnp.sum(part.reshape(len(part), -1) ** 2, axis=1) for part in (delta, a_prev))
        return next(squares) * (next(squares) + 1)


class BatchGradient(NamedTuple):
    """What backpropagation gives for a mini-batch of m examples.

    `mean` is (1/m) sum_x dC_x/dparams, shaped like the parameters; `trace` holds z and a of every
    layer and example, `deltas` the errors delta^(x,l) of the layers 2..L, each (m, ...).
    """

    mean: tuple[LayerParams, ...]
    trace: Trace
    deltas: tuple[Array, ...]


class Unpaired(OutputPair):
    """Any cost with any output activation: BP1 as it stands."""

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        """(BP1) delta^L = grad_a C pulled back through sigma_L at z^L."""
        return self.activation.pullback(z, self.cost_function.prime(a, y))

    def cost(self, z: Array, a: Array, y: Array) -> Array:
        """C(a, y)."""
        del z
        return self.cost_function(a, y)


def forward(
    network: Network, params: tuple[LayerParams, ...], x: Array, key: Array | None = None
) -> Trace:
    """z^l = T^l(a^(l-1)) and a^l = sigma_l(z^l), for one example x.

    `key` is that of this example in this step; None for evaluation.
    """
    a = x
    zs, activations, kept = [], [x], []
    for number, (layer, own) in enumerate(zip(network.layers, params, strict=True), start=2):
        z, rest = layer.forward(own, a, None if key is None else jax.random.fold_in(key, number))
        a = layer.activation(z)
        zs.append(z)
        activations.append(a)
        kept.append(rest)
    return Trace(tuple(zs), tuple(activations), tuple(kept))


def exact(state: Any, step: BackwardStep) -> Array:
    """What T^(l+1) carries back of delta^(l+1): how the error travels in the exact gradient."""
    del state
    return step.layer.carry(step.params, step.a, step.kept, step.delta)


def backward(
    network: Network,
    pair: OutputPair,
    params: tuple[LayerParams, ...],
    trace: Trace,
    y: Array,
    carry: Carry = exact,
    states: tuple[Any, ...] = (),
) -> tuple[Array, ...]:
    """delta^2 .. delta^L for one example with target y of shape (n_out,).

    `carry` is how the error travels back, with one entry of `states` for each hidden layer.
    """
    delta = delta_out = pair.delta(trace.z[-1], trace.a[-1], y)  # (BP1)
    deltas = [delta_out]
    states = states or (None,) * (len(params) - 1)
    for at in reversed(range(len(params) - 1)):
        layer_next, params_next, kept_next = (
            network.layers[at + 1],
            params[at + 1],
            trace.kept[at + 1],
        )
        step = BackwardStep(
            layer_next, params_next, trace.a[at + 1], kept_next, delta, delta_out, y
        )
        delta = network.layers[at].activation.pullback(
            trace.z[at], carry(states[at], step)
        )  # (BP2)
        deltas.append(delta)
    return tuple(reversed(deltas))


def mean_gradient(
    network: Network, params: tuple[LayerParams, ...], trace: Trace, deltas: tuple[Array, ...]
) -> tuple[LayerParams, ...]:
    """(BP3, BP4) averaged over a mini-batch: the trace and the deltas have a leading axis m."""
    m = deltas[-1].shape[0]
    parts = zip(network.layers, params, trace.a[:-1], trace.kept, deltas, strict=True)
    sums = (layer.gradient(own, a, kept, delta) for layer, own, a, kept, delta in parts)
    return jax.tree.map(lambda total: total / m, tuple(sums))


def gradient(
    network: Network,
    cost: Cost | OutputPair,
    params: tuple[LayerParams, ...],
    x: Array,
    y: Array,
    carry: Carry = exact,
    states: tuple[Any, ...] = (),
    key: Array | None = None,
) -> BatchGradient:
    """The mean gradient of the cost over a mini-batch, with the trace and the deltas behind it.

    Args:
        network: the layers.
        cost: a cost, or an output pair such as `Experiment.cost`, which is stable under saturation.
        params: parameters of the layers 2..L.
        x: (m, ...) inputs of the shape of layer 1, or flat.
        y: (m, n_out) targets.
        carry: how the error travels back; `exact` gives the exact gradient.
        states: what `carry` needs to know, one entry for each hidden layer.
        key: of this step, for layers that draw; None for evaluation, where they do not.

    Raises:
        DataError: x or y has another shape, or the cost is not defined for y.

    """
    check_batch(x.shape, y.shape, network.shape, network.n_out)
    pair = as_pair(cost, network.layers[-1].activation)
    if not isinstance(y, Tracer):
        pair.cost_function.check_targets(np.asarray(y), "y")
    x = x.reshape(-1, *network.shape)

    def example(x: Array, y: Array, key: Array | None) -> tuple[Trace, tuple[Array, ...]]:
        trace = forward(network, params, x, key)
        return trace, backward(network, pair, params, trace, y, carry, states)

    keys = None if key is None else jax.random.split(key, len(x))
    trace, deltas = jax.vmap(example)(x, y, keys)
    return BatchGradient(mean_gradient(network, params, trace, deltas), trace, deltas)


def gradient_descent_step(
    params: tuple[LayerParams, ...], gradient: tuple[LayerParams, ...], eta: float | Array
) -> tuple[LayerParams, ...]:
    """w^l - eta dC/dw^l and b^l - eta dC/db^l, with the mean gradient of a mini-batch."""
    return jax.tree.map(lambda p, nabla: p - eta * nabla, params, gradient)


def as_pair(cost: Cost | OutputPair, activation: Activation) -> OutputPair:
    """`cost` as a pair with the output layer's activation."""
    return cost if isinstance(cost, OutputPair) else Unpaired(cost, activation)
