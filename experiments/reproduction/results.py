"""results.json: what came out of every study, for machines and for writing RESULTS.md again."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bpframe.errors import BpframeError
from bpframe.runs.folder import write_whole
from reproduction.rules import Rule
from reproduction.study import NotRun, Row


@dataclasses.dataclass(frozen=True)
class Recorded(Rule):
    """A rule that was applied before: its words, and what it found."""

    words: str
    found: bool

    @property
    def text(self) -> str:
        """What the rule said of itself."""
        return self.words

    def holds(self, values: np.ndarray) -> bool:
        """What it found then."""
        del values
        return self.found


@dataclasses.dataclass(frozen=True)
class Result:
    """What came out of a study.

    Attributes:
        name: its name.
        place: its place among the studies.
        title: its title.
        question: what it asks.
        quick: whether the run was a quick one.
        date: of the run, as YYYY-MM-DD.
        machine: on what it ran.
        versions: of bpframe and what it runs on.
        rows: its rows; none if it failed.
        not_run: what of the book was not run.
        runs: the number of runs in its sweep.
        seconds: of the sweep, from the start of its process to the exit; of training alone where
            the sweep was run before.
        book_loop_s: about how long the book's loop would train; None for networks that it cannot.
        error: why it failed; None if it did not.

    """

    name: str
    place: int
    title: str
    quick: bool
    date: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    question: str = ""
    rows: tuple[Row, ...] = ()
    not_run: tuple[NotRun, ...] = ()
    runs: int = 0
    seconds: float | None = None
    book_loop_s: float | None = None
    error: str | None = None

    @property
    def agreeing(self) -> int:
        """How many rows agree."""
        return sum(row.agrees for row in self.rows)

    @property
    def is_explained(self) -> bool:
        """Whether it did not fail and every row agrees, or disagrees for a stated reason."""
        return self.error is None and all(row.is_explained for row in self.rows)


Results = Mapping[str, Result]


def read(path: Path) -> dict[str, Result]:
    """The results by name of study; none where there is no file.

    Raises:
        BpframeError: the file is not what `write` writes.

    """
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["studies"]
        return {name: _result({**entry, "name": name}) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"{type(error).__name__}: {error}"
        raise BpframeError(
            f"{path}: cannot be read ({text}); move it away to begin anew"
        ) from error


def write(path: Path, results: Results) -> None:
    """Write the results, whole or not at all."""
    ordered = sorted(results.values(), key=lambda result: (result.place, result.name))
    studies = {result.name: _plain(result) for result in ordered}
    text = json.dumps({"studies": studies}, indent=1, allow_nan=False, ensure_ascii=False)
    write_whole(path, f"{text}\n".encode())


def _plain(result: Result) -> dict[str, Any]:
    values = dict(vars(result))
    del values["name"]
    return values | {
        "rows": list(map(_plain_row, result.rows)),
        "not_run": list(map(vars, result.not_run)),
    }


def _plain_row(row: Row) -> dict[str, Any]:
    measured = {name: _finite(getattr(row, name)) for name in ("mean", "std", "low", "high")}
    return {
        **vars(row),
        "values": list(map(_finite, row.values)),
        **measured,
        "rule": row.rule.text,
        "verdict": row.verdict,
    }


def _finite(value: float) -> float | None:
    """None in place of what JSON has no number for."""
    return value if math.isfinite(value) else None


def _result(entry: dict[str, Any]) -> Result:
    not_run = tuple(NotRun(**one) for one in entry.get("not_run", ()))
    return Result(**{**entry, "rows": tuple(map(_row, entry["rows"])), "not_run": not_run})


def _row(entry: dict[str, Any]) -> Row:
    values = tuple(math.nan if value is None else value for value in entry["values"])
    rule = Recorded(entry["rule"], entry["verdict"] == "agrees")
    fields = {field.name: entry[field.name] for field in dataclasses.fields(Row)}
    return Row(**{**fields, "values": values, "rule": rule})
