"""Files of bpframe's own: written whole or not at all, and never through a link in their place.

A run folder may come from someone else. A link under the name of a file of ours, symbolic or hard,
would have another file overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

_END = ".partial"
_LINK = "is a symbolic link, through which nothing is written; remove it"
_NAMES = "has another name (a hard link), under which it would change too; put a copy in its place"
_SPECIAL = "is no ordinary file; remove it"


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all; see `write_whole_by`."""

    def write(temporary: Path) -> None:
        with temporary.open("xb") as file:
            file.write(content)

    write_whole_by(write, path, durable=durable)


def write_whole_by(write: Callable[[Path], None], path: Path, *, durable: bool = True) -> None:
    """Have a file written whole or not at all, replacing what is there, be it a link.

    The file that it is written as has a name that nobody knows before, so that two writers never
    share one. If `durable`, it is on the disk before it gets its name, so that not even a power
    cut leaves half of one.

    Raises:
        OSError: it cannot be written; what was there stays.

    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_END}")
    try:
        write(temporary)
        if durable:
            _to_disk(temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    """Have what was written to a file or a folder on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def shown(path: Path) -> str:
    """A path as people read it: from the working directory, if it lies in it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def is_partial(path: Path, name: str = "") -> bool:
    """Whether a path is what a killed `write_whole` left, of the file `name` if one is given."""
    return path.name.startswith(f".{name}") and path.name.endswith(_END)


def remove_partials(folder: Path, name: str = "") -> None:
    """Remove what killed writers left in a folder; only for who alone writes such files there.

    Raises:
        OSError: one cannot be removed.

    """
    for path in folder.iterdir():
        if is_partial(path, name):
            path.unlink(missing_ok=True)


def open_own(path: Path, mode: str, *, buffering: int = -1) -> IO[Any]:
    """Open a file of ours to go on with it; text is UTF-8.

    Raises:
        OSError: it cannot be opened, or is a link, a pipe or a device, or is to be written and has
            another name.

    """
    encoding = None if "b" in mode else "utf-8"
    return open(path, mode, buffering, encoding, opener=_opener)


def check_no_link(path: Path) -> None:
    """Raise an OSError if a path is a link; for what others open, and for folders."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, _LINK, str(path))
    if path.is_file() and path.stat().st_nlink > 1:
        raise OSError(errno.EMLINK, _NAMES, str(path))


def _opener(name: str, flags: int) -> int:
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # not on Windows
    truncates = flags & os.O_TRUNC
    try:
        number = os.open(name, flags & ~os.O_TRUNC, 0o666)
    except OSError as error:
        check_no_link(Path(name))
        if error.errno == errno.ENXIO:  # a pipe that nobody reads
            raise OSError(errno.ENXIO, _SPECIAL, name) from error
        raise
    found = os.fstat(number)
    is_written = flags & (os.O_WRONLY | os.O_RDWR)
    if not stat.S_ISREG(found.st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, _SPECIAL, name)
    if is_written and found.st_nlink > 1:
        os.close(number)
        raise OSError(errno.EMLINK, _NAMES, name)
    if truncates:
        os.ftruncate(number, 0)
    return number
