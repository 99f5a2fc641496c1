"""What lanes compute: the turns of a single run, over the blocks of one device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.training import evaluation
from bpframe.training.devices import DeviceExamples
from bpframe.training.experiment import Experiment
from bpframe.training.metric_folds import Totals
from bpframe.training.precision import wide_dtype
from bpframe.training.step import State, answering
from bpframe.training.turn import Evaluated, Trained, turn


def over_blocks(program: Callable[..., Any], *trees: Any) -> Any:
    """`program`, which is written for one lane, over the lanes of each block, block by block."""
    return jax.lax.map(lambda block: _over_lanes(program, *block), trees)


def _over_lanes(program: Callable[..., Any], *block: Any) -> Any:
    if jax.tree.leaves(block)[0].shape[0] > 1:
        return jax.vmap(program)(*block)
    result = program(*jax.tree.map(lambda leaf: leaf[0], block))
    return jax.tree.map(lambda leaf: leaf[None], result)


def turns(
    experiments: Experiment,
    states: State,
    active: Array,
    orders: Array,
    count: Array,
    sets: Mapping[str, DeviceExamples],
    rows: tuple[Array, ...] = (),
    *,
    shared: bool,
    program: Callable[..., tuple[State, Evaluated | Trained]] = turn,
) -> tuple[State, Evaluated | Trained]:
    """A turn of each of the lanes of one device, or `train` for its first epochs; see `turn`.

    A lane that is not active, or whose values are not finite, keeps the state before.
    """
    own = (experiments, states, active, *(() if shared else (orders,)))

    def lane(
        experiment: Experiment, state: State, active: Array, orders: Array = orders
    ) -> tuple[State, Evaluated | Trained]:
        new, outcome = program(experiment, state, orders, count, sets, rows)
        keep = active & outcome.finite
        return jax.tree.map(lambda old, new: jnp.where(keep, new, old), state, new), outcome

    # A jit of its own, so that it is traced once for its shapes and for its use.
    train = jax.jit(functools.partial(_over_lanes, lane))

    def block(own: tuple[Any, ...]) -> tuple[State, Evaluated | Trained]:
        nothing = jax.tree.map(
            lambda info: jnp.zeros(info.shape, info.dtype), jax.eval_shape(train, *own)[1]
        )
        return jax.lax.cond(jnp.any(own[2]), lambda: train(*own), lambda: (own[1], nothing))

    return jax.lax.map(block, own)


def start(experiments: Experiment, states: State, sets: Mapping[str, DeviceExamples]) -> Evaluated:
    """Evaluate the lanes of one device before training: a turn without epochs."""
    no_orders = jnp.zeros((0, sets["train"].x.shape[0]), jnp.int32)

    def lane(experiment: Experiment, state: State) -> Evaluated:
        return turn(experiment, state, no_orders, jnp.zeros((), jnp.int32), sets)[1]

    return over_blocks(lane, experiments, states)


def test(
    experiments: Experiment,
    states: State,
    examples: DeviceExamples,
    *,
    n_train: int,
) -> Totals:
    """Cost and right answers of the lanes of one device over the test set."""

    def lane(experiment: Experiment, state: State) -> Totals:
        n = jnp.asarray(n_train, wide_dtype(experiment.training.dtype))
        return evaluation.evaluate(experiment, answering(experiment, state), examples, n)

    return over_blocks(lane, experiments, states)
