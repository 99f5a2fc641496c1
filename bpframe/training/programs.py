"""The compiled programs of one run: lowered and compiled once, before its first epoch."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jax import Array

from bpframe.contracts import Params
from bpframe.data import Data
from bpframe.metrics import SPLITS
from bpframe.training import devices, epoch, evaluation, initial_state, metric_folds, steering
from bpframe.training.epoch import Epoch
from bpframe.training.experiment import Experiment
from bpframe.training.metric_folds import Totals
from bpframe.training.precision import wide_dtype
from bpframe.training.step import State


class Programs:
    """The examples on the device, the initial state, and what was compiled for them.

    `seconds` is how long drawing the initial state and compiling took.
    """

    def __init__(self, experiment: Experiment, data: Data) -> None:
        self.experiment = experiment
        self.n_train = len(data.train)
        dtype = experiment.training.dtype
        self.sets = {
            split: devices.to_device(examples, dtype) for split, examples in data._asdict().items()
        }
        self._n = np.asarray(self.n_train, wide_dtype(dtype))
        started = time.perf_counter()
        self.initial = initial_state.initial_state(experiment, initial_state.exact(experiment))
        self._compile()
        self.seconds = time.perf_counter() - started

    def train(self, state: State, orders: np.ndarray) -> Epoch:
        """The epochs up to the next one that is evaluated, in `orders` (epochs, n).

        See `training.train_epochs`.
        """
        unused = np.zeros((self._most - len(orders), self.n_train), np.int32)
        filled = np.concatenate([orders, unused])
        return self._train(self.experiment, state, self.sets["train"], filled, len(orders))

    def evaluate(self, split: str, params: tuple[Params, ...]) -> Totals:
        """Cost and right answers over a split; see `training.evaluate`."""
        return self._evaluate[split](self.experiment, params, self.sets[split], self._n)

    def measure(self, state: State) -> Mapping[str, Array]:
        """The columns of all metrics over splits; see `training.measure`."""
        columns: OrderedDict[str, Array] = OrderedDict()  # a dict would be sorted on its way
        for split, program in self._measure.items():
            columns.update(program(self.experiment, state, self.sets[split]))
        return columns

    def after_epoch(self, state: State, train: Totals, validation: Totals) -> tuple[State, Array]:
        """The state once schedule and stopping rule have seen the epoch, and whether to stop."""
        steered, stop = self._after_epoch(
            self.experiment, state.steering, state.step, train, validation
        )
        return state._replace(steering=steered), stop

    def _compile(self) -> None:
        experiment, state, sets = self.experiment, self.initial, self.sets
        self._most = experiment.training.next_evaluated(0)
        orders = np.zeros((self._most, self.n_train), np.int32)
        self._train: Callable[..., Any] = epoch.epochs.lower(
            experiment, state, sets["train"], orders, self._most
        ).compile()
        asked = experiment.training.evaluate_train or experiment.training.evaluate_start
        evaluated = SPLITS if asked else ("validation", "test")
        self._evaluate = {
            split: evaluation.evaluate.lower(
                experiment, state.params, sets[split], self._n
            ).compile()
            for split in evaluated
        }
        self._measure = {
            split: evaluation.measure.lower(experiment, state, sets[split], over=split).compile()
            for split in SPLITS
            if metric_folds.portions(experiment, split)
        }
        wide = wide_dtype(experiment.training.dtype)
        totals = Totals(np.zeros((), wide), np.zeros((), np.int32))  # pyright: ignore[reportArgumentType]
        self._after_epoch: Callable[..., Any] = steering.after_epoch.lower(
            experiment,
            state.steering,
            state.step,
            totals,
            totals,
            n_train=self.n_train,
            n_validation=sets["validation"].x.shape[0],
        ).compile()
