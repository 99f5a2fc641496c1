"""A trained network that is asked: answers, figures, gradients and deltas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bpframe import equations
from bpframe.contracts import LayerParams, Trace
from bpframe.data import Examples
from bpframe.errors import DataError, plainly
from bpframe.learning import BatchGradient
from bpframe.runs import inputs
from bpframe.runs.data_info import DataInfo
from bpframe.tables.streamed import targets_of
from bpframe.tasks import Task
from bpframe.training import answers
from bpframe.training.experiment import Experiment
from bpframe.training.precision import precision, wide_dtype


class Evaluation(NamedTuple):
    """How good answers are.

    Attributes:
        cost: the mean cost per example, with the penalty of the regulariser as in training.
        accuracy: the share of right answers; None where none is right or wrong.
        rmse: in a regression the root of the mean squared error, over examples and outputs, in the
            units of the targets; else None.

    """

    cost: float
    accuracy: float | None
    rmse: float | None = None


class Trained(ABC):
    """What was trained.

    Inputs of all methods are as the data set has them: they are scaled, and columns are encoded, as
    in training. One example, without the axis m, is allowed everywhere. With `best` the answer is
    that of the parameters after the best epoch, else of those after the last.
    """

    @property
    @abstractmethod
    def experiment(self) -> Experiment:
        """What was run."""

    @property
    @abstractmethod
    def task(self) -> Task:
        """What an answer is."""

    @property
    @abstractmethod
    def _info(self) -> DataInfo:
        """What is known of the data."""

    @abstractmethod
    def _chosen(self, best: bool) -> tuple[LayerParams, ...]:
        """The best parameters, or the last."""

    @abstractmethod
    def _test_set(self) -> Examples:
        """The examples of the test set, as they were trained on."""

    @plainly
    def predict(self, x: Any, *, best: bool = False) -> np.ndarray:
        """What the network answers to each example: (m,) classes by their names, or numbers.

        For several labels these are 0 and 1, (m, n_out); in a regression the outputs, (m, n_out),
        or (m,) where there is one.

        Args:
            x: (m, ...) inputs of the shape of those of the data set, or flat; or, if these were
                columns of a table, a frame with them.
            best: whether to answer with the best parameters.

        Raises:
            DataError: x is of another shape, or lacks a column.

        """
        examples, is_one = self._examples(x, None)
        task = self.task
        _, said = answers.outputs_and_answers(self._ready, self._chosen(best), examples)
        if task.has_classes:
            found = np.asarray(task.names)[said] if task.names else said
        else:
            found = said[:, 0] if said.shape[1] == 1 else said
        return found[0] if is_one else found

    @plainly
    def outputs(self, x: Any, *, best: bool = False) -> np.ndarray:
        """The output activations a^L, (m, n_out); see `predict`."""
        examples, is_one = self._examples(x, None)
        found = answers.outputs_and_answers(self._ready, self._chosen(best), examples)[0]
        return found[0] if is_one else found

    @plainly
    def evaluate(self, x: Any = None, y: Any = None, *, best: bool = False) -> Evaluation:
        """Cost and accuracy over examples; without any, over the test set of the run.

        Args:
            x: see `predict`.
            y: their targets: classes (m,) as `predict` has them, or numbers (m, n_out).
            best: whether to answer with the best parameters.

        Raises:
            DataError: they are no examples for this network.

        """
        return self._evaluated(self._asked(x, y), best)

    def _evaluated(self, examples: Examples, best: bool) -> Evaluation:
        for targets in targets_of(examples):
            self.experiment.cost.cost_function.check_targets(targets, "y")
        params = self._chosen(best)
        found = answers.totals(self._ready, params, examples, self._info.n_train)
        accuracy = None if found.correct is None else int(found.correct) / len(examples)
        rmse = answers.rmse(self._ready, params, examples, self.task)
        return Evaluation(float(found.cost), accuracy, rmse)

    @plainly
    def confusion(self, x: Any = None, y: Any = None, *, best: bool = False) -> np.ndarray:
        """How often each class was answered, (classes, classes): the right one down.

        Args:
            x: see `evaluate`.
            y: likewise.
            best: whether to answer with the best parameters.

        Raises:
            DataError: answers are no classes, or these are no examples for this network.

        """
        task = self.task
        if not task.has_classes:
            raise DataError(f"confusion: the answers of {type(task).__name__} are no classes")
        examples = self._asked(x, y)
        said = answers.outputs_and_answers(self._ready, self._chosen(best), examples)[1]
        right = examples.y
        if right.ndim == 2:
            right = np.asarray(jax.vmap(task.answer)(jnp.asarray(right)))
        counts = np.zeros((max(2, examples.n_out),) * 2, int)
        np.add.at(counts, (right, said), 1)
        return counts

    def _asked(self, x: Any, y: Any) -> Examples:
        """Examples that were given, or the test set."""
        if (x is None) != (y is None):
            raise DataError("x and y belong together; give both, or none for the test set")
        return self._test_set() if x is None else self._examples(x, y)[0]

    @plainly
    def forward(self, x: Any, *, best: bool = False) -> Trace:
        """All weighted inputs z^l and activations a^l, (m, ...); see `predict`."""
        examples, is_one = self._examples(x, None)
        network = self.experiment.network
        with precision(self.experiment.training.dtype):
            rows = self._wide(examples.x.reshape(len(examples), *network.shape))
            params = jax.tree.map(self._wide, self._chosen(best))
            found = jax.vmap(lambda row: equations.forward(network, params, row))(rows)
            return jax.tree.map(lambda a: a[0], found) if is_one else found

    @plainly
    def gradient(self, x: Any, y: Any, *, best: bool = False) -> BatchGradient:
        """The gradient of the cost by backpropagation, with the delta of every layer and example.

        Args:
            x: see `predict`.
            y: see `evaluate`.
            best: whether to take it at the best parameters.

        Raises:
            DataError: they are no examples for this network.

        """
        examples = self._examples(x, y)[0]
        targets = examples.y
        if targets.ndim == 1:
            targets = np.eye(examples.n_out)[targets]
        with precision(self.experiment.training.dtype):
            return equations.gradient(
                self.experiment.network,
                self.experiment.cost,
                jax.tree.map(self._wide, self._chosen(best)),
                self._wide(examples.x.reshape(len(examples), -1)),
                self._wide(targets),
            )

    @property
    def _ready(self) -> Experiment:
        return self.experiment.fitted(self._info.n_train)

    def _wide(self, array: Any) -> jax.Array:
        return jnp.asarray(array, wide_dtype(self.experiment.training.dtype))

    def _examples(self, x: Any, y: Any) -> tuple[Examples, bool]:
        return inputs.examples(x, y, self._info, self.task)
