"""Targets as people have them, classes by their names or numbers, as a network takes them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from bpframe.errors import DataError
from bpframe.tasks import Classification, MultiLabel, Regression, Task, implied

TASKS = MappingProxyType(
    {"classification": Classification, "multi_label": MultiLabel, "regression": Regression}
)
MOST_CLASSES = 20
"""The most different whole numbers that are taken for classes where nothing says what they are."""


def of(values: Any, task: str | None = None, name: str = "y") -> tuple[np.ndarray, Task]:
    """Class labels (n,) from 0, or float targets (n, n_out), and what an answer is.

    Text, booleans and a few different whole numbers are classes, in their order; a row of
    numbers stays as it is. Where `task` is given, one of `TASKS`, that decides.

    Args:
        values: (n,) or (n, n_out): an array, or lists of numbers or texts.
        task: what they are; None: as their values tell.
        name: what they are called in messages.

    Raises:
        DataError: they are none of this, or do not tell what they are.

    """
    y = _array(values, name)
    if y.ndim == 2 and (y.shape[1] > 1 or y.dtype.kind == "f"):
        found = _numbers(y, name)
        chosen = implied(found) if task is None else TASKS[task]()
        return found, chosen.fitted(found)
    y = y.reshape(len(y))
    if task == "multi_label":
        raise DataError(
            f"{name}: multi_label needs a column of 0 and 1 for each label, and found one column; "
            "give (n, n_out), or choose classification"
        )
    if task == "regression" or (task is None and not _are_classes(y, name)):
        numbers = _numbers(y, name)
        return numbers[:, None], Regression()
    return _labels(y, name)


def _array(values: Any, name: str) -> np.ndarray:
    try:
        y = np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"{name}: has rows of different lengths; give (n,) or (n, n_out)"
        ) from error
    if y.ndim not in (1, 2) or not len(y):
        raise DataError(f"{name}: has shape {y.shape}; expected (n,) or (n, n_out) with n > 0")
    return y


def _numbers(y: np.ndarray, name: str) -> np.ndarray:
    if y.dtype.kind not in "biuf":
        shown = str(y.ravel()[0])
        raise DataError(
            f"{name}: {shown!r} is no number; leave task=regression out for classes, or choose "
            "columns of numbers"
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.argmax(~np.isfinite(y.reshape(len(y), -1)).all(axis=1)))
        raise DataError(f"{name}: row {row} holds {y[row]}; fill it in, or leave the row out")
    return y.astype(np.float64)


def _are_classes(y: np.ndarray, name: str) -> bool:
    """Whether values are classes; numbers that are not all whole are none."""
    if y.dtype.kind not in "iuf":
        return True
    if (_numbers(y, name) % 1).any():
        return False
    count = len(np.unique(y))
    if count > MOST_CLASSES:
        raise DataError(
            f"{name}: {count} different whole numbers may be classes or quantities; set "
            "data.task=regression, or data.task=classification"
        )
    return True


def _labels(y: np.ndarray, name: str) -> tuple[np.ndarray, Task]:
    """Labels from 0 with the names of the classes, unless they are their numbers."""
    if y.dtype.kind == "f":
        whole = _numbers(y, name)
        if (whole % 1).any():
            value = whole[whole % 1 != 0][0]
            raise DataError(f"{name}: {value:g} is no class; choose data.task=regression")
        y = whole.astype(np.int64)
    elif y.dtype.kind not in "biuUO":
        raise DataError(f"{name}: has dtype {y.dtype}; expected numbers or text")
    if y.dtype.kind == "O":
        empty = np.array([value is None or value != value for value in y])
        if empty.any():
            row = int(empty.argmax())
            raise DataError(f"{name}: row {row} is empty; fill it in, or leave the row out")
        y = y.astype(str)
    names, labels = np.unique(y, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"{name}: has one class alone, {names[0]}; nothing can be told apart")
    numbered = names.dtype.kind in "iu" and (names == np.arange(len(names))).all()
    task = Classification(names=() if numbered else tuple(names.tolist()))
    return labels.astype(np.int64), task
