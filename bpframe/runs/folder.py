"""The run folder: claimed once, written line by line or by atomic replacement."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as to_safetensors

from bpframe.contracts import Params
from bpframe.errors import OutputError
from bpframe.files import open_own, remove_partials, write_whole
from bpframe.runs.records import EpochRecord, RunResult, Summary

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

METRICS, SUMMARY, PARAMS, CURVES = (
    "metrics.jsonl",
    "summary.json",
    "params.safetensors",
    "learning_curves.png",
)


def check_unused(path: Path) -> None:
    """Raise an OutputError if `path` holds a run already, or cannot become a folder."""
    check_can_be_made(path)
    _refuse(path, METRICS, SUMMARY, PARAMS, ".hydra")


def check_can_be_made(path: Path) -> None:
    """Raise an OutputError if `path` is no folder and cannot become one."""
    parent = next(folder for folder in (path, *path.parents) if folder.exists())
    if parent != path and not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise OutputError(
            f"{path}: cannot be made in {parent}; set hydra.run.dir, or hydra.sweep.dir of a "
            "sweep, to a folder that can be written"
        )
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: is not a folder; choose another output folder")


def _refuse(path: Path, *names: str) -> None:
    held = [name for name in names if os.path.lexists(path / name)]
    if held:
        raise OutputError(f"{path}: holds a run already ({held[0]}); choose another output folder")


class RunFolder:
    """A folder that belongs to one run.

    Files are durable, see `write_whole`. For a run that is `one_of_many` that is left to the
    system, which saves four waits for the disk, and metrics.jsonl is not kept open.

    Raises:
        OutputError: it belongs to another run, or cannot be written.

    """

    def __init__(self, path: Path, *, one_of_many: bool = False) -> None:
        self.path = path
        self._one_of_many = one_of_many
        _refuse(path, METRICS, SUMMARY, PARAMS)
        try:
            path.mkdir(parents=True, exist_ok=True)
            # Exclusive creation decides between two runs that start at the same moment.
            self._metrics = (path / METRICS).open("x", encoding="utf-8")
            if one_of_many:
                self._metrics.close()
            else:
                self._lock()
        except FileExistsError as error:
            raise OutputError(
                f"{path}: holds a run already ({METRICS}); choose another output folder"
            ) from error
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error

    @classmethod
    def reopened(cls, path: Path, records: Sequence[EpochRecord]) -> RunFolder:
        """The folder of a run that goes on, with these records in its metrics.jsonl.

        Raises:
            OutputError: there is no run, it is still running, or it cannot be written.

        """
        self = cls.__new__(cls)
        self.path, self._one_of_many = path, False
        try:
            self._metrics = open_own(path / METRICS, "r+")
            self._lock()
            self._metrics.truncate()
            remove_partials(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot go on: {METRICS}: {error.strerror}") from error
        self.add(*records)
        return self

    def _lock(self) -> None:
        """Hold the folder as long as the process lives, where the system can."""
        if fcntl is None:
            return
        try:
            fcntl.flock(self._metrics, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._metrics.close()
            raise OutputError(f"{self.path}: is in use: its run is still going on") from error

    def release(self) -> None:
        """Release the folder, if the run ended before its first epoch."""
        self._metrics.close()
        (self.path / METRICS).unlink()

    def add(self, *records: EpochRecord) -> None:
        """Append a line for each record to metrics.jsonl."""
        lines = [json.dumps(record.as_dict(), allow_nan=False) + "\n" for record in records]
        if self._one_of_many:
            with open_own(self.path / METRICS, "a") as metrics:
                metrics.write("".join(lines))
        else:
            self._metrics.write("".join(lines))
            self._metrics.flush()

    def finish(self, result: RunResult) -> None:
        """Write the parameters, then the summary; a folder that has one is complete."""
        self._metrics.close()
        self.write(PARAMS, to_safetensors(named(result.params), {"format": "bpframe"}))
        self.write(SUMMARY, summary_json(result.summary).encode())

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        write_whole(self.path / name, content, durable=not self._one_of_many)


def read_summary(path: Path) -> dict[str, Any] | None:
    """The summary of the run in a folder; None if it has none.

    Raises:
        OutputError: it cannot be read, or is damaged.

    """
    try:
        found = json.loads((path / SUMMARY).read_bytes())
        if {"status", "stopped", "epochs"} <= set(found):
            return found
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{path / SUMMARY}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError):
        pass
    raise OutputError(f"{path / SUMMARY}: is damaged; delete it, and what it told of is lost")


def named(params: tuple[Params, ...]) -> dict[str, np.ndarray]:
    """The parameters by the book's numbering: layer_2.w, layer_2.b, layer_3.w, ..."""
    return {
        f"layer_{number}.{name}": np.ascontiguousarray(array)
        for number, layer in enumerate(params, start=2)
        for name, array in layer._asdict().items()
    }


def summary_json(summary: Summary) -> str:
    """The summary as indented JSON."""
    return json.dumps(summary.as_dict(), indent=2, allow_nan=False) + "\n"
