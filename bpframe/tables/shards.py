"""The three sets of rows in files: validation and test in memory, training where it is."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bpframe.data import Data, Examples
from bpframe.errors import ConfigError, DataError, plainly
from bpframe.tables import targets
from bpframe.tables.rows import PORTION_BYTES, Rows
from bpframe.tables.streamed import Files, StreamedExamples, Targets, inputs
from bpframe.tasks import Task

MOST_CLASSES = 10_000
HELD_BYTES = 2**30
"""What the validation and the test set may take in memory."""


class HeldOut(NamedTuple):
    """How many rows are drawn for the validation and the test set, and with which seed."""

    validation: int
    test: int
    seed: int = 0


@plainly
def data_of_rows(
    x: Rows,
    y: Rows,
    task: str | None,
    held_out: HeldOut,
    more: Mapping[str, tuple[Rows, Rows]] | None = None,
) -> Data:
    """The examples of rows in files; sets that are not in `more` are drawn by chance.

    All files are read once: inputs have to be finite, and classes are found. Labels are as in
    `targets.of`; targets (n, n_out) need a task.

    Args:
        x: inputs (n, n_in), or (n,) of one each, or images (n, rows, columns) or (n, rows,
            columns, channels); bytes become 0 to 1.
        y: classes or numbers (n,), or numbers (n, n_out).
        task: what they are, one of `targets.TASKS`; None: as their values tell.
        held_out: how many rows are drawn for a set that is not in `more`.
        more: the inputs and targets of the validation or the test set, from other files.

    Raises:
        ConfigError: nothing is left for training, or what is held in memory is too large.
        DataError: the files do not fit each other, or hold what cannot be trained on.

    """
    x, more = _with_width(x), {name: (_with_width(a), b) for name, (a, b) in (more or {}).items()}
    for name, (inputs_of, targets_of) in {"training": (x, y), **more}.items():
        _check_fit(name, inputs_of, targets_of, x, y)
    rows = _drawn(len(x), held_out, more)
    sizes = {name: len(chosen) for name, chosen in rows.items()}
    _check_held(x, sizes | {name: len(pair[0]) for name, pair in more.items()})
    found = _targets(y, task)
    checksum, counts = _read_once(x, y, found)
    for pair in more.values():
        _read_once(*pair, found)
    left_out = np.sort(np.concatenate([np.zeros(0, np.int64), *rows.values()]))
    scale = 1 / 255 if x.dtype == np.uint8 else 1.0
    files = Files(x, y, found, left_out, checksum)
    train = StreamedExamples(files, len(x) - len(left_out), scale=scale)

    def held(name: str) -> Examples:
        (xs, ys), chosen = more.get(name, (x, y)), rows.get(name)
        chosen = np.arange(len(xs)) if chosen is None else chosen
        return Examples(
            *(inputs(xs.take(chosen)), found.of(ys.take(chosen)), found.n_out, scale, found.task),
            features=x.columns,
        )

    data = Data(train, held("validation"), held("test"))
    if found.classes is not None:
        _check_classes(found.classes, counts, [getattr(data, name).y for name in rows])
    return data


def _with_width(x: Rows) -> Rows:
    """Inputs (n, 1) of (n,)."""
    if len(x.shape) != 1:
        return x
    return dataclasses.replace(x, parts=tuple(part[:, None] for part in x.parts))


def _check_classes(classes: np.ndarray, counts: np.ndarray, drawn: list[np.ndarray]) -> None:
    """Refuse a class of which nothing is left for training, of so many examples of each."""
    left = counts - sum((np.bincount(y, minlength=len(classes)) for y in drawn), 0)
    if (left == 0).any():
        lost = classes[int(np.argmin(left))].item()
        raise DataError(
            f"data: all examples of class {lost!r} are in the validation or the test set; set "
            "another data.split_seed, or fewer rows for them"
        )


def _check_fit(name: str, x: Rows, y: Rows, train_x: Rows, train_y: Rows) -> None:
    if len(x) != len(y):
        raise DataError(
            f"data: the {name} files have {len(x):,} inputs and {len(y):,} targets; write one of "
            "each for every example"
        )
    if x.dtype.kind not in "biuf" or len(x.shape) not in (2, 3, 4) or not x.row_bytes:
        raise DataError(
            f"{x.names[0]}: has shape {x.parts[0].shape} and dtype {x.dtype}; expected numbers "
            "(n, n_in), or images (n, rows, columns) or (n, rows, columns, channels)"
        )
    if len(y.shape) not in (1, 2) or (len(y.shape) == 2 and y.dtype.kind not in "biuf"):
        raise DataError(
            f"{y.names[0]}: has shape {y.parts[0].shape} and dtype {y.dtype}; expected classes or "
            "numbers (n,), or numbers (n, n_out)"
        )
    if x.columns != train_x.columns:
        raise DataError(
            f"data: inputs of the {name} files are the columns {', '.join(x.columns[:20])}; those "
            f"of training are {', '.join(train_x.columns[:20])}; write the same in the same order"
        )
    for what, own, of_training in (("inputs", x, train_x), ("targets", y, train_y)):
        if own.shape[1:] != of_training.shape[1:] or own.dtype.kind != of_training.dtype.kind:
            raise DataError(
                f"data: {what} of the {name} files have rows of shape {own.shape[1:]} and dtype "
                f"{own.dtype}; those of training have {of_training.shape[1:]} and "
                f"{of_training.dtype}"
            )


def _drawn(n: int, held_out: HeldOut, more: Mapping[str, object]) -> dict[str, np.ndarray]:
    """The rows of the sets that are drawn, each in ascending order."""
    if n >= 2**31:
        raise DataError(f"data: {n:,} examples are more than 2^31 - 1, to which orders count")
    sizes = {name: getattr(held_out, name) for name in ("validation", "test") if name not in more}
    if sum(sizes.values()) >= n:
        said = " and ".join(f"data.{name}_rows={size}" for name, size in sizes.items())
        raise ConfigError(f"{said}: nothing is left for training of {n:,} rows; set fewer")
    generator = np.random.default_rng(held_out.seed)
    drawn = generator.choice(n, sum(sizes.values()), replace=False)
    parts = np.split(drawn, np.cumsum(list(sizes.values()))[:-1]) if sizes else []
    return {name: np.sort(part) for name, part in zip(sizes, parts, strict=True)}


def _check_held(x: Rows, sizes: Mapping[str, int]) -> None:
    itemsize = x.dtype.itemsize if x.dtype.kind == "f" or x.dtype == np.uint8 else 8
    needed = sum(sizes.values()) * x.row_bytes // x.dtype.itemsize * itemsize
    if needed > HELD_BYTES:
        shown = " and ".join(f"{size:,} rows for {name}" for name, size in sizes.items())
        raise ConfigError(
            f"data: {shown} take {needed / 1e9:.1f} GB; these sets are held in memory, in at most "
            f"{HELD_BYTES / 1e9:.1f} GB: set a smaller data.validation_rows and data.test_rows, or "
            "name smaller files"
        )


def _targets(y: Rows, task: str | None) -> Targets:
    """What targets are, of all of their different values."""
    if len(y.shape) == 2:
        if task is None:
            raise DataError(
                f"{y.names[0]}: has shape {y.parts[0].shape}, which does not tell what targets "
                f"are; set data.task to one of {', '.join(targets.TASKS)}"
            )
        first = next(y.portions(_length(y))).astype(np.float64)
        return Targets(targets.TASKS[task]().fitted(first), y.shape[1], None)
    found = _distinct(y)
    if len(found) > MOST_CLASSES and (task == "classification" or found.dtype.kind not in "iuf"):
        raise DataError(f"{y.names[0]}: has more than {MOST_CLASSES:,} classes; give fewer")
    labels, fitted = targets.of(found, task, y.names[0])
    if labels.ndim == 2:
        return Targets(fitted, 1, None)
    return Targets(fitted, len(found), found)


def _distinct(y: Rows) -> np.ndarray:
    """The different values (k,), in order; of more than MOST_CLASSES so many."""
    found, start = np.zeros(0, y.dtype), 0
    for part in y.portions(_length(y)):
        _check_finite(y, part, start)
        found, start = np.union1d(found, part), start + len(part)
        if len(found) > MOST_CLASSES:
            break
    return found


def _read_once(x: Rows, y: Rows, found: Targets) -> tuple[str, np.ndarray]:
    """The checksum of files whose values are all as they should be, and how often a class comes."""
    checksum, counts = 0, np.zeros(found.n_out, np.int64)
    for rows in (x, y):
        start = 0
        for part in rows.portions(_length(rows)):
            _check_finite(rows, part, start)
            if rows is y:
                _check_targets(rows, part, found, start)
                if found.classes is not None:
                    counts += np.bincount(found.of(part), minlength=found.n_out)
            checksum = zlib.crc32(np.ascontiguousarray(part).view(np.uint8).data, checksum)
            start += len(part)
    return f"{checksum:08x}", counts


def _check_finite(rows: Rows, part: np.ndarray, start: int) -> None:
    if part.dtype.kind == "f" and not np.isfinite(part).all():
        bad = int(np.argmax(~np.isfinite(part.reshape(len(part), -1)).all(axis=1)))
        raise DataError(f"{rows.place(start + bad)} holds values that are not finite; leave it out")


def _check_targets(rows: Rows, part: np.ndarray, found: Targets, start: int) -> None:
    if found.classes is not None:
        if not (known := np.isin(part, found.classes)).all():
            bad = int(np.argmax(~known))
            raise DataError(
                f"{rows.place(start + bad)} is of class {part[bad].item()!r}, which no training "
                "file has; leave it out"
            )
    elif len(rows.shape) == 2:
        task: Task = type(found.task)().fitted(part.astype(np.float64))
        if task != found.task:
            raise DataError(
                f"{rows.place(start)} and those after it have other values than the first rows, "
                f"for {type(task).__name__}; choose data.task=regression"
            )


def _length(rows: Rows) -> int:
    return max(1, PORTION_BYTES // rows.row_bytes)
