"""sweep.jsonl: what a sweep is, how its jobs were grouped, and which of them are done.

Lines are only ever appended, by one process, which holds the folder's lock. A line that a killed
process left unfinished does not count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bpframe.errors import OutputError

LEDGER, LOCK = "sweep.jsonl", ".lock"
_NEW = f".{LEDGER}.new"

SWEEP, PLAN, CHUNKS, JOB = "sweep", "plan", "chunks", "job"
"""The events: the head of the ledger, the jobs of a batch, the chunks of a group, a job's end."""

Entry = Mapping[str, Any]


class Ledger:
    """The ledger of one sweep, open for appending.

    Attributes:
        folder: the sweep's folder.
        entries: its lines so far.

    """

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.folder = folder
        self._lock = lock
        self._path = folder / LEDGER
        self.entries = _entries(self._path)
        self._file = self._path.open("r+b")
        self._file.truncate(_whole(self._path.read_bytes()))
        self._file.seek(0, os.SEEK_END)

    @classmethod
    def start(cls, folder: Path, head: Entry) -> Ledger:
        """The ledger of a new sweep, in a folder that it has to itself.

        Raises:
            OutputError: the folder is not empty, or cannot be written.

        """
        lock = _locked(folder)
        try:
            remains = {LOCK, _NEW, f".{LEDGER}.partial"}
            if any(path.name not in remains for path in folder.iterdir()):
                raise OutputError(
                    f"{folder}: is not empty; choose another hydra.sweep.dir"
                    + (f", or finish it with bpframe resume {folder}" if holds(folder) else "")
                )
            # By a rename, so that where there is a ledger, there is its head.
            with (folder / _NEW).open("wb") as file:
                file.write(_line({"event": SWEEP, **head}))
                file.flush()
                os.fsync(file.fileno())
            (folder / _NEW).replace(folder / LEDGER)
            return cls(folder, lock)
        except BaseException as error:
            lock.release()
            if isinstance(error, OSError):
                raise unwritable(folder, error) from error
            raise

    @classmethod
    def resume(cls, folder: Path) -> Ledger:
        """The ledger of a sweep that is there.

        Raises:
            OutputError: there is none, it cannot be written, or another process is at it.

        """
        check_there(folder)
        lock = _locked(folder)
        try:
            return cls(folder, lock)
        except OSError as error:
            lock.release()
            raise unwritable(folder, error) from error

    def append(self, entries: Iterable[Entry]) -> None:
        """Add lines; they are on the disk when this returns.

        Raises:
            OutputError: they cannot be written; then none of them is there.

        """
        new = list(entries)
        end = self._file.tell()
        try:
            self._file.write(b"".join(map(_line, new)))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file = self._path.open("r+b")  # without what the old one still holds back
            self._file.truncate(end)
            self._file.seek(end)
            raise unwritable(self.folder, error) from error
        self.entries += new

    def close(self) -> None:
        """Give the sweep free for others."""
        self._file.close()
        self._lock.release()


def holds(folder: Path) -> bool:
    """Whether there is a ledger."""
    return (folder / LEDGER).is_file()


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
    again = f", then bpframe resume {folder}" if holds(folder) else ""
    return OutputError(f"{folder}: cannot be written: {error.strerror}; mend that{again}")


def _locked(folder: Path) -> FileLock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise OutputError(
            f"{folder}: another process is running a sweep there; wait for it, or choose another "
            "hydra.sweep.dir"
        ) from error
    except OSError as error:
        raise unwritable(folder, error) from error
    return lock


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _whole(content: bytes) -> int:
    """The length of the lines that are whole."""
    return content.rfind(b"\n") + 1


def _entries(path: Path) -> list[Entry]:
    content = path.read_bytes()
    lines = content[: _whole(content)].splitlines()
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise OutputError(f"{path}: line {len(lines)} or before is not JSON: {error}") from error
