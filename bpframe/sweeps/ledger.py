"""sweep.jsonl: what a sweep is, how its jobs were grouped, and which of them are done.

Lines are only ever appended, by one process, which holds the folder's lock. A line that a killed
process left unfinished does not count.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from bpframe.errors import OutputError
from bpframe.files import is_partial, open_own, remove_partials, write_whole
from bpframe.runs.checksums import opened_lines, sealed_line, whole
from bpframe.runs.folder import check_can_be_made
from bpframe.runs.locks import LOCK, locked

LEDGER, MULTIRUN = "sweep.jsonl", "multirun.yaml"

SWEEP, PLAN, ORIGIN, CHUNKS, RUNG, JOB = "sweep", "plan", "origin", "chunks", "rung", "job"
"""The events: the head of the ledger, the jobs of a batch, what the numbers of a group come from
(see `provenance.origin`), the chunks of a group that was planned anew, the jobs that were kept at a
rung, a job's end."""

Entry = Mapping[str, Any]


class Ledger:
    """The ledger of one sweep.

    Attributes:
        folder: the sweep's folder.
        entries: its lines so far.

    """

    def __init__(
        self, folder: Path, head: Entry | None = None, files: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.entries: list[Entry] = []
        self._head = head
        self._files = files or {}
        self._lock: FileLock | None = None
        self._file: IO[bytes] | None = None

    @classmethod
    def new(cls, folder: Path, head: Entry, files: Mapping[str, str]) -> Ledger:
        """The ledger of a sweep to come: nothing is written before the first `append`.

        That then takes the folder, and writes `head` and `files` into it.

        Raises:
            OutputError: the folder is in use.

        """
        _check_unused(folder)
        return cls(folder, head, files)

    @classmethod
    def resume(cls, folder: Path) -> Ledger:
        """The ledger of a sweep that is there.

        Raises:
            OutputError: there is none, it cannot be written, or another process is using it.

        """
        check_there(folder)
        ledger = cls(folder)
        ledger._lock = _locked(folder)
        try:
            remove_partials(folder)  # a report of this very moment would have to be made again
            ledger._open()
        except OSError as error:
            ledger.close()
            raise unwritable(folder, error) from error
        return ledger

    def check_unused(self) -> None:
        """Raise an OutputError if it is not begun, and the folder has come into use meanwhile."""
        if not self._file:
            _check_unused(self.folder)

    def append(self, entries: Iterable[Entry]) -> None:
        """Add lines; they are on the disk when this returns.

        Raises:
            OutputError: they cannot be written, and then none of them counts; or the folder is
                in use.

        """
        file = self._file or self._begin()
        new = list(entries)
        end = file.tell()
        try:
            rest = memoryview(b"".join(map(sealed_line, new)))
            while rest:  # a nearly full disk takes a part and says so only at the next attempt
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # a resume cuts off what is no whole line
                file.truncate(end)
                file.seek(end)
            raise unwritable(self.folder, error) from error
        self.entries += new

    def close(self) -> None:
        """Release the lock on the folder."""
        if self._file:
            self._file.close()
        if self._lock:
            self._lock.release()

    def _begin(self) -> IO[bytes]:
        self._lock = _locked(self.folder)
        try:
            _check_unused(self.folder)
            for name in (LEDGER, *self._files):  # of a sweep that was killed before it began
                remove_partials(self.folder, name)
            for name, content in self._files.items():
                write_whole(self.folder / name, content.encode())
            # By a rename, so that where there is a ledger, there is its head.
            write_whole(self.folder / LEDGER, sealed_line({"event": SWEEP, **(self._head or {})}))
            return self._open()
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _open(self) -> IO[bytes]:
        path = self.folder / LEDGER
        self.entries = _entries(path)
        self._file = open_own(path, "r+b", buffering=0)
        self._file.truncate(whole(path.read_bytes()))
        self._file.seek(0, os.SEEK_END)
        return self._file


def _check_unused(folder: Path) -> None:
    check_can_be_made(folder)
    remains = {LOCK, MULTIRUN}
    if folder.exists() and any(
        path.name not in remains and not is_partial(path) for path in folder.iterdir()
    ):
        again = f", or finish it with bpframe resume {folder}" if holds(folder) else ""
        other = "choose another hydra.sweep.dir, in Python sweep_dir"
        raise OutputError(f"{folder}: is not empty; {other}{again}")


def holds(folder: Path) -> bool:
    """Whether there is a ledger."""
    return (folder / LEDGER).is_file()


def check_no_sweep(folder: Path) -> None:
    """Raise an OutputError if `folder` is that of a sweep, where a run is wanted."""
    if holds(folder):
        raise OutputError(
            f"{folder}: is a sweep; give one of the runs in it; bpframe resume finishes a sweep, "
            "and in Python bpframe.Sweep reads it"
        )


def check_there(folder: Path) -> None:
    """Raise an OutputError if there is no ledger in `folder`."""
    if not holds(folder):
        raise OutputError(
            f"{folder}: holds no sweep ({LEDGER} is not there); give the folder of a sweep that "
            "was begun with hydra/launcher=vmap"
        )


def read(folder: Path) -> list[Entry]:
    """The whole lines of a ledger, without touching it.

    Raises:
        OutputError: there is none.

    """
    check_there(folder)
    return _entries(folder / LEDGER)


def unwritable(folder: Path, error: OSError) -> OutputError:
    """The error for a sweep's folder that cannot be written."""
    again = f", then run bpframe resume {folder}" if holds(folder) else ""
    return OutputError(f"{folder}: cannot be written: {error.strerror}; fix that{again}")


def _locked(folder: Path) -> FileLock:
    try:
        return locked(
            folder,
            "another process is running a sweep there; wait for it, or choose another "
            "hydra.sweep.dir",
        )
    except OSError as error:
        raise unwritable(folder, error) from error


def _entries(path: Path) -> list[Entry]:
    content = path.read_bytes()
    end = whole(content)
    if not end:
        raise OutputError(f"{path}: has no whole line; delete it and begin the sweep again")
    remedy = (
        'if it is that of a job, which has "event":"job", delete it, and the job is run again; '
        "else begin another sweep"
    )
    return list(opened_lines(content[:end], path, remedy))
