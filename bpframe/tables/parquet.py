"""Rows of Parquet files, unpacked so that each of them can be read by itself.

The pages of a Parquet file are compressed: to read one row is to read a row group. So the columns
that are asked for are written once, row by row, into temporary files that nobody else sees, and
that are gone with the process.
"""

from __future__ import annotations

import importlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bpframe.errors import DataError, plainly
from bpframe.tables.rows import PORTION_BYTES, Rows


@plainly
def unpack_parquet(paths: Sequence[str | Path], columns: str) -> Rows:
    """The columns whose names begin with `columns`, in their order: (n,) of one, else (n, columns).

    A column of lists of one length k has the rows (k,). They are unpacked in the folder for
    temporary files, which TMPDIR names.

    Raises:
        DataError: a file cannot be read, has no such columns or other ones than the first file, or
            they hold what is missing, or neither numbers nor text; there is no room to unpack them;
            or pyarrow is not installed.

    """
    first = _Columns(paths[0], columns) if paths else None
    files = [_Columns(path, columns, first) for path in paths]
    dtype = np.result_type(*(file.dtype() for file in files))
    parts = tuple(file.unpacked(dtype) for file in files)
    names = files[0].columns
    return Rows(
        parts,
        tuple(file.name for file in files),
        columns=tuple(names) if len(names) == parts[0][:1].size else (),
    )


class _Columns:
    """Some columns of a file."""

    def __init__(self, path: str | Path, columns: str, first: _Columns | None = None) -> None:
        """Those whose names begin with `columns`, in the order that they have in the first file."""
        self.name = f"{path}: {columns}*"
        self._file = _opened(path)
        own = [name for name in self._file.schema_arrow.names if name.startswith(columns)]
        self.columns = first.columns if first else own
        if odd := sorted(set(own) ^ set(self.columns)):
            does, other = ("has", "has not") if odd[0] in own else ("lacks", "has")
            raise DataError(
                f"{path}: {does} the column {odd[0]!r}, which the first file {other}; write the "
                "same columns in all"
            )
        if not self.columns:
            known = ", ".join(self._file.schema_arrow.names[:20])
            raise DataError(
                f"{path}: has no column whose name begins with {columns!r}; it has {known}; set "
                "data.x and data.y to what the names of inputs and targets begin with"
            )
        self._n = self._file.metadata.num_rows
        if not self._n:
            raise DataError(f"{path}: has no rows")

    def portions(self) -> Iterator[np.ndarray]:
        """The rows in order, some at a time."""
        group = self._file.metadata.row_group(0)
        length = max(1, PORTION_BYTES * group.num_rows // max(1, group.total_byte_size))
        start = 0
        try:
            for batch in self._file.iter_batches(length, columns=self.columns):
                found = [
                    _values(batch.column(column), f"{self.name}: {column}", start)
                    for column in self.columns
                ]
                start += len(batch)
                kinds = {"U" if values.dtype.kind == "U" else "number" for values in found}
                if len(kinds) > 1:
                    odd = next(i for i, values in enumerate(found) if values.dtype.kind == "U")
                    raise DataError(
                        f"{self.name}: {self.columns[odd]} holds text, and others numbers; read "
                        "the files with data=parquet, which makes inputs of text, or leave it out"
                    )
                yield found[0] if len(found) == 1 else np.column_stack(found)
        except DataError:
            raise
        except (OSError, ValueError) as error:  # so are pyarrow's
            raise DataError(
                f"{self.name}: cannot be read: {' '.join(str(error).split())}"
            ) from error

    def dtype(self) -> np.dtype:
        """That of an array of all rows: text is as wide as the longest."""
        portions = self.portions()
        first = next(portions)
        if first.dtype.kind != "U":
            return first.dtype
        return np.result_type(first, *portions)

    def unpacked(self, dtype: np.dtype) -> np.ndarray:
        """The rows, in a file of their own."""
        portions = self.portions()
        first = next(portions)
        needed = self._n * int(np.prod(first.shape[1:])) * dtype.itemsize
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise DataError(
                f"{self.name}: unpacked, it takes {needed / 1e9:.1f} GB, and {folder} has room for "
                f"{free / 1e9:.1f} GB; set TMPDIR to a folder with more"
            )
        with tempfile.TemporaryFile() as target:
            rows = np.memmap(target, dtype, "w+", shape=(self._n, *first.shape[1:]))
        start = 0
        for part in itertools.chain([first], portions):
            rows[start : start + len(part)] = part
            start += len(part)
        return rows


def _opened(path: str | Path) -> Any:
    try:
        parquet = importlib.import_module("pyarrow.parquet")  # which an extra brings
    except ImportError as error:
        raise DataError(
            f"{path}: Parquet needs pyarrow; pip install 'bpframe[parquet]', or write .npy files"
        ) from error
    try:
        return parquet.ParquetFile(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # so are pyarrow's
        raise DataError(f"{path}: is no Parquet file: {' '.join(str(error).split())}") from error


def _values(column: Any, name: str, start: int) -> np.ndarray:
    """A column of a batch as an array: numbers or text (k,), or lists of one length (k, ...).

    Its first row is row `start` of the file.
    """
    if column.null_count:
        row = start + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise DataError(f"{name}: row {row} has no value; leave such rows out")
    lists = hasattr(column.type, "list_size")
    values = (column.flatten() if lists else column).to_numpy(zero_copy_only=False)
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values):
        values = values.astype(str)
    if values.dtype.kind not in "biufU" or (lists and column.flatten().null_count):
        raise DataError(
            f"{name}: holds {column.type}; expected numbers, text, or lists of one length of "
            "numbers (pyarrow.list_(pyarrow.float32(), k))"
        )
    return values.reshape(len(column), -1) if lists else values
