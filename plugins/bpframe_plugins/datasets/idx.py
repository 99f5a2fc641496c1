"""Read IDX files, the format of MNIST, and refuse every file that is not exactly one.

An IDX file is a header, big-endian, and then the elements in C order: two zero bytes, the type of
the elements (0x08 for unsigned bytes), the number of axes, and the length of each axis as four
bytes. Source: LeCun, Cortes and Burges (1998), The MNIST database, "File formats".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from bpframe import DataError

_UNSIGNED_BYTE = 0x08
_AXES = {1: "labels", 3: "images"}


def read_idx(path: Path, n_axes: int) -> np.ndarray:
    """The unsigned bytes of an IDX file, with as many axes as the header says; read-only.

    A file whose name ends in `.gz` is decompressed, and its checksum verified on the way.

    Raises:
        DataError: the file cannot be read or decompressed, its magic number, element type or
            number of axes is another, or it is shorter or longer than its header says.

    """
    content = _content(path)
    start = 4 + 4 * n_axes
    _check_magic(path, content, n_axes)
    if len(content) < start:
        raise corrupt(path, f"a header of {start} bytes", f"only {len(content)}")
    shape = tuple(np.frombuffer(content, ">u4", n_axes, offset=4).tolist())
    expected = start + math.prod(shape)
    if len(content) != expected:
        size = " x ".join(map(str, shape))
        promise = f"{expected} bytes, as the header promises with {size} elements"
        raise corrupt(path, promise, f"{len(content)} bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def corrupt(path: Path, expected: str, found: str) -> DataError:
    """The error for a file that is not what it should be."""
    return DataError(
        f"{path}: expected {expected}, found {found}; "
        "put the original file in its place, or delete it and set data.download=true"
    )


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: expected a readable file, found: {error.strerror}; correct its permissions "
            "or put the original file in its place"
        ) from error
    if not content:
        raise corrupt(path, "an IDX file", "an empty file")
    if path.suffix != ".gz":
        return content
    if content[:2] != b"\x1f\x8b":
        raise corrupt(path, "gzip data (1f 8b)", f"{content[:2].hex(' ')} at the start")
    try:
        return gzip.decompress(content)
    except EOFError as error:
        raise corrupt(path, "complete gzip data", f"its end after {len(content)} bytes") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise corrupt(path, "intact gzip data", f"damage ({error})") from error


def _check_magic(path: Path, content: bytes, n_axes: int) -> None:
    expected = bytes((0, 0, _UNSIGNED_BYTE, n_axes))
    magic = content[:4]
    if magic == expected:
        return
    found = f"{magic.hex(' ')}" if magic else "nothing"
    if len(magic) == 4 and magic[:2] == b"\0\0":
        elements, axes = magic[2:]
        if elements != _UNSIGNED_BYTE:
            found += f" (elements of type 0x{elements:02x}, not unsigned bytes)"
        else:
            found += f" ({_kind(axes)})"
    elif magic[:2] == b"\x1f\x8b":
        found += " (gzip data in a file whose name does not end in .gz)"
    raise corrupt(path, f"the magic number {expected.hex(' ')} ({_kind(n_axes)})", found)


def _kind(n_axes: int) -> str:
    return _AXES.get(n_axes, f"{n_axes} axes")
