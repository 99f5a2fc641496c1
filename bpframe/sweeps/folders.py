"""The folders of a sweep's jobs: strictly inside the sweep, each job's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
        self._sweep = os.path.normpath(sweep)
        self._jobs: dict[str, Job] = {}
        self._above: dict[str, Job] = {}
        self._real: dict[str, str] = {}

    def add(self, job: Job) -> None:
        """Take a job in.

        Raises:
            ConfigError: its folder, or the one for Hydra's files in it, is not strictly inside the
                sweep, is that of another job, or lies inside another job's.

        """
        sweep = self._sweep
        path = os.path.normpath(os.path.join(sweep, job.subdir))
        self._check_inside(path, sweep, f"hydra.sweep.subdir: {job.subdir!r}", "the sweep")
        output = job.hydra["output_subdir"]
        if output is not None:
            where = f"hydra.output_subdir: {str(output)!r}"
            inner = os.path.normpath(os.path.join(path, str(output)))
            self._check_inside(inner, path, where, "the run folder")
        above = list(_above(path, sweep))
        first = os.path.relpath(above[-1] if above else path, sweep)
        if first in _OF_THE_SWEEP or first.startswith("."):
            raise ConfigError(
                f"hydra.sweep.subdir: {job.subdir!r} is kept for the sweep's own files; choose "
                "another, such as ${hydra.job.num}"
            )
        inner = [self._jobs[each] for each in above if each in self._jobs]
        for other in (self._jobs.setdefault(path, job), self._above.get(path), *inner):
            if other is not None and other.hash != job.hash:
                raise ConfigError(
                    f"hydra.sweep.subdir: {job.subdir!r} is the folder of job {other.num} as well, "
                    "or lies around or inside it; make it differ, by ${hydra.job.num} for one"
                )
        for each in above:
            self._above.setdefault(each, job)

    def _check_inside(self, path: str, outer: str, what: str, of: str) -> None:
        if not (_is_inside(path, outer) and _is_inside(self._real_of(path), self._real_of(outer))):
            raise ConfigError(f"{what} is not strictly inside {of} {outer}; give a name of its own")

    def _real_of(self, path: str) -> str:
        """A path without links; each is looked up once."""
        if path not in self._real:
            folder, name = os.path.split(path)
            is_link = folder == path or os.path.islink(path)
            real = os.path.realpath(path) if is_link else os.path.join(self._real_of(folder), name)
            self._real[path] = real
        return self._real[path]


def _is_inside(path: str, outer: str) -> bool:
    """Whether a normal path is strictly inside another one."""
    return path.startswith(os.path.join(outer, ""))


def _above(path: str, sweep: str) -> Iterator[str]:
    """The folders around a path, up to but not the sweep's."""
    while (path := os.path.dirname(path)) != sweep:
        yield path


def check_free(job: Job) -> None:
    """Raise an OutputError if the folder of a job that the ledger does not know is there."""
    if os.path.lexists(job.folder):
        raise OutputError(
            f"{job.folder}: is there already, and this sweep has not made it; move it away, or "
            "choose another hydra.sweep.subdir"
        )
