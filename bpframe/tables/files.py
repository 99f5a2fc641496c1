"""Tables in files: CSV and Parquet, read by pandas, the lightest library for both that people use.

pandas takes a row that is too short for one with empty cells, and columns of one name for two with
other names; both are refused here.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpframe.errors import DataError, plainly
from bpframe.tables.table import Table

MISSING = ("", "NA", "NaN", "nan")
"""What a cell that is empty holds, unless something else is said."""


@plainly
def read_csv(
    path: str | Path,
    *,
    delimiter: str = ",",
    header: bool = True,
    missing: Sequence[str] = MISSING,
) -> Table:
    r"""The table in a text file in UTF-8: columns of numbers, and others of text.

    Args:
        path: the file; if its name ends in .gz, it is decompressed.
        delimiter: what separates the cells of a row; a tab may be written out, as \t.
        header: whether the first row has the names; else they are column_1, column_2, ...
        missing: what an empty cell holds.

    Raises:
        DataError: it cannot be read, has columns of one name, or a row has more or fewer cells.

    """
    import pandas as pd  # here, since it takes a while and few runs need it

    source = str(path)
    delimiter = "\t" if delimiter == r"\t" else delimiter
    if len(delimiter) != 1:
        raise DataError(f"data.delimiter: {delimiter!r} is not one character, such as ',' or ';'")
    try:
        names = _checked(source, delimiter, header=header)
        frame = pd.read_csv(
            path,
            sep=delimiter,
            header=0 if header else None,
            names=names,
            index_col=False,
            na_values=list(missing),
            keep_default_na=False,
            encoding="utf-8-sig",
            low_memory=False,
        )
    except OSError as error:
        raise _unreadable(source, error) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source}: is not UTF-8 ({error.reason}); save it as UTF-8, or write data=npz or "
            "data=parquet if it is such a file"
        ) from error
    except (ValueError, csv.Error) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{source}: is no table: {' '.join(str(error).split())}") from error
    return Table.of(frame, source)


@plainly
def read_parquet(path: str | Path) -> Table:
    """The table in a Parquet file; see `read_csv`.

    Raises:
        DataError: it cannot be read, or pyarrow is not installed.

    """
    import pandas as pd

    source = str(path)
    try:
        with open(path, "rb") as file:
            frame = pd.read_parquet(file, engine="pyarrow")
    except ImportError as error:
        raise DataError(
            f"{source}: Parquet needs pyarrow; pip install 'bpframe[parquet]', or give a CSV file"
        ) from error
    except OSError as error:
        raise _unreadable(source, error) from error
    except ValueError as error:  # so are pyarrow's
        raise DataError(f"{source}: is no Parquet file: {' '.join(str(error).split())}") from error
    return Table.of(frame, source)


def _unreadable(source: str, error: OSError) -> DataError:
    is_relative = isinstance(error, FileNotFoundError) and not os.path.isabs(source)
    place = f"; there is none in {os.getcwd()}" if is_relative else ""
    return DataError(f"{source}: cannot be read: {error.strerror or error}{place}")


def _checked(source: str, delimiter: str, *, header: bool) -> list[str]:
    """The names of the columns, after all rows have been found to have as many cells."""
    with _opened(source) as file:
        rows = csv.reader(file, delimiter=delimiter)
        first = next(rows, None)
        if not first:
            raise DataError(f"{source}: is empty")
        other = next((c for c in ";\t|," if len(first) == 1 and c in first[0]), None)
        if other is not None:
            raise DataError(
                f"{source}: has one column alone, {first[0]!r}; if {other!r} separates its cells, "
                f"set 'data.delimiter={json.dumps(other)}'"
            )
        names = first if header else [f"column_{at}" for at in range(1, len(first) + 1)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{source}: has two columns {twice!r}; rename one of them")
        for row in rows:
            if len(row) != len(names) and row:
                raise DataError(
                    f"{source}: line {rows.line_num} has {len(row)} cells, and the first row "
                    f"{len(names)}; mend the line, or set data.delimiter"
                )
    return names


def _opened(source: str) -> Any:
    if source.endswith(".gz"):
        import gzip

        return gzip.open(source, "rt", encoding="utf-8-sig", newline="")
    return open(source, encoding="utf-8-sig", newline="")
