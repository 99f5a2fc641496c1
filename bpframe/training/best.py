"""Which parameters of a run are the best, and how they are kept while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.component import Component
from bpframe.contracts import LayerParams
from bpframe.errors import ConfigError, unknown

ACCURACY, COST = "validation_accuracy", "validation_cost"


def rises(name: str) -> bool:
    """Whether more of a column is better, by its name: of a cost less is."""
    return "cost" not in name


def is_accuracy(objective: str) -> bool:
    """Whether an objective is one of the accuracies, which not all data have."""
    return objective.endswith("_accuracy") or objective.partition(".")[0] == "accuracy"


def no_accuracy(objective: str) -> ConfigError:
    """The error for an accuracy as the objective of data that have none."""
    return ConfigError(
        f"sweep.objective: {objective} has no meaning for these data, which have no accuracy, as in "
        "regression; leave it out, or set sweep.objective=best_validation_cost"
    )


class Criterion(Component):
    """By which column of metrics.jsonl epochs are compared, and whether more of it is better.

    Without a column it is validation accuracy, or validation cost where there is no accuracy.
    """

    column: str | None = None
    maximise: bool = True

    @classmethod
    def of(cls, objective: str | None, *, maximise: bool) -> Criterion:
        """The criterion of an objective, which may be known only at the end of a run."""
        if objective is None:
            return cls()
        return cls(objective.removeprefix("best_").replace("test_", "validation_"), maximise)

    def applied(self, *, has_accuracy: bool) -> Criterion:
        """The criterion for data with or without an accuracy, with its column.

        Raises:
            ConfigError: it is an accuracy, and there is none.

        """
        if self.column is None:
            return Criterion(ACCURACY) if has_accuracy else Criterion(COST, False)
        if not has_accuracy and is_accuracy(self.column):
            raise no_accuracy(self.column)
        return self


class Best(NamedTuple):
    """The best parameters so far, with their score: more is better; -inf before the first."""

    params: tuple[LayerParams, ...]
    score: Array


def better(
    criterion: Criterion,
    best: Best,
    params: tuple[LayerParams, ...],
    columns: Mapping[str, Array],
) -> Best:
    """The best parameters, when an epoch has given these and reached `columns`.

    Raises:
        UnknownNameError: there is no such column.

    """
    if criterion.column not in columns:
        raise unknown("sweep.objective", criterion.column, columns)
    value = columns[criterion.column].astype(best.score.dtype)
    score = value if criterion.maximise else -value
    improves = score > best.score
    kept = jax.tree.map(lambda new, old: jnp.where(improves, new, old), params, best.params)
    return Best(kept, jnp.where(improves, score, best.score))
