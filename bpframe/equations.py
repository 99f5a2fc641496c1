"""The four equations of backpropagation, as chapter 2 of Nielsen's book has them.

For one example x with target y and layers l = 1 (input) to L (output):

    a^1 = x,  z^l = w^l a^(l-1) + b^l,  a^l = sigma_l(z^l)               l = 2..L
    (BP1)  delta^L = grad_a C * sigma_L'(z^L)
    (BP2)  delta^l = ((w^(l+1))^T delta^(l+1)) * sigma_l'(z^l)           l = L-1..2
    (BP3)  dC/db^l = delta^l
    (BP4)  dC/dw^l = delta^l (a^(l-1))^T

All of it is written for one example and vmapped over the mini-batch in one place, `gradient`.

Source: Nielsen, Neural Networks and Deep Learning (2015), sections 2.3 and 2.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from bpframe.contracts import Activation, Cost, OutputPair, Params, Trace
from bpframe.data import check_batch
from bpframe.network import Network
from bpframe.products import sum_of_deltas, sum_of_products

Carry = Callable[[Any, Array, Array, Array], Array]
Product = Callable[[Array, Array], Array]


class BatchGradient(NamedTuple):
    """What backpropagation gives for a mini-batch of m examples.

    `mean` is (1/m) sum_x dC_x/dparams, shaped like the parameters; `trace` holds z and a of every
    layer and example, `deltas` the errors delta^(x,l) of the layers 2..L, each (m, n).
    """

    mean: tuple[Params, ...]
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
    network: Network, params: tuple[Params, ...], x: Array, product: Product = jnp.matmul
) -> Trace:
    """z^l = w^l a^(l-1) + b^l and a^l = sigma_l(z^l), for one example x of shape (n_in,).

    `product` computes w a; see `products.neurons_first`.
    """
    a = x
    zs: list[Array] = []
    activations = [x]
    for layer, (w, b) in zip(network.layers, params, strict=True):
        z = product(w, a) + b
        a = layer.activation(z)
        zs.append(z)
        activations.append(a)
    return Trace(tuple(zs), tuple(activations))


def transpose(state: Any, w_next: Array, delta_next: Array, delta_out: Array) -> Array:
    """(w^(l+1))^T delta^(l+1): how the exact gradient carries the error to layer l."""
    del state, delta_out
    return w_next.T @ delta_next


def backward(
    network: Network,
    pair: OutputPair,
    params: tuple[Params, ...],
    trace: Trace,
    y: Array,
    carry: Carry = transpose,
    states: tuple[Any, ...] = (),
) -> tuple[Array, ...]:
    """delta^2 .. delta^L for one example with target y of shape (n_out,).

    `carry` is how the error travels back, with one entry of `states` for each hidden layer.
    """
    hidden = network.layers[:-1]
    states = states or (None,) * len(hidden)
    delta = delta_out = pair.delta(trace.z[-1], trace.a[-1], y)  # (BP1)
    deltas = [delta_out]
    for layer, z, state, (w_next, _) in zip(
        reversed(hidden),
        reversed(trace.z[:-1]),
        reversed(states),
        reversed(params[1:]),
        strict=True,
    ):
        delta = layer.activation.pullback(z, carry(state, w_next, delta, delta_out))  # (BP2)
        deltas.append(delta)
    return tuple(reversed(deltas))


def mean_gradient(trace: Trace, deltas: tuple[Array, ...]) -> tuple[Params, ...]:
    """(BP3, BP4) averaged over a mini-batch: the trace and the deltas have a leading axis m.

    The sum over x of delta^(x,l) (a^(x,l-1))^T is one matrix product, so that no gradient of a
    single example is ever formed. It accumulates in float32 at least.
    """

    def layer(delta: Array, a_prev: Array) -> Params:
        m = delta.shape[0]
        nabla_b = sum_of_deltas(delta) / m  # (BP3)
        nabla_w = sum_of_products(delta, a_prev) / m  # (BP4)
        return Params(nabla_w, nabla_b)

    return tuple(map(layer, deltas, trace.a[:-1]))


def gradient(
    network: Network,
    cost: Cost | OutputPair,
    params: tuple[Params, ...],
    x: Array,
    y: Array,
    carry: Carry = transpose,
    states: tuple[Any, ...] = (),
) -> BatchGradient:
    """The mean gradient of the cost over a mini-batch, with the trace and the deltas behind it.

    Args:
        network: the layers.
        cost: a cost, or an output pair such as `Experiment.cost`, which is stable under saturation.
        params: weights and biases of the layers 2..L.
        x: (m, n_in) inputs.
        y: (m, n_out) targets.
        carry: how the error travels back; the transposed weights give the exact gradient.
        states: what `carry` needs to know, one entry for each hidden layer.

    Raises:
        DataError: x or y has another shape, or the cost is not defined for y.

    """
    check_batch(x.shape, y.shape, network.n_in, network.layers[-1].n)
    pair = as_pair(cost, network.layers[-1].activation)
    if not isinstance(y, Tracer):
        pair.cost_function.check_targets(np.asarray(y), "y")

    def example(x: Array, y: Array) -> tuple[Trace, tuple[Array, ...]]:
        trace = forward(network, params, x)
        return trace, backward(network, pair, params, trace, y, carry, states)

    trace, deltas = jax.vmap(example)(x, y)
    return BatchGradient(mean_gradient(trace, deltas), trace, deltas)


def gradient_descent_step(
    params: tuple[Params, ...], gradient: tuple[Params, ...], eta: float | Array
) -> tuple[Params, ...]:
    """w^l - eta dC/dw^l and b^l - eta dC/db^l, with the mean gradient of a mini-batch."""
    return jax.tree.map(lambda p, nabla: p - eta * nabla, params, gradient)


def as_pair(cost: Cost | OutputPair, activation: Activation) -> OutputPair:
    """`cost` as a pair with the output layer's activation."""
    return cost if isinstance(cost, OutputPair) else Unpaired(cost, activation)
