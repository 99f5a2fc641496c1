"""report.html of a sweep: one page that needs no network, no server and no other file."""

from __future__ import annotations

import dataclasses
import html
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any
from urllib.parse import quote

from bpframe.sweeps.objective import Direction
from bpframe.sweeps.rows import COMPLETED, DIVERGED, FAILED, INTERRUPTED, PRUNED, Row


@dataclasses.dataclass(frozen=True)
class ReportRun:
    """A run as a report shows it.

    Attributes:
        name: what the reader calls it: "17", or "SWEEP/17" among several sweeps.
        row: how it ended; its folder is relative to the folder of the report.
        epochs: the epochs of its records, in order.
        curves: columns of metrics.jsonl by name, with one entry a record; None where there is no
            finite value.

    """

    name: str
    row: Row
    epochs: Sequence[int]
    curves: Mapping[str, Sequence[float | None]]

    def value(self, objective: str) -> float | None:
        """What it reached of `objective`, None if nothing finite."""
        value = self.row.metrics.get(objective)
        return value if _is_number(value) else None


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
    numeric = all(_is_number(value) for value in values)
    if not numeric:
        values = [_text(value) for value in values]
    different: list[Any] = sorted(set(values)) if numeric else list(dict.fromkeys(values))
    place = {value: index for index, value in enumerate(different)}
    found = iter(values)
    end = key.rpartition(".")[2]
    return SweptSetting(
        key=key,
        label=end if ends[end] == 1 else key,
        texts=tuple(map(_text, different)),
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
    """The completed run that did best and its objective, the first of equals; None without any."""
    sign = -1 if direction == "maximise" else 1
    scores = [
        (run, value)
        for run in runs
        if run.row.status == COMPLETED and (value := run.value(objective)) is not None
    ]
    return min(scores, key=lambda score: sign * score[1], default=None)


def page(title: str, runs: Sequence[ReportRun], objective: str, direction: Direction) -> str:
    """The report of a sweep as HTML, to be written in UTF-8.

    Args:
        title: what the sweep is called.
        runs: one for each job, in the order in which the table first stands.
        objective: what the runs are compared by, a key of `Row.metrics`.
        direction: whether the largest objective is the best or the smallest.

    Raises:
        ValueError: a metric, a time or an entry of a curve is a number that is not finite.

    """
    settings = swept_settings(runs)
    columns = _table_columns(runs, settings, objective)
    parts = {
        "title": html.escape(title),
        "summary": _summary(runs),
        "best": _best(best_run(runs, objective, direction), objective, direction),
        "table": _table(runs, columns),
        "data": _data(runs, settings, columns, objective, direction),
        "style": _part("page.css"),
        "script": _part("page.js"),
        "plotly": _part("plotly-basic.min.js"),  # scatter, bar and pie: a quarter of plotly.js
    }
    return Template(_part("page.html")).substitute(parts)


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column of the table: its key for filters, its heading and its value for each run.

    A setting is shown as it was given, what was measured with four digits.
    """

    key: str
    heading: str
    values: Sequence[Any]
    given: bool = False


def _table_columns(
    runs: Sequence[ReportRun], settings: Sequence[SweptSetting], objective: str
) -> list[_Column]:
    rows = [run.row for run in runs]
    metrics = dict.fromkeys([objective, *(name for row in rows for name in row.metrics)])
    timings = dict.fromkeys(name for row in rows for name in row.timing)

    def column(name: str, value: Callable[[Row], Any]) -> _Column:
        return _Column(name, name.replace("_", " "), [value(row) for row in rows])

    first, *others = [
        column(name, lambda row, name=name: row.metrics.get(name)) for name in metrics
    ]
    columns = [
        _Column("run", "run", [run.name for run in runs]),
        column("status", lambda row: row.status),
        *(_Column(each.key, each.label, _setting_values(each), given=True) for each in settings),
        first,
        column("epochs done", lambda row: row.epochs),
        *others,
        *(column(name, lambda row, name=name: row.timing.get(name)) for name in timings),
        column("stopped", lambda row: row.stopped),
        column("error", lambda row: row.error),
    ]
    return [each for each in columns if any(value is not None for value in each.values)]


def _setting_values(setting: SweptSetting) -> list[float | str | None]:
    values = setting.numbers or setting.texts
    return [None if place is None else values[place] for place in setting.places]


def _table(runs: Sequence[ReportRun], columns: Sequence[_Column]) -> str:
    head = "".join(
        f'<th scope="col" title="{html.escape(each.key)}">{html.escape(each.heading)}</th>'
        for each in columns
    )
    body = "".join(
        f'<tr data-run="{index}"><th scope="row"><a href="{quote(run.row.folder)}/">'
        f"{html.escape(run.name)}</a></th>"
        + "".join(_cell(each, each.values[index]) for each in columns[1:])
        + "</tr>\n"
        for index, run in enumerate(runs)
    )
    return f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>"


def _cell(column: _Column, value: Any) -> str:
    if value is None:
        return "<td></td>"
    if _is_number(value):
        text = _text(value) if column.given else _short(value)
        return f'<td class="number">{text}</td>'
    kind = f"status {value}" if column.key == "status" else "long" if len(str(value)) > 40 else ""
    return f'<td class="{html.escape(kind)}">{html.escape(_text(value))}</td>'


def _summary(runs: Sequence[ReportRun]) -> str:
    counts = Counter(run.row.status for run in runs)
    known = (COMPLETED, DIVERGED, FAILED, INTERRUPTED, PRUNED)
    return "".join(
        f'<li class="status {status}">{counts[status]} {status}</li>'
        for status in known
        if counts[status] or status == COMPLETED
    )


def _best(best: tuple[ReportRun, float] | None, objective: str, direction: Direction) -> str:
    name = html.escape(objective.replace("_", " "))
    if best is None:
        return f"<p>No completed run has a value of {name}.</p>"
    run, value = best
    settings = "".join(
        f"<div><dt>{html.escape(key)}</dt><dd>{html.escape(_text(each))}</dd></div>"
        for key, each in run.row.settings.items()
    )
    extreme = "highest" if direction == "maximise" else "lowest"
    return (
        f'<p>Best run: <a href="{quote(run.row.folder)}/">{html.escape(run.name)}</a>, '
        f"with the {extreme} {name} of the completed runs, <strong>{_short(value)}</strong></p>"
        f"<dl>{settings}</dl>"
    )


def _data(
    runs: Sequence[ReportRun],
    settings: Sequence[SweptSetting],
    columns: Sequence[_Column],
    objective: str,
    direction: Direction,
) -> str:
    values = [run.value(objective) for run in runs]
    present = [value for value in values if value is not None]
    names = curve_columns(runs)
    data = {
        "objective": {
            "name": objective,
            "direction": direction,
            "values": values,
            "scale": axis_scale(present),
            "colours": colour_range(present),
        },
        "settings": [vars(each) for each in settings if each.varies],
        "columns": [vars(each) for each in columns],
        "completed": [run.row.status == COMPLETED for run in runs],
        "shown": shown_column(objective, runs),
        "epochs": [list(run.epochs) for run in runs],
        "curves": {name: [list(run.curves.get(name, ())) for run in runs] for name in names},
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    # ASCII, so that U+2028 and U+2029 are escaped too; nothing in it can end the element.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> str:
    """A value of a setting as a reader writes it: 0.1, sigmoid, true, null, [30, 10]."""
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _part(name: str) -> str:
    return (resources.files("bpframe.sweeps.report") / name).read_text(encoding="utf-8")
