"""The lock on a folder that one process writes at a time: that of a run, or of a sweep."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from bpframe.errors import OutputError
from bpframe.files import check_no_link

LOCK = ".lock"


def locked(folder: Path, problem: str) -> FileLock:
    """The lock on a folder, which is made if it is not there; the end of the process releases it.

    Raises:
        OutputError: another process holds it, told by `problem`.
        OSError: the folder cannot be made or written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    check_no_link(folder / LOCK)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise OutputError(f"{folder}: {problem}") from error
    return lock
