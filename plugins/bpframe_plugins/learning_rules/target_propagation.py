"""Target propagation: layers get targets for their activities in place of errors."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    ConfigError,
    Credit,
    ElementwiseActivation,
    Formula,
    Forward,
    LayerParams,
    LearningRule,
    Network,
    OutputPair,
    Shapes,
    TrainingStep,
    hyperparameter,
)

AllParams = tuple[LayerParams, ...]


class Inverse(NamedTuple):
    """Q (n_l, n_(l+1)) and q (n_l,) of what goes back from layer l + 1 to layer l."""

    w: Array
    b: Array


class DifferenceTargetPropagation(LearningRule):
    """2 (a^l - t^l), with targets that go back by learned inverses.

    t^(L-1) = a^(L-1) - target_rate dC/da^(L-1) and t^l = a^l + g^l(t^(l+1)) - g^l(a^(l+1)), with
    g^l(a) = sigma_l(Q^l a + q^l). After every step Q and q follow the gradient of |g(f(n)) - n|^2,
    n = a^l + N(0, noise^2), f the layer l + 1, with the learning rate `rate`.
    Source: Lee et al. (2015), equations 15 and 16 and algorithm 1.
    """

    target_rate: float = hyperparameter(default=0.5, gt=0)
    rate: float = hyperparameter(default=0.05, gt=0)
    noise: float = hyperparameter(default=0.1, ge=0)

    formula = Formula("2 (a^l - t^l)", r"2 (a^l - t^l)")

    def check(self, network: Network, pair: OutputPair) -> None:
        """There are layers to go back to.

        Raises:
            ConfigError: there is no second hidden layer, or the neurons of one are coupled.

        """
        del pair
        if len(network.layers) < 3:
            raise ConfigError(
                "learning_rule: difference_target_propagation needs two hidden layers or more, "
                f"and the network has {len(network.layers) - 1}; set network.hidden=[30,30]"
            )
        for number, layer in enumerate(network.layers[:-2], start=2):
            if not isinstance(layer.activation, ElementwiseActivation):
                raise ConfigError(
                    "learning_rule: difference_target_propagation has no inverse for layer "
                    f"{number}, whose {type(layer.activation).__name__} couples neurons"
                )

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> tuple[Inverse, ...]:
        """Inverses for the layers 2..L-2, of weights N(0, 1/n_(l+1)) and biases 0."""
        dtype = jax.tree.leaves(params)[0].dtype
        sizes = [math.prod(shape) for shape in shapes[1:-1]]
        keys = jax.random.split(key, len(params))

        def drawn(key: Array, n: int, after: int) -> Inverse:
            w = jax.random.normal(key, (n, after), dtype) / math.sqrt(after)
            return Inverse(w, jnp.zeros(n, dtype))

        return tuple(map(drawn, keys, sizes[:-1], sizes[1:]))

    def assign(self, state: Any, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        """The deltas that the targets give."""
        del key
        layers, trace = forward.network.layers, forward.trace
        out = forward.pair.delta(trace.z[-1], trace.a[-1], y)
        error = layers[-1].carry(forward.params[-1], trace.a[-2], trace.kept[-1], out)
        target = trace.a[-2] - jnp.asarray(self.target_rate, out.dtype) * error
        deltas = [out]
        for at in reversed(range(len(layers) - 1)):
            a, layer = trace.a[at + 1], layers[at]
            if at < len(state):
                gone_back = _back(state[at], layer, target) - _back(
                    state[at], layer, trace.a[at + 2]
                )
                target = a + gone_back.reshape(a.shape)
            deltas.append(layer.activation.pullback(trace.z[at], 2 * (a - target)))
        return (Credit(trace.a[:-1], trace.kept, tuple(reversed(deltas))),)

    def learn(
        self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams
    ) -> tuple[Inverse, ...]:
        """The inverses after a step down the error of what they rebuild from noise."""
        del params, updated
        layers, m = step.network.layers, len(step.y)

        def learned(at: int, own: Inverse, a: Array) -> Inverse:
            key = jax.random.fold_in(step.key, at)
            after = layers[at + 1]
            n = a + jnp.asarray(self.noise, a.dtype) * jax.random.normal(key, a.shape, a.dtype)
            z, _ = jax.vmap(after.forward, in_axes=(None, 0, None))(step.params[at + 1], n, key)
            f = jax.vmap(after.activation)(z).reshape(m, -1)
            narrow = jax.tree.map(lambda part: part.astype(a.dtype), own)

            def slope(f: Array, n: Array) -> Array:
                pre = narrow.w @ f + narrow.b
                found = layers[at].activation(pre)
                return layers[at].activation.pullback(pre, 2 * (found - n.reshape(-1)))

            slopes = jax.vmap(slope)(f, n)
            gradient = Inverse(slopes.T @ f / m, jnp.mean(slopes, axis=0))
            rate = jnp.asarray(self.rate, own.w.dtype)
            return jax.tree.map(lambda p, g: p - rate * g.astype(p.dtype), own, gradient)

        hidden = zip(state, step.found.trace.a[1:], strict=False)
        return tuple(learned(at, own, a) for at, (own, a) in enumerate(hidden))


def _back(inverse: Inverse, layer: Any, a: Array) -> Array:
    """g^l(a), flat."""
    return layer.activation(inverse.w @ a.reshape(-1) + inverse.b)
