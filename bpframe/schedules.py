"""The contracts of schedules and stopping rules: what eta is over time, and when training ends.

Both run inside the compiled program. Their state goes in and comes out as a pytree of arrays whose
structure, shapes and dtypes never change, and they branch on no value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from jax import Array

from bpframe.component import Component
from bpframe.contracts import Formula


class Progress(NamedTuple):
    """How far training has come, as scalars.

    Attributes:
        epoch: epochs done, with the fraction of the current one: 0 before the first step.
        epochs: epochs planned.
        step: how long one step is, in epochs: 1 / (steps an epoch).

    """

    epoch: Array
    epochs: float
    step: float


class EpochResult(NamedTuple):
    """What an epoch gave, as scalars on the device; see `EpochRecord` for their meaning.

    Attributes:
        epoch: epochs done, counted from 1. With `training.evaluate_every` it rises by more than 1
            from one result to the next.
        train_cost: mean cost of a training example.
        validation_cost: mean cost of a validation example.
        train_accuracy: share of right answers; NaN where there is none, as in regression.
        validation_accuracy: share of right answers; NaN likewise.
        score: what is to rise: validation accuracy, or minus the validation cost where there is
            none.
        factor: what the schedule makes of eta at the start of the next epoch.
        factor_before: what it made of eta at the first step since the last result.

    """

    epoch: Array
    train_cost: Array
    validation_cost: Array
    train_accuracy: Array
    validation_accuracy: Array
    score: Array
    factor: Array
    factor_before: Array


class Schedule(Component, ABC):
    """The learning rate over time: every step is made with eta times `factor`.

    It needs an optimiser with a field `eta`, which is what the factor multiplies.
    """

    is_constant: ClassVar[bool] = False
    """Whether the factor is 1 at all times, so that eta need not be touched."""
    formula: ClassVar[Formula | None] = None

    @abstractmethod
    def init(self, dtype: Any) -> Any:
        """The state before the first epoch, any pytree of arrays; floats in `dtype`."""

    @abstractmethod
    def factor(self, state: Any, progress: Progress) -> Array:
        """What eta is multiplied by at this step: a scalar, at least 0, and not 0 at the first."""

    @abstractmethod
    def update(self, state: Any, result: EpochResult) -> Any:
        """The state after an epoch; structure, shapes and dtypes are kept."""


class Stopping(Component, ABC):
    """Whether to end training before its last epoch."""

    formula: ClassVar[Formula | None] = None

    @abstractmethod
    def init(self, dtype: Any) -> Any:
        """The state before the first epoch, any pytree of arrays; floats in `dtype`."""

    @abstractmethod
    def update(self, state: Any, result: EpochResult) -> tuple[Any, Array]:
        """The state after an epoch, and whether to stop: a boolean scalar."""
