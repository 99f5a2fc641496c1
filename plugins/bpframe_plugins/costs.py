"""The costs C(a, y), and the output pairs in which a cost and an activation simplify."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import Cost, Formula, OutputPair, hookimpl, hyperparameter

BPFRAME_API_VERSION = 1


class Quadratic(Cost):
    """C = 1/2 |a - y|^2. Source: Nielsen (2015), equation 6, for one example."""

    formula = Formula("1/2 |a - y|^2", r"\tfrac12 \|a - y\|^2")
    prime_formula = Formula("a - y", "a - y")

    def __call__(self, a: Array, y: Array) -> Array:
        """1/2 |a - y|^2."""
        return 0.5 * jnp.sum((a - y) ** 2)

    def prime(self, a: Array, y: Array) -> Array:
        """a - y."""
        return a - y


class CrossEntropy(Cost):
    """C = -sum_j y_j ln a_j + (1 - y_j) ln(1 - a_j). Source: Nielsen (2015), equation 63."""

    domain = (0.0, 1.0)
    formula = Formula(
        "-sum_j [y_j ln a_j + (1 - y_j) ln(1 - a_j)]",
        r"-\sum_j \left[ y_j \ln a_j + (1 - y_j) \ln (1 - a_j) \right]",
    )
    prime_formula = Formula("(a - y) / (a (1 - a))", r"\frac{a - y}{a (1 - a)}")

    def __call__(self, a: Array, y: Array) -> Array:
        """-sum_j y_j ln a_j + (1 - y_j) ln(1 - a_j), where 0 ln 0 = 0."""
        ones = jax.scipy.special.xlogy(y, a)
        return -jnp.sum(ones + jax.scipy.special.xlog1py(1 - y, -a))

    def prime(self, a: Array, y: Array) -> Array:
        """(1 - y) / (1 - a) - y / a: finite wherever C is."""
        return _ratio(1 - y, 1 - a) - _ratio(y, a)


class LogLikelihood(Cost):
    """C = -sum_j y_j ln a_j, -ln a_y for one-hot y. Source: Nielsen (2015), equation 80."""

    domain = (0.0, 1.0)
    needs_distribution = True
    formula = Formula("-sum_j y_j ln a_j", r"-\sum_j y_j \ln a_j")
    prime_formula = Formula("-y / a", r"-y / a")

    def __call__(self, a: Array, y: Array) -> Array:
        """-sum_j y_j ln a_j, where 0 ln 0 = 0."""
        return -jnp.sum(jax.scipy.special.xlogy(y, a))

    def prime(self, a: Array, y: Array) -> Array:
        """-y / a, and 0 where y = 0."""
        return -_ratio(y, a)


class Absolute(Cost):
    """C = sum_j |a_j - y_j|. Source: Boscovich (1757); L1 regression."""

    formula = Formula("sum_j |a_j - y_j|", r"\sum_j |a_j - y_j|")
    prime_formula = Formula("sign(a - y)", r"\operatorname{sign}(a - y)")

    def __call__(self, a: Array, y: Array) -> Array:
        """sum_j |a_j - y_j|."""
        return jnp.sum(jnp.abs(a - y))

    def prime(self, a: Array, y: Array) -> Array:
        """sign(a - y); 0 at the kink."""
        return jnp.sign(a - y)


class Huber(Cost):
    """C = sum_j 1/2 e^2 if |e| <= threshold else threshold (|e| - threshold/2), e = a_j - y_j.

    Source: Huber (1964).
    """

    threshold: float = hyperparameter(default=1.0, gt=0)

    formula = Formula(
        "sum_j 1/2 e^2 if |e| <= t else t (|e| - t/2), e = a_j - y_j, t the threshold",
        r"\sum_j h_t(a_j - y_j),\ h_t(e) = \tfrac12 e^2\,[|e| \le t] "
        r"+ t(|e| - \tfrac{t}{2})\,[|e| > t]",
    )
    prime_formula = Formula("max(-t, min(t, a - y)), t the threshold", r"\max(-t, \min(t, a - y))")

    def __call__(self, a: Array, y: Array) -> Array:
        """Sum of 1/2 e^2 for small e and threshold (|e| - threshold/2) for large e."""
        e = jnp.abs(a - y)
        linear = self.threshold * (e - 0.5 * self.threshold)
        return jnp.sum(jnp.where(e <= self.threshold, 0.5 * e**2, linear))

    def prime(self, a: Array, y: Array) -> Array:
        """a - y, clipped to the threshold."""
        return jnp.clip(a - y, -self.threshold, self.threshold)


class Hinge(Cost):
    """C = sum_j max(0, 1 - t_j a_j), t_j = 2 y_j - 1. Source: Cortes and Vapnik (1995)."""

    least_at_target = False  # for y = 0 it falls on to a = -1
    decision_boundary = 0.0
    formula = Formula(
        "sum_j max(0, 1 - t_j a_j), t = 2y - 1", r"\sum_j \max(0, 1 - t_j a_j),\ t = 2y - 1"
    )
    prime_formula = Formula("-t_j if t_j a_j < 1 else 0", r"-t_j\,[t_j a_j < 1]")

    def __call__(self, a: Array, y: Array) -> Array:
        """sum_j max(0, 1 - t_j a_j)."""
        return jnp.sum(jnp.maximum(0, 1 - (2 * y - 1) * a))

    def prime(self, a: Array, y: Array) -> Array:
        """-t_j where t_j a_j < 1, else 0; at the kink 0."""
        t = 2 * y - 1
        return jnp.where(t * a < 1, -t, jnp.zeros_like(t))


class CrossEntropySigmoid(OutputPair):
    """delta^L = a - y, and C from z by log-sigmoid. Source: Nielsen (2015), equation 68."""

    delta_formula = Formula("a^L - y", "a^L - y")

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        """a - y: sigma'(z) has cancelled against the denominator of grad_a C."""
        del z
        return a - y

    def cost(self, z: Array, a: Array, y: Array) -> Array:
        """Sum of max(z, 0) - y z + ln(1 + e^-|z|): finite for every finite z."""
        del a
        return jnp.sum(jnp.maximum(z, 0) - y * z + jnp.log1p(jnp.exp(-jnp.abs(z))))


class LogLikelihoodSoftmax(OutputPair):
    """delta^L = a - y for sum_j y_j = 1, and C by log-softmax. Source: Nielsen (2015), eq. 82."""

    delta_formula = Formula("a^L - y", "a^L - y")

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        """(sum_j y_j) a - y, which is a - y for targets that sum to 1."""
        del z
        return jnp.sum(y) * a - y

    def cost(self, z: Array, a: Array, y: Array) -> Array:
        """-sum_j y_j log_softmax(z)_j."""
        del a
        shifted = z - jnp.max(z)
        return jnp.sum(y) * jnp.log(jnp.sum(jnp.exp(shifted))) - jnp.sum(y * shifted)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Numerator / denominator, and 0 where the numerator is 0."""
    zero = numerator == 0
    return jnp.where(zero, 0, numerator / jnp.where(zero, 1, denominator))


@hookimpl
def bpframe_costs() -> dict[str, type[Cost]]:
    """The six costs by name."""
    return {
        "quadratic": Quadratic,
        "cross_entropy": CrossEntropy,
        "log_likelihood": LogLikelihood,
        "absolute": Absolute,
        "huber": Huber,
        "hinge": Hinge,
    }


@hookimpl
def bpframe_output_pairs() -> dict[tuple[str, str], type[OutputPair]]:
    """The pairs in which sigma'(z^L) drops out of BP1."""
    return {
        ("cross_entropy", "sigmoid"): CrossEntropySigmoid,
        ("log_likelihood", "softmax"): LogLikelihoodSoftmax,
    }
