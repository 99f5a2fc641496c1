"""Read IDX files, the format of MNIST, and refuse every file that is not exactly one.

An IDX file is a header, big-endian, and then the elements in C order: two zero bytes, the type of
the elements (0x08 for unsigned bytes), the number of axes, and the length of each axis as four
bytes. Source: LeCun, Cortes and Burges (1998), The MNIST database, "File formats".
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bpframe import DataError

_UNSIGNED_BYTE = 0x08
_AXES = {1: "labels", 3: "images"}
_LARGEST = 2**26
"""The most elements that are read: MNIST's 60,000 images have 47 million."""


def read_idx(path: Path, n_axes: int) -> np.ndarray:
    """The unsigned bytes of an IDX file, with as many axes as the header says; read-only.

    A file whose name ends in `.gz` is decompressed, and its checksum verified on the way.

    Raises:
        DataError: the file cannot be read or decompressed, its magic number, element type or
            number of axes is another, or it is shorter or longer than its header says.

    """
    try:
        with _opened(path) as stream:
            return _read(path, stream, n_axes)
    except EOFError as error:
        raise corrupt(path, "complete gzip data", "its end too early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise corrupt(path, "intact gzip data", f"damage ({error})") from error
    except OSError as error:
        raise DataError(
            f"{path}: expected a readable file, found: {error.strerror}; correct its permissions "
            "or put the original file in its place"
        ) from error


def _read(path: Path, stream: io.BufferedIOBase, n_axes: int) -> np.ndarray:
    """The elements; no more is read than the header promises, and a byte to see the end."""
    start = 4 + 4 * n_axes
    header = stream.read(start)
    _check_magic(path, header, n_axes)
    if len(header) < start:
        raise corrupt(path, f"a header of {start} bytes", f"only {len(header)}")
    shape = tuple(np.frombuffer(header, ">u4", n_axes, offset=4).tolist())
    size = math.prod(shape)
    if size > _LARGEST:
        raise corrupt(path, f"at most {_LARGEST} elements", f"a header that promises {size}")
    content = stream.read(size)
    is_longer = len(content) == size and bool(stream.read(1))
    if len(content) != size or is_longer:
        promise = f"{start + size} bytes, as the header promises with {' x '.join(map(str, shape))}"
        found = "more" if is_longer else f"{start + len(content)} bytes"
        raise corrupt(path, f"{promise} elements", found)
    return np.frombuffer(content, np.uint8).reshape(shape)


def corrupt(path: Path, expected: str, found: str) -> DataError:
    """The error for a file that is not what it should be."""
    return DataError(
        f"{path}: expected {expected}, found {found}; "
        "put the original file in its place, or delete it and set data.download=true"
    )


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """The file, decompressed if its name says that it is compressed."""
    with path.open("rb") as file:
        first = file.read(2)
        file.seek(0)
        if not first:
            raise corrupt(path, "an IDX file", "an empty file")
        if path.suffix != ".gz":
            yield file
            return
        if first != b"\x1f\x8b":
            raise corrupt(path, "gzip data (1f 8b)", f"{first.hex(' ')} at the start")
        with gzip.GzipFile(fileobj=file) as stream:
            yield stream


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
