"""Where training met the first value that is not finite, found by running the epoch again.

A healthy run pays nothing for this: an epoch only says at its end whether all is finite. If not,
it is run once more, step by step, from the parameters before it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.contracts import Params
from bpframe.experiment import Experiment
from bpframe.training import DeviceExamples, State, Step, take, train_step


class Divergence(NamedTuple):
    """The first value that is not finite.

    Attributes:
        step: the mini-batch of the epoch, counted from 1; None if no step of it was to blame,
            but the evaluation after it.
        layer: its layer, numbered as in the book.
        quantity: what it is: "z", "the cost", "delta" or "the step".
        params: the last parameters that are finite.

    """

    step: int | None
    layer: int
    quantity: str
    params: tuple[Params, ...]


def locate(
    experiment: Experiment, state: State, examples: DeviceExamples, order: np.ndarray
) -> Divergence:
    """Run an epoch again from `state`, and stop before the first step that is not finite."""
    n, m = len(order), experiment.training.batch_size
    one_step = jax.jit(_checked_step, static_argnames="n")
    for number, start in enumerate(range(0, n, m), start=1):
        step, bad = one_step(experiment, state, examples, order[start : start + m], n)
        if np.any(bad):
            # Forward from layer 2 to L, then the cost, then backward from L to 2, then the step.
            depth = len(experiment.network.layers)
            forward, cost, backward, update = np.split(np.asarray(bad), [depth, depth + 1, -depth])
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
            return Divergence(number, layer, quantity, state.params)
        state = step.state
    return Divergence(None, len(experiment.network.sizes), "the cost", state.params)


def _checked_step(
    experiment: Experiment, state: State, examples: DeviceExamples, rows: Array, n: int
) -> tuple[Step, Array]:
    step = train_step(experiment, state, take(examples, rows), n)
    quantities = [
        *step.gradient.trace.z,
        step.totals.cost,
        *step.gradient.deltas,
        *step.state.params,
    ]
    return step, jnp.stack([_not_finite(quantity) for quantity in quantities])


def _not_finite(quantity: Array | Params) -> Array:
    return jnp.any(jnp.stack([jnp.any(~jnp.isfinite(leaf)) for leaf in jax.tree.leaves(quantity)]))
