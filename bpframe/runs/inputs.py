"""What a run that was loaded is asked, as the examples that it was trained on would be."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from bpframe.data import Examples
from bpframe.errors import AdviceWarning, DataError
from bpframe.runs.data_info import DataInfo
from bpframe.tables.table import Table
from bpframe.tasks import Regression, Task


def examples(x: Any, y: Any, info: DataInfo, task: Task) -> tuple[Examples, bool]:
    """Examples made like those that were trained on, and whether x is one, without an axis m.

    Args:
        x: (m, ...) or one; an array, or a frame, a row of one, or a mapping, with columns by name.
        y: targets, classes by their names; None for none.
        info: what is known of the data.
        task: what an answer is.

    Raises:
        DataError: they are no examples for the network.

    """
    is_named_one, table = _table(x)
    if table is not None:
        if not info.features:
            raise DataError(
                "x: is a frame, and the inputs of this run have no names; give (m, n_in)"
            )
        x = table.inputs(info.features)
    rows, is_one = _rows(x, info)
    if hint := _units(rows, info):
        warnings.warn(hint, AdviceWarning, stacklevel=5)  # of who asks the network
    m = len(rows)
    targets = np.zeros(m, np.int32) if y is None else _targets(y, m, info.n_out, task)
    return info.examples(rows, targets, task), is_one or is_named_one


def _table(x: Any) -> tuple[bool, Table | None]:
    """Whether x is one example with names, and the table that it is; None of an array."""
    if isinstance(x, Table):
        return False, x
    if hasattr(x, "index") and hasattr(x, "to_dict") and not hasattr(x, "columns"):
        x = x.to_dict()  # a row of a pandas frame
    if isinstance(x, Mapping) and x and all(np.ndim(value) == 0 for value in x.values()):
        return True, Table.of({name: [value] for name, value in x.items()}, "x")
    return False, Table.of(x, "x") if hasattr(x, "columns") or isinstance(x, Mapping) else None


def _rows(x: Any, info: DataInfo) -> tuple[np.ndarray, bool]:
    """(m, *shape), and whether the axis m was left out."""
    expected = f"(m, {', '.join(map(str, info.shape))}), or one example {info.shape}"
    try:
        given = np.asarray(x)
    except ValueError as error:
        raise DataError(f"x: has rows of different lengths; expected {expected}") from error
    if given.dtype.kind not in "biuf":
        raise DataError(f"x: is {type(x).__name__} of {given.dtype}; expected numbers {expected}")
    array = given.astype(float)
    flat = (int(np.prod(info.shape)),)
    for shape in (info.shape, flat, info.shape[:-1] if info.shape[-1] == 1 else info.shape):
        if array.shape == shape or array.shape[1:] == shape:
            is_one = array.shape == shape
            if not array.size:
                raise DataError(f"x: has shape {array.shape}, no example; expected {expected}")
            if not np.isfinite(array).all():
                raise DataError("x: holds values that are not finite; leave them out")
            return array.reshape(1 if is_one else len(array), *info.shape), is_one
    raise DataError(f"x: has shape {array.shape}; expected {expected}")


def _units(rows: np.ndarray, info: DataInfo) -> str | None:
    """A line for inputs from 0 to 1, where those of training went from 0 to 255, or so."""
    scale = info.scale
    if info.mean != 0.0 or not isinstance(scale, float) or not 0 < scale <= 0.25:
        return None
    if rows.min() < 0 or rows.max() > 1 or (rows == np.round(rows)).all():
        return None
    return (
        f"x: lies between 0 and 1, and this run was trained on numbers up to {1 / scale:g}, which "
        f"it multiplies by {scale:.4g}; multiply x by {1 / scale:g}"
    )


def _targets(y: Any, m: int, n_out: int, task: Task) -> np.ndarray:
    """Class labels (m,) from 0, or float targets (m, n_out)."""
    array = np.atleast_1d(np.asarray(y))
    if array.ndim == 1 and m == 1 and len(array) == n_out > 1:
        array = array[None]
    if len(array) != m:
        raise DataError(f"y: has {len(array)} targets for {m} examples; give one for each")
    if array.dtype.kind in "biuf" and array.shape in ((m, n_out), (m,) if n_out == 1 else ()):
        given = array.astype(float).reshape(m, n_out)
        return task.encoded(given) if isinstance(task, Regression) else given
    if array.ndim != 1 or not task.has_classes:
        raise DataError(f"y: has shape {array.shape}; expected ({m}, {n_out})")
    names = list(task.names or range(n_out))
    known = {str(name): at for at, name in enumerate(names)}
    given = array.tolist()
    if new := [value for value in given if _label(value) not in known]:
        shown = ", ".join(map(str, names[:10]))
        raise DataError(f"y: {new[0]!r} is no class of this run; its classes: {shown}")
    return np.array([known[_label(value)] for value in given], np.int64)


def _label(value: Any) -> str:
    """A class as text; whole numbers may have been read as floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
