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
from bpframe.pages.text import escaped, short, shown
from bpframe.sweeps.objective import Direction, implied
from bpframe.sweeps.report.effects import effects
from bpframe.sweeps.report.runs import (
    ReportRun,
    SweptSetting,
    axis_scale,
    best_run,
    bounds,
    colour_range,
    curve_columns,
    is_number,
    shown_column,
    swept_settings,
    value_text,
)
from bpframe.sweeps.rows import COMPLETED, DIVERGED, FAILED, INTERRUPTED, PRUNED, Row
from bpframe.training.best import is_accuracy, rises

_SCRIPTS = (
    *("model", "filter", "colours", "lines", "table", "curves", "parallel", "effects", "page"),
)
_MOST_ROWS = 1000
"""Rows in the page; its script makes others, for ten thousand take a browser ten seconds."""
_LONGEST = 2000
"""Characters of a text; an error may be that long."""


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
    columns = _table_columns(runs, settings, objective, direction)
    body = {
        "title": escaped(title, _LONGEST),
        "summary": _summary(runs),
        "more": _more(runs),
        "best": _best(best_run(runs, objective, direction), objective, direction),
        "table": _table(runs, columns),
    }
    return shell.page(
        title,
        Template(_part("page.html")).substitute(body),
        data=_data(runs, settings, columns, objective, direction),
        style=_part("page.css"),
        script="\n".join(_part(f"{name}.js") for name in _SCRIPTS),
    )


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column of the table: its key for filters, its heading and its value for each run.

    A setting is shown as it was given, what was measured with four digits. `better` says whether
    high or low values are, None where neither is.
    """

    key: str
    heading: str
    values: Sequence[Any]
    given: bool = False
    better: str | None = None


def _table_columns(
    runs: Sequence[ReportRun],
    settings: Sequence[SweptSetting],
    objective: str,
    direction: Direction,
) -> list[_Column]:
    rows = [run.row for run in runs]
    metrics = dict.fromkeys([objective, *(name for row in rows for name in row.metrics)])
    timings = dict.fromkeys(name for row in rows for name in row.timing)

    def column(name: str, value: Callable[[Row], Any], better: str | None = None) -> _Column:
        values = [_cut(value(row)) for row in rows]
        return _Column(shown(name), shown(name.replace("_", " ")), values, better=better)

    first, *others = [
        column(
            name,
            lambda row, name=name: row.metrics.get(name),
            _better(name, direction if name == objective else None),
        )
        for name in metrics
    ]
    columns = [
        _Column("run", "run", [shown(run.name) for run in runs]),
        column("status", lambda row: row.status),
        *(
            _Column(shown(each.key), shown(each.label), _setting_values(each), given=True)
            for each in settings
        ),
        first,
        column("epochs done", lambda row: row.epochs),
        *others,
        *(column(name, lambda row, name=name: row.timing.get(name), "low") for name in timings),
        column("stopped", lambda row: row.stopped),
        column("error", lambda row: row.error),
    ]
    return [each for each in columns if any(value is not None for value in each.values)]


def _better(name: str, direction: Direction | None) -> str | None:
    """Whether high or low values of a metric are better, as far as its name tells."""
    if direction is None and not is_accuracy(name) and rises(name):
        return None
    return "high" if (direction or implied(name)) == "maximise" else "low"


def _cut(value: Any) -> Any:
    return shown(value, _LONGEST) if isinstance(value, str) else value


def _setting_values(setting: SweptSetting) -> list[float | str | None]:
    values = setting.numbers or tuple(map(_cut, setting.texts))
    return [None if place is None else values[place] for place in setting.places]


def _table(runs: Sequence[ReportRun], columns: Sequence[_Column]) -> str:
    head = "".join(
        f'<th scope="col" title="{escaped(each.key)}">{escaped(each.heading)}</th>'
        for each in columns
    )
    body = "".join(
        f'<tr data-run="{index}"><th scope="row">{_link(run)}</th>'
        + "".join(_cell(each, each.values[index]) for each in columns[1:])
        + "</tr>\n"
        for index, run in enumerate(runs[:_MOST_ROWS])
    )
    return f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>"


def _link(run: ReportRun) -> str:
    """Its name, as a link to its page or to its folder."""
    kind, title = ("page", "page of the run") if run.has_page else ("folder", "folder of the run")
    href = html.escape(run.link)
    return f'<a href="{href}" class="{kind}" title="{title}">{escaped(run.name)}</a>'


def _cell(column: _Column, value: Any) -> str:
    if value is None:
        return "<td></td>"
    if is_number(value):
        text = value_text(value) if column.given else short(value)
        return f'<td class="number">{text}</td>'
    kind = f"status {value}" if column.key == "status" else "long" if len(str(value)) > 40 else ""
    return f'<td class="{escaped(kind)}">{escaped(value_text(value), _LONGEST)}</td>'


def _summary(runs: Sequence[ReportRun]) -> str:
    counts = Counter(run.row.status for run in runs)
    known = (COMPLETED, DIVERGED, FAILED, INTERRUPTED, PRUNED)
    return "".join(
        f'<li class="status {status}">{counts[status]} {status}</li>'
        for status in known
        if counts[status] or status == COMPLETED
    )


def _more(runs: Sequence[ReportRun]) -> str:
    """What a reader without JavaScript lacks."""
    if len(runs) <= _MOST_ROWS:
        return "the table is complete without it"
    return (
        f"without it the table has the first {_MOST_ROWS} of {len(runs)} runs (results.csv has all)"
    )


def _best(best: tuple[ReportRun, float] | None, objective: str, direction: Direction) -> str:
    name = escaped(objective.replace("_", " "))
    if best is None:
        return f"<p>No completed run has a value of {name}.</p>"
    run, value = best
    settings = "".join(
        f"<div><dt>{escaped(key)}</dt><dd>{escaped(value_text(each))}</dd></div>"
        for key, each in run.row.settings.items()
    )
    extreme = "highest" if direction == "maximise" else "lowest"
    return (
        f"<p>Best run: {_link(run)}, "
        f"with the {extreme} {name} of the completed runs, <strong>{short(value)}</strong></p>"
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
            "bounds": bounds(objective, present),
        },
        "settings": [
            {
                **vars(each),
                "key": shown(each.key),
                "label": shown(each.label),
                "texts": [shown(text) for text in each.texts],
            }
            for each in varied
        ],
        "effects": [
            dataclasses.asdict(effects(each, varied, runs, objective)) | {"key": shown(each.key)}
            for each in varied
            if each.key != "seed"
        ],
        "columns": [vars(each) for each in columns],
        "links": [(run.link, "page" if run.has_page else "folder") for run in runs],
        "completed": [run.row.status == COMPLETED for run in runs],
        "first": shown_column(objective, runs),
        "epochs": [list(run.epochs) for run in runs],
        "curves": {name: [list(run.curves.get(name, ())) for run in runs] for name in names},
    }


def _part(name: str) -> str:
    return (resources.files("bpframe.sweeps.report") / name).read_text(encoding="utf-8")
