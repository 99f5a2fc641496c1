"""The activations: sigma and sigma', each with the paper it comes from."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import Activation, ElementwiseActivation, Formula, hookimpl, hyperparameter

BPFRAME_API_VERSION = 2


class Sigmoid(ElementwiseActivation):
    """sigma(z) = 1 / (1 + e^-z). Source: Nielsen (2015), equation 3."""

    range = (0.0, 1.0)
    formula = Formula("1 / (1 + e^-z)", r"\frac{1}{1 + e^{-z}}")
    prime_formula = Formula("sigma(z) (1 - sigma(z))", r"\sigma(z)\,(1 - \sigma(z))")

    def __call__(self, z: Array) -> Array:
        """1 / (1 + e^-z)."""
        return jax.nn.sigmoid(z)

    def prime(self, z: Array) -> Array:
        """sigma(z) sigma(-z): 1 - sigma(z) would lose its digits where z is large."""
        return jax.nn.sigmoid(z) * jax.nn.sigmoid(-z)

    def second_derivative(self, z: Array) -> Array:
        """sigma'(z) (1 - 2 sigma(z)), where 1 - 2 sigma(z) = -tanh(z/2)."""
        return -self.prime(z) * jnp.tanh(z / 2)


class Linear(ElementwiseActivation):
    """sigma(z) = z. Source: Nielsen (2015), chapter 2, the exercise on linear neurons."""

    formula = Formula("z", "z")
    prime_formula = Formula("1", "1")

    def __call__(self, z: Array) -> Array:
        """z."""
        return z

    def prime(self, z: Array) -> Array:
        """1."""
        return jnp.ones_like(z)

    def second_derivative(self, z: Array) -> Array:
        """0."""
        return jnp.zeros_like(z)


class Tanh(ElementwiseActivation):
    """sigma(z) = tanh z. Source: Nielsen (2015), equation 109."""

    range = (-1.0, 1.0)
    formula = Formula("tanh(z)", r"\tanh z")
    prime_formula = Formula("1 - tanh(z)^2", r"1 - \tanh^2 z")

    def __call__(self, z: Array) -> Array:
        """Tanh z."""
        return jnp.tanh(z)

    def prime(self, z: Array) -> Array:
        """4 sigma(2z) sigma(-2z) = 1 - tanh(z)^2, without the cancellation."""
        return 4 * jax.nn.sigmoid(2 * z) * jax.nn.sigmoid(-2 * z)

    def second_derivative(self, z: Array) -> Array:
        """-2 tanh(z) sigma'(z)."""
        return -2 * jnp.tanh(z) * self.prime(z)


class Relu(ElementwiseActivation):
    """sigma(z) = max(0, z). Source: Nair and Hinton (2010)."""

    range = (0.0, math.inf)
    formula = Formula("max(0, z)", r"\max(0, z)")
    prime_formula = Formula("1 if z > 0 else 0", r"[z > 0]")

    @property
    def kinks(self) -> tuple[float, ...]:
        """0."""
        return (0.0,)

    def __call__(self, z: Array) -> Array:
        """max(0, z)."""
        return jnp.maximum(z, 0)

    def prime(self, z: Array) -> Array:
        """1 where z > 0, else 0; at the kink 0."""
        return (z > 0).astype(z.dtype)

    def second_derivative(self, z: Array) -> Array:
        """0."""
        return jnp.zeros_like(z)


class LeakyRelu(ElementwiseActivation):
    """sigma(z) = z if z > 0 else slope z. Source: Maas, Hannun and Ng (2013)."""

    slope: float = hyperparameter(default=0.01)

    @property
    def range(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All numbers, and those from 0 where the slope is not positive."""
        return (-math.inf if self.slope > 0 else 0.0, math.inf)

    formula = Formula("z if z > 0 else slope z", r"\max(0, z) + \text{slope}\,\min(0, z)")
    prime_formula = Formula("1 if z > 0 else slope", r"[z > 0] + \text{slope}\,[z \le 0]")

    @property
    def kinks(self) -> tuple[float, ...]:
        """0."""
        return (0.0,)

    def __call__(self, z: Array) -> Array:
        """z where z > 0, else slope z."""
        return jnp.where(z > 0, z, self.slope * z)

    def prime(self, z: Array) -> Array:
        """1 where z > 0, else the slope; at the kink the slope."""
        return jnp.where(z > 0, jnp.ones_like(z), self.slope * jnp.ones_like(z))

    def second_derivative(self, z: Array) -> Array:
        """0."""
        return jnp.zeros_like(z)


class Elu(ElementwiseActivation):
    """sigma(z) = z if z > 0 else alpha (e^z - 1). Source: Clevert et al. (2016)."""

    alpha: float = hyperparameter(default=1.0, gt=0)

    @property
    def range(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """From -alpha."""
        return (-self.alpha, math.inf)

    formula = Formula("z if z > 0 else alpha (e^z - 1)", r"z\,[z>0] + \alpha(e^z - 1)\,[z \le 0]")
    prime_formula = Formula("1 if z > 0 else alpha e^z", r"[z>0] + \alpha e^z\,[z \le 0]")

    @property
    def kinks(self) -> tuple[float, ...]:
        """0; for alpha = 1 it is only sigma'' that jumps there."""
        return (0.0,)

    def __call__(self, z: Array) -> Array:
        """z where z > 0, else alpha (e^z - 1)."""
        return jnp.where(z > 0, z, self.alpha * jnp.expm1(jnp.minimum(z, 0)))

    def prime(self, z: Array) -> Array:
        """1 where z > 0, else alpha e^z."""
        return jnp.where(z > 0, jnp.ones_like(z), self.alpha * jnp.exp(jnp.minimum(z, 0)))

    def second_derivative(self, z: Array) -> Array:
        """0 where z > 0, else alpha e^z."""
        return jnp.where(z > 0, jnp.zeros_like(z), self.alpha * jnp.exp(jnp.minimum(z, 0)))


_SELU_ALPHA = 1.6732632423543772
_SELU_LAMBDA = 1.0507009873554805


class Selu(ElementwiseActivation):
    """sigma(z) = lambda (z if z > 0 else alpha (e^z - 1)). Source: Klambauer et al. (2017)."""

    range = (-_SELU_LAMBDA * _SELU_ALPHA, math.inf)
    formula = Formula(
        f"{_SELU_LAMBDA} (z if z > 0 else {_SELU_ALPHA} (e^z - 1))",
        r"\lambda\,(z\,[z>0] + \alpha(e^z - 1)\,[z \le 0])",
    )
    prime_formula = Formula(
        f"{_SELU_LAMBDA} (1 if z > 0 else {_SELU_ALPHA} e^z)",
        r"\lambda\,([z>0] + \alpha e^z\,[z \le 0])",
    )

    @property
    def kinks(self) -> tuple[float, ...]:
        """0."""
        return (0.0,)

    def __call__(self, z: Array) -> Array:
        """Lambda (z where z > 0, else alpha (e^z - 1)), with the constants of the paper."""
        return _SELU_LAMBDA * jnp.where(z > 0, z, _SELU_ALPHA * jnp.expm1(jnp.minimum(z, 0)))

    def prime(self, z: Array) -> Array:
        """Lambda where z > 0, else lambda alpha e^z."""
        negative = _SELU_ALPHA * jnp.exp(jnp.minimum(z, 0))
        return _SELU_LAMBDA * jnp.where(z > 0, jnp.ones_like(z), negative)

    def second_derivative(self, z: Array) -> Array:
        """0 where z > 0, else lambda alpha e^z."""
        return jnp.where(z > 0, jnp.zeros_like(z), self.prime(z))


class Gelu(ElementwiseActivation):
    """sigma(z) = z Phi(z), Phi the normal distribution. Source: Hendrycks and Gimpel (2016)."""

    range = (-0.16997120747990369, math.inf)  # the least is at z = -0.7517915246935645
    formula = Formula("z Phi(z)", r"z\,\Phi(z)")
    prime_formula = Formula("Phi(z) + z phi(z)", r"\Phi(z) + z\,\varphi(z)")

    def __call__(self, z: Array) -> Array:
        """z Phi(z), exactly and not by the tanh approximation."""
        return z * _normal_cdf(z)

    def prime(self, z: Array) -> Array:
        """Phi(z) + z phi(z)."""
        # z e^(-z^2/2) is 0 beyond |z| = 40 in every dtype, where z^2 may overflow.
        near = jnp.clip(z, -40, 40)
        return _normal_cdf(z) + near * jnp.exp(-0.5 * near * near) / math.sqrt(2 * math.pi)

    def second_derivative(self, z: Array) -> Array:
        """(2 - z^2) phi(z)."""
        near = jnp.clip(z, -40, 40)
        return (2 - near * near) * jnp.exp(-0.5 * near * near) / math.sqrt(2 * math.pi)


def _normal_cdf(z: Array) -> Array:
    return 0.5 * jax.lax.erfc(-z / math.sqrt(2))


class Silu(ElementwiseActivation):
    """sigma(z) = z / (1 + e^-z). Source: Elfwing, Uchibe and Doya (2018)."""

    range = (-0.27846454276107380, math.inf)  # the least is at z = -1.2784645427610738
    formula = Formula("z s(z), s the sigmoid", r"\frac{z}{1 + e^{-z}}")
    prime_formula = Formula("s(z) (1 + z (1 - s(z))), s the sigmoid", r"s(z)\,(1 + z\,(1 - s(z)))")

    def __call__(self, z: Array) -> Array:
        """z s(z), s the sigmoid."""
        return z * jax.nn.sigmoid(z)

    def prime(self, z: Array) -> Array:
        """s(z) (1 + z s(-z))."""
        return jax.nn.sigmoid(z) * (1 + z * jax.nn.sigmoid(-z))

    def second_derivative(self, z: Array) -> Array:
        """s'(z) (2 - z tanh(z/2)), s' = s (1 - s)."""
        return jax.nn.sigmoid(z) * jax.nn.sigmoid(-z) * (2 - z * jnp.tanh(z / 2))


class Softplus(ElementwiseActivation):
    """sigma(z) = ln(1 + e^z). Source: Dugas et al. (2001)."""

    range = (0.0, math.inf)
    formula = Formula("ln(1 + e^z)", r"\ln(1 + e^z)")
    prime_formula = Formula("1 / (1 + e^-z)", r"\frac{1}{1 + e^{-z}}")

    def __call__(self, z: Array) -> Array:
        """ln(1 + e^z)."""
        return jnp.maximum(z, 0) + jnp.log1p(jnp.exp(-jnp.abs(z)))

    def prime(self, z: Array) -> Array:
        """1 / (1 + e^-z)."""
        return jax.nn.sigmoid(z)

    def second_derivative(self, z: Array) -> Array:
        """s(z) s(-z), s the sigmoid."""
        return jax.nn.sigmoid(z) * jax.nn.sigmoid(-z)


class HardTanh(ElementwiseActivation):
    """sigma(z) = max(-1, min(1, z)). Source: Collobert (2004)."""

    range = (-1.0, 1.0)
    formula = Formula("max(-1, min(1, z))", r"\max(-1, \min(1, z))")
    prime_formula = Formula("1 if |z| < 1 else 0", r"[\,|z| < 1\,]")

    @property
    def kinks(self) -> tuple[float, ...]:
        """-1 and 1."""
        return (-1.0, 1.0)

    def __call__(self, z: Array) -> Array:
        """max(-1, min(1, z))."""
        return jnp.clip(z, -1, 1)

    def prime(self, z: Array) -> Array:
        """1 where |z| < 1, else 0; at the kinks 0."""
        return (jnp.abs(z) < 1).astype(z.dtype)

    def second_derivative(self, z: Array) -> Array:
        """0."""
        return jnp.zeros_like(z)


class Softmax(Activation):
    """sigma(z)_j = e^(z_j) / sum_k e^(z_k). Source: Nielsen (2015), equation 78."""

    range = (0.0, 1.0)
    sums_to_one = True
    min_neurons = 2
    formula = Formula("e^(z_j) / sum_k e^(z_k)", r"\frac{e^{z_j}}{\sum_k e^{z_k}}")
    prime_formula = Formula(
        "J^T v = a * (v - <a, v>), a = sigma(z)",
        r"J^T v = a \odot (v - \langle a, v\rangle),\ a = \sigma(z)",
    )

    def __call__(self, z: Array) -> Array:
        """e^(z_j) / sum_k e^(z_k), shifted by the largest z so that nothing overflows."""
        return jax.nn.softmax(z)

    def pullback(self, z: Array, v: Array) -> Array:
        """a * (v - <a, v>), with a = sigma(z)."""
        a = jax.nn.softmax(z)
        return a * (v - jnp.sum(a * v))


@hookimpl
def bpframe_activations() -> dict[str, type[Activation]]:
    """The twelve activations by name."""
    return {
        "sigmoid": Sigmoid,
        "linear": Linear,
        "tanh": Tanh,
        "relu": Relu,
        "leaky_relu": LeakyRelu,
        "elu": Elu,
        "selu": Selu,
        "gelu": Gelu,
        "silu": Silu,
        "softplus": Softplus,
        "hard_tanh": HardTanh,
        "softmax": Softmax,
    }
