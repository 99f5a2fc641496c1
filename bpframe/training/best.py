"""Which parameters of a run are the best, and how they are kept while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.component import Component
from bpframe.contracts import LayerParams
from bpframe.errors import unknown

ACCURACY, COST = "validation_accuracy", "validation_cost"


def rises(name: str) -> bool:
    """Whether more of a column is better, by its name: of a cost less is."""
    return "cost" not in name


class Criterion(Component):
    """By which column of metrics.jsonl epochs are compared, and whether more of it is better."""

    column: str = ACCURACY
    maximise: bool = True

    @classmethod
    def of(cls, objective: str, *, maximise: bool) -> Criterion:
        """The criterion of an objective, which may be known only at the end of a run."""
        column = objective.removeprefix("best_").replace("test_", "validation_")
        return cls(column, maximise)

    def applied(self, *, has_classes: bool) -> Criterion:
        """The criterion for data: where targets are no classes, there is the cost alone."""
        accuracies = ("train_accuracy", ACCURACY)
        return self if has_classes or self.column not in accuracies else Criterion(COST, False)


class Best(NamedTuple):
    """The best parameters so far, with their score: more is better; -inf before the first."""

    params: tuple[LayerParams, ...]
    score: Array


def better(
    criterion: Criterion,
    best: Best,
    params: tuple[LayerParams, ...],
    columns: Mapping[str, Array],
    has_classes: Array,
) -> Best:
    """The best parameters, when an epoch has given these and reached `columns`.

    Raises:
        UnknownNameError: there is no such column.

    """
    if criterion.column not in columns:
        raise unknown("sweep.objective", criterion.column, columns)
    fallback = criterion.applied(has_classes=False)
    dtype = best.score.dtype
    score = jnp.where(
        has_classes, _signed(criterion, columns, dtype), _signed(fallback, columns, dtype)
    )
    improves = score > best.score
    kept = jax.tree.map(lambda new, old: jnp.where(improves, new, old), params, best.params)
    return Best(kept, jnp.where(improves, score, best.score))


def _signed(criterion: Criterion, columns: Mapping[str, Array], dtype: Any) -> Array:
    value = columns[criterion.column].astype(dtype)
    return value if criterion.maximise else -value
