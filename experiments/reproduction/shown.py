"""What a figure shows, kept beside it: it can be drawn again without running anything.

While a study draws, it is written down what the drawing asks of each run: columns, settings,
parts of the summary and parameters. Only that is kept.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bpframe.errors import BpframeError
from reproduction.runs import Run, Runs, column

PARTS = ("config", "summary", "columns", "arrays")
"""The fields of a run that are mappings, of which a figure needs some keys."""
DIGITS = 7
"""Significant digits that are kept, as many as float32 has."""


class Watched(Mapping[str, Any]):
    """A mapping that remembers in `asked` which of its keys were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.asked: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        """The value of a key, which is remembered."""
        self.asked[key] = self._values[key]
        return self.asked[key]

    def __iter__(self) -> Iterator[str]:
        """The keys; those whose values are not asked for are not remembered."""
        return iter(self._values)

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._values)


def watched(runs: Runs) -> Runs:
    """The same runs, which remember what of them is asked for."""
    return Runs(
        dataclasses.replace(run, **{part: Watched(getattr(run, part)) for part in PARTS})
        for run in runs
    )


def text(runs: Runs) -> str:
    """What was asked of `watched` runs, as JSON with a line a run.

    Runs of the same epochs share one list of them.
    """
    epochs: list[list[int]] = []
    lines = []
    for run in runs:
        if (epoch := run.epoch.tolist()) not in epochs:
            epochs.append(epoch)
        asked = {part: _plain(getattr(run, part).asked) for part in PARTS}
        kept = {part: values for part, values in asked.items() if values}
        lines.append({"folder": run.folder.name, "epochs": epochs.index(epoch), **kept})
    shown = ",\n  ".join(json.dumps(line, allow_nan=False) for line in lines)
    return f'{{"epochs": {json.dumps(epochs)},\n "runs": [\n  {shown}]}}\n'


def read(path: Path) -> Runs:
    """The runs of such a text, which have what the figure needs and nothing else.

    Raises:
        BpframeError: the file is not what `text` makes.

    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Runs(_run(entry, kept["epochs"]) for entry in kept["runs"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BpframeError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); run the study again"
        ) from error


def _run(entry: Mapping[str, Any], epochs: list[list[int]]) -> Run:
    config, summary, columns, arrays = (entry.get(part, {}) for part in PARTS)
    return Run(
        folder=Path(entry["folder"]),
        config=config,
        summary=summary,
        epoch=np.array(epochs[entry["epochs"]], int),
        columns={name: column(values) for name, values in columns.items()},
        arrays={name: np.array(values, float) for name, values in arrays.items()},
    )


def _plain(value: Any) -> Any:
    """A value as JSON has it: lists for arrays, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value
