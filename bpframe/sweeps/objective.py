"""The objective: by what the runs of a sweep are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from bpframe.errors import ConfigError, unknown
from bpframe.sweeps.rows import COMPLETED, Row
from bpframe.training.best import rises

Direction = Literal["maximise", "minimise"]
DIRECTIONS: tuple[Direction, ...] = ("maximise", "minimise")


class Objective(NamedTuple):
    """By what the jobs of a sweep are compared: `name` is a key of `Row.metrics`."""

    name: str
    direction: Direction

    @property
    def sign(self) -> int:
        """1 if more is better, -1 if less is."""
        return 1 if self.direction == DIRECTIONS[0] else -1

    def of(self, row: Row) -> float | None:
        """The objective of a job; None if it was not completed, or has none."""
        return row.metrics.get(self.name) if row.status == COMPLETED else None

    def best(self, rows: Iterable[Row]) -> Row | None:
        """The best job, of equal ones the first; None if there is none."""
        valued = [(value, row) for row in rows if (value := self.of(row)) is not None]
        return max(valued, key=lambda pair: self.sign * pair[0])[1] if valued else None


def for_regression(objective: Objective, *, is_fixed: bool) -> Objective:
    """The objective for data whose targets are no classes: by default the validation cost.

    Raises:
        ConfigError: another accuracy was chosen, or the search `is_fixed` on one already.

    """
    if "accuracy" not in objective.name:
        return objective
    if is_fixed or objective.name != "best_validation_accuracy":
        raise ConfigError(
            f"sweep.objective: {objective.name} has no meaning for these data, whose targets are "
            "no classes; set sweep.objective=best_validation_cost"
        )
    return Objective("best_validation_cost", "minimise")


def suited(objective: Objective, rows: Iterable[Row]) -> Objective:
    """The objective for jobs that have ended, whose targets may be no classes."""
    completed = [row.metrics for row in rows if row.status == COMPLETED]
    has_classes = any(metrics.get("best_validation_accuracy") is not None for metrics in completed)
    if has_classes or not completed:
        return objective
    return for_regression(objective, is_fixed=False)


def chosen(sweep: Mapping[str, Any]) -> Objective:
    """The objective that the config node `sweep` names; of a cost less is better, else more.

    Raises:
        ConfigError: there is no such direction.

    """
    name, direction = str(sweep["objective"]), sweep["direction"]
    if direction not in (None, *DIRECTIONS):
        raise unknown("sweep.direction", direction, DIRECTIONS)
    return Objective(name, direction or implied(name))


def implied(name: str) -> Direction:
    """The direction in which an objective is better, by its name: less of a cost, else more."""
    return "maximise" if rises(name) else "minimise"
