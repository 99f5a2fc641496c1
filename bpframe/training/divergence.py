"""Where training met the first value that is not finite, found by running the epoch again.

A healthy run pays nothing for this: an epoch only says at its end whether all is finite. If not,
it is run once more, step by step, from the parameters before it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe import equations
from bpframe.contracts import LayerParams, Settling
from bpframe.errors import DivergenceError
from bpframe.learning import Forward, replaces
from bpframe.training.devices import DeviceExamples, floats, take
from bpframe.training.experiment import Experiment
from bpframe.training.step import (
    State,
    answering,
    drawn,
    narrow,
    narrow_answering,
    of_training,
    train_step,
)
from bpframe.training.streaming import Stream


class Divergence(NamedTuple):
    """The first value that is not finite.

    Attributes:
        epoch: the epoch in which it was met; 0 before training.
        step: the mini-batch of the epoch, counted from 1; None if no step of it was to blame,
            but the evaluation after it.
        layer: its layer, numbered as in the book.
        quantity: what it is: "z", "the cost", "delta" or "the step".
        params: the last parameters that are finite.
        settling_step: if activities of the layer diverged as they settled, after which step.

    """

    epoch: int
    step: int | None
    layer: int
    quantity: str
    params: tuple[LayerParams, ...]
    settling_step: int | None = None

    @property
    def error(self) -> DivergenceError:
        """The DivergenceError for it."""
        batch = f", mini-batch {self.step}" if self.step else ""
        if self.settling_step is None:
            what = (
                f"{self.quantity} is not finite in layer {self.layer}; try a smaller optimiser.eta"
            )
        else:
            what = (
                f"the activities of layer {self.layer} are not finite after step "
                f"{self.settling_step} of settling; try a smaller learning_rule.rate"
            )
        return DivergenceError(
            f"training diverged in epoch {self.epoch}{batch}: {what}",
            epoch=self.epoch,
            layer=self.layer,
        )


def locate(
    experiment: Experiment,
    state: State,
    train: DeviceExamples | Stream,
    orders: Mapping[int, np.ndarray],
) -> Divergence:
    """Run some epochs again from `state`, and stop before the first step that is not finite.

    `orders` are those of the epochs, by their number.
    """
    for epoch, order in orders.items():
        done = 0
        for examples, rows, n in _portions(train, order):
            m = experiment.training.rows(n)
            steps, state, bad = _steps_again(experiment, state, examples, rows, n)
            if np.any(bad):
                found = _described(experiment, epoch, done + steps, state, bad)
                batch = rows[(steps - 1) * m : steps * m]
                return _settling_told(experiment, state, examples, batch, found)
            done += steps
    last = max(orders, default=0)
    return Divergence(last, None, len(experiment.network.sizes), "the cost", state.params)


def _portions(
    train: DeviceExamples | Stream, order: np.ndarray
) -> Iterator[tuple[DeviceExamples, np.ndarray, int]]:
    """The examples on the device, which rows of them an epoch takes, and n; all, or in portions."""
    if isinstance(train, Stream):
        for portion in train.whole_portions(order):
            rows = [np.asarray(block).reshape(-1) for block in portion.rows]
            yield portion.examples, np.concatenate(rows), train.n
    else:
        yield train, order, train.x.shape[0]


def _steps_again(
    experiment: Experiment, state: State, examples: DeviceExamples, order: np.ndarray, n: int
) -> tuple[int, State, np.ndarray]:
    """How many steps were made, the state before the bad one if there is one, and its flags."""
    m = experiment.training.rows(n)
    done = len(order) // m * m
    whole, rest = order[:done].reshape(-1, m), order[done:]
    steps, state, bad = _until_bad(experiment, state, examples, whole, n)
    if not np.any(bad) and rest.size:
        steps, (state, bad) = steps + 1, _one_step(experiment, state, examples, rest, n)
    return int(steps), state, np.asarray(bad)


def _described(
    experiment: Experiment, epoch: int, step: int, state: State, bad: np.ndarray
) -> Divergence:
    # Forward from layer 2 to L, then the cost, then backward from L to 2, then the step.
    depth = len(experiment.network.layers)
    forward, cost, backward, update = np.split(bad, [depth, depth + 1, -depth])
    quantity, layer = next(
        (name, layer)
        for name, flags, layers in (
            ("z", forward, range(2, depth + 2)),
            ("the cost", cost, [depth + 1]),
            ("delta", backward[::-1], range(depth + 1, 1, -1)),
            ("the step", update, range(2, depth + 2)),
        )
        for flag, layer in zip(flags, layers, strict=True)
        if flag
    )
    return Divergence(epoch, step, layer, quantity, state.params)


def _settling_told(
    experiment: Experiment,
    state: State,
    examples: DeviceExamples,
    rows: np.ndarray,
    found: Divergence,
) -> Divergence:
    """`found`, or where activities diverged as they settled, if that was before it."""
    settles = replaces(experiment.learning_rule, "settling")
    if not settles or found.quantity not in ("the cost", "delta"):
        return found
    for phase in _settling(experiment, state, examples, rows) or ():
        bad = np.any(~np.isfinite(phase.residual), axis=0)
        if np.any(bad):
            step, at = np.argwhere(bad)[0]
            return found._replace(layer=int(at) + 2, settling_step=int(step))
    return found


@jax.jit
def _settling(
    experiment: Experiment, state: State, examples: DeviceExamples, rows: Array
) -> tuple[Settling, ...] | None:
    """How the activities of a mini-batch settle, by phases."""
    network, pair = narrow(experiment)
    narrowed = narrow_answering(experiment, answering(experiment, state))

    def one(x: Array, y: Array) -> tuple[Settling, ...] | None:
        trace = equations.forward(network, narrowed.params, x)
        seen = Forward(network, pair, narrowed.params, trace)
        return experiment.learning_rule.settling(narrowed.rule, seen, y, jax.random.key(0))

    return jax.vmap(one)(*floats(experiment, take(examples, rows)))


@functools.partial(jax.jit, static_argnames="n")
def _until_bad(
    experiment: Experiment, state: State, examples: DeviceExamples, rows: Array, n: int
) -> tuple[Array, State, Array]:
    """How many steps were made, the state before the bad one if there is one, and its flags."""
    flags = jax.eval_shape(_flagged_step, experiment, state, examples, rows[0], n)[1]

    def go_on(carry: tuple[Array, State, Array]) -> Array:
        step, _, bad = carry
        return (step < rows.shape[0]) & ~jnp.any(bad)

    def one_more(carry: tuple[Array, State, Array]) -> tuple[Array, State, Array]:
        step, state, _ = carry
        return step + 1, *_flagged_step(experiment, state, examples, rows[step], n)

    start = (jnp.zeros((), jnp.int32), state, jnp.zeros(flags.shape, flags.dtype))
    return jax.lax.while_loop(go_on, one_more, start)


def _flagged_step(
    experiment: Experiment, state: State, examples: DeviceExamples, rows: Array, n: int
) -> tuple[State, Array]:
    """The state after a step, or as it was if the step is bad; and what of it is not finite."""
    x, y, present = of_training(experiment, examples, rows)
    those = drawn(experiment, present, len(rows), n)
    step = train_step(experiment, state, examples._replace(x=x, y=y), n, those)
    quantities = [
        *step.gradient.trace.z,
        step.totals.cost,
        *step.gradient.deltas,
        *step.state.params,
    ]
    bad = jnp.stack([_not_finite(quantity) for quantity in quantities])
    kept = jax.tree.map(lambda old, new: jnp.where(jnp.any(bad), old, new), state, step.state)
    return kept, bad


_one_step = jax.jit(_flagged_step, static_argnames="n")


def _not_finite(quantity: Array | LayerParams) -> Array:
    bad = [jnp.any(~jnp.isfinite(leaf)) for leaf in jax.tree.leaves(quantity)]
    return functools.reduce(jnp.logical_or, bad, jnp.zeros((), bool))  # of no parameters, none is
