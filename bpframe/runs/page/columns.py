"""The columns of metrics.jsonl, gathered into figures: what suits a norm, a share or an angle."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

OVER = ("steps", "train", "validation", "test")
ANGLES = ("alignment", "gradient_alignment", "feedback_alignment_angle")
"""Metrics in degrees."""
SHARES = ("accuracy", "dead_units", "saturation")
"""Metrics from 0 to 1."""
_QUANTILE = re.compile(r"q(\d\d)")
_PART = re.compile(r"layer_\d+|whole|mode_\d+")
_SPREAD = 50
"""The ratio of the largest to the smallest value from which on an axis is logarithmic."""
NOTES: Mapping[str, str] = {
    "delta_norm": "How large the errors are. A layer far below the next one learns slowly: its "
    "gradient vanishes.",
    "gradient_norm": "The mean gradient of a mini-batch.",
    "gradient_norms": "Gradients of single examples: their mean, and the range from the first to "
    "the ninth decile.",
    "saturation": "The share of neurons whose sigma' is nearly 0, so that no error gets through.",
    "dead_units": "The share of neurons that answer no example.",
    "alignment": "The angle to the exact deltas: 0 is backpropagation, 90 is unrelated.",
    "gradient_alignment": "The angle to the exact gradient: 0 is backpropagation, 90 is unrelated.",
    "feedback_alignment_angle": "The angle between the weights and those of the way back.",
}


@dataclasses.dataclass(frozen=True)
class Series:
    """A curve: a number, or None, for each record; `low` and `high` are a band around it."""

    name: str
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


@dataclasses.dataclass(frozen=True)
class Curves:
    """A figure of curves over the epochs.

    Attributes:
        title: what is drawn.
        series: the curves; values of shares are in per cent.
        unit: "%", "degrees" or "".
        is_log: whether the axis is best logarithmic.
        note: what to look for.

    """

    title: str
    series: Sequence[Series]
    unit: str = ""
    is_log: bool = False
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Numbers of the last record in rows of one length; of a confusion matrix counts, what is
    right down and what was answered across.
    """

    title: str
    values: Sequence[Sequence[float | None]]


@dataclasses.dataclass(frozen=True)
class Values:
    """A row of numbers of the last record, such as one for each repetition of a layer."""

    title: str
    values: Sequence[float | None]
    is_log: bool = False


Figure = Curves | Matrix | Values


def figures(records: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """One figure for each family of columns, cost and accuracy first."""
    names = dict.fromkeys(name for record in records for name in record)
    own = ("epoch", "seconds", *_learning_names())
    found: list[Figure] = list(learning(records))
    families: dict[tuple[str, str, str], dict[str, list[Any]]] = {}
    for name in names:
        if name in own:
            continue
        values = [record.get(name) for record in records]
        last = next((value for value in reversed(values) if value is not None), None)
        if isinstance(last, list):
            found += _of_lists(name, last)
        elif last is not None:
            metric, over, part, rest = parts(name)
            scalars = [None if isinstance(value, list) else value for value in values]
            families.setdefault((metric, over, rest), {})[part] = scalars
    return [*found, *(_family(*key, columns) for key, columns in families.items())]


def undrawn(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that no figure shows, such as arrays of three axes and more."""
    last = records[-1] if records else {}
    lists = [name for name, value in last.items() if isinstance(value, list)]
    return [
        name
        for name in lists
        if not _of_lists(name, last[name]) and parts(name)[0] != "largest_gradients"
    ]


def learning(records: Sequence[Mapping[str, Any]]) -> list[Curves]:
    """Cost, and accuracy where there is one, of training and validation."""
    found = []
    for what, unit, times in (("cost", "", 1), ("accuracy", "%", 100)):
        series = []
        for split in ("train", "validation"):
            values = [_scaled(record.get(f"{split}_{what}"), times) for record in records]
            if any(value is not None for value in values):
                series.append(Series("training" if split == "train" else split, values))
        if series:
            title = f"{what.capitalize()}{', mean per example' * (what == 'cost')}"
            found.append(Curves(title, series, unit, what == "cost" and _spreads(series)))
    return found


def parts(name: str) -> tuple[str, str, str, str]:
    """The metric of a column, what it is over, its layer (or part), and the rest."""
    metric, *others = name.split(".")
    over = others.pop(0) if others and others[0] in OVER else ""
    part = ""
    if others and _PART.fullmatch(others[0]):
        part = others.pop(0)
        while others and others[0].isdigit():
            part += f".{others.pop(0)}"
    if others and _QUANTILE.fullmatch(others[-1]):
        part += f".{others.pop()}"
    return metric, over, part, ".".join(others)


def titled(metric: str, over: str, rest: str = "") -> str:
    """What a family is called: "delta norm, over the steps"."""
    among = {"": "", "steps": ", over the steps"}.get(over, f", over the {over} set")
    return f"{metric.replace('_', ' ')}{': ' * bool(rest)}{rest.replace('_', ' ')}{among}"


def _family(metric: str, over: str, rest: str, columns: Mapping[str, list[Any]]) -> Curves:
    is_share, is_angle = metric in SHARES and not rest, metric in ANGLES and not rest
    series = []
    for part, values in columns.items():
        base, _, last = part.rpartition(".")
        if _QUANTILE.fullmatch(last) and base in columns:
            continue  # drawn as the band of its mean
        low, high = columns.get(f"{part}.q10", ()), columns.get(f"{part}.q90", ())
        scaled = [_scaled(value, 100 if is_share else 1) for value in values]
        name = part.replace("layer_", "layer ").replace("_", " ") or metric.replace("_", " ")
        series.append(Series(name, scaled, *((low, high) if low and high else ())))
    is_norm = "norm" in metric and _positive(series)
    return Curves(
        titled(metric, over, rest),
        series,
        "%" if is_share else "degrees" if is_angle else "",
        not (is_share or is_angle) and (is_norm or _spreads(series)),
        NOTES.get(metric, "") if not rest else "",
    )


def _of_lists(name: str, last: list[Any]) -> list[Figure]:
    metric, over, part, rest = parts(name)
    if metric == "largest_gradients":  # a table of its own
        return []
    title = ", ".join(filter(None, (titled(metric, over, rest), part.replace("_", " "))))
    if all(isinstance(row, list) for row in last) and last:
        if any(isinstance(each, list) or not isinstance(row, list) for row in last for each in row):
            return []
        whole = last[0] and all(len(row) == len(last[0]) for row in last)
        return [Matrix(title, last)] if whole else []
    if any(isinstance(each, list) for each in last):
        return []
    values = [Series("", last)]
    return [Values(title, last, _positive(values) and ("norm" in metric or _spreads(values)))]


def _learning_names() -> Iterable[str]:
    return (f"{s}_{what}" for s in ("train", "validation") for what in ("cost", "accuracy"))


def _scaled(value: Any, times: int) -> float | None:
    scaled = None if value is None or isinstance(value, list) else value * times
    return None if scaled is None or math.isinf(scaled) else scaled


def _numbers(series: Sequence[Series]) -> list[float]:
    return [value for each in series for value in each.values if value is not None]


def _positive(series: Sequence[Series]) -> bool:
    """Whether a logarithmic axis shows anything: no number is negative, and some are not 0."""
    numbers = _numbers(series)
    return bool(numbers) and min(numbers) >= 0 and max(numbers) > 0


def _spreads(series: Sequence[Series]) -> bool:
    numbers = _numbers(series)
    return bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= _SPREAD
