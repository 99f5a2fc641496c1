"""The objective: by what the runs of a sweep are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from bpframe.errors import unknown
from bpframe.sweeps.rows import COMPLETED, Row
from bpframe.training.best import is_accuracy, no_accuracy, rises

Direction = Literal["maximise", "minimise"]
DIRECTIONS: tuple[Direction, ...] = ("maximise", "minimise")


class Objective(NamedTuple):
    """By what the jobs of a sweep are compared: `name` is a key of `Row.metrics`.

    One that `is_default` gives way to the validation cost where there is no accuracy.
    """

    name: str
    direction: Direction
    is_default: bool = False

    @property
    def sign(self) -> int:
        """1 if more is better, -1 if less is."""
        return 1 if self.direction == DIRECTIONS[0] else -1

    def of(self, row: Row) -> float | None:
        """The objective of a job; None if it was not completed, or has none."""
        return row.metrics.get(self.name) if row.status == COMPLETED else None

    def best(self, rows: Iterable[Row]) -> Row | None:
        """The best job, of equal ones that with the least cost; None if there is none."""
        valued = [row for row in rows if self.of(row) is not None]
        return min(valued, key=lambda row: self.rank(row.metrics), default=None)

    def rank(self, metrics: Mapping[str, Any]) -> tuple[float, float]:
        """The place of a job that has the objective: less is better; of equals, less cost."""
        cost = metrics.get(_WITHOUT_ACCURACY.name)
        return -self.sign * metrics[self.name], math.inf if cost is None else cost


DEFAULT = Objective("best_validation_accuracy", "maximise", is_default=True)
_WITHOUT_ACCURACY = Objective("best_validation_cost", "minimise")


def fitting(objective: Objective, *, has_accuracy: bool) -> Objective:
    """The objective for data with or without an accuracy.

    Raises:
        ConfigError: an accuracy was chosen, and there is none.

    """
    if has_accuracy or not is_accuracy(objective.name):
        return objective
    if not objective.is_default:
        raise no_accuracy(objective.name)
    return _WITHOUT_ACCURACY


def suited(objective: Objective, rows: Iterable[Row]) -> Objective:
    """The objective for jobs that have ended, whose data may have no accuracy."""
    completed = [row.metrics for row in rows if row.status == COMPLETED]
    has_accuracy = any(DEFAULT.name in metrics for metrics in completed)
    return fitting(objective, has_accuracy=has_accuracy or not completed)


def chosen(sweep: Mapping[str, Any]) -> Objective:
    """The objective that the config node `sweep` names; of a cost less is better, else more.

    Raises:
        ConfigError: there is no such direction.

    """
    name, direction = sweep["objective"], sweep["direction"]
    if direction not in (None, *DIRECTIONS):
        raise unknown("sweep.direction", direction, DIRECTIONS)
    if name is None:
        return DEFAULT
    return Objective(str(name), direction or implied(str(name)))


def implied(name: str) -> Direction:
    """The direction in which an objective is better, by its name: less of a cost, else more."""
    return "maximise" if rises(name) else "minimise"
