"""Rules that judge what came out over seeds against what the book or a theory says."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np


class Rule(ABC):
    """A rule for values over seeds; it never agrees with a NaN, or with no values at all."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The rule in words, as the tables print it."""

    def agrees(self, values: Sequence[float] | np.ndarray) -> bool:
        """Whether (runs,) values keep the rule."""
        array = np.asarray(values, float)
        return array.size > 0 and not np.isnan(array).any() and self.holds(array)

    @abstractmethod
    def holds(self, values: np.ndarray) -> bool:
        """Whether (runs,) numbers, at least one, keep the rule."""


@dataclasses.dataclass(frozen=True)
class Within(Rule):
    """min - by <= figure <= max + by, to rounding, of what was observed."""

    figure: float
    by: float = 0.0

    @property
    def text(self) -> str:
        """Such as "95.42 in [min - 0.3, max + 0.3]"."""
        low, high = (f"min - {self.by:g}", f"max + {self.by:g}") if self.by else ("min", "max")
        return f"{self.figure:g} in [{low}, {high}]"

    def holds(self, values: np.ndarray) -> bool:
        """Whether the figure lies among the values, or not further out than `by`."""
        low, high = float(values.min()) - self.by, float(values.max()) + self.by
        at_an_end = any(math.isclose(self.figure, end, rel_tol=1e-12) for end in (low, high))
        return low <= self.figure <= high or at_an_end


@dataclasses.dataclass(frozen=True)
class AtMost(Rule):
    """Every value <= bound."""

    bound: float

    @property
    def text(self) -> str:
        """Such as "all <= 1e-12"."""
        return f"all <= {self.bound:g}"

    def holds(self, values: np.ndarray) -> bool:
        """Whether no value is larger than the bound."""
        return bool((values <= self.bound).all())


@dataclasses.dataclass(frozen=True)
class Between(Rule):
    """Low <= every value <= high."""

    low: float
    high: float

    @property
    def text(self) -> str:
        """Such as "all in [0.9, 1.1]"."""
        return f"all in [{self.low:g}, {self.high:g}]"

    def holds(self, values: np.ndarray) -> bool:
        """Whether no value lies outside, the ends being inside."""
        return bool(((self.low <= values) & (values <= self.high)).all())
