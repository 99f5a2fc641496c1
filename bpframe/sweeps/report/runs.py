"""What a report shows: the runs of a sweep, the settings swept, the first curve, the best run."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from bpframe.runs.layout import PAGE
from bpframe.sweeps.objective import Direction, Objective
from bpframe.sweeps.rows import COMPLETED, Row
from bpframe.training.best import is_accuracy, rises


@dataclasses.dataclass(frozen=True)
class ReportRun:
    """A run as a report shows it.

    Attributes:
        name: what the reader calls it: "17", or "SWEEP/17" among several sweeps.
        row: how it ended; its folder is relative to the folder of the report.
        epochs: the epochs of its records, in order.
        curves: columns of metrics.jsonl by name, with one entry a record; None where there is no
            finite value.
        has_page: whether there is a page of the run in its folder.

    """

    name: str
    row: Row
    epochs: Sequence[int]
    curves: Mapping[str, Sequence[float | None]]
    has_page: bool = False

    @property
    def link(self) -> str:
        """The URL of its page, or of its folder, from the folder of the report."""
        return f"{quote(self.row.folder)}/{PAGE if self.has_page else ''}"

    def value(self, objective: str) -> float | None:
        """What it reached of `objective`, None if nothing finite."""
        value = self.row.metrics.get(objective)
        return value if is_number(value) else None


@dataclasses.dataclass(frozen=True)
class SweptSetting:
    """A setting over the runs, with its values in the order of an axis.

    Attributes:
        key: its name in the configuration.
        label: the last part of the key if no other setting ends so, else the key.
        texts: its different values as texts; numbers ascend, others stand as they first appear.
        numbers: the same values if every one is a finite number, else None.
        scale: "log", "linear" or "category", the axis that keeps its values apart.
        places: for each run the index of its value, None if it does not set it.

    """

    key: str
    label: str
    texts: tuple[str, ...]
    numbers: tuple[float, ...] | None
    scale: str
    places: tuple[int | None, ...]

    @property
    def varies(self) -> bool:
        """Whether two runs differ in it."""
        return len(set(self.places)) > 1


def swept_settings(runs: Sequence[ReportRun]) -> list[SweptSetting]:
    """What the overrides of the runs set, in the order in which the keys first appear."""
    keys = list(dict.fromkeys(key for run in runs for key in run.row.settings))
    ends = Counter(key.rpartition(".")[2] for key in keys)
    return [_setting(key, ends, [run.row.settings for run in runs]) for key in keys]


def _setting(
    key: str, ends: Mapping[str, int], settings: Sequence[Mapping[str, Any]]
) -> SweptSetting:
    values = [each[key] for each in settings if key in each]
    numeric = all(is_number(value) for value in values)
    if not numeric:
        values = [value_text(value) for value in values]
    different: list[Any] = sorted(set(values)) if numeric else list(dict.fromkeys(values))
    place = {value: index for index, value in enumerate(different)}
    found = iter(values)
    end = key.rpartition(".")[2]
    return SweptSetting(
        key=key,
        label=end if ends[end] == 1 else key,
        texts=tuple(map(value_text, different)),
        numbers=tuple(different) if numeric else None,
        scale=axis_scale(different) if numeric else "category",
        places=tuple(place[next(found)] if key in each else None for each in settings),
    )


def axis_scale(numbers: Sequence[float]) -> str:
    """The axis for these numbers.

    Returns:
        "log" for positive numbers over a factor of 50 or more; "category" for at most 16 that are
        crowded on a linear axis, such as 0, 0.01, 1 and 100; else "linear".

    """
    numbers = sorted(set(numbers))
    if len(numbers) < 2:
        return "linear"
    if numbers[0] > 0 and numbers[-1] / numbers[0] >= 50:
        return "log"
    narrowest = min(after - before for before, after in itertools.pairwise(numbers))
    crowded = narrowest < (numbers[-1] - numbers[0]) / 40
    return "category" if crowded and len(numbers) <= 16 else "linear"


def colour_range(values: Sequence[float]) -> tuple[float, float]:
    """The values at the two ends of the colour scale: all of them, except for outliers.

    Outliers lie more than 1.5 times the interquartile range outside the quartiles (Tukey 1977,
    Exploratory Data Analysis, chapter 2); they take the colour of the nearer end.
    """
    ordered = sorted(values)
    if not ordered:
        return 0.0, 1.0
    lower, upper = ordered[len(ordered) // 4], ordered[(3 * len(ordered) - 1) // 4]
    reach = 1.5 * (upper - lower) if len(ordered) >= 4 else math.inf
    inside = [value for value in ordered if lower - reach <= value <= upper + reach]
    return inside[0], inside[-1]


def bounds(objective: str, values: Sequence[float]) -> tuple[float | None, float | None]:
    """Between which numbers an objective lies: an accuracy, and a cost that never was negative."""
    if is_accuracy(objective):
        return 0.0, 1.0
    return (0.0 if not rises(objective) and min(values, default=0) >= 0 else None), None


def shown_column(objective: str, runs: Sequence[ReportRun]) -> str:
    """The curve to show first: that of the objective if there is one."""
    columns = curve_columns(runs)
    plain = objective.removeprefix("best_")
    wanted = (objective, plain, plain.replace("test_", "validation_"), *columns, "")
    return next(name for name in wanted if name in columns or not name)


def curve_columns(runs: Sequence[ReportRun]) -> list[str]:
    """The names of all curves, in the order in which they first appear."""
    return list(dict.fromkeys(name for run in runs for name in run.curves))


def best_run(
    runs: Sequence[ReportRun], objective: str, direction: Direction
) -> tuple[ReportRun, float] | None:
    """The completed run that did best and its objective, as `Objective.best`; None without any."""
    rank = Objective(objective, direction).rank
    scores = [
        (run, value)
        for run in runs
        if run.row.status == COMPLETED and (value := run.value(objective)) is not None
    ]
    return min(scores, key=lambda score: rank(score[0].row.metrics), default=None)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def value_text(value: Any) -> str:
    """A value of a setting as a reader writes it: 0.1, sigmoid, true, null, [30, 10]."""
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
