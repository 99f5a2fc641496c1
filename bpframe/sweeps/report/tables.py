"""The files of a sweep that list all its jobs: results.csv, results.jsonl, best.yaml."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpframe.configuration.primary import begun_in, primary
from bpframe.errors import OutputError
from bpframe.files import write_whole
from bpframe.runs.layout import CONFIG
from bpframe.sweeps.objective import Objective
from bpframe.sweeps.rows import Row

CSV, JSONL, BEST = "results.csv", "results.jsonl", "best.yaml"


def write(folder: Path, rows: Sequence[Row], objective: Objective) -> None:
    """Write the results of a sweep into its folder, in place of earlier ones.

    Raises:
        OSError: they cannot be written.

    """
    lines = [json.dumps(row.as_dict(), default=str) + "\n" for row in rows]
    write_whole(folder / JSONL, "".join(lines).encode(), durable=False)
    write_whole(folder / CSV, _csv(rows).encode(), durable=False)
    best = objective.best(rows)
    if best and (folder / best.folder / CONFIG).is_file():
        text = _best(best, objective, folder / best.folder)
        write_whole(folder / BEST, text.encode(), durable=False)
    else:
        (folder / BEST).unlink(missing_ok=True)


def _csv(rows: Sequence[Row]) -> str:
    """A line for each job; a column for each setting, metric and time that any of them has."""
    settings, metrics, timing = (
        dict.fromkeys(key for row in rows for key in getattr(row, part))
        for part in ("settings", "metrics", "timing")
    )
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    own = ("num", "folder", "status")
    last = ("epochs", "stopped", "error", *(("changed",) if any(r.changed for r in rows) else ()))
    writer.writerow([*own, *settings, *metrics, *timing, *last])
    for row in rows:
        writer.writerow(
            [
                *(getattr(row, name) for name in own),
                *(_cell(row.settings[key]) if key in row.settings else "" for key in settings),
                *(_cell(row.metrics.get(key)) for key in metrics),
                *(_cell(row.timing.get(key)) for key in timing),
                *(_cell(getattr(row, name)) for name in last),
            ]
        )
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict | bool):
        return json.dumps(value)
    if not isinstance(value, str):
        return value
    # A spreadsheet takes such a text for a formula, and computes it.
    text = value.replace("\r", " ")
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def _best(row: Row, objective: Objective, run: Path) -> str:
    """The config of a job as a primary config, to be used from any folder."""
    reached = f"{objective.name} {objective.of(row)}"
    here = None
    with contextlib.suppress(OutputError):  # whose paths then stay as they are
        here = begun_in(run)
    config = primary(run / CONFIG, begun_in=here)
    return f"# Job {row.num}: {reached}, the best of its sweep.\n{config}"
