"""Stopping rules: whether to end training before its last epoch."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from bpframe import EpochResult, Formula, Stopping, hookimpl, hyperparameter

BPFRAME_API_VERSION = 1


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

    An improvement is a rise above the best so far by more than `least`, a share from 0 to 1.
    Source: Nielsen (2015), chapter 3, no-improvement-in-n.
    """

    patience: int = hyperparameter(default=10, ge=1, leaf=True)
    least: float = hyperparameter(default=0.0, ge=0, lt=1)

    formula = Formula(
        "after `patience` epochs without improvement",
        r"\text{after patience epochs without improvement}",
    )

    def init(self, dtype: Any) -> Any:
        """(no best accuracy yet, 0 epochs without improvement)."""
        return -jnp.ones((), dtype), jnp.zeros((), jnp.int32)

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        """Count an epoch without improvement; stop when there are enough."""
        best, waited = state
        improved = result.validation_accuracy > best + self.least
        best = jnp.where(improved, result.validation_accuracy, best)
        waited = jnp.where(improved, 0, waited + 1)
        return (best, waited), waited >= self.patience


class SmallEta(Stopping):
    """Stop when the schedule has brought eta down to `factor` of what it was, or below.

    Source: Nielsen (2015), chapter 3, exercise on the learning schedule, with 1/128.
    """

    factor: float = hyperparameter(default=1 / 128, gt=0, lt=1)

    formula = Formula(
        "when eta is at most `factor` of what it was", r"\eta \le \text{factor}\,\eta_0"
    )

    def init(self, dtype: Any) -> Any:
        """No state."""
        del dtype
        return ()

    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        """Whether the factor is small enough."""
        # Seven halvings are 1/128 exactly; other decays may end a rounding above it.
        return state, result.factor <= self.factor * (1 + 1e-6)


@hookimpl
def bpframe_stopping() -> dict[str, type[Stopping]]:
    """The stopping rules by name."""
    return {"never": Never, "no_improvement": NoImprovement, "small_eta": SmallEta}
