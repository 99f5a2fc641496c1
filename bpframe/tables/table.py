"""Tables: named columns of numbers and text, and the examples that they hold."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bpframe.data import Feature
from bpframe.errors import AdviceWarning, ConfigError, DataError, did_you_mean, unknown
from bpframe.tables import targets
from bpframe.tasks import Task


class Table:
    """Named columns of one length: (n,) float64 with NaN, or text with None, where cells are empty.

    Attributes:
        columns: the columns by name, in their order.
        source: what the table is called in messages.

    """

    def __init__(self, columns: Mapping[str, np.ndarray], source: str = "table") -> None:
        self.columns = dict(columns)
        self.source = source
        lengths = {len(column) for column in columns.values()}
        if len(lengths) != 1 or 0 in lengths:
            raise DataError(f"{source}: holds no rows, or columns of different lengths")

    @classmethod
    def of(cls, frame: Any, source: str = "data") -> Table:
        """The table of a frame (pandas, polars, or columns by name).

        Raises:
            DataError: it holds what is neither a number nor text.

        """
        if not isinstance(frame, Mapping) and not hasattr(frame, "columns"):
            raise DataError(f"{source}: is {type(frame).__name__}; expected a frame with columns")
        names = list(frame.keys() if isinstance(frame, Mapping) else frame.columns)
        if len(set(map(str, names))) < len(names):
            raise DataError(f"{source}: has two columns of one name; rename one of them")
        return cls({str(name): _column(frame[name], str(name), source) for name in names}, source)

    @classmethod
    def joined(cls, tables: Sequence[Table]) -> Table:
        """The rows of several tables, one after another, with the columns of the first.

        Raises:
            DataError: a column is missing, or holds text in one and numbers in another.

        """
        first = tables[0]
        if len(tables) == 1:
            return first
        for table in tables[1:]:
            for name, column in first.columns.items():
                if name not in table.columns:
                    raise DataError(
                        f"{table.source}: has no column {name!r}, as {first.source} has"
                    )
                if table.columns[name].dtype != column.dtype:
                    raise DataError(
                        f"{table.source}: column {name!r} holds text here or in {first.source}, "
                        "and numbers in the other; make them alike"
                    )
        columns = {
            name: np.concatenate([table.columns[name] for table in tables])
            for name in first.columns
        }
        return cls(columns, f"{first.source} and the files beside it")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rows(self, kept: np.ndarray) -> Table:
        """The table of some rows, by their numbers or by a mask (n,)."""
        return Table({name: column[kept] for name, column in self.columns.items()}, self.source)

    def without_gaps(self, names: Iterable[str]) -> Table:
        """The rows in which none of these columns is empty; a warning tells how many are not."""
        left_out = self.gaps(names)
        if n := np.count_nonzero(left_out):
            text = f"{self.source}: {n} of {len(self)} rows have an empty cell, and are left out"
            warnings.warn(text, AdviceWarning, stacklevel=2)
        return self.rows(~left_out) if n else self

    def gaps(self, names: Iterable[str]) -> np.ndarray:
        """In which rows (n,) one of these columns is empty."""
        gaps = [_gaps(self._get(name, "data")) for name in names]
        return np.any(gaps, axis=0) if gaps else np.zeros(len(self), bool)

    def features(self, names: Sequence[str], one_hot: Sequence[str]) -> tuple[Feature, ...]:
        """What the columns `names` give as inputs: numbers as they are, `one_hot` one by value.

        Raises:
            ConfigError: a column is not there.
            DataError: a column of text is not among `one_hot`.

        """
        for name in one_hot:
            if name in self.columns and name not in names:
                raise ConfigError(
                    f"data.one_hot: {name!r} is not among data.features, {', '.join(names)}; add "
                    "it there"
                )
            if name not in names:
                raise unknown("data.one_hot", name, names)
        found: list[Feature] = []
        texts: list[str] = []
        for name in names:
            column = self._get(name, "data.features")
            if name in one_hot:
                filled = column[~_gaps(column)]
                if filled.dtype.kind == "f" and (filled != np.round(filled)).any():
                    raise ConfigError(
                        f"data.one_hot: {name!r} holds numbers such as "
                        f"{filled[filled != np.round(filled)][0]:g}, which are no classes; leave "
                        "it out"
                    )
                found += [(name, value) for value in sorted(set(map(_shown, filled)))]
            elif column.dtype.kind == "O":
                texts.append(name)
            else:
                found.append(name)
        if texts:
            column = self._get(texts[0], "data.features")
            more = f"; texts stand too in {', '.join(map(repr, texts[1:11]))}" if texts[1:] else ""
            text = f"{self.source}: column {texts[0]!r} holds {_some_text(column)}"
            raise DataError(f"{text}; {_fix(texts[0], column)}{more}")
        if not found:
            raise ConfigError("data.features: no column is left; choose one at least")
        return tuple(found)

    def inputs(self, features: Sequence[Feature]) -> np.ndarray:
        """(n, n_in) float64, an entry for each of `features`.

        Raises:
            DataError: a column is missing, a cell is empty or no number, or text is a new value.

        """
        known: dict[str, set[str]] = {}
        for feature in features:
            if isinstance(feature, tuple):
                known.setdefault(feature[0], set()).add(feature[1])
        texts = {name: self._texts(name, values) for name, values in known.items()}
        x = np.empty((len(self), len(features)))
        for at, feature in enumerate(features):
            if isinstance(feature, tuple):
                x[:, at] = texts[feature[0]] == feature[1]
            else:
                x[:, at] = self._numbers(feature)
        return x

    def targets(self, names: Sequence[str], task: str | None) -> tuple[np.ndarray, Task]:
        """Labels (n,) or (n, n_out) of the columns `names`; see `targets.of`."""
        columns = [self._filled(name, "data.target") for name in names]
        if len(columns) == 1:
            return targets.of(columns[0], task, f"{self.source}: column {names[0]!r}")
        values = np.stack([self._numbers(name) for name in names], axis=1)
        return targets.of(values, task or "regression", f"{self.source}: {', '.join(names)}")

    def column(self, name: str) -> np.ndarray:
        """(n,) numbers or text; see the attribute `columns`.

        Raises:
            DataError: it is not there, or a cell is empty.

        """
        return self._filled(name, "data")

    def _texts(self, name: str, known: set[str]) -> np.ndarray:
        column = np.array([_shown(value) for value in self._filled(name, "data")])
        new = ~np.isin(column, list(known))
        if new.any():
            row = int(new.argmax())
            value = str(column[row])
            raise DataError(
                f"{self.source}: column {name!r} holds {value!r} in row {row + 1}, which is "
                f"not among those trained on: {', '.join(map(repr, sorted(known)))}"
            )
        return column

    def _numbers(self, name: str) -> np.ndarray:
        column = self._filled(name, "data")
        if column.dtype.kind == "O":
            raise DataError(
                f"{self.source}: column {name!r} holds {_some_text(column)}, where numbers are "
                "needed"
            )
        if not np.isfinite(column).all():
            row = int(np.argmax(~np.isfinite(column)))
            raise DataError(
                f"{self.source}: column {name!r} holds {column[row]} in row {row + 1}; "
                "leave the row out, or write a number"
            )
        return column

    def _filled(self, name: str, path: str) -> np.ndarray:
        column = self._get(name, path)
        gaps = _gaps(column)
        if gaps.any():
            raise DataError(
                f"{self.source}: column {name!r} is empty in row {int(gaps.argmax()) + 1}, and in "
                f"{int(gaps.sum())} of {len(column)} rows; fill them, or leave these rows out, in "
                "training with data.drop_missing=true"
            )
        return column

    def _get(self, name: str, path: str) -> np.ndarray:
        if name not in self.columns:
            if path == "data":  # that the run was trained on, or that was found before
                raise DataError(
                    f"{self.source}: has no column {name!r}"
                    f"{did_you_mean(name, self.columns) or ';'} it has {', '.join(self.columns)}"
                )
            raise unknown(f"{self.source}: {path}", name, self.columns)
        return self.columns[name]


def _gaps(column: np.ndarray) -> np.ndarray:
    """Which cells are empty."""
    return column == np.array(None) if column.dtype.kind == "O" else np.isnan(column)


def _some_text(column: np.ndarray) -> str:
    """The first cell of a column that is no number, and its row: one may make a column text."""
    for row, value in enumerate(column, start=1):
        if value is not None and not _is_number(value):
            return f"text, {value!r} in row {row}"
    return f"text, such as {column[0]!r}"


def _fix(name: str, column: np.ndarray) -> str:
    """What to do about text in a column of inputs: is it a column of text, or has it odd cells?"""
    word = name if re.fullmatch(r"\w+", name) else json.dumps(name, ensure_ascii=False)
    numbers = sum(value is None or _is_number(value) for value in column)
    if 2 * numbers > len(column):
        return (
            "mend the cell, or say with data.missing what stands for an empty one, such as "
            'data.missing=["","?"]'
        )
    return f"set data.one_hot=[{word}], or leave it out of data.features"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(value: Any) -> str:
    """A value of a column as text: whole numbers without a point."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _column(values: Any, name: str, source: str) -> np.ndarray:
    array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"{source}: column {name!r} has shape {array.shape}; expected (n,)")
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    if array.dtype.kind in "mM":
        raise DataError(
            f"{source}: column {name!r} holds times; give numbers, such as days since a date"
        )
    cells = [None if _is_missing(value) else value for value in array.tolist()]
    if all(value is None or isinstance(value, int | float) for value in cells):
        return np.array([np.nan if value is None else value for value in cells], np.float64)
    column = np.empty(len(cells), object)
    column[:] = [None if value is None else str(value) for value in cells]
    return column


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT, or pandas' NA, which is equal to nothing."""
    try:
        return value is None or not bool(value == value)
    except TypeError:
        return True
