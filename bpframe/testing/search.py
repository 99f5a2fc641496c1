"""Inputs that Hypothesis searches: values of all magnitudes; a finding is shrunk to the smallest.

A check states a property as a function of one input that raises CheckFailedError where it does not
hold. Values come many at a time, as a vector, since a compiled program takes as long for one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bpframe.testing.outcome import CheckFailedError

WIDTH = 32
"""Values in a vector."""


class Effort(NamedTuple):
    """How long to search.

    Attributes:
        seed: of the search: another seed looks elsewhere.
        examples: inputs to try for each property of each instance.

    """

    seed: int = 0
    examples: int = 12

    @classmethod
    def deep(cls, seed: int = 0) -> Effort:
        """Thirty times as many."""
        return cls(seed, 30 * cls().examples)


QUICK = Effort()


def search(effort: Effort, inputs: st.SearchStrategy[Any], holds: Callable[[Any], None]) -> None:
    """Try `holds` on many inputs, and raise what it raises for the smallest that fails."""

    @seed(effort.seed)
    @settings(
        max_examples=effort.examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=tuple(HealthCheck),  # pyright: ignore[reportArgumentType]
    )
    @given(inputs)
    def tried(value: Any) -> None:
        holds(value)

    try:
        tried()
    except CheckFailedError as error:
        error.__notes__ = []  # Hypothesis tells how to call it again, which a user cannot
        raise


def search_instances(subject: Any, inputs: Any, holds: Callable[[Any, Any], None]) -> None:
    """Try `holds(input, instance)` for the instances of a subject.

    `inputs` is a strategy, or gives one for an instance.
    """
    chosen = st.sampled_from(subject.searched)
    make: Any = inputs if callable(inputs) else lambda _: inputs
    pairs = chosen.flatmap(lambda instance: st.tuples(make(instance), st.just(instance)))
    effort = subject.effort
    more = effort._replace(examples=effort.examples * min(len(subject.searched), 3))
    search(more, pairs, lambda pair: holds(*pair))


@functools.cache
def magnitudes(largest: float = 1e30, smallest: float = 1e-30) -> st.SearchStrategy[float]:
    """Numbers of both signs and all magnitudes, ordinary ones first, and 0."""
    low, high = int(np.floor(np.log10(smallest))), int(np.floor(np.log10(largest)))
    ordinary = st.integers(-800, 800).map(lambda n: n / 100)
    wide = st.builds(
        lambda sign, mantissa, exponent: sign * mantissa / 8 * 10.0**exponent,
        st.sampled_from([1, -1]),
        st.integers(8, 79),
        st.integers(low, high - 1),
    )
    return st.one_of(ordinary, wide)


@functools.cache
def vectors(largest: float = 1e30, n: int = WIDTH) -> st.SearchStrategy[np.ndarray]:
    """(n,) of them in float64."""
    return arrays(np.float64, n, elements=magnitudes(largest), fill=st.just(0.0))
