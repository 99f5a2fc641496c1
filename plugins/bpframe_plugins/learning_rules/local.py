"""Rules whose layers have costs of their own."""

from __future__ import annotations

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
    TrainingStep,
    hyperparameter,
)

AllParams = tuple[LayerParams, ...]


class LocalLoss(LearningRule):
    """(V^l)^T (softmax(V^l a^l) - y): every hidden layer has a readout V^l and its cost.

    No error goes from layer to layer. V^l starts as N(0, 1/n_l) and follows its own gradient, with
    the learning rate `rate`.
    Source: Nokland and Eidnes (2019), the prediction loss.
    """

    rate: float = hyperparameter(default=0.1, gt=0)

    formula = Formula(
        "(V^l)^T (softmax(V^l a^l) - y)", r"(V^l)^T (\operatorname{softmax}(V^l a^l) - y)"
    )

    def init(self, key: Array, params: AllParams, shapes: Shapes) -> tuple[Any, ...]:
        """V^l, (n_L, n_l), for the layers l = 2..L-1."""
        keys, dtype = jax.random.split(key, len(params)), jax.tree.leaves(params)[0].dtype
        (n_out,), sizes = shapes[-1], map(math.prod, shapes[1:-1])
        return tuple(
            jax.random.normal(key, (n_out, n), dtype) / math.sqrt(n)
            for key, n in zip(keys[1:], sizes, strict=True)
        )

    def carry(self, state: Any, step: BackwardStep) -> Array:
        """The gradient of layer l's own cost."""
        return (_error(state, step.a, step.y) @ state).reshape(step.a.shape)

    def learn(
        self, state: Any, step: TrainingStep, params: AllParams, updated: AllParams
    ) -> tuple[Array, ...]:
        """V after a step of gradient descent."""
        del params, updated

        def learned(v: Array, a: Array) -> Array:
            narrow = v.astype(a.dtype)
            errors = jax.vmap(_error, in_axes=(None, 0, 0))(narrow, a, step.y)
            mean = errors.T @ a.reshape(len(a), -1) / len(a)
            return v - jnp.asarray(self.rate, v.dtype) * mean.astype(v.dtype)

        return tuple(map(learned, state, step.found.trace.a[1:-1]))


def _error(v: Array, a: Array, y: Array) -> Array:
    """softmax(V a) - y, for one example."""
    return jax.nn.softmax(v @ a.reshape(-1)) - y
