"""The rows of a sweep, from its ledger, or from its run folders where it has none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bpframe.errors import OutputError
from bpframe.runs.folder import METRICS, SUMMARY
from bpframe.sweeps import ledger
from bpframe.sweeps.objective import Objective, chosen
from bpframe.sweeps.rows import Row


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
        in_order = sorted(_from_folders(sweep), key=lambda row: row.num)
    if not in_order:
        raise OutputError(f"{sweep}: holds no runs that have ended; give the folder of a sweep")
    return in_order


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
    for path in sweep.rglob(SUMMARY):
        run = path.parent
        try:
            summary = json.loads(path.read_bytes())
            lines = (run / METRICS).read_bytes().splitlines()
            hydra = OmegaConf.load(run / ".hydra" / "hydra.yaml").hydra
            overrides = OmegaConf.load(run / ".hydra" / "overrides.yaml")
            num = int(hydra.job.num)
        except (OSError, ValueError, OmegaConfBaseException):
            continue  # no job of a sweep, or one without Hydra's files
        parsed = OverridesParser.create().parse_overrides([str(text) for text in overrides])
        settings = {override.get_key_element(): override.value() for override in parsed}
        folder = run.relative_to(sweep).as_posix()
        yield Row.read(num, folder, settings, summary, json.loads(lines[-1]) if lines else {})
