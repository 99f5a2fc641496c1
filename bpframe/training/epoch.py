"""One epoch: all training examples once, in mini-batches of a given order.

A step gathers its mini-batch on the device, where images stay bytes until they are scaled. The
order of an epoch comes from the host, which shuffles far faster than the device does. The mean
gradient comes from `equations`; what happens around it is here. An epoch begins, goes through
mini-batches and ends: all of them in one program, or a portion at a time where the examples are
larger than the memory (`streaming`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.metrics import STEPS
from bpframe.training import metric_folds, probes
from bpframe.training.compilation import EPOCH_OPTIONS
from bpframe.training.devices import DeviceExamples, take
from bpframe.training.evaluation import nothing_measured
from bpframe.training.experiment import Experiment
from bpframe.training.metric_folds import Portion, Totals, no_totals, summed
from bpframe.training.observing import observation
from bpframe.training.orders import blocks
from bpframe.training.precision import wide_dtype
from bpframe.training.probes import Kept, Watch
from bpframe.training.step import Answering, Gathered, State, drawn, of_training, train_step

# How many bytes of inputs are gathered at once for the mini-batches that follow: 0.87 of the time
# that one mini-batch at a time takes for 784-30-10 (m 10) and 0.83 for four hidden layers of 30,
# because XLA spreads so small a gather over threads. From 160 KB to 4 MB there is no clear best.
BLOCK_BYTES = 2**20


class Epoch(NamedTuple):
    """What an epoch gives.

    Attributes:
        state: the state after its last step.
        totals: running cost and count of right answers, each example as its mini-batch saw it.
        finite: whether all parameters are finite.
        columns: what the metrics over the steps measured, by column.
        kept: what the recorders have kept, with the rows of earlier epochs of the turn.

    """

    state: State
    totals: Totals
    finite: Array
    columns: Mapping[str, Array]
    kept: Kept = ()


class Source(NamedTuple):
    """Where mini-batches come from.

    Attributes:
        examples: those that they are taken from.
        blocks: m and rows (blocks, b, m) of the mini-batches, as `orders.blocks` cuts them.
        gather: mini-batches of m examples, by `examples`, rows and m.

    """

    examples: DeviceExamples
    blocks: Sequence[tuple[int, Array]]
    gather: Callable[[DeviceExamples, Array, int], Gathered]


class Walk(NamedTuple):
    """What goes from step to step of an epoch.

    Attributes:
        state: the state after the last step.
        measured: the totals of the metrics over the steps.
        watched: how many steps were made, and what the recorders have kept; None without any.
        totals: cost and count of right answers so far.

    """

    state: State
    measured: Any
    watched: tuple[Array, Kept] | None
    totals: Totals


def train_epoch(
    experiment: Experiment,
    state: State,
    examples: DeviceExamples,
    order: Array,
    watch: Watch | None = None,
    kept: Kept = (),
) -> Epoch:
    """Train on the examples of `order`, all of them once or samples; the last may be short.

    With `watch` the recorders add to what is `kept`.

    The state is not donated: the caller keeps the one before, to name what went wrong if this
    epoch diverges. It costs one copy of the parameters an epoch.
    """
    n = examples.x.shape[0]
    m = experiment.training.rows(n)
    walk = begin(experiment, state, take(examples, order[:m]), watch, kept)
    cut = blocks(order, m, longest_block(examples.x.dtype.itemsize * examples.x.shape[1], m))
    source = Source(
        examples,
        [(rows.shape[-1], rows) for rows in cut],
        lambda examples, rows, _: of_training(experiment, examples, rows),
    )
    return end(experiment, go_through(experiment, walk, source, n, watch), n)


def longest_block(row_bytes: int, m: int) -> int:
    """The most mini-batches of m examples that are gathered at once."""
    return BLOCK_BYTES // (m * row_bytes)


def begin(
    experiment: Experiment,
    state: State,
    batch: DeviceExamples,
    watch: Watch | None = None,
    kept: Kept = (),
) -> Walk:
    """Before the first step of an epoch, whose mini-batches are shaped like `batch`."""
    totals = no_totals(batch.task, wide_dtype(experiment.training.dtype))
    measured = nothing_measured(experiment, Portion(STEPS), state, batch)
    watched = None
    if watch:
        start = jnp.zeros((), jnp.int32)
        watched = start, probes.keep(experiment, state, watch, start, kept)
    return Walk(state, measured, watched, totals)


def go_through(
    experiment: Experiment,
    walk: Walk,
    source: Source,
    n: int,
    watch: Watch | None = None,
) -> Walk:
    """The steps of mini-batches out of n training examples."""
    steps, examples = Portion(STEPS), source.examples

    def step(
        m: int, carry: tuple[State, Any, Any], batch: Gathered
    ) -> tuple[tuple[State, Any, Any], Totals]:
        state, measured, watched = carry
        x, y, present = batch
        those = drawn(experiment, present, m, n)
        step = train_step(experiment, state, examples._replace(x=x, y=y), n, those)
        if measured:
            wide = Answering(state.params, state.rule)
            seen = observation(experiment, wide, step.gradient, step.y, examples.task)
            measured = metric_folds.add(experiment, steps, measured, seen)
        if watch:
            done, kept = watched
            watched = done + 1, probes.keep(experiment, step.state, watch, done + 1, kept)
        return (step.state, measured, watched), step.totals

    def block(m: int, carry: tuple[Any, Totals], rows: Array) -> tuple[tuple[Any, Totals], None]:
        inner, totals = carry
        batches = source.gather(examples, rows, m)
        inner, parts = jax.lax.scan(functools.partial(step, m), inner, batches)
        return (inner, jax.tree.map(jnp.add, totals, summed(parts))), None

    carry: Any = (tuple(walk[:3]), walk.totals)
    for m, rows in source.blocks:
        carry, _ = jax.lax.scan(functools.partial(block, m), carry, rows)
    (state, measured, watched), totals = carry
    return Walk(state, measured, watched, totals)


def end(experiment: Experiment, walk: Walk, n: int) -> Epoch:
    """What an epoch of n training examples gives, after its last step."""
    state, measured, watched, totals = walk
    penalty = experiment.regulariser.cost(state.params)
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(p)) for p in jax.tree.leaves(state.params)]))
    return Epoch(
        state,
        Totals((totals.cost + penalty) / n, totals.correct),
        finite,
        metric_folds.columns(experiment, Portion(STEPS), measured, state.params),
        watched[1] if watched else (),
    )


def train_epochs(
    experiment: Experiment,
    state: State,
    examples: DeviceExamples,
    orders: Array,
    count: Array,
    watch: Watch | None = None,
    kept: Kept | None = None,
) -> Epoch:
    """`count` epochs, each in its row of `orders` (epochs, n); what it gives is that of the last.

    `orders` may have more rows than are used, so that one program serves the last few epochs too.
    What recorders keep is written over `kept`, where that is given.
    """
    if watch and kept is None:
        kept = probes.nothing_kept(experiment, state, watch, orders.shape[0])
    # The best parameters do not change here, and are not carried from step to step.
    best, state = state.best, state._replace(best=None)  # pyright: ignore[reportArgumentType]
    found = _train_epochs(experiment, state, examples, orders, count, watch, kept or ())
    return found._replace(state=found.state._replace(best=best))


def _train_epochs(
    experiment: Experiment,
    state: State,
    examples: DeviceExamples,
    orders: Array,
    count: Array,
    watch: Watch | None,
    kept: Kept,
) -> Epoch:
    if orders.shape[0] == 1:
        only = watch and watch.of_epoch(0)
        return train_epoch(experiment, state, examples, orders[0], only, kept)

    def one(i: Array | int, state: State, kept: Kept) -> Epoch:
        own = watch and watch.of_epoch(i)
        return train_epoch(experiment, state, examples, orders[i], own, kept)

    nothing = jax.eval_shape(lambda: one(0, state, kept))
    zeros = jax.tree.map(lambda info: jnp.zeros(info.shape, info.dtype), nothing)
    return jax.lax.fori_loop(
        0,
        count,
        lambda i, epoch: one(i, epoch.state, epoch.kept),
        zeros._replace(state=state, kept=kept),
    )


epochs = jax.jit(train_epochs, compiler_options=EPOCH_OPTIONS)
