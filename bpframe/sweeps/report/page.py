"""report.html of a sweep: one page that needs no network, no server and no other file."""

from __future__ import annotations

import dataclasses
import html
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import resources
from string import Template
from typing import Any

from bpframe.pages import shell
from bpframe.sweeps.objective import Direction
from bpframe.sweeps.report.effects import effects
from bpframe.sweeps.report.runs import (
    ReportRun,
    SweptSetting,
    axis_scale,
    best_run,
    colour_range,
    curve_columns,
    is_number,
    shown_column,
    swept_settings,
    value_text,
)
from bpframe.sweeps.rows import COMPLETED, DIVERGED, FAILED, INTERRUPTED, PRUNED, Row


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
    body = {
        "title": html.escape(title),
        "summary": _summary(runs),
        "best": _best(best_run(runs, objective, direction), objective, direction),
        "table": _table(runs, columns),
    }
    return shell.page(
        title,
        Template(_part("page.html")).substitute(body),
        data=_data(runs, settings, columns, objective, direction),
        style=_part("page.css"),
        script=_part("page.js"),
    )


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
        f'<tr data-run="{index}"><th scope="row"><a href="{html.escape(run.link)}">'
        f"{html.escape(run.name)}</a></th>"
        + "".join(_cell(each, each.values[index]) for each in columns[1:])
        + "</tr>\n"
        for index, run in enumerate(runs)
    )
    return f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>"


def _cell(column: _Column, value: Any) -> str:
    if value is None:
        return "<td></td>"
    if is_number(value):
        text = value_text(value) if column.given else _short(value)
        return f'<td class="number">{text}</td>'
    kind = f"status {value}" if column.key == "status" else "long" if len(str(value)) > 40 else ""
    return f'<td class="{html.escape(kind)}">{html.escape(value_text(value))}</td>'


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
        f"<div><dt>{html.escape(key)}</dt><dd>{html.escape(value_text(each))}</dd></div>"
        for key, each in run.row.settings.items()
    )
    extreme = "highest" if direction == "maximise" else "lowest"
    return (
        f'<p>Best run: <a href="{html.escape(run.link)}">{html.escape(run.name)}</a>, '
        f"with the {extreme} {name} of the completed runs, <strong>{_short(value)}</strong></p>"
        f"<dl>{settings}</dl>"
    )


def _data(
    runs: Sequence[ReportRun],
    settings: Sequence[SweptSetting],
    columns: Sequence[_Column],
    objective: str,
    direction: Direction,
) -> dict[str, Any]:
    values = [run.value(objective) for run in runs]
    present = [value for value in values if value is not None]
    names = curve_columns(runs)
    varied = [each for each in settings if each.varies]
    return {
        "objective": {
            "name": objective,
            "direction": direction,
            "values": values,
            "scale": axis_scale(present),
            "colours": colour_range(present),
        },
        "settings": [vars(each) for each in varied],
        "effects": [
            dataclasses.asdict(effects(each, varied, runs, objective))
            for each in varied
            if each.key != "seed"
        ],
        "columns": [vars(each) for each in columns],
        "completed": [run.row.status == COMPLETED for run in runs],
        "shown": shown_column(objective, runs),
        "epochs": [list(run.epochs) for run in runs],
        "curves": {name: [list(run.curves.get(name, ())) for run in runs] for name in names},
    }


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _part(name: str) -> str:
    return (resources.files("bpframe.sweeps.report") / name).read_text(encoding="utf-8")
