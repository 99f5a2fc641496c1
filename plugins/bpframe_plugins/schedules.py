"""Schedules: what eta is multiplied by, over the epochs."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import Array

from bpframe import EpochResult, Formula, Progress, Schedule, hookimpl, hyperparameter

BPFRAME_API_VERSION = 2


class _OfTime(Schedule):
    """A schedule that is a function of time alone: it has no state."""

    def init(self, dtype: Any) -> Any:
        """No state."""
        del dtype
        return ()

    def update(self, state: Any, result: EpochResult) -> Any:
        """No state."""
        del result
        return state


class Constant(_OfTime):
    """factor = 1: eta stays as it is. Source: Nielsen (2015), equation 20."""

    is_constant = True
    formula = Formula("1", "1")

    def factor(self, state: Any, progress: Progress) -> Array:
        """1."""
        del state
        return jnp.ones_like(progress.epoch)


class Step(_OfTime):
    """factor = decay^floor(t / every), t the epochs done. Source: He et al. (2016), section 4."""

    every: float = hyperparameter(default=10.0, gt=0)
    decay: float = hyperparameter(default=0.5, gt=0, le=1)

    formula = Formula("decay^floor(t / every)", r"\text{decay}^{\lfloor t / \text{every} \rfloor}")

    def factor(self, state: Any, progress: Progress) -> Array:
        """decay^floor(t / every)."""
        del state
        # A step counts as reached at t = every, also where rounding leaves t just below it.
        return self.decay ** jnp.floor(progress.epoch / self.every + 1e-5)


class Cosine(_OfTime):
    """factor = final + (1 - final) (1 + cos(pi s)) / 2, s the share of training that is done.

    In the first `warm_up` epochs the factor is k / K at the k-th of their K steps, counted from 1,
    or (t + d) / warm_up, t the epochs done and d the length of a step; s counts from their end.
    The first step after it has the full eta; the last one of training has a little more than
    `final`, since s is 1 only after it.
    Source: Loshchilov and Hutter (2017), equation 5, without restarts.
    """

    final: float = hyperparameter(default=0.0, ge=0, le=1)
    warm_up: float = hyperparameter(default=0.0, ge=0)

    formula = Formula(
        "(t + d) / T if t < T else final + (1 - final) (1 + cos(pi s)) / 2, T = warm_up",
        r"\frac{t + d}{T}\,[t < T] "
        r"+ (\text{final} + (1 - \text{final}) \tfrac12 (1 + \cos \pi s))\,[t \geq T]",
    )

    def factor(self, state: Any, progress: Progress) -> Array:
        """The cosine, or before it the rise."""
        del state
        t = progress.epoch
        length = jnp.maximum(progress.epochs - self.warm_up, 1e-6)
        s = jnp.clip((t - self.warm_up) / length, 0, 1)
        cosine = self.final + (1 - self.final) * 0.5 * (1 + jnp.cos(math.pi * s))
        rise = jnp.minimum(1, (t + progress.step) / jnp.maximum(self.warm_up, 1e-6))
        return jnp.where(t < self.warm_up, rise, cosine)


class WarmUp(_OfTime):
    """factor = start + (1 - start) min(1, t / epochs), t the epochs done after the step.

    So the k-th of the K steps of the warm-up, counted from 1, has start + (1 - start) k / K: the
    first is not lost, and the last is the first with the full eta.
    Source: Goyal et al. (2017), section 2.2, gradual warm-up. They start from the learning rate of
    one worker, which is start = 1 / workers.
    """

    epochs: float = hyperparameter(default=1.0, gt=0)
    start: float = hyperparameter(default=0.0, ge=0, le=1)

    formula = Formula(
        "start + (1 - start) min(1, (t + d) / epochs), d the length of a step",
        r"\text{start} + (1 - \text{start}) \min(1, (t + d) / \text{epochs})",
    )

    def factor(self, state: Any, progress: Progress) -> Array:
        """The rise, and then 1."""
        del state
        t = progress.epoch + progress.step
        return self.start + (1 - self.start) * jnp.minimum(1, t / self.epochs)


class Halve(Schedule):
    """factor is halved whenever validation accuracy has not improved in `patience` epochs.

    Where targets are no classes, it is the validation cost that has to fall. The count begins
    again after each halving; `decay` may be another number than 1/2. With
    stopping=small_eta training ends at 1/128, as the exercise asks. It is halved once an
    evaluation at most, which with training.evaluate_every may be rarer than `patience` allows.
    Source: Nielsen (2015), chapter 3, exercise on the learning schedule.
    """

    patience: int = hyperparameter(default=10, ge=1, leaf=True)
    decay: float = hyperparameter(default=0.5, gt=0, lt=1)

    formula = Formula(
        "decay^k after k times `patience` epochs without improvement",
        r"\text{decay}^k \text{ after } k \text{ times patience epochs without improvement}",
    )

    def init(self, dtype: Any) -> Any:
        """(factor 1, no best score yet, the epoch from which to count)."""
        return jnp.ones((), dtype), jnp.full((), -jnp.inf, dtype), jnp.zeros((), jnp.int32)

    def factor(self, state: Any, progress: Progress) -> Array:
        """The factor that the state holds."""
        del progress
        return state[0]

    def update(self, state: Any, result: EpochResult) -> Any:
        """Lower the factor when there were enough epochs without improvement."""
        factor, best, since = state
        improved = result.score > best
        since = jnp.where(improved, result.epoch, since)
        enough = result.epoch - since >= self.patience
        return (
            jnp.where(enough, factor * self.decay, factor),
            jnp.maximum(best, result.score),
            jnp.where(enough, result.epoch, since),
        )


@hookimpl
def bpframe_schedules() -> dict[str, type[Schedule]]:
    """The schedules by name."""
    return {
        "constant": Constant,
        "step": Step,
        "halve": Halve,
        "cosine": Cosine,
        "warm_up": WarmUp,
    }
