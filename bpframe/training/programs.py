"""The compiled programs of one run: lowered and compiled once, before its first epoch."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.data import Data
from bpframe.training import devices, evaluation, initial_state, parallel, probes
from bpframe.training.compilation import EPOCH_OPTIONS
from bpframe.training.experiment import Experiment
from bpframe.training.metric_folds import Totals
from bpframe.training.orders import epoch_orders, padded
from bpframe.training.portions import longest_portion
from bpframe.training.precision import precision, wide_dtype
from bpframe.training.probes import Kept, Watch
from bpframe.training.step import State, answering
from bpframe.training.turn import Evaluated, Trained, train, turn

# To take new memory for what recorders keep costs more than to keep it; see docs/design.md.
_turn, _train = (
    jax.jit(program, donate_argnames="kept", compiler_options=EPOCH_OPTIONS)
    for program in (turn, train)
)


class Programs:
    """The examples on the device, the initial state, and what was compiled for them.

    `most` is how many epochs can be trained at a time, and `seconds` how long drawing the initial
    state and compiling took.
    """

    def __init__(self, experiment: Experiment, data: Data) -> None:
        self.n_train = len(data.train)
        self.sizes = {split: len(examples) for split, examples in data._asdict().items()}
        self.experiment = experiment.fitted(self.n_train)
        dtype = experiment.training.dtype
        self.sets = {
            split: devices.to_device(examples, dtype, parallel.everywhere())
            for split, examples in data._asdict().items()
        }
        self.train = self.sets["train"]
        self._n = np.asarray(self.n_train, wide_dtype(dtype))
        self.most = longest_portion(self.experiment, self.n_train)
        started = time.perf_counter()
        self._kept: Kept = ()
        self.initial, self._compiled = self._compile()
        self.seconds = time.perf_counter() - started

    def turn(
        self, state: State, epochs: range, *, evaluated: bool
    ) -> tuple[State, Evaluated | Trained]:
        """Some epochs, whose last is evaluated or not; see `turn`."""
        orders = epoch_orders(self.experiment, epochs, self.n_train)
        name = ("turn" if evaluated else "train") if epochs else "start"
        given = padded(orders, self.most) if epochs else orders
        rows = probes.rows(self.experiment, epochs, self.n_train, len(given))
        kept = self._kept if epochs else None
        state, outcome = self._compiled[name](
            *(self.experiment, state, given, len(epochs), self.sets, rows, kept)
        )
        if epochs:
            self._kept = outcome.kept
        return state, outcome

    def test(self, state: State) -> Totals:
        """Cost and right answers over the test set; see `evaluation.evaluate`."""
        wide = answering(self.experiment, state)
        return self._compiled["test"](self.experiment, wide, self.sets["test"], self._n)

    def _compile(self) -> tuple[State, dict[str, Any]]:
        """The initial state and all programs; the longest is compiled beside all the rest."""
        experiment, exact = self.experiment, initial_state.exact(self.experiment)
        drawn = jax.eval_shape(initial_state.draw_state, experiment, exact)
        state = parallel.shaped(experiment, drawn)
        self._kept = self._room(state)
        with ThreadPoolExecutor(3) as pool:
            compiling = {"turn": pool.submit(self._lowered(_turn, state, self.most).compile)}
            wide = parallel.shaped(experiment, jax.eval_shape(answering, experiment, state))
            test = evaluation.evaluate.lower(experiment, wide, self.sets["test"], self._n)
            compiling["test"] = pool.submit(test.compile)
            if experiment.training.evaluate_start:
                compiling["start"] = pool.submit(self._lowered(_turn, state, 0).compile)
            if self.most < experiment.training.next_evaluated(0):
                compiling["train"] = pool.submit(self._lowered(_train, state, self.most).compile)
            initial = initial_state.initial_state(experiment, exact)
        return initial, {name: future.result() for name, future in compiling.items()}

    def _room(self, state: State) -> Kept:
        """Arrays for what recorders keep of a turn."""
        watch = Watch(self.sets, (), self.n_train)
        shapes = jax.eval_shape(
            lambda state: probes.nothing_kept(self.experiment, state, watch, self.most), state
        )
        place = parallel.everywhere()
        return jax.tree.map(lambda info: jnp.zeros(info.shape, info.dtype, device=place), shapes)

    def _lowered(self, program: Any, state: State, epochs: int) -> Any:
        length = self.experiment.training.order_length(self.n_train)
        orders = np.zeros((epochs, length), np.int32)
        rows = probes.rows(self.experiment, range(0), self.n_train, epochs)
        kept = self._kept if epochs else None
        return program.lower(self.experiment, state, orders, epochs, self.sets, rows, kept)


def scalar_columns(experiment: Experiment, data: Data) -> list[str]:
    """The columns of the metrics that are single numbers, found by tracing a turn."""
    dtype = experiment.training.dtype
    with precision(dtype):
        sets = {split: devices.shapes(part, dtype) for split, part in data._asdict().items()}
        exact = initial_state.exact(experiment)
        state = jax.eval_shape(initial_state.draw_state, experiment, exact)
        length = experiment.training.order_length(len(data.train))
        orders = jax.ShapeDtypeStruct((1, length), np.int32)
        count = jax.ShapeDtypeStruct((), np.int32)
        outcome = jax.eval_shape(turn, experiment, state, orders, count, sets)[1]
    return [name for name, info in outcome.columns.items() if not info.shape]
