"""The costs C(a, y), and the output pairs in which a cost and an activation simplify."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import Cost, Formula, OutputPair, hookimpl, hyperparameter

BPFRAME_API_VERSION = 2


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

    def curvature_root(self, a: Array, y: Array) -> Array:
        """1: all outputs curve alike."""
        del y
        return jnp.eye(len(a), dtype=a.dtype)


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

    def curvature_root(self, a: Array, y: Array) -> Array:
        """The root of y / a^2 + (1 - y) / (1 - a)^2, output by output."""
        return jnp.diag(jnp.hypot(_ratio(jnp.sqrt(y), a), _ratio(jnp.sqrt(1 - y), 1 - a)))


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

    def curvature_root(self, a: Array, y: Array) -> Array:
        """The root of y / a^2, output by output."""
        return jnp.diag(_ratio(jnp.sqrt(y), a))


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

    def curvature_root(self, a: Array, y: Array) -> Array:
        """1 where |e| is below the threshold, else 0."""
        return jnp.diag((jnp.abs(a - y) <= self.threshold).astype(a.dtype))


class Hinge(Cost):
    """C = sum_j max(0, 1 - t_j a_j), t_j = 2 y_j - 1. Source: Cortes and Vapnik (1995)."""

    targets = (0.0, 1.0)
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
    """delta^L = a - y, as (1 - y) sigma(z) - y sigma(-z), which keeps its digits as a nears y.

    C comes from z by log-sigmoid. Source: Nielsen (2015), equations 63 and 66 to 68.
    """

    delta_formula = Formula("a^L - y", "a^L - y")
    is_convex = True

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        """a - y: sigma'(z) has cancelled against the denominator of grad_a C."""
        return (1 - y) * a - y * jax.nn.sigmoid(-z)

    def curvature_root(self, z: Array, a: Array, y: Array) -> Array:
        """The root of d^2 C / dz^2 = a (1 - a), output by output."""
        del y
        return jnp.diag(jnp.sqrt(a * jax.nn.sigmoid(-z)))

    def cost(self, z: Array, a: Array, y: Array) -> Array:
        """Sum of (1 - y) max(z, 0) + y max(-z, 0) + ln(1 + e^-|z|), none of which is negative."""
        del a
        certain = (1 - y) * jnp.maximum(z, 0) + y * jnp.maximum(-z, 0)
        return jnp.sum(certain + jnp.log1p(jnp.exp(-jnp.abs(z))))


class LogLikelihoodSoftmax(OutputPair):
    """delta^L = a - y for sum_j y_j = 1, and C by log-softmax. Source: Nielsen (2015), eq. 82.

    It is computed as a_j sum_{k != j} y_k - y_j sum_{k != j} a_k, which keeps its digits as a
    nears y, and is right for targets of any sum.
    """

    delta_formula = Formula("a^L - y", "a^L - y")
    is_convex = True

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        """(sum_j y_j) a - y, which is a - y for targets that sum to 1."""
        return a * _all_but_one(y, _largest(y), jnp.sum(y)) - y * _all_but_one(a, _largest(z), 1)

    def curvature_root(self, z: Array, a: Array, y: Array) -> Array:
        """sqrt(a_k sum_j y_j) (e_k - a), whose squares add up to sum_j y_j (diag(a) - a a^T)."""
        del z
        scale = jnp.sqrt(a * jnp.sum(y))
        return scale[:, None] * (jnp.eye(len(a), dtype=a.dtype) - a[None])

    def cost(self, z: Array, a: Array, y: Array) -> Array:
        """-sum_j y_j log_softmax(z)_j."""
        del a
        below, log_sum = _below_the_largest(z)
        return jnp.sum(y * below) + jnp.sum(y) * log_sum


class CrossEntropySoftmax(OutputPair):
    """Cross-entropy of each output of softmax, in terms that stay finite when it saturates.

    With h_k = a_k dC/da_k = (1 - y_k) a_k / (1 - a_k) - y_k the delta is h_j - a_j sum_k h_k. It is
    computed as (1 - y_j) a_j - y_j (1 - a_j) - a_j sum_{k != j} h_k: only the largest output has an
    h that can be infinite, and a_j h is finite, since a_j / (1 - a) is the softmax q_j over all
    other outputs.
    """

    delta_formula = Formula(
        "h - a^L sum_k h_k, h = (1 - y) a^L / (1 - a^L) - y",
        r"h - a^L \sum_k h_k,\ h = (1 - y) \frac{a^L}{1 - a^L} - y",
    )

    def delta(self, z: Array, a: Array, y: Array) -> Array:
        """h_j - a_j sum_k h_k."""
        top = _largest(z)
        others = _all_but_one(a, top, 1)
        h = jnp.where(top, 0, (1 - y) * a / jnp.where(top, 1, others) - y)
        a_top, y_top = jnp.sum(jnp.where(top, a, 0)), jnp.sum(jnp.where(top, y, 0))
        q = jax.nn.softmax(jnp.where(top, -jnp.inf, z))
        of_top = jnp.where(top, 0, (1 - y_top) * a_top * q - y_top * a)
        return (1 - y) * a - y * others - a * (jnp.sum(h) - h) - of_top

    def curvature_root(self, z: Array, a: Array, y: Array) -> None:
        """Not told: C is not convex in z, and its parts overflow where softmax saturates."""
        del z, a, y

    def cost(self, z: Array, a: Array, y: Array) -> Array:
        """-sum_j y_j ln a_j + (1 - y_j) ln(1 - a_j), both logarithms from z."""
        del a
        top = _largest(z)
        below, log_sum = _below_the_largest(z)
        others = jnp.where(top, jnp.min(z), z)
        second = jnp.max(others)
        log_others = jnp.log(jnp.sum(jnp.where(top, 0, jnp.exp(others - second))))
        log_rest_of_top = log_others - (jnp.max(z) - second) - log_sum
        small = jnp.where(top, 0, jnp.exp(-below - log_sum))
        log_rest = jnp.where(top, log_rest_of_top, jnp.log1p(-small))
        return jnp.sum(y * (below + log_sum)) - jnp.sum((1 - y) * log_rest)


def _largest(x: Array) -> Array:
    """True for the largest entry, and for one alone."""
    return jnp.arange(x.shape[0]) == jnp.argmax(x)


def _all_but_one(x: Array, largest: Array, total: Array | int) -> Array:
    """sum_{k != j} x_k for each j, of entries that are not negative and add up to `total`.

    Beside the largest entry the others are added up; all other sums lose nothing as total - x_j.
    """
    return jnp.where(largest, jnp.sum(jnp.where(largest, 0, x)), total - x)


def _below_the_largest(z: Array) -> tuple[Array, Array]:
    """max z - z, and ln sum_k e^(z_k - max z)."""
    below = jnp.max(z) - z
    return below, jnp.log1p(jnp.sum(jnp.where(_largest(z), 0, jnp.exp(-below))))


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
    """The pairs that are computed from z: all that could overflow, or lose digits."""
    return {
        ("cross_entropy", "sigmoid"): CrossEntropySigmoid,
        ("cross_entropy", "softmax"): CrossEntropySoftmax,
        ("log_likelihood", "softmax"): LogLikelihoodSoftmax,
    }
