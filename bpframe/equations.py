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

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from bpframe import checks
from bpframe.component import hyperparameter
from bpframe.contracts import (
    Activation,
    Cost,
    Factors,
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
from bpframe.deltas.example_gradients import ExampleGradients, total, weighted
from bpframe.errors import ExamplesError
from bpframe.learning import (
    Aggregation,
    BackwardStep,
    BatchGradient,
    Credit,
    Drawn,
    Forward,
    Keys,
    LearningRule,
    check_credit,
)
from bpframe.network import Network, PerNeuronActivation
from bpframe.products import neurons_first, sum_of_deltas, sum_of_products

EXACT, MEAN = LearningRule(), Aggregation()


class Dense(Layer):
    """w a + b: n neurons that see every neuron of the layer before; an image is taken flat."""

    n: int = hyperparameter(ge=1)

    examples = ({"n": 4},)
    is_linear = True
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

    def inner_products(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        """(delta . delta') (a . a' + 1)."""
        del params, kept
        a_prev = a_prev.reshape(len(a_prev), -1)
        return (delta @ delta.T) * (a_prev @ a_prev.T + 1)

    def sum_of_squares(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        """sum_x (delta^2) (a^2)^T, and sum_x delta^2."""
        return self.gradient(params, a_prev**2, kept, delta**2)

    def factors(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Factors:
        """A and G of one place. Source: Martens and Grosse (2015), equation 1."""
        del params, kept
        return Factors.of(a_prev.reshape(len(a_prev), 1, -1), delta[:, None])


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

    `key` is that of this example in this step; None for evaluation. x may be flat.

    Raises:
        DataError: x is no example for the network, or the parameters are those of another.

    """
    checks.check_kind(network, Network, "network")
    flat = (math.prod(network.shape),)
    x = checks.real(x, "x", f"{network.shape}")
    if x.shape not in (network.shape, flat):
        raise ExamplesError(
            f"x has shape {x.shape}; expected one example {network.shape}; for a mini-batch take "
            "jax.vmap, or bpframe.gradient"
        )
    checks.check_params(params, network.params)
    x = checks.as_floats(x, params)
    return passed_on(network, params, x.reshape(network.shape), key)


def passed_on(
    network: Network, params: tuple[LayerParams, ...], x: Array, key: Array | None
) -> Trace:
    """`forward` without a look at what is given."""
    a = x
    zs, activations, kept = [], [x], []
    for number, (layer, own) in enumerate(zip(network.layers, params, strict=True), start=2):
        z, rest = layer.forward(own, a, None if key is None else jax.random.fold_in(key, number))
        a = layer.activation(z)
        zs.append(z)
        activations.append(a)
        kept.append(rest)
    return Trace(tuple(zs), tuple(activations), tuple(kept))


def backward(
    seen: Forward, y: Array, rule: LearningRule, state: Any, keys: Keys
) -> tuple[Array, ...]:
    """delta^2 .. delta^L for one example with target y of shape (n_out,).

    `rule` says how the error travels back, with one entry of `state` for each hidden layer.
    """
    delta_out = seen.pair.delta(seen.trace.z[-1], seen.trace.a[-1], y)  # (BP1)
    return backward_from(delta_out, seen, y, rule, state, keys)


def backward_from(
    delta_out: Array, seen: Forward, y: Array, rule: LearningRule, state: Any, keys: Keys
) -> tuple[Array, ...]:
    """The same from a given delta^L on."""
    layers, trace = seen.network.layers, seen.trace
    delta, deltas = delta_out, [delta_out]
    for at in reversed(range(len(layers) - 1)):
        after = at + 1
        step = BackwardStep(
            *(layers[after], seen.params[after], trace.a[after], trace.kept[after]),
            *(delta, delta_out, y),
            *(jax.random.fold_in(key, at) for key in keys),
        )
        delta = layers[at].activation.pullback(trace.z[at], rule.carry(state[at], step))  # (BP2)
        deltas.append(delta)
    return tuple(reversed(deltas))


def credit(
    seen: Forward, y: Array, rule: LearningRule, state: Any, keys: Keys
) -> tuple[Credit, ...]:
    """What BP3 and BP4 multiply, for one example: the rule's own, or that of the backward pass."""
    assigned = rule.assign(state, seen, y, keys.example)
    if assigned is not None:
        check_credit(rule, assigned, seen.trace)
        return assigned
    deltas = backward(seen, y, rule, state, keys)
    return (Credit(seen.trace.a[:-1], seen.trace.kept, deltas),)


def sum_of_gradients(
    network: Network, params: tuple[LayerParams, ...], terms: tuple[Credit, ...]
) -> tuple[LayerParams, ...]:
    """(BP3, BP4) summed over a mini-batch: the credit has a leading axis m."""
    return ExampleGradients(network.layers, params, terms).sum()


def _added(one: Any, other: Any) -> Any:
    return jax.tree.map(jnp.add, one, other)


def gradient(
    network: Network,
    cost: Cost | OutputPair,
    params: tuple[LayerParams, ...],
    x: Array,
    y: Array,
    rule: LearningRule = EXACT,
    state: Any = None,
    key: Array | None = None,
    aggregation: Aggregation = MEAN,
    drawn: Drawn | None = None,
) -> BatchGradient:
    """The mean gradient of the cost over a mini-batch, with the trace and the deltas behind it.

    Args:
        network: the layers.
        cost: a cost, or an output pair such as `Experiment.cost`, which is stable under saturation.
        params: parameters of the layers 2..L.
        x: (m, ...) inputs of the shape of layer 1, or flat.
        y: (m, n_out) targets.
        rule: how credit is assigned; by backpropagation unless said.
        state: what the rule needs to know, from its `init`.
        key: of this step, for layers that draw; None for evaluation, where they do not.
        aggregation: how the gradients of the examples become one; their mean unless said.
        drawn: where the mini-batch is a sample, which of the m are in it; all unless said.

    Raises:
        DataError: x, y or params are of other shapes than those of the network, hold what is no
            finite number, or the cost is not defined for y.

    """
    checks.check_kind(network, Network, "network")
    checks.check_kind(cost, (Cost, OutputPair), "cost")
    checks.check_kind(rule, LearningRule, "rule")
    checks.check_kind(aggregation, Aggregation, "aggregation")
    x, y = checks.real(x, "x", "(m, n_in)"), checks.real(y, "y", "(m, n_out)")
    check_batch(x.shape, y.shape, network.shape, network.n_out)
    checks.check_params(params, network.params)
    pair = _checked_pair(cost, network.layers[-1].activation)
    if not isinstance(y, Tracer):
        pair.cost_function.check_targets(np.asarray(y), "y")
    x, y = checks.as_floats(x, params), checks.as_floats(y, params)
    x = x.reshape(-1, *network.shape)
    batch_key = jax.random.key(0) if key is None else key
    state = rule.init(batch_key, params, network.shapes) if state is None else state

    def example(x: Array, y: Array, own: Array) -> tuple[Trace, tuple[Credit, ...]]:
        trace = passed_on(network, params, x, None if key is None else own)
        seen = Forward(network, pair, params, trace)
        return trace, credit(seen, y, rule, state, Keys(batch_key, own))

    trace, terms = jax.vmap(example)(x, y, jax.random.split(batch_key, len(x)))
    deltas = functools.reduce(_added, (term.delta for term in terms))
    of_examples = ExampleGradients(network.layers, params, terms)
    weights = aggregation.weights(lambda: total(of_examples.squared_norms()))
    m = len(x)
    if drawn is not None:
        m, those = drawn.expected, drawn.present.astype(terms[0].delta[-1].dtype)
        weights = those if weights is None else those * weights
    gradients = sum_of_gradients(network, params, weighted(terms, weights))
    mean = aggregation.gradient(gradients, m, batch_key)
    return BatchGradient(mean, trace, deltas, terms)


def gradient_descent_step(
    params: tuple[LayerParams, ...], gradient: tuple[LayerParams, ...], eta: float | Array
) -> tuple[LayerParams, ...]:
    """w^l - eta dC/dw^l and b^l - eta dC/db^l, with the mean gradient of a mini-batch.

    Raises:
        DataError: the gradient has other arrays or shapes than the parameters, or eta is no number.

    """
    checks.check_alike(gradient, params, "gradient", "params")
    checks.real(eta, "eta", "one number")
    if np.shape(eta):
        raise ExamplesError(f"eta: has shape {np.shape(eta)}; expected one number")
    return jax.tree.map(lambda p, nabla: p - eta * nabla, params, gradient)


def as_pair(cost: Cost | OutputPair, activation: Activation) -> OutputPair:
    """`cost` as a pair with the output layer's activation."""
    return cost if isinstance(cost, OutputPair) else Unpaired(cost, activation)


def _checked_pair(cost: Cost | OutputPair, output: Activation) -> OutputPair:
    """`cost` as a pair with the output layer's activation, if they go together.

    Raises:
        DataError: the pair is that of another activation, or the cost is not defined for the
            outputs.

    """
    if isinstance(cost, OutputPair):
        if type(cost.activation) is not type(output):
            raise ExamplesError(
                f"cost: {type(cost).__name__} is made for {type(cost.activation).__name__}, and "
                f"the output layer has {type(output).__name__}; give the cost of an experiment "
                "with this network, or a bpframe.Cost"
            )
        return cost
    members = output.members if isinstance(output, PerNeuronActivation) else (output,)
    low, high = cost.domain
    least = min(member.range[0] for member in members)
    most = max(member.range[1] for member in members)
    if not (low <= least and most <= high):
        raise ExamplesError(
            f"cost: {type(cost).__name__} is defined for outputs from {low:g} to {high:g}, and "
            f"{type(output).__name__} gives {least:g} to {most:g}; choose another of the two"
        )
    return as_pair(cost, output)
