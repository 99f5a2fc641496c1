"""Learning rules: how the error travels from layer l + 1 to layer l."""

from __future__ import annotations

from typing import Any

from jax import Array

from bpframe import Formula, LearningRule, Params, hookimpl


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


@hookimpl
def bpframe_learning_rules() -> dict[str, type[LearningRule]]:
    """The learning rules by name."""
    return {"backprop": Backprop}
