"""The examples of a split with the largest gradients."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe import equations
from bpframe.contracts import LayerParams
from bpframe.data import Examples
from bpframe.deltas.example_gradients import ExampleGradients, total
from bpframe.training import devices
from bpframe.training.devices import DeviceExamples, floats
from bpframe.training.evaluation import EVALUATION_CHUNK
from bpframe.training.experiment import Experiment
from bpframe.training.precision import cast, precision
from bpframe.training.step import narrow


class Outlier(NamedTuple):
    """An example, counted from 0 in its split.

    Attributes:
        example: its number.
        norm: |g_x|, by backpropagation, over all parameters, without penalty.
        cost: C_x.
        outputs: a^L, (n_out,).
        answer: what the network says, as the task has it: a class, labels, or outputs.
        target: what is right, likewise.

    """

    example: int
    norm: float
    cost: float
    outputs: np.ndarray
    answer: np.ndarray
    target: np.ndarray


def largest(
    experiment: Experiment, params: tuple[LayerParams, ...], examples: Examples, count: int
) -> list[Outlier]:
    """The `count` examples with the largest gradients at these parameters, the largest first."""
    with precision(experiment.training.dtype):
        on_device = devices.to_device(examples, experiment.training.dtype)
        norms, costs, outputs, answers, targets = jax.device_get(
            _of_all(experiment, params, on_device)
        )
    places = np.argsort(-norms, kind="stable")[:count]
    return [
        Outlier(int(at), float(norms[at]), float(costs[at]), outputs[at], answers[at], targets[at])
        for at in places
    ]


@jax.jit
def _of_all(
    experiment: Experiment, params: tuple[LayerParams, ...], examples: DeviceExamples
) -> tuple[Array, ...]:
    network, pair = narrow(experiment)
    narrowed = cast(params, experiment.training.dtype)
    task, boundary = examples.task, experiment.cost.cost_function.decision_boundary

    def one(xy: tuple[Array, Array]) -> tuple[Array, ...]:
        x, y = floats(experiment, examples._replace(x=xy[0], y=xy[1]))
        found = equations.gradient(network, pair, narrowed, x[None], y[None])
        said = ExampleGradients(network.layers, narrowed, found.credit)
        norm = jnp.sqrt(total(said.squared_norms())[0])
        z, a = found.trace.z[-1][0], found.trace.a[-1][0]
        return norm, pair.cost(z, a, y), a, task.answer(a, boundary), task.answer(y)

    return jax.lax.map(one, (examples.x, examples.y), batch_size=EVALUATION_CHUNK)
