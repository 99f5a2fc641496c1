"""The runs of a sweep as arrays, read from its folder."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from omegaconf import OmegaConf
from safetensors.numpy import load_file

from bpframe.errors import BpframeError, unknown

USABLE = ("completed", "diverged")
INTERRUPTED = "interrupted"


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One job of a sweep.

    Attributes:
        folder: its run folder.
        config: its composed configuration, as plain containers.
        summary: summary.json.
        epoch: (records,) integers; they may begin with 0 and skip epochs.
        columns: every other key of metrics.jsonl, (records, ...) floats: NaN where a line lacks
            the key or holds null.
        arrays: the parameters after the last epoch, such as layer_2.w; none where they are not
            kept.

    """

    folder: Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    epoch: np.ndarray
    columns: Mapping[str, np.ndarray]
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """The run of a run folder."""
        # Not PyYAML, which takes the 1e-3 of a configuration for a text.
        config = OmegaConf.to_container(
            OmegaConf.load(folder / ".hydra" / "config.yaml"), resolve=True
        )
        assert isinstance(config, dict)
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        names = dict.fromkeys(name for line in lines for name in line if name != "epoch")
        params = folder / "params.safetensors"
        return cls(
            folder=folder,
            config={str(key): value for key, value in config.items()},
            summary=summary,
            epoch=np.array([line["epoch"] for line in lines], int),
            columns={name: column([line.get(name) for line in lines]) for name in names},
            arrays=load_file(params) if params.is_file() else {},
        )

    def params(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """(w, b) of the layers 2..L after the last epoch."""
        layers = range(2, 2 + len(self.arrays) // 2)
        return tuple(
            (self.arrays[f"layer_{layer}.w"], self.arrays[f"layer_{layer}.b"]) for layer in layers
        )

    def settings(self, key: str) -> list[Any]:
        """The value of a dotted key of the configuration in a list; empty where there is none."""
        value: Any = self.config
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return []
            value = value[part]
        return [value]


class Runs(Sequence[Run]):
    """Runs in the order of their jobs."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = tuple(runs)

    @classmethod
    def read(cls, folder: Path, *, partial: bool = False) -> Runs:
        """The jobs of a sweep that completed or diverged, which must be all of them.

        With `partial`, jobs may have been interrupted too: those that finished an epoch count.

        Raises:
            BpframeError: there is no sweep, or jobs ended otherwise.

        """
        path = folder / "results.jsonl"
        if not path.is_file():
            raise BpframeError(f"{folder}: holds no sweep that has ended ({path.name} is missing)")
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if partial:
            rows = [row for row in rows if row["status"] != INTERRUPTED or row["epochs"]]
        usable = (*USABLE, INTERRUPTED) if partial else USABLE
        if bad := [row for row in rows if row["status"] not in usable]:
            named = ", ".join(f"{row['num']} ({row['status']}: {row['error']})" for row in bad)
            raise BpframeError(f"{folder}: {len(bad)} of {len(rows)} jobs did not end: {named}")
        return cls(Run.read(folder / row["folder"]) for row in rows)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def where(self, settings: Mapping[str, Any]) -> Runs:
        """The runs whose configuration has these values, by dotted key.

        Raises:
            BpframeError: a key is unknown, or no run has the value; lists what there is.

        """
        runs = self
        for key, value in settings.items():
            wanted = list(value) if isinstance(value, tuple) else value
            found = Runs(run for run in runs if run.settings(key) == [wanted])
            if not found:
                there = ", ".join(map(str, runs.values(key)))
                raise BpframeError(f"{key}: no run has {wanted}; the runs have {there}")
            runs = found
        return runs

    def values(self, key: str) -> list[Any]:
        """The different values of a dotted key, in the order in which they first appear.

        Raises:
            BpframeError: no run has the key.

        """
        found: list[Any] = []
        for value in itertools.chain.from_iterable(run.settings(key) for run in self):
            if value not in found:
                found.append(value)
        if not found:
            raise unknown(key, key, {name for run in self for name in _keys(run.config)})
        return found

    def column(self, name: str) -> np.ndarray:
        """(runs, records, ...): a column of metrics.jsonl.

        Raises:
            BpframeError: there is no such column in some run, or the runs recorded other epochs.

        """
        for run in self:
            if name not in run.columns:
                raise unknown(f"{run.folder}: column", name, run.columns)
        records = len(self.epoch)  # an error where the runs differ in them
        return np.stack([run.columns[name][:records] for run in self])

    @property
    def epoch(self) -> np.ndarray:
        """(records,): the epochs that were recorded, the same for all.

        Raises:
            BpframeError: they are not the same for all, as a run diverged or stopped, say.

        """
        first = self[0]
        for run in self:
            if not np.array_equal(run.epoch, first.epoch):
                raise BpframeError(
                    f"{run.folder}: has {_span(run.epoch)}, and {first.folder} has "
                    f"{_span(first.epoch)}; choose runs of the same epochs, or take them one by one"
                )
        return first.epoch


def column(values: list[Any]) -> np.ndarray:
    """(records, ...) floats; NaN for None, whole or in part."""
    if all(value is None or isinstance(value, int | float) for value in values):
        return np.array(values, float)
    arrays = [np.array(value, float) for value in values]
    shape = next(array.shape for array in arrays if array.ndim)
    return np.stack([array if array.ndim else np.full(shape, np.nan) for array in arrays])


def _keys(config: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def _span(epoch: np.ndarray) -> str:
    return f"{len(epoch)} records up to epoch {epoch[-1]}" if len(epoch) else "no records"
