"""What lanes compute: epochs of training, and evaluation, over the blocks of one device."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.contracts import Params
from bpframe.metrics import SPLITS
from bpframe.training import evaluation, metric_folds, steering
from bpframe.training.devices import DeviceExamples
from bpframe.training.epoch import Epoch, train_epochs
from bpframe.training.experiment import Experiment
from bpframe.training.metric_folds import Totals
from bpframe.training.precision import wide_dtype
from bpframe.training.step import State


class LaneEpoch(NamedTuple):
    """What an epoch gives for one lane, besides its new state.

    `finite` says whether the parameters and both costs are; if not, the lane's state is still the
    one before the epoch. `stop` is the stopping rule's answer.
    """

    train: Totals
    validation: Totals
    finite: Array
    columns: Mapping[str, Array]
    stop: Array


def over_blocks(program: Callable[..., Any], *trees: Any) -> Any:
    """`program`, which is written for one lane, over the lanes of each block, block by block."""
    return jax.lax.map(lambda block: _over_lanes(program, *block), trees)


def _over_lanes(program: Callable[..., Any], *block: Any) -> Any:
    if jax.tree.leaves(block)[0].shape[0] > 1:
        return jax.vmap(program)(*block)
    result = program(*jax.tree.map(lambda leaf: leaf[0], block))
    return jax.tree.map(lambda leaf: leaf[None], result)


def epochs(
    experiments: Experiment,
    states: State,
    active: Array,
    orders: Array,
    count: Array,
    sets: Mapping[str, DeviceExamples],
    *,
    sizes: Mapping[str, int],
    shared: bool,
) -> tuple[State, LaneEpoch]:
    """Some epochs of the lanes of one device."""
    own = (experiments, states, active, *(() if shared else (orders,)))

    def lane(
        experiment: Experiment, state: State, active: Array, orders: Array = orders
    ) -> tuple[State, LaneEpoch]:
        found = train_epochs(experiment, state, sets["train"], orders, count)
        new, epoch = _steered(experiment, found, sets, sizes)
        keep = active & epoch.finite
        return jax.tree.map(lambda old, new: jnp.where(keep, new, old), state, new), epoch

    # A jit of its own, so that it is traced once for its shapes and for its use.
    train = jax.jit(functools.partial(_over_lanes, lane))

    def block(own: tuple[Any, ...]) -> tuple[State, LaneEpoch]:
        nothing = jax.tree.map(
            lambda info: jnp.zeros(info.shape, info.dtype), jax.eval_shape(train, *own)[1]
        )
        return jax.lax.cond(jnp.any(own[2]), lambda: train(*own), lambda: (own[1], nothing))

    return jax.lax.map(block, own)


def start(
    experiments: Experiment,
    states: State,
    sets: Mapping[str, DeviceExamples],
    *,
    sizes: Mapping[str, int],
) -> LaneEpoch:
    """What there is of the lanes of one device before training."""

    def lane(experiment: Experiment, state: State) -> LaneEpoch:
        n = _n_train(experiment, sizes)
        train = evaluation.evaluate(experiment, state.params, sets["train"], n)
        found = Epoch(state, train, jnp.ones((), bool), {})
        return _evaluated(experiment, found, sets, sizes)

    return over_blocks(lane, experiments, states)


def _steered(
    experiment: Experiment,
    found: Epoch,
    sets: Mapping[str, DeviceExamples],
    sizes: Mapping[str, int],
) -> tuple[State, LaneEpoch]:
    """A lane after an epoch: its evaluation and what follows from it, as in a single run."""
    if experiment.training.evaluate_train:
        n = _n_train(experiment, sizes)
        train = evaluation.evaluate(experiment, found.state.params, sets["train"], n)
        found = found._replace(totals=train)
    epoch = _evaluated(experiment, found, sets, sizes)
    steered, stop = steering.after_epoch(
        experiment,
        found.state.steering,
        found.state.step,
        epoch.train,
        epoch.validation,
        n_train=sizes["train"],
        n_validation=sizes["validation"],
    )
    return found.state._replace(steering=steered), epoch._replace(stop=stop)


def _evaluated(
    experiment: Experiment,
    found: Epoch,
    sets: Mapping[str, DeviceExamples],
    sizes: Mapping[str, int],
) -> LaneEpoch:
    """What is measured of a lane, over the validation set and by metrics over splits."""
    n = _n_train(experiment, sizes)
    validation = evaluation.evaluate(experiment, found.state.params, sets["validation"], n)
    columns = OrderedDict(found.columns)
    for split in SPLITS:
        if metric_folds.portions(experiment, split):
            columns.update(evaluation.measure(experiment, found.state, sets[split], over=split))
    train = found.totals
    finite = found.finite & jnp.isfinite(train.cost) & jnp.isfinite(validation.cost)
    return LaneEpoch(train, validation, finite, columns, jnp.zeros((), bool))


def _n_train(experiment: Experiment, sizes: Mapping[str, int]) -> Array:
    return jnp.asarray(sizes["train"], wide_dtype(experiment.training.dtype))


def test(
    experiments: Experiment, params: tuple[Params, ...], examples: DeviceExamples, *, n_train: int
) -> Totals:
    """Cost and right answers of the lanes of one device over the test set."""

    def lane(experiment: Experiment, params: tuple[Params, ...]) -> Totals:
        n = jnp.asarray(n_train, wide_dtype(experiment.training.dtype))
        return evaluation.evaluate(experiment, params, examples, n)

    return over_blocks(lane, experiments, params)
