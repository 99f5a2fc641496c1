"""Rules whose error travels by other weights than those of the forward pass.

Weights that stand for w are N(0, 1/n) unless said, n the fan-in of w, so that layers of every kind
carry the error as they do; layers without weights carry it exactly.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    BackwardStep,
    Formula,
    LayerParams,
    LearningRule,
    Shapes,
    hyperparameter,
    map_weights,
    weights,
    with_weights,
)

AllParams = tuple[LayerParams, ...]
Pairs = tuple[tuple[Array, Array] | None, ...]


def beside(params: AllParams, feedback: AllParams) -> Pairs:
    """The weights of the layers 3..L, and those that stand for them, as metrics compare them."""

    def flat(own: LayerParams) -> Array:
        return jnp.concatenate([w.reshape(-1) for w in weights(own)])

    pairs = zip(params[1:], feedback, strict=True)
    return tuple((flat(own), flat(other)) if weights(own) else None for own, other in pairs)


class Feedback(LearningRule):
    """Feedback weights that are drawn once.

    `distribution` is normal, uniform (both of variance 1/n), or "initialiser": each is one of the
    initial weights, taken at random. `scale` multiplies them.
    """

    distribution: str = hyperparameter(
        default="normal", choices=("normal", "uniform", "initialiser")
    )
    scale: float = hyperparameter(default=1.0, gt=0)

    def drawn(self, key: Array, shape: tuple[int, ...], fan_in: int, initial: Array) -> Array:
        """Weights of a shape; `initial` are those that they stand for."""
        scale = jnp.asarray(self.scale, initial.dtype)
        if self.distribution == "initialiser":
            return scale * jax.random.choice(key, initial.reshape(-1), shape)
        if self.distribution == "uniform":
            unit = jax.random.uniform(key, shape, initial.dtype, -math.sqrt(3), math.sqrt(3))
        else:
            unit = jax.random.normal(key, shape, initial.dtype)
        return scale * (unit / math.sqrt(fan_in))


class LayerFeedback(Feedback):
    """(B^l)^T in the place of w^(l+1), drawn once, for the layers l = 2..L-1."""

    formula = Formula("B^l delta^(l+1)", r"B^l \delta^{l+1}")

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> tuple[Any, ...]:
        """Parameters of the layers 3..L with feedback weights in the place of w."""
        del shapes
        keys = jax.random.split(key, len(params))

        def of(key: Array, own: LayerParams) -> LayerParams:
            number = itertools.count()

            def one(w: Array, fan_in: int) -> Array:
                at = next(number)  # of several weights in a layer
                own_key = jax.random.fold_in(key, at) if at else key
                return self.drawn(own_key, w.shape, fan_in, w)

            return map_weights(one, own)

        return tuple(of(key, own) for key, own in zip(keys[1:], params[1:], strict=True))

    def carry(self, state: Any, step: BackwardStep) -> Array:
        """B^l delta^(l+1)."""
        return _carried(step, state)

    def feedback(self, state: Any, params: AllParams) -> Pairs:
        """(B^l)^T for w^(l+1)."""
        return beside(params, tuple(state))


class FeedbackAlignment(LayerFeedback):
    """B^l delta^(l+1): fixed random weights in place of w^(l+1) on the way back.

    Source: Lillicrap et al. (2016), who draw B from a uniform distribution.
    """


class SignSymmetry(LearningRule):
    """(s^l sign(w^(l+1)))^T delta^(l+1), s^l = scale / sqrt(n): signs of w, all of one size.

    Source: Liao, Leibo and Poggio (2016), uniform sign-concordant feedback (uSF).
    """

    scale: float = hyperparameter(default=1.0, gt=0)

    formula = Formula(
        "(s^l sign(w^(l+1)))^T delta^(l+1)", r"(s^l \operatorname{sign}(w^{l+1}))^T \delta^{l+1}"
    )

    def carry(self, state: Any, step: BackwardStep) -> Array:
        """The error through the signs."""
        del state
        return _carried(step, map_weights(self._signs, step.params))

    def feedback(self, state: Any, params: AllParams) -> Pairs:
        """The signs."""
        del state
        return beside(params, map_weights(self._signs, params[1:]))

    def _signs(self, w: Array, fan_in: int) -> Array:
        return jnp.asarray(self.scale, w.dtype) * jnp.sign(w) / math.sqrt(fan_in)


class BatchwiseRandomSign(LearningRule):
    """(|M^l| * sign(w^(l+1)))^T delta^(l+1), M^l ~ N(0, scale^2/n) anew for every mini-batch.

    Source: Liao, Leibo and Poggio (2016), batchwise random magnitudes (brSF).
    """

    scale: float = hyperparameter(default=1.0, gt=0)

    formula = Formula(
        "(|M^l| * sign(w^(l+1)))^T delta^(l+1)",
        r"(|M^l| \odot \operatorname{sign}(w^{l+1}))^T \delta^{l+1}",
    )

    def carry(self, state: Any, step: BackwardStep) -> Array:
        """The error through the signs with sizes of this mini-batch."""
        del state
        number = itertools.count()

        def signs(w: Array, fan_in: int) -> Array:
            key = jax.random.fold_in(step.key, next(number))
            sizes = jnp.abs(jax.random.normal(key, w.shape, w.dtype)) / math.sqrt(fan_in)
            return jnp.asarray(self.scale, w.dtype) * sizes * jnp.sign(w)

        return _carried(step, map_weights(signs, step.params))


class FixedRandomSign(LayerFeedback):
    """(|M^l| * sign(w^(l+1)))^T delta^(l+1): sizes that are drawn once, and the signs of w.

    Source: Liao, Leibo and Poggio (2016), fixed random magnitudes (frSF).
    """

    formula = BatchwiseRandomSign.formula

    def carry(self, state: Any, step: BackwardStep) -> Array:
        """The error through the signs with the drawn sizes."""
        return _carried(step, _signed(state, step.params))

    def feedback(self, state: Any, params: AllParams) -> Pairs:
        """The signs with the drawn sizes."""
        return beside(params, _signed(tuple(state), params[1:]))


class Direct(Feedback):
    """B^l from the output to layer l, drawn once."""

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> tuple[Any, ...]:
        """B^l, (n_l, n_L), for the layers l = 2..L-1; they stand for w^L."""
        keys = jax.random.split(key, len(params))
        (n_out,), hidden = shapes[-1], shapes[1:-1]
        last = (weights(params[-1]) or jax.tree.leaves(params))[0]
        return tuple(
            self.drawn(key, (math.prod(shape), n_out), n_out, last)
            for key, shape in zip(keys[1:], hidden, strict=True)
        )


class DirectFeedbackAlignment(Direct):
    """B^l delta^L: every layer hears from the output; with `sign`, B^l sign(delta^L).

    The sign is that of a^L - y for costs that are least there, but for a softmax with another cost
    than its own.
    Source: Nokland (2016), equation 7; B is normal here.
    """

    sign: bool = False

    @property
    def formula(self) -> Formula:  # pyright: ignore[reportIncompatibleVariableOverride]
        """With the sign if it is asked for."""
        if self.sign:
            return Formula("B^l sign(delta^L)", r"B^l \operatorname{sign}(\delta^L)")
        return Formula("B^l delta^L", r"B^l \delta^L")

    def carry(self, state: Any, step: BackwardStep) -> Array:
        """B^l delta^L."""
        error = jnp.sign(step.delta_out) if self.sign else step.delta_out
        return (state @ error).reshape(step.a.shape)

    def feedback(self, state: Any, params: AllParams) -> Pairs:
        """B^l (B^(l-1))^T for w^l, and (B^(L-1))^T for w^L, of dense layers."""
        after = (*state[1:], None)
        products = (own.T if b is None else b @ own.T for own, b in zip(state, after, strict=True))
        return tuple(
            (own.w.reshape(-1), product.reshape(-1))
            if hasattr(own, "w") and own.w.shape == product.shape
            else None
            for own, product in zip(params[1:], products, strict=True)
        )


class DirectRandomTargets(Direct):
    """B^l y: every layer hears of the target alone, so that it need not wait for the output.

    Source: Frenkel, Lefebvre and Bol (2021), direct random target projection (DRTP).
    """

    formula = Formula("B^l y", r"B^l y")

    def carry(self, state: Any, step: BackwardStep) -> Array:
        """B^l y."""
        return (state @ step.y).reshape(step.a.shape)


def _signed(sizes: Any, params: Any) -> Any:
    return jax.tree.map(lambda m, w: jnp.abs(m) * jnp.sign(w), sizes, params)


def _carried(step: BackwardStep, feedback: LayerParams) -> Array:
    """The error through feedback weights in the place of those of layer l + 1."""
    return step.layer.carry(with_weights(step.params, feedback), step.a, step.kept, step.delta)
