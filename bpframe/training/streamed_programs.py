"""The compiled programs of one run whose training examples are streamed.

An epoch is the same steps as one of examples in memory, in several programs: `begin`, one for each
portion, and for the last portion the steps that are left with all that follows an epoch.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.data import Data
from bpframe.tables.streamed import StreamedExamples
from bpframe.training import devices, epoch, evaluation, initial_state, parallel, probes, streaming
from bpframe.training.compilation import EPOCH_OPTIONS
from bpframe.training.devices import DeviceExamples, take
from bpframe.training.epoch import Epoch, Walk
from bpframe.training.experiment import Experiment
from bpframe.training.metric_folds import Totals
from bpframe.training.orders import epoch_order
from bpframe.training.precision import wide_dtype
from bpframe.training.probes import Watch
from bpframe.training.programs import Programs
from bpframe.training.step import State, answering
from bpframe.training.streaming import Cut, Stream
from bpframe.training.turn import Evaluated, Trained, after, trained

Held = Mapping[str, DeviceExamples]
"""The examples of the validation and the test set."""


def programs_for(experiment: Experiment, data: Data) -> Programs | StreamedPrograms:
    """What is compiled for a run, by whether its training examples are in memory."""
    is_streamed = isinstance(data.train, StreamedExamples)
    return (StreamedPrograms if is_streamed else Programs)(experiment, data)


class StreamedPrograms:
    """As `Programs`, for training examples that are streamed; an epoch is trained at a time."""

    most = 1

    def __init__(self, experiment: Experiment, data: Data) -> None:
        assert isinstance(data.train, StreamedExamples)
        self.n_train = len(data.train)
        self.sizes = {split: len(examples) for split, examples in data._asdict().items()}
        self.experiment = experiment.fitted(self.n_train)
        dtype = experiment.training.dtype
        self.sets: Held = {
            split: devices.to_device(getattr(data, split), dtype, parallel.everywhere())
            for split in ("validation", "test")
        }
        self._n = np.asarray(self.n_train, wide_dtype(dtype))
        started = time.perf_counter()
        self.train = Stream(self.experiment, data.train)
        self.initial, self._compiled = self._compile()
        self.seconds = time.perf_counter() - started

    def turn(
        self, state: State, epochs: range, *, evaluated: bool
    ) -> tuple[State, Evaluated | Trained]:
        """An epoch, which is evaluated or not; see `turn.turn`."""
        (number,) = epochs
        order = epoch_order(self.experiment, number, self.n_train)
        held = self.sets, self._rows(epochs)
        walk = self._compiled["begin"](self.experiment, state, *held)
        for portion in self.train.portions(order):
            given = portion.examples, portion.rows, *held
            if portion.is_last:
                name = "turn" if evaluated else "train"
                return self._compiled[name](self.experiment, walk, state, *given)
            walk = self._compiled["go on"](self.experiment, walk, *given)
            jax.block_until_ready(walk)  # which needs the examples no longer
            del portion, given
        raise AssertionError("an epoch has a last portion")

    def test(self, state: State) -> Totals:
        """Cost and right answers over the test set; see `evaluation.evaluate`."""
        wide = answering(self.experiment, state)
        return self._compiled["test"](self.experiment, wide, self.sets["test"], self._n)

    def _rows(self, epochs: range) -> tuple[np.ndarray, ...]:
        """When recorders keep something in an epoch; see `probes.rows`."""
        return tuple(rows[0] for rows in probes.rows(self.experiment, epochs, self.n_train, 1))

    def _compile(self) -> tuple[State, dict[str, Any]]:
        """The initial state and all programs, compiled side by side."""
        experiment, exact = self.experiment, initial_state.exact(self.experiment)
        drawn = jax.eval_shape(initial_state.draw_state, experiment, exact)
        state = parallel.shaped(experiment, drawn)
        wide = parallel.shaped(experiment, jax.eval_shape(answering, experiment, state))
        with ThreadPoolExecutor(3) as pool:
            lowered = self._lowered(state)
            lowered["test"] = evaluation.evaluate.lower(
                experiment, wide, self.sets["test"], self._n
            )
            compiling = {name: pool.submit(one.compile) for name, one in lowered.items()}
            initial = initial_state.initial_state(experiment, exact)
        return initial, {name: future.result() for name, future in compiling.items()}

    def _lowered(self, state: State) -> dict[str, Any]:
        """The programs of an epoch."""
        experiment, n = self.experiment, self.n_train
        held = self.sets, self._rows(range(0))
        begun = jax.eval_shape(functools.partial(_begun, n=n), experiment, state, *held)
        walk = parallel.shaped(experiment, begun)
        found: dict[str, Any] = {"begin": _begin.lower(experiment, state, *held, n=n)}
        cuts = self.train.cuts
        given = *self.train.portion_shapes(cuts[-1]), *held
        found["turn"] = _turn.lower(experiment, walk, state, *given, n=n, cut=cuts[-1])
        if experiment.training.next_evaluated(0) > 1:
            found["train"] = _train.lower(experiment, walk, state, *given, n=n, cut=cuts[-1])
        if len(cuts) > 1:
            given = *self.train.portion_shapes(cuts[0]), *held
            found["go on"] = _go_on.lower(experiment, walk, *given, n=n, cut=cuts[0])
        return found


def _begun(
    experiment: Experiment, state: State, sets: Held, rows: tuple[Array, ...], *, n: int
) -> Walk:
    """Before the first step of an epoch."""
    watch = Watch(sets, rows, n) if rows else None
    state = state._replace(best=None)  # pyright: ignore[reportArgumentType]
    kept = probes.nothing_kept(experiment, state, watch, 1) if watch else ()
    # Examples of the validation set have the shapes and dtypes of those that are trained on.
    batch = take(sets["validation"], jnp.zeros(experiment.training.rows(n), jnp.int32))
    return parallel.of_state(experiment, epoch.begin(experiment, state, batch, watch, kept))


def _gone_on(
    experiment: Experiment,
    walk: Walk,
    examples: DeviceExamples,
    places: tuple[Array, ...],
    sets: Held,
    rows: tuple[Array, ...],
    *,
    n: int,
    cut: Cut,
) -> Walk:
    """After the steps of a portion, whose examples are taken from their `places`."""
    watch = Watch(sets, rows, n) if rows else None
    blocks = [(shape[2], block) for shape, block in zip(cut, places, strict=True)]
    source = epoch.Source(examples, blocks, streaming.own_batches)
    found = epoch.go_through(experiment, walk, source, n, watch)
    return parallel.of_state(experiment, found)


def _ended(
    experiment: Experiment, walk: Walk, state: State, *given: Any, n: int, cut: Cut
) -> Epoch:
    """What an epoch gives that began at `state`, after the steps of its last portion."""
    found = epoch.end(experiment, _gone_on(experiment, walk, *given, n=n, cut=cut), n)
    return found._replace(state=found.state._replace(best=state.best))


def _turned(
    experiment: Experiment, walk: Walk, state: State, *given: Any, n: int, cut: Cut
) -> tuple[State, Evaluated]:
    found = _ended(experiment, walk, state, *given, n=n, cut=cut)
    return after(experiment, state.step, found, given[2], n)


def _trained(
    experiment: Experiment, walk: Walk, state: State, *given: Any, n: int, cut: Cut
) -> tuple[State, Trained]:
    return trained(experiment, _ended(experiment, walk, state, *given, n=n, cut=cut))


_begin = jax.jit(_begun, static_argnames="n")
_go_on, _turn, _train = (
    jax.jit(program, static_argnames=("n", "cut"), compiler_options=EPOCH_OPTIONS)
    for program in (_gone_on, _turned, _trained)
)
