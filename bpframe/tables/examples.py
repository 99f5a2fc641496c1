"""Examples of tables and of arrays: targets told from inputs, and divided into three sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bpframe.data import Data, Examples, Feature
from bpframe.errors import ConfigError, DataError, plainly, unknown
from bpframe.tables import targets
from bpframe.tables.splits import SHARES, Shares, divided
from bpframe.tables.table import Table
from bpframe.tasks import Regression, Task

SPLITS = Data._fields


class Columns(NamedTuple):
    """Which columns of a table are what.

    Attributes:
        target: the columns to answer: one of classes or numbers, or several of numbers.
        features: the columns of inputs; empty: all others.
        one_hot: those of them that become one input for each of their values.
        task: what an answer is, one of `targets.TASKS`; None: as the targets tell.
        split: the column that says of each row train, validation or test; None: by chance.
        drop_missing: whether rows with an empty cell are left out, instead of being refused.
        standardise_targets: whether the targets of a regression get mean 0 and deviation 1 over the
            training set; answers have their units all the same.

    """

    target: tuple[str, ...]
    features: tuple[str, ...] = ()
    one_hot: tuple[str, ...] = ()
    task: str | None = None
    split: str | None = None
    drop_missing: bool = False
    standardise_targets: bool = False


@plainly
def data_of_table(
    table: Any, columns: Columns, shares: Shares = SHARES, more: Mapping[str, Any] | None = None
) -> Data:
    """The examples of a table, divided by a column, by `shares`, or with other sets in `more`.

    Tables may be frames; see `Table.of`.

    Raises:
        ConfigError: a column is not there, or is chosen for two things.
        DataError: a cell is empty, or is not what it should be; the message names its place.

    """
    more = more or {}
    given = [t if isinstance(t, Table) else Table.of(t) for t in (table, *more.values())]
    tables = [_cleaned(t, columns) for t in given]
    names = _features(tables[0], columns)
    every = Table.joined(tables)
    features = every.features(names, columns.one_hot)
    x = every.inputs(features)
    y, task = every.targets(columns.target, columns.task)
    ends = np.cumsum([len(t) for t in tables])
    rows = dict(zip(("train", *more), np.split(np.arange(len(every)), ends[:-1]), strict=True))
    if columns.split is not None:
        rows = _by_column(every, columns.split)
    rows = _complete(y, rows, shares)
    if isinstance(task, Regression):
        task = Regression(names=columns.target)
        if columns.standardise_targets:
            task = Regression.standardising(y[rows["train"]], columns.target)
            y = task.encoded(y)
    return _data(x, y, task, rows, features)


@plainly
def data_of_arrays(
    sets: Mapping[str, tuple[Any, Any]], task: str | None = None, shares: Shares = SHARES
) -> Data:
    """The examples of arrays (x, y) by the names of sets; missing sets are drawn from train.

    x is (n, n_in), or images (n, rows, columns) or (n, rows, columns, channels); bytes become 0 to
    1. y is as in `targets.of`.

    Raises:
        ConfigError: the shares leave no room.
        DataError: an array has another shape, or holds what is no number.

    """
    if "train" not in sets or not sets.keys() <= set(SPLITS):
        found = ", ".join(map(repr, sets)) or "nothing"
        raise DataError(f"data: the sets are {found}; expected 'train', and others of {SPLITS}")
    xs = {name: _inputs(x, f"x of the {name} set") for name, (x, _) in sets.items()}
    lengths = {name: len(x) for name, x in xs.items()}
    ys = {name: _listed(y) for name, (_, y) in sets.items()}
    for name, n in lengths.items():
        if len(ys[name]) != n:
            raise DataError(
                f"data: the {name} set has {n} inputs and {len(ys[name])} targets; "
                "give one for each"
            )
    for which, arrays in (("inputs", xs), ("targets", ys)):
        if len({array.shape[1:] for array in arrays.values()}) > 1:
            shapes = ", ".join(f"{array.shape} in {name}" for name, array in arrays.items())
            raise DataError(f"data: {which} have other shapes in each set: {shapes}")
    x = np.concatenate(list(xs.values()))
    y, found = targets.of(np.concatenate(list(ys.values())), task)
    ends = np.cumsum(list(lengths.values()))[:-1]
    rows = dict(zip(lengths, np.split(np.arange(len(x)), ends), strict=True))
    return _data(x, y, found, _complete(y, rows, shares), ())


def _data(
    x: np.ndarray,
    y: np.ndarray,
    task: Task,
    rows: Mapping[str, np.ndarray],
    features: tuple[Feature, ...],
) -> Data:
    n_out = int(y.max()) + 1 if y.ndim == 1 else y.shape[1]
    if y.ndim == 1:
        new = np.setdiff1d(np.arange(n_out), y[rows["train"]])
        if len(new):
            name = task.names[new[0]] if task.names else new[0]
            raise DataError(
                f"data: no training example is of class {name!r}, which the other sets have; give "
                "some, or leave the class out"
            )
    scale = 1 / 255 if x.dtype == np.uint8 else 1.0
    return Data(
        **{
            name: Examples(x[chosen], y[chosen], n_out, scale, task, features=features)
            for name, chosen in rows.items()
        }
    )


def _complete(
    y: np.ndarray, rows: Mapping[str, np.ndarray], shares: Shares
) -> dict[str, np.ndarray]:
    """The rows of all three sets; those that are missing are drawn from the training set."""
    missing = [name for name in SPLITS if name not in rows]
    if not missing:
        return dict(rows)
    wanted = shares._replace(**{name: None for name in ("validation", "test") if name in rows})
    drawn = divided(y[rows["train"]], wanted)
    found = {name: rows["train"][part] for name, part in zip(SPLITS, drawn, strict=True)}
    return {**found, **{name: rows[name] for name in rows if name != "train"}}


def _features(table: Table, columns: Columns) -> tuple[str, ...]:
    taken = {*columns.target, *([columns.split] if columns.split else [])}
    for name in taken:
        if name not in table.columns:
            raise unknown(
                "data.target" if name in columns.target else "data.split", name, table.columns
            )
        if name in columns.features:
            raise ConfigError(f"data.features: {name!r} is the target, or the split; leave it out")
    return columns.features or tuple(name for name in table.columns if name not in taken)


def _cleaned(table: Table, columns: Columns) -> Table:
    """Without the rows that have gaps, if they are to be left out."""
    if not columns.drop_missing:
        return table
    names = [*_features(table, columns), *columns.target]
    return table.without_gaps(names)


def _by_column(table: Table, name: str) -> dict[str, np.ndarray]:
    column = table.columns[name]
    for value in SPLITS:
        if not (column == value).any():
            raise DataError(
                f"{table.source}: no row has {value!r} in the column {name!r}; it says train, "
                "validation or test of each row"
            )
    other = ~np.isin(column, SPLITS)
    if other.any():
        row = int(other.argmax())
        raise DataError(
            f"{table.source}: column {name!r} holds {column[row]!r} in row {row + 1}; allowed: "
            f"{', '.join(SPLITS)}"
        )
    return {value: np.flatnonzero(column == value) for value in SPLITS}


def _inputs(x: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise DataError(f"{name}: has rows of different lengths; give (n, n_in)") from error
    if array.dtype.kind not in "biuf":
        shown = str(array.ravel()[0]) if array.size else "nothing"
        raise DataError(
            f"{name}: holds {shown!r}; expected numbers (n, n_in); for columns of text give a frame"
        )
    if array.ndim not in (2, 3, 4) or not array.size:
        hint = "; write [[1.0], [2.0]] for one number each" if array.ndim == 1 else ""
        raise DataError(
            f"{name}: has shape {array.shape}; expected (n, n_in), or images (n, rows, columns) or "
            f"(n, rows, columns, channels){hint}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argmax(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)))
        raise DataError(f"{name}: example {row} holds values that are not finite; leave it out")
    if array.dtype.kind in "biu" and array.dtype != np.uint8:
        array = array.astype(np.float64)
    return array[..., None] if array.ndim == 3 else array


def _listed(y: Any) -> np.ndarray:
    try:
        array = np.asarray(y)
    except ValueError as error:
        raise DataError("y: has rows of different lengths; give (n,) or (n, n_out)") from error
    if array.ndim not in (1, 2):
        raise DataError(f"y: has shape {array.shape}; expected (n,) or (n, n_out)")
    return array
