"""Stopping rules: whether to end training before its last epoch."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from bpframe import EpochResult, Formula, Stopping, hookimpl, hyperparameter

BPFRAME_API_VERSION = 2


class Never(Stopping):
    """All epochs are trained."""

    formula = Formula("never", r"\text{never}")

    def init(self, dtype: Any) -> Any:
        """No state."""
        del dtype
        return ()

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        """False."""
        del result
        return state, jnp.zeros((), bool)


class NoImprovement(Stopping):
    """Stop when validation accuracy has not improved in `patience` epochs.

    An improvement is a rise above the best so far by more than `least`, a share from 0 to 1. Where
    targets are no classes, it is a fall of the validation cost by more than `least`. With
    training.evaluate_every it is seen when it is evaluated, and epochs are counted all the same.
    Source: Nielsen (2015), chapter 3, no-improvement-in-n.
    """

    patience: int = hyperparameter(default=10, ge=1, leaf=True)
    least: float = hyperparameter(default=0.0, ge=0, lt=1)

    formula = Formula(
        "after `patience` epochs without improvement",
        r"\text{after patience epochs without improvement}",
    )

    def init(self, dtype: Any) -> Any:
        """(no best score yet, the epoch in which it was reached)."""
        return jnp.full((), -jnp.inf, dtype), jnp.zeros((), jnp.int32)

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        """Stop when there were enough epochs without improvement."""
        best, since = state
        improved = result.score > best + self.least
        best = jnp.where(improved, result.score, best)
        since = jnp.where(improved, result.epoch, since)
        return (best, since), result.epoch - since >= self.patience


class SmallEta(Stopping):
    """Stop when the schedule has brought eta down to `factor` of its largest value, or below.

    So an eta that only rises, as in a warm-up, does not end training.
    Source: Nielsen (2015), chapter 3, exercise on the learning schedule, with 1/128.
    """

    factor: float = hyperparameter(default=1 / 128, gt=0, lt=1)

    formula = Formula(
        "when eta is at most `factor` of its largest value",
        r"\eta \le \text{factor}\,\max \eta",
    )

    def init(self, dtype: Any) -> Any:
        """The largest factor so far."""
        return jnp.zeros((), dtype)

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        """Whether the factor is small enough."""
        largest = jnp.maximum(state, jnp.maximum(result.factor_before, result.factor))
        # Seven halvings are 1/128 exactly; other decays may end a rounding above it.
        return largest, result.factor <= self.factor * (1 + 1e-6) * largest


@hookimpl
def bpframe_stopping() -> dict[str, type[Stopping]]:
    """The stopping rules by name."""
    return {"never": Never, "no_improvement": NoImprovement, "small_eta": SmallEta}
