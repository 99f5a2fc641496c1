"""Learning rules: how the error travels from layer l + 1 to layer l."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax import Array

from bpframe import Formula, LearningRule, Params, hookimpl

BPFRAME_API_VERSION = 1


class Backprop(LearningRule):
    """(w^(l+1))^T delta^(l+1): the exact gradient. Source: Nielsen (2015), equation BP2."""

    is_gradient = True
    formula = Formula("(w^(l+1))^T delta^(l+1)", r"(w^{l+1})^T \delta^{l+1}")

    def init(self, key: Array, params: tuple[Params, ...]) -> tuple[Any, ...]:
        """No state: the weights themselves carry the error back."""
        del key
        return (None,) * (len(params) - 1)

    def carry(self, state: Any, w_next: Array, delta_next: Array, delta_out: Array) -> Array:
        """(w^(l+1))^T delta^(l+1)."""
        del state, delta_out
        return w_next.T @ delta_next


class FeedbackAlignment(LearningRule):
    """B^l delta^(l+1), with fixed random B^l ~ N(0, 1/n_l) in place of (w^(l+1))^T.

    Source: Lillicrap et al. (2016), who draw B from a uniform distribution.
    """

    formula = Formula("B^l delta^(l+1)", r"B^l \delta^{l+1}")

    def init(self, key: Array, params: tuple[Params, ...]) -> tuple[Any, ...]:
        """B^l, (n_l, n_(l+1)), for the layers l = 2..L-1."""
        keys = jax.random.split(key, len(params))
        return tuple(
            jax.random.normal(key, w_next.T.shape, w_next.dtype) / math.sqrt(w_next.shape[1])
            for key, (w_next, _) in zip(keys[1:], params[1:], strict=True)
        )

    def carry(self, state: Any, w_next: Array, delta_next: Array, delta_out: Array) -> Array:
        """B^l delta^(l+1)."""
        del w_next, delta_out
        return state @ delta_next


class DirectFeedbackAlignment(LearningRule):
    """B^l delta^L, with fixed random B^l ~ N(0, 1/n_L): every layer hears from the output.

    Source: Nokland (2016), equation 7; B is normal here.
    """

    formula = Formula("B^l delta^L", r"B^l \delta^L")

    def init(self, key: Array, params: tuple[Params, ...]) -> tuple[Any, ...]:
        """B^l, (n_l, n_L), for the layers l = 2..L-1."""
        keys = jax.random.split(key, len(params))
        n_out = params[-1].b.shape[0]
        return tuple(
            jax.random.normal(key, (b.shape[0], n_out), b.dtype) / math.sqrt(n_out)
            for key, (_, b) in zip(keys[1:], params[:-1], strict=True)
        )

    def carry(self, state: Any, w_next: Array, delta_next: Array, delta_out: Array) -> Array:
        """B^l delta^L."""
        del w_next, delta_next
        return state @ delta_out


@hookimpl
def bpframe_learning_rules() -> dict[str, type[LearningRule]]:
    """The learning rules by name."""
    return {
        "backprop": Backprop,
        "feedback_alignment": FeedbackAlignment,
        "direct_feedback_alignment": DirectFeedbackAlignment,
    }
