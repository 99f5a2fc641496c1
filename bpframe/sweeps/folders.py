"""The folders of a sweep's jobs: strictly inside the sweep, each job's own."""

from __future__ import annotations

import os
from pathlib import Path

from bpframe.errors import ConfigError, OutputError
from bpframe.runs import locks
from bpframe.sweeps import ledger
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.report import files, tables

_OF_THE_SWEEP = {
    ledger.LEDGER,
    locks.LOCK,
    ledger.MULTIRUN,
    tables.CSV,
    tables.JSONL,
    tables.BEST,
    files.PAGE,
    files.PICTURE,
}


class JobFolders:
    """The folders of the jobs of a batch, as they are composed."""

    def __init__(self, sweep: Path) -> None:
        self._sweep = sweep
        self._jobs: dict[Path, Job] = {}
        self._above: dict[Path, Job] = {}
        self._real: dict[Path, str] = {}

    def add(self, job: Job) -> None:
        """Take a job in.

        Raises:
            ConfigError: its folder, or the one for Hydra's files in it, is not strictly inside the
                sweep, is that of another job, or lies inside another job's.

        """
        path = Path(os.path.normpath(self._sweep / job.subdir))
        self._check_inside(path, self._sweep, f"hydra.sweep.subdir: {job.subdir!r}", "the sweep")
        output = job.hydra["output_subdir"]
        if output is not None:
            where = f"hydra.output_subdir: {str(output)!r}"
            inner = Path(os.path.normpath(path / str(output)))
            self._check_inside(inner, path, where, "the run folder")
        first = path.relative_to(self._sweep).parts[0]
        if first in _OF_THE_SWEEP or first.startswith("."):
            raise ConfigError(
                f"hydra.sweep.subdir: {job.subdir!r} is kept for the sweep's own files; choose "
                "another, such as ${hydra.job.num}"
            )
        inner = [self._jobs[each] for each in path.parents if each in self._jobs]
        for other in (self._jobs.setdefault(path, job), self._above.get(path), *inner):
            if other is not None and other.hash != job.hash:
                raise ConfigError(
                    f"hydra.sweep.subdir: {job.subdir!r} is the folder of job {other.num} as well, "
                    "or lies around or inside it; make it differ, by ${hydra.job.num} for one"
                )
        for each in path.parents:
            if each == self._sweep:
                break
            self._above.setdefault(each, job)

    def _check_inside(self, path: Path, outer: Path, what: str, of: str) -> None:
        inside = path != outer and path.is_relative_to(outer)
        if not (inside and Path(self._resolved(path)).is_relative_to(self._resolved(outer))):
            raise ConfigError(f"{what} is not strictly inside {of} {outer}; give a name of its own")

    def _resolved(self, path: Path) -> str:
        """A path without links; that of a folder above is looked up once."""
        if os.path.islink(path):
            return os.path.realpath(path)
        if path.parent not in self._real:
            self._real[path.parent] = os.path.realpath(path.parent)
        return os.path.join(self._real[path.parent], path.name)


def check_free(job: Job) -> None:
    """Raise an OutputError if the folder of a job that the ledger does not know is there."""
    if os.path.lexists(job.folder):
        raise OutputError(
            f"{job.folder}: is there already, and this sweep has not made it; move it away, or "
            "choose another hydra.sweep.subdir"
        )
