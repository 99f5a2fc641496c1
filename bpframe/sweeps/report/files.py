"""report.html and results.png, from the folders of one sweep or of several."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bpframe.errors import OutputWarning, described, printable
from bpframe.files import write_whole
from bpframe.runs.layout import METRICS
from bpframe.sweeps import ledger
from bpframe.sweeps.objective import Objective
from bpframe.sweeps.report import page
from bpframe.sweeps.report.runs import ReportRun
from bpframe.sweeps.rows import Row

PAGE, PICTURE = "report.html", "results.png"


def write(
    sweeps: Mapping[Path, Sequence[Row]],
    folder: Path,
    objective: Objective,
    *,
    with_picture: bool = False,
) -> None:
    """Write the page about all runs of some sweeps, and the picture, into `folder`.

    Raises:
        OSError: it cannot be written.

    """
    names = [_name(sweep) for sweep in sweeps]
    found = [
        run
        for name, (sweep, rows) in zip(names, sweeps.items(), strict=True)
        for run in _runs(f"{name}/" if len(sweeps) > 1 else "", sweep, rows, folder)
    ]
    title = ", ".join(names)
    written = page.page(title, found, objective.name, objective.direction)
    write_whole(folder / PAGE, written.encode("utf-8", "replace"), durable=False)
    if with_picture:
        from bpframe.sweeps.report.picture import picture  # matplotlib takes a while to import

        try:
            drawn = picture(title, found, objective.name, objective.direction)
            write_whole(folder / PICTURE, drawn, durable=False)
        except Exception as error:  # the page has all of it, and more
            text = f"{folder / PICTURE}: not drawn: {described(error)}"
            warnings.warn(text, OutputWarning, stacklevel=2)


def _name(sweep: Path) -> str:
    """Its last part, with the one before it where that is a date, as Hydra has it."""
    parts = [printable(part) for part in sweep.absolute().parts[-2:]]
    return "/".join(parts if parts[0][:2].isdigit() else parts[1:])


def _runs(prefix: str, sweep: Path, rows: Sequence[Row], folder: Path) -> Iterator[ReportRun]:
    """The runs of a sweep with their learning curves, for a report in `folder`."""
    are_jobs = ledger.holds(sweep)
    for row in rows:
        own = str(row.num) if are_jobs else printable(row.folder)
        place = Path(os.path.relpath(sweep / row.folder, folder)).as_posix()
        yield ReportRun(
            _name(sweep) if row.folder == "." else prefix + own,
            dataclasses.replace(row, folder=place),
            *_curves(sweep / row.folder),
            has_page=(sweep / row.folder / PAGE).is_file(),
        )


def _curves(run: Path) -> tuple[list[int], dict[str, list[Any]]]:
    """The epochs of a run's metrics.jsonl, and its columns that are numbers.

    A column need not be in every record: epoch 0 has none over the steps.
    """
    path = run / METRICS
    try:
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    except OSError:
        return [], {}  # a job that could not be written has none
    except ValueError:
        warnings.warn(f"{path}: is damaged, and not drawn", OutputWarning, stacklevel=2)
        return [], {}
    columns = {
        name: [line.get(name) for line in lines]
        for name in dict.fromkeys(name for line in lines for name in line)
        if name not in ("epoch", "seconds")
    }
    numbers = {
        name: values
        for name, values in columns.items()
        if all(value is None or isinstance(value, int | float) for value in values)
        and any(value is not None for value in values)
    }
    return [line["epoch"] for line in lines], numbers
