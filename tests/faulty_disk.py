"""A disk on which the k-th write fails, or at whose k-th write the process is killed.

For a process of its own: `install` replaces the functions of `io` and `os` that change files.
What lies outside the folder is written as ever, the compilation cache among it.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

KILL, COUNT = "kill", "count"
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EROFS": errno.EROFS}
_CHANGING = ("replace", "rename", "unlink", "remove", "mkdir", "rmdir", "truncate")
_FREEING = ("unlink", "remove", "rmdir", "replace", "rename", "truncate")
"""What works on a disk that is full."""


class FaultyDisk:
    """Counts the writes below a folder, and has one go wrong, and all that follow it.

    `fault` is "kill", "count", or one of ERRORS; `at` is counted from 1. A write to a file that
    goes wrong has written half of what it was given. With "count" nothing goes wrong, and
    `count_file` holds the number of writes in the end.
    """

    def __init__(self, folder: Path, fault: str, at: int) -> None:
        self.folder = os.path.realpath(folder)
        self.fault = fault
        self.at = at
        self.count = 0

    def is_ours(self, path: Any, dir_fd: int | None = None) -> bool:
        """Whether a path, or what a descriptor stands for, lies in the folder."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        elif dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fspath(path))
        text = os.path.realpath(os.path.dirname(os.path.abspath(os.fsdecode(path))))
        return f"{text}{os.sep}".startswith(f"{self.folder}{os.sep}") or text == self.folder

    def goes_wrong(self, name: str) -> bool:
        """Count a write; whether it is to go wrong."""
        self.count += 1
        if self.fault == "ENOSPC" and name in _FREEING:
            return False
        return self.count >= self.at if self.fault in ERRORS else self.count == self.at

    def fail(self) -> None:
        """End the process, or raise the error of the disk."""
        if self.fault == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        number = ERRORS[self.fault]
        raise OSError(number, os.strerror(number))

    def before(self, name: str) -> None:
        """Count a change that is made whole or not at all."""
        if self.goes_wrong(name):
            self.fail()


class _File:
    """A file that is open for writing."""

    def __init__(self, file: Any, disk: FaultyDisk) -> None:
        self._file = file
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Any:
        return iter(self._file)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: Any) -> int:
        if self._disk.goes_wrong("write"):
            self._file.write(content[: len(content) // 2])
            self._file.flush()
            self._disk.fail()
        written = self._file.write(content)
        self._file.flush()
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def truncate(self, size: int | None = None) -> int:
        self._disk.before("truncate")
        return self._file.truncate(size)


def install(folder: Path, fault: str, at: int = 0) -> FaultyDisk:
    """Have the disk go wrong below a folder, from now on and in this process."""
    disk = FaultyDisk(folder, fault, at)
    plain_open, plain_os_open, plain_fsync = io.open, os.open, os.fsync

    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        writes = any(letter in mode for letter in "wax+")
        if not writes or isinstance(file, int) or not disk.is_ours(file):
            return plain_open(file, mode, *args, **kwargs)
        disk.before("open")
        return _File(plain_open(file, mode, *args, **kwargs), disk)

    def os_opened(path: Any, flags: int, *args: Any, dir_fd: int | None = None, **kw: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and disk.is_ours(path, dir_fd):
            disk.before("open")
        return plain_os_open(path, flags, *args, dir_fd=dir_fd, **kw)

    def synced(fd: int) -> None:
        if disk.is_ours(fd):
            disk.before("fsync")
        plain_fsync(fd)

    def changing(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def change(path: Any, *args: Any, **kwargs: Any) -> Any:
            if disk.is_ours(path, kwargs.get("dir_fd")):
                disk.before(name)
            return plain(path, *args, **kwargs)

        return change

    io.open = builtins.open = opened
    os.open, os.fsync = os_opened, synced
    for name in _CHANGING:
        setattr(os, name, changing(name, getattr(os, name)))
    return disk
