"""Backpropagation itself."""

from __future__ import annotations

from typing import Any

from bpframe import Formula, LayerParams, LearningRule
from bpframe_plugins.learning_rules.feedback import Pairs, beside


class Backprop(LearningRule):
    """(w^(l+1))^T delta^(l+1): the exact gradient. Source: Nielsen (2015), equation BP2."""

    is_gradient = True
    formula = Formula("(w^(l+1))^T delta^(l+1)", r"(w^{l+1})^T \delta^{l+1}")

    def feedback(self, state: Any, params: tuple[LayerParams, ...]) -> Pairs:
        """The weights themselves."""
        del state
        return beside(params, params[1:])
