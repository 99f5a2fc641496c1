"""Rows that lie in several arrays, such as memory-mapped files, and are read some at a time."""

from __future__ import annotations

import dataclasses
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from bpframe.errors import DataError, plainly

PORTION_BYTES = 2**24
"""How much is read at once where rows are read in their order."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The rows of several arrays (n_i, ...), one array after another.

    Attributes:
        parts: the arrays, which stay where they are: `memory_map` leaves them in their files.
        names: what each is called in messages.
        columns: the names of the entries of a row (k,), if they have any.

    Raises:
        DataError: there are none, or their rows differ.

    """

    parts: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.parts or len(self.parts) != len(self.names):
            raise DataError(f"rows: {len(self.parts)} arrays have {len(self.names)} names")
        for part, name in zip(self.parts, self.names, strict=True):
            if not part.ndim or part.shape[1:] != self.shape[1:] or part.dtype != self.dtype:
                raise DataError(
                    f"{name}: has shape {part.shape} and dtype {part.dtype}; {self.names[0]} has "
                    f"{self.parts[0].shape} and {self.dtype}; write all with the same rows"
                )

    def __repr__(self) -> str:
        return f"Rows({self.dtype}{list(self.shape)} in {len(self.parts)} arrays)"

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, ...), as of one array of all rows."""
        return (len(self), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """That of all arrays."""
        return self.parts[0].dtype

    @property
    def row_bytes(self) -> int:
        """What a row takes."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def portions(self, length: int) -> Iterator[np.ndarray]:
        """All rows in their order, at most `length` at a time."""
        for part in self.parts:
            for start in range(0, len(part), length):
                yield np.asarray(part[start : start + length])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Some rows, copied, in ascending order of their numbers (k,)."""
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        out = _bytes(found)  # of any dtype, and wherever in a file an array begins
        ends = np.cumsum([len(part) for part in self.parts])
        cuts = np.searchsorted(rows, ends)
        starts = zip(self.parts, (0, *ends[:-1]), (0, *cuts[:-1]), cuts, strict=True)
        for part, first, low, high in starts:
            if high > low:  # "clip" alone writes to `out` without a copy between
                chosen = rows[low:high] - first
                np.take(_bytes(part), chosen, axis=0, out=out[low:high], mode="clip")
        return found

    def place(self, row: int) -> str:
        """Where a row is, for messages."""
        for part, name in zip(self.parts, self.names, strict=True):
            if row < len(part):
                return f"{name}: row {row}"
            row -= len(part)
        raise IndexError(row)


@plainly
def memory_map(path: str | Path, member: str | None = None) -> np.ndarray:
    """The array of a .npy file, or a member of an .npz file, left on the disk until it is read.

    Raises:
        DataError: there is no such array, it is compressed, or of no numbers or text.

    """
    name = str(path) if member is None else f"{path}: {member}"
    try:
        with open(path, "rb") as file:
            if member is not None:
                _to_member(file, str(path), member)
            shape, dtype = _header(file, name)
            return np.memmap(path, dtype, mode="r", offset=file.tell(), shape=shape)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{path}: is no .npz file, or was cut short; write it with numpy.savez"
        ) from error
    except (ValueError, EOFError) as error:
        raise DataError(
            f"{name}: is no whole array of NumPy: {error}; write it with numpy.save or numpy.savez"
        ) from error


def _bytes(array: np.ndarray) -> np.ndarray:
    """The same memory as (n, bytes of a row)."""
    return array.reshape(len(array), math.prod(array.shape[1:])).view(np.uint8)


def _to_member(file: BinaryIO, path: str, member: str) -> None:
    """Go to where the bytes of a member of an .npz file begin."""
    with zipfile.ZipFile(file) as archive:
        known = [name.removesuffix(".npy") for name in archive.namelist()]
        if member not in known:
            raise DataError(f"{path}: holds {', '.join(known) or 'nothing'}; expected {member}")
        info = archive.getinfo(f"{member}.npy")
        if info.compress_type != zipfile.ZIP_STORED:
            raise DataError(
                f"{path}: {member} is compressed, so that no part of it can be read by itself; "
                "write the file with numpy.savez in place of numpy.savez_compressed"
            )
        file.seek(info.header_offset + 26)
        lengths = np.frombuffer(file.read(4), "<u2")  # of the name, and of what a zip adds
        file.seek(info.header_offset + 30 + int(lengths.sum()))


def _header(file: BinaryIO, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and the dtype of an array whose header is next in a file."""
    version = npy.read_magic(file)
    read: Any = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read(file)
    if dtype.hasobject:
        raise DataError(f"{name}: holds Python's objects; expected numbers or text")
    if by_columns and len(shape) > 1:
        raise DataError(
            f"{name}: lies column by column, so that a row is all over the file; write "
            "numpy.ascontiguousarray of it"
        )
    if not shape or not shape[0]:
        raise DataError(f"{name}: has shape {shape}; expected (n, ...) with n > 0")
    return shape, dtype
