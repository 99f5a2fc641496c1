"""Tasks: what the answer to an example is, whether it is right, and so what is measured.

A task belongs to the data. Whoever loads examples names it (`Examples.task`); where nobody does, it
follows from the training targets (`implied`).
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.component import Component
from bpframe.errors import ExamplesError


class Task(Component, ABC):
    """What an answer is, and whether it is right; written for one example.

    The class is static structure, so that a program holds what its task needs and no more.

    Attributes:
        names: what classes, or outputs that are none, are called, in their order; empty where they
            have no names but their numbers.

    """

    names: tuple[Any, ...] = dataclasses.field(default=(), kw_only=True)

    has_accuracy: ClassVar[bool] = True
    """Whether an answer is right or wrong, so that there is a share of right answers."""
    has_classes: ClassVar[bool] = False
    """Whether an answer is one class, numbered from 0."""

    def fitted(self, y: np.ndarray) -> Task:
        """The task for these targets, class labels (n,) or rows (n, n_out).

        Raises:
            DataError: they are no targets of such a task; the message says what is wrong.

        """
        del y
        return self

    @abstractmethod
    def answer(self, outputs: Array, boundary: float | None = None) -> Array:
        """What outputs, or targets, (n_out,) say: integers where `has_accuracy`, of any shape.

        `boundary` is the cost's `decision_boundary`; None for targets, and where it has none.
        """

    def is_right(self, answer: Array, target: Array) -> Array:
        """Whether an answer is what the target says, a boolean scalar: in all parts."""
        return jnp.all(answer == target)


class Classification(Task):
    """One class of several: the largest of the outputs.

    A single output tells two classes apart: it answers 1 above the cost's `decision_boundary`, or
    above `middle`, which lies between the two targets: 0.5 for 0 and 1, 0 for -1 and 1.
    """

    middle: float = 0.5

    has_classes = True

    def fitted(self, y: np.ndarray) -> Task:
        """With the `middle` of the targets of a single output; see `Task.fitted`.

        Rows of several targets have their class in the largest, which no other equals, or are
        distributions.
        """
        found = implied(y)
        if isinstance(found, Classification):
            return dataclasses.replace(self, middle=found.middle)
        if y.shape[1] == 1:
            raise ExamplesError(_not_two("classification with one output", y))
        ordered = np.sort(y, axis=1)
        if (tied := ordered[:, -1] == ordered[:, -2]).any():
            raise ExamplesError(
                f"classification has one largest target for each example, and row {tied.argmax()} "
                "has several; choose multi_label, or regression"
            )
        return self

    def answer(self, outputs: Array, boundary: float | None = None) -> Array:
        """argmax_j a_j; of a single output, 1 if it lies above the limit, else 0."""
        if outputs.shape[0] > 1:
            return jnp.argmax(outputs).astype(jnp.int32)
        return _above(outputs, self.middle, boundary)[0]


class MultiLabel(Task):
    """Several labels at once: each output is a yes or no of its own.

    An output says yes above the cost's `decision_boundary`, or above `middle`, which lies between
    the two values that targets have. An example counts as right if all of its labels are, so that
    accuracy stays a share of examples (subset accuracy): the share of right labels looks high
    wherever most labels are absent.
    """

    middle: float = 0.5

    def fitted(self, y: np.ndarray) -> Task:
        """With the `middle` of the targets; see `Task.fitted`."""
        if y.ndim == 1:
            raise ExamplesError(
                "multi_label has targets (n, n_out), a yes or no for each output, and found class "
                "labels (n,); choose classification"
            )
        low, high = y.min(), y.max()
        if not np.isin(y, (low, high)).all():
            raise ExamplesError(_not_two("multi_label", y))
        return dataclasses.replace(
            self, middle=0.5 if {low, high} <= {0, 1} else float(low + high) / 2
        )

    def answer(self, outputs: Array, boundary: float | None = None) -> Array:
        """1 for yes and 0 for no, (n_out,)."""
        return _above(outputs, self.middle, boundary)


class Regression(Task):
    """Numbers: no answer is right or wrong, and runs are compared by the validation cost.

    Attributes:
        mean: of each output over the training set, where targets were standardised; else empty.
        deviation: likewise.

    """

    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    has_accuracy = False

    @classmethod
    def standardising(cls, y: np.ndarray, names: tuple[Any, ...] = ()) -> Regression:
        """The task whose `encoded` gives these targets, (n, n_out), mean 0 and deviation 1."""
        deviation = y.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        return cls(tuple(y.mean(axis=0).tolist()), tuple(deviation.tolist()), names=names)

    def encoded(self, y: np.ndarray) -> np.ndarray:
        """Targets (n, n_out) as the network is to meet them."""
        return (y - np.array(self.mean)) / np.array(self.deviation) if self.mean else y

    def decoded(self, y: np.ndarray) -> np.ndarray:
        """The targets of which `encoded` has made these."""
        return y * np.array(self.deviation) + np.array(self.mean) if self.mean else y

    def fitted(self, y: np.ndarray) -> Task:
        """The task itself; see `Task.fitted`."""
        if y.ndim == 1:
            raise ExamplesError(
                "regression has targets (n, n_out), and found class labels (n,); give a column for "
                "each output"
            )
        return self

    def answer(self, outputs: Array, boundary: float | None = None) -> Array:
        """The outputs, in the units that targets had before they were standardised."""
        del boundary
        if not self.mean:
            return outputs
        mean, deviation = (
            jnp.stack([jnp.asarray(v) for v in s]) for s in (self.mean, self.deviation)
        )
        return outputs * deviation.astype(outputs.dtype) + mean.astype(outputs.dtype)


def implied(y: np.ndarray) -> Task:
    """The task that training targets imply: classes, where they look like it, else regression.

    Classes are integer labels, a single output with two values, rows in which one output has one
    value and all others another, and distributions, whose largest entry is the class.
    """
    if y.ndim == 1 or not len(y):
        return Classification()
    if y.shape[1] == 1:
        low, high = y.min(), y.max()
        two = np.isin(y, (low, high)).all()
        return Classification(middle=float(low + high) / 2) if two else Regression()
    ordered = np.sort(y, axis=1)
    low, high = ordered[0, 0], ordered[0, -1]
    one_of_many = (ordered[:, :-1] == low).all() and (ordered[:, -1] == high).all() and high > low
    distributions = (y >= 0).all() and np.allclose(y.sum(1), 1, atol=1e-2)
    return Classification() if one_of_many or distributions else Regression()


def _above(outputs: Array, middle: float, boundary: float | None) -> Array:
    """1 for each output above the limit, which is `middle` unless there is a boundary."""
    limit = jnp.asarray(middle if boundary is None else boundary).astype(outputs.dtype)
    return (outputs > limit).astype(jnp.int32)


def _not_two(kind: str, y: np.ndarray) -> str:
    values = np.unique(y)
    shown = ", ".join(f"{value:g}" for value in values[:3])
    return f"{kind} has targets of two values, and found {len(values)}: {shown}" + (
        ", ...; choose regression" if len(values) > 3 else "; choose regression"
    )
