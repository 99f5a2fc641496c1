"""Curves of many epochs, thinned to what a page can hold and a reader can see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

TOTAL = 12_000
"""The most points of all curves of a page."""
FEWEST = 16
"""The points that a curve has left, however many there are."""
T = TypeVar("T")


class Points(NamedTuple):
    """The places of the values that are kept, in order."""

    places: list[int]
    all_kept: bool


def allowed(curves: int) -> int:
    """How many points each of so many curves may have."""
    return max(FEWEST, TOTAL // max(curves, 1))


def thinned(values: Sequence[float | None], most: int, kept: Sequence[int] = ()) -> Points:
    """Keep the lowest and the highest value of each stretch, both ends, and the places `kept`.

    So no peak is lost. A gap stays one: the first value that is None of a stretch is kept.
    """
    if len(values) <= most:
        return Points(list(range(len(values))), all_kept=True)
    stretches = max(1, (most - 2) // 3)
    length = math.ceil(len(values) / stretches)
    places = {0, len(values) - 1, *kept}
    for start in range(0, len(values), length):
        stretch = range(start, min(start + length, len(values)))
        finite = [(values[place], place) for place in stretch if values[place] is not None]
        if finite:
            places |= {min(finite)[1], max(finite)[1]}  # pyright: ignore[reportArgumentType]
        if len(finite) < len(stretch):
            places.add(next(place for place in stretch if values[place] is None))
    return Points(sorted(places), all_kept=False)


def chosen(items: Sequence[T], most: int) -> Sequence[T]:
    """All items, or evenly chosen ones, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
