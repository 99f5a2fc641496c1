"""Learning rules: how the error travels from layer l + 1 to layer l."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
from jax import Array

from bpframe import BackwardStep, Formula, LayerParams, LearningRule, Shapes, hookimpl, map_weights

BPFRAME_API_VERSION = 2


class Backprop(LearningRule):
    """(w^(l+1))^T delta^(l+1): the exact gradient. Source: Nielsen (2015), equation BP2."""

    is_gradient = True
    formula = Formula("(w^(l+1))^T delta^(l+1)", r"(w^{l+1})^T \delta^{l+1}")


class FeedbackAlignment(LearningRule):
    """B^l delta^(l+1): fixed random weights in place of w^(l+1) on the way back.

    The weights that stand for w are N(0, 1/n), n the size of layer l, so that layers of every kind
    carry the error as they do; those without weights carry it exactly.
    Source: Lillicrap et al. (2016), who draw B from a uniform distribution.
    """

    formula = Formula("B^l delta^(l+1)", r"B^l \delta^{l+1}")

    def init(self, key: Array, params: tuple[LayerParams, ...], shapes: Shapes) -> tuple[Any, ...]:
        """(B^l)^T in the place of w^(l+1), for the layers l = 2..L-1."""
        del shapes
        keys = jax.random.split(key, len(params))

        def drawn(key: Array, own: LayerParams) -> LayerParams:
            number = itertools.count()

            def feedback(w: Array, fan_in: int) -> Array:
                at = next(number)  # of several weights in a layer
                own_key = jax.random.fold_in(key, at) if at else key
                return jax.random.normal(own_key, w.shape, w.dtype) / math.sqrt(fan_in)

            return map_weights(feedback, own)

        return tuple(drawn(key, own) for key, own in zip(keys[1:], params[1:], strict=True))

    def carry(self, state: Any, step: BackwardStep) -> Array:
        """B^l delta^(l+1)."""
        return step.layer.carry(state, step.a, step.kept, step.delta)


class DirectFeedbackAlignment(LearningRule):
    """B^l delta^L, with fixed random B^l ~ N(0, 1/n_L): every layer hears from the output.

    Source: Nokland (2016), equation 7; B is normal here.
    """

    formula = Formula("B^l delta^L", r"B^l \delta^L")

    def init(self, key: Array, params: tuple[LayerParams, ...], shapes: Shapes) -> tuple[Any, ...]:
        """B^l, (n_l, n_L), for the layers l = 2..L-1."""
        keys = jax.random.split(key, len(params))
        (n_out,), hidden = shapes[-1], shapes[1:-1]
        dtype = jax.tree.leaves(params)[0].dtype
        return tuple(
            jax.random.normal(key, (math.prod(shape), n_out), dtype) / math.sqrt(n_out)
            for key, shape in zip(keys[1:], hidden, strict=True)
        )

    def carry(self, state: Any, step: BackwardStep) -> Array:
        """B^l delta^L."""
        return (state @ step.delta_out).reshape(step.a.shape)


@hookimpl
def bpframe_learning_rules() -> dict[str, type[LearningRule]]:
    """The learning rules by name."""
    return {
        "backprop": Backprop,
        "feedback_alignment": FeedbackAlignment,
        "direct_feedback_alignment": DirectFeedbackAlignment,
    }
