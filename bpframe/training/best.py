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
        f"sweep.objective: {objective} has no meaning for these data, which have no accuracy, as "
        "in regression; leave it out, or set sweep.objective=best_validation_cost"
    )


class Comparison(NamedTuple):
    """A column of metrics.jsonl, and whether more of it is better."""

    column: str
    maximise: bool


class Criterion(Component):
    """By what epochs are compared: the column of metrics.jsonl that belongs to `objective`.

    Without an objective it is validation accuracy, or validation cost where there is no accuracy.
    """

    objective: str | None = None
    maximise: bool = True

    def applied(self, *, has_accuracy: bool) -> Comparison:
        """How epochs are compared, for data with or without an accuracy.

        Raises:
            ConfigError: it is an accuracy, and there is none.

        """
        if self.objective is None:
            return Comparison(ACCURACY, True) if has_accuracy else Comparison(COST, False)
        if not has_accuracy and is_accuracy(self.objective):
            raise no_accuracy(self.objective)
        # An objective may be known only at the end of a run.
        column = self.objective.removeprefix("best_").replace("test_", "validation_")
        return Comparison(column, self.maximise)


class Best(NamedTuple):
    """The best parameters so far, with their score: more is better; -inf before the first.

    Of equal scores that with the least validation cost is the best.
    """

    params: tuple[LayerParams, ...]
    score: Array
    cost: Array


def better(
    by: Comparison,
    best: Best,
    params: tuple[LayerParams, ...],
    columns: Mapping[str, Array],
) -> Best:
    """The best parameters, when an epoch has given these and reached `columns`.

    Raises:
        UnknownNameError: there is no such column.

    """
    if by.column not in columns:
        known = (f"best_{ACCURACY}", f"best_{COST}", "test_accuracy", "test_cost", *columns)
        raise unknown("sweep.objective", by.column, known)
    value = columns[by.column].astype(best.score.dtype)
    score = value if by.maximise else -value
    reached = Best(params, score, columns[COST].astype(best.cost.dtype))
    improves = (score > best.score) | ((score == best.score) & (reached.cost < best.cost))
    return jax.tree.map(lambda new, old: jnp.where(improves, new, old), reached, best)
