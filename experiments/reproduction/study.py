"""A study: a sweep, the rows that are made of it and judged, and its figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from reproduction.rules import Rule, Within
from reproduction.runs import Runs


@dataclasses.dataclass(frozen=True)
class Row:
    """A quantity as it came out, beside what the book says of it.

    Attributes:
        quantity: what it is, such as "784-30-10, eta 3.0: best accuracy".
        values: one a seed.
        rule: by which it is judged.
        book: the book's figure in the same unit; None where a theory stands in its place.
        unit: "%", or nothing.
        digits: digits after the point when printed; None prints 3 significant digits.
        source: such as "chapter 1".
        reason: why it disagrees, where it does and that was found out.

    Raises:
        ValueError: there are no values or no numbers, or the rule is about another figure than
            the book's.

    """

    quantity: str
    values: tuple[float, ...]
    rule: Rule
    book: float | None = None
    unit: str = ""
    digits: int | None = 2
    source: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(map(float, self.values)))
        if self.book is not None:
            object.__setattr__(self, "book", float(self.book))
        if not self.values:
            raise ValueError(f"{self.quantity}: has no values")
        if isinstance(self.rule, Within) and self.book not in (None, self.rule.figure):
            raise ValueError(
                f"{self.quantity}: the book has {self.book}, and the rule {self.rule.figure}"
            )

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.values))

    @property
    def std(self) -> float:
        """The standard deviation over seeds (n - 1 in its denominator); 0 of one value."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0

    @property
    def low(self) -> float:
        """The smallest value."""
        return float(np.min(self.values))

    @property
    def high(self) -> float:
        """The largest value."""
        return float(np.max(self.values))

    @property
    def agrees(self) -> bool:
        """Whether the values keep the rule."""
        return self.rule.agrees(self.values)

    @property
    def verdict(self) -> str:
        """The same as a word."""
        return "agrees" if self.agrees else "disagrees"

    @property
    def is_explained(self) -> bool:
        """Whether it agrees, or disagrees for a stated reason."""
        return self.agrees or bool(self.reason)


@dataclasses.dataclass(frozen=True)
class NotRun:
    """A quantity of the book that nobody has run here, so that there is nothing to judge.

    Attributes:
        quantity: what it is.
        command: what runs it.
        book: the book's figure.
        unit: as in `Row`.
        digits: likewise.
        source: likewise.

    """

    quantity: str
    command: str
    book: float
    unit: str = ""
    digits: int | None = 2
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Study:
    """What experiments/NAME/study.py has as its STUDY; the sweep is conf/experiment/NAME.yaml.

    Attributes:
        name: NAME.
        place: its place among the studies, from 1.
        title: what it is about.
        rows: makes the rows of the runs, and of what was not run; the second argument says whether
            the run was a quick one.
        draw: draws into an empty figure with a constrained layout.
        question: what is asked, in a line.
        shows: what is to be seen in the figure, in a sentence that stands on top of it.
        figsize: inches.
        quick: overrides that make the sweep short.
        command: arguments of bpframe before the overrides, for studies whose configuration is
            elsewhere.

    """

    name: str
    place: int
    title: str
    rows: Callable[[Runs, bool], Sequence[Row | NotRun]]
    draw: Callable[[Runs, Figure], None]
    question: str = ""
    shows: str = ""
    figsize: tuple[float, float] = (9, 4)
    quick: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
