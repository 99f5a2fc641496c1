"""The forward-forward algorithm: layers tell right labels from wrong ones, without a way back."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import ConfigError, Credit, Forward, LearningRule, Network, OutputPair, hyperparameter


class ForwardForward(LearningRule):
    """d/dz^l of softplus(threshold - g^l) for the right label, of softplus(g^l - threshold) else.

    g^l is the goodness of hidden layer l: the mean of its squared activations, or their sum. The
    label takes the place of the first n_L inputs, a wrong one is drawn for every example in every
    step, and each layer sees the one before divided by the root of its mean square, so that no
    goodness is handed on. The network answers with the softmax, over the labels, of the sum of the
    goodness of all hidden layers: layer L has no part in it, and its error is 0.
    Source: Hinton (2022), sections 2 and 3.3.
    """

    threshold: float = hyperparameter(default=2.0, gt=0)
    goodness: str = hyperparameter(default="mean", choices=("mean", "sum"))

    def check(self, network: Network, pair: OutputPair) -> None:
        """There are hidden layers, labels, and inputs that a label can take the place of.

        Raises:
            ConfigError: one of them is missing.

        """
        del pair
        (n_out,), n_in = network.shapes[-1], math.prod(network.shape)
        low = self._too_low(network)
        if low is not None:
            number, activation, most = low
            reason = (
                f"a goodness that can exceed its threshold, {self.threshold:g}, and that of layer "
                f"{number}, {activation}, is at most {most:g}; set a smaller "
                "learning_rule.threshold, or network.activation=relu"
            )
        elif len(network.layers) < 2:
            reason = "the goodness of hidden layers; set network.hidden"
        elif n_out < 2:
            reason = "two outputs or more, one for each label, but there is one"
        elif n_in <= n_out:
            reason = f"more inputs than labels, for a label takes their place; {n_in} and {n_out}"
        else:
            return
        raise ConfigError(f"learning_rule: forward_forward needs {reason}")

    def _too_low(self, network: Network) -> tuple[int, str, float] | None:
        """The first hidden layer whose goodness stays below the threshold, and its largest."""
        hidden = zip(network.layers[:-1], network.shapes[1:], strict=False)
        for number, (layer, shape) in enumerate(hidden, start=2):
            square = max(abs(bound) for bound in layer.activation.range) ** 2
            most = square if self.goodness == "mean" else square * math.prod(shape)
            if most <= self.threshold:
                return number, type(layer.activation).__name__, most
        return None

    def assign(self, state: object, forward: Forward, y: Array, key: Array) -> tuple[Credit, ...]:
        """Two terms: for the right label, and for a wrong one."""
        del state
        shift = jax.random.randint(key, (), 1, len(y))
        return (
            self._credit(forward, y, key, right=True),
            self._credit(forward, jnp.roll(y, shift), key, right=False),
        )

    def answer(self, state: object, forward: Forward) -> Array:
        """The softmax of the goodness of the labels."""
        del state
        labels = jnp.eye(len(forward.trace.a[-1]), dtype=forward.trace.a[0].dtype)

        def total(label: Array) -> Array:
            goodness = [self._goodness(a) for *_, a in _passed(forward, label, None)]
            return jnp.sum(jnp.stack(goodness))

        return jax.nn.softmax(jax.vmap(total)(labels))

    def _credit(self, forward: Forward, label: Array, key: Array, *, right: bool) -> Credit:
        """That of one pass; the output layer sees what it would, and learns nothing of it."""
        inputs, keeps, deltas = [], [], []
        passed = _passed(forward, label, key)
        for layer, (before, z, kept, a) in zip(forward.network.layers, passed, strict=False):
            threshold = jnp.asarray(self.threshold, a.dtype)
            goodness = self._goodness(a)
            if right:
                slope = -jax.nn.sigmoid(threshold - goodness)
            else:
                slope = jax.nn.sigmoid(goodness - threshold)
            deltas.append(layer.activation.pullback(z, slope * self._goodness_prime(a)))
            inputs.append(before)
            keeps.append(kept)
        trace = forward.trace
        return Credit(
            (*inputs, trace.a[-2]),
            (*keeps, trace.kept[-1]),
            (*deltas, jnp.zeros_like(trace.z[-1])),
        )

    def _goodness(self, a: Array) -> Array:
        return jnp.mean(a**2) if self.goodness == "mean" else jnp.sum(a**2)

    def _goodness_prime(self, a: Array) -> Array:
        return 2 * a / a.size if self.goodness == "mean" else 2 * a


def _passed(
    forward: Forward, label: Array, key: Array | None
) -> list[tuple[Array, Array, object, Array]]:
    """What each hidden layer sees with a label, its z, what it keeps, and its a."""
    x = forward.trace.a[0]
    a = x.reshape(-1).at[: len(label)].set(label).reshape(x.shape)
    passed = []
    hidden = zip(forward.network.layers[:-1], forward.params, strict=False)
    for number, (layer, own) in enumerate(hidden, start=2):
        before = _normalised(a)
        layer_key = None if key is None else jax.random.fold_in(key, number)
        z, kept = layer.forward(own, before, layer_key)
        a = layer.activation(z)
        passed.append((before, z, kept, a))
    return passed


def _normalised(a: Array) -> Array:
    """A divided by the root of its mean square; zeros stay."""
    square = jnp.mean(a**2)
    return a * jnp.where(square > 0, jax.lax.rsqrt(jnp.where(square > 0, square, 1)), 0)
