"""The files of a sweep that tell of all its jobs: results.csv, results.jsonl, best.yaml."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from omegaconf import OmegaConf

from bpframe import schemas
from bpframe.errors import ConfigError, unknown
from bpframe.folder import write_whole
from bpframe.sweeps.report import Direction
from bpframe.sweeps.rows import COMPLETED, Row

CSV, JSONL, BEST = "results.csv", "results.jsonl", "best.yaml"
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


def write(folder: Path, rows: Sequence[Row], objective: Objective) -> None:
    """Write the results of a sweep into its folder, in place of earlier ones.

    Raises:
        OSError: they cannot be written.

    """
    lines = [json.dumps(row.as_dict(), default=str) + "\n" for row in rows]
    write_whole(folder / JSONL, "".join(lines).encode(), durable=False)
    write_whole(folder / CSV, _csv(rows).encode(), durable=False)
    best = objective.best(rows)
    config = folder / best.folder / ".hydra" / "config.yaml" if best else None
    if best and config and config.is_file():
        write_whole(folder / BEST, _best(best, objective, config).encode(), durable=False)
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
    last = ("epochs", "stopped", "error")
    writer.writerow([*own, *settings, *metrics, *timing, *last])
    for row in rows:
        writer.writerow(
            [
                *(getattr(row, name) for name in own),
                *(_cell(row.settings[key]) if key in row.settings else "" for key in settings),
                *(_cell(row.metrics.get(key)) for key in metrics),
                *(_cell(row.timing.get(key)) for key in timing),
                *(getattr(row, name) for name in last),
            ]
        )
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict | bool) else value


def _best(row: Row, objective: Objective, path: Path) -> str:
    """The config of a job as a primary config, which needs nothing but bpframe's own."""
    config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: is not a configuration")
    groups = [{f"override {group}": config[group]["name"]} for group in schemas.GROUPS]
    values = {
        key: {field: part for field, part in value.items() if field != "name"}
        if key in schemas.GROUPS
        else value
        for key, value in config.items()
    }
    values = {key: value for key, value in values.items() if value != {}}
    head = {"defaults": ["config", *groups, "_self_"]}
    return (
        f"# Job {row.num}: {objective.name} {objective.of(row)}, the best of its sweep.\n"
        + yaml.safe_dump({**head, **values}, sort_keys=False, allow_unicode=True)
    )
