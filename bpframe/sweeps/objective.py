"""The objective: by what the runs of a sweep are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from bpframe.errors import unknown
from bpframe.sweeps.rows import COMPLETED, Row

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
    return "minimise" if "cost" in name else "maximise"
