"""The rows of a sweep, from its ledger, or from its run folders where it has none."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bpframe.errors import OutputError
from bpframe.runs.layout import METRICS, SUMMARY
from bpframe.sweeps import ledger
from bpframe.sweeps.objective import Objective, chosen
from bpframe.sweeps.rows import Row

SINGLE = -1
"""Stands for the number of a run that is no job of a sweep."""


def rows(sweep: Path) -> list[Row]:
    """A row for each job, in order.

    Raises:
        OutputError: the folder holds no jobs that have ended.

    """
    if ledger.holds(sweep):
        entries = (entry for entry in ledger.read(sweep) if entry["event"] == ledger.JOB)
        found = {row.num: row for row in map(Row.from_dict, entries)}
        in_order = [row for _, row in sorted(found.items())]
    else:
        in_order = _numbered(_from_folders(sweep))
    if not in_order:
        raise OutputError(
            f"{sweep}: holds no runs that have ended; give a sweep, a run, or a folder of runs"
        )
    return in_order


def _numbered(found: Iterable[Row]) -> list[Row]:
    """Rows by the numbers of their jobs; by their folders where these are those of no one sweep."""
    given = sorted(found, key=lambda row: (row.num, row.folder))
    numbers = {row.num for row in given}
    if len(numbers) == len(given) and SINGLE not in numbers:
        return given
    by_folder = sorted(given, key=lambda row: row.folder)
    return [dataclasses.replace(row, num=num) for num, row in enumerate(by_folder)]


def objective(sweep: Path, of: Row) -> Objective:
    """The objective that the config of one of a sweep's jobs names."""
    path = sweep / of.folder / ".hydra" / "config.yaml"
    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        assert isinstance(config, dict)
        return chosen(config["sweep"])
    except (OSError, KeyError) as error:
        raise OutputError(f"{path}: says nothing of sweep.objective; give --objective") from error


def _from_folders(sweep: Path) -> Iterator[Row]:
    inside = sorted(str(path.parent) for path in sweep.rglob(ledger.LEDGER))
    if inside:
        raise OutputError(f"{sweep}: holds sweeps; give their folders: {' '.join(inside)}")
    parser = OverridesParser.create()
    for path in sweep.rglob(SUMMARY):
        run = path.parent
        try:
            summary = json.loads(path.read_bytes())
            lines = (run / METRICS).read_bytes().splitlines()
            hydra = OmegaConf.load(run / ".hydra" / "hydra.yaml").hydra
            overrides = OmegaConf.load(run / ".hydra" / "overrides.yaml")
            num = int(hydra.get("job", {}).get("num", SINGLE))
        except (OSError, ValueError, OmegaConfBaseException):
            continue  # no run that has ended, or one without Hydra's files
        parsed = parser.parse_overrides([str(text) for text in overrides])
        settings = {override.get_key_element(): override.value() for override in parsed}
        folder = run.relative_to(sweep).as_posix()
        yield Row.read(num, folder, settings, summary, json.loads(lines[-1]) if lines else {})
