"""What the trackers have in common: records handed on in batches, and names and ids of runs."""

from __future__ import annotations

import math
import os
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from bpframe import EpochRecord, Listener, RunInfo, RunResult

EVERY_S = 2.0
"""Seconds between batches, since a server or a disk may take longer than an epoch."""
PARAMS, CURVES = "params.safetensors", "learning_curves.png"
_ID, _LOCK = ".tracker_id", ".tracker_id.lock"
_FILES = (PARAMS, "best.safetensors", "summary.json")


class BatchedListener(Listener, ABC):
    """Hands the records of a run on every two seconds, those of a job of a sweep when it ends.

    So two hundred jobs that are trained at the same time have one file or connection open.
    """

    def __init__(self, run: RunInfo) -> None:
        assert run.output_dir is not None
        self.run = run
        self.folder = run.output_dir.absolute()
        self._waiting = list(run.earlier or ())
        self._handed_on = -math.inf

    @abstractmethod
    def begin(self) -> None:
        """Open what the run is shown in, with its configuration."""

    @abstractmethod
    def add(self, records: Sequence[EpochRecord]) -> None:
        """Show some records; first those from before the run was resumed."""

    @abstractmethod
    def end(self, result: RunResult) -> None:
        """Show how the run ended, its files, and close."""

    def run_started(self) -> None:
        """See the contract."""
        if self.run.sweep is None:
            self.begin()

    def epoch_finished(self, record: EpochRecord) -> None:
        """See the contract."""
        self._waiting.append(record)
        now = time.monotonic()
        if self.run.sweep is None and now - self._handed_on >= EVERY_S:
            self._hand_on()
            self._handed_on = now

    def run_finished(self, result: RunResult) -> None:
        """See the contract."""
        if self.run.sweep is not None:
            self.begin()
        self._hand_on()
        self.end(result)

    def _hand_on(self) -> None:
        records, self._waiting = self._waiting, []
        if records:
            self.add(records)

    def files(self) -> list[Path]:
        """The parameters and the summary."""
        return [path for name in _FILES if (path := self.folder / name).exists()]

    @property
    def curves(self) -> Path | None:
        """The learning curves, if they were drawn."""
        path = self.folder / CURVES
        return path if path.exists() else None


def identity(run: RunInfo) -> str:
    """An id of the run that is its own, in 32 digits, and stays when the run goes on.

    It stands in its folder, which may be moved. A job of a sweep may begin again in a new folder;
    so its id is made of that of the sweep and of its place there.
    """
    assert run.output_dir is not None
    if run.sweep is None:
        return identity_of(run.output_dir)
    with lock_of(run.sweep):
        sweep = uuid.UUID(identity_of(run.sweep))
    return uuid.uuid5(sweep, os.path.relpath(run.output_dir, run.sweep)).hex


def identity_of(folder: Path) -> str:
    """The id that stands in a folder, made at the first call."""
    file = folder / _ID
    if not file.exists():
        file.write_text(uuid.uuid4().hex)
    return file.read_text()


def lock_of(sweep: Path) -> FileLock:
    """What keeps the processes that train the jobs of a sweep apart."""
    return FileLock(sweep / _LOCK)


def short_name(folder: Path) -> str:
    """The last two parts of a path, such as 2026-11-29/12-00-00 or eta/0."""
    return "/".join(folder.parts[-2:])


def final_numbers(result: RunResult) -> dict[str, float]:
    """What is known when a run has ended."""
    summary = result.summary.as_dict()
    names = ("test_accuracy", "test_cost", "best_validation_accuracy", "best_validation_cost")
    return {name: summary[name] for name in names if summary.get(name) is not None}
