"""The numbers of a row as the tables print them."""

from __future__ import annotations

from reproduction.study import NotRun, Row


def number(row: Row | NotRun, value: float) -> str:
    """A value in the digits of its row."""
    return f"{value:.3g}" if row.digits is None else f"{value:.{row.digits}f}"


def book(row: Row | NotRun) -> str:
    """The book's figure with its unit; nothing where there is none."""
    return "" if row.book is None else f"{number(row, row.book)} {row.unit}".strip()


def ours(row: Row) -> str:
    """The mean ± the standard deviation [min, max] with the unit; one value stands alone."""
    if len(row.values) == 1:
        return f"{number(row, row.mean)} {row.unit}".strip()
    mean, std, low, high = (number(row, value) for value in (row.mean, row.std, row.low, row.high))
    return f"{mean} ± {std} [{low}, {high}] {row.unit}".strip()


def duration(seconds: float) -> str:
    """Seconds to three digits, such as 4.52, 61.3, 12,400."""
    rounded = float(f"{seconds:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:.3g}"
