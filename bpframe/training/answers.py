"""What a trained network says to examples: its outputs, its answers, and how good they are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe import equations
from bpframe.contracts import LayerParams
from bpframe.data import Examples
from bpframe.tables.streamed import StreamedExamples, in_portions
from bpframe.tasks import Regression, Task
from bpframe.training import devices, evaluation, initial_state
from bpframe.training.devices import DeviceExamples, floats
from bpframe.training.evaluation import EVALUATION_CHUNK
from bpframe.training.experiment import Experiment
from bpframe.training.metric_folds import Totals
from bpframe.training.precision import precision, wide_dtype
from bpframe.training.step import Answering, narrow, narrow_answering, outputs


def outputs_and_answers(
    experiment: Experiment, params: tuple[LayerParams, ...], examples: Examples
) -> tuple[np.ndarray, np.ndarray]:
    """The outputs (n, n_out), and what they say, (n, ...), as the task has it."""
    with _ready(experiment):
        wide = _answering(experiment, params)
        on_device = devices.to_device(examples, experiment.training.dtype)
        return jax.device_get(_said(experiment, wide, on_device))


def totals(
    experiment: Experiment, params: tuple[LayerParams, ...], examples: Examples, n_train: int
) -> Totals:
    """The mean cost, penalty included, and the right answers, as after an epoch."""
    if isinstance(examples, StreamedExamples):
        parts = [(p, totals(experiment, params, p, n_train)) for p in examples.portions()]
        cost = sum(len(part) * found.cost for part, found in parts) / len(examples)
        correct = [found.correct for _, found in parts if found.correct is not None]
        return Totals(np.asarray(cost), np.asarray(sum(correct)) if correct else None)  # pyright: ignore
    with _ready(experiment):
        wide = _answering(experiment, params)
        on_device = devices.to_device(examples, experiment.training.dtype)
        n = np.asarray(n_train, wide_dtype(experiment.training.dtype))
        return jax.device_get(evaluation.evaluate(experiment, wide, on_device, n))


def rmse(
    experiment: Experiment, params: tuple[LayerParams, ...], examples: Examples, task: Task
) -> float | None:
    """The root of the mean squared error of a regression, in the units of its targets."""
    if not isinstance(task, Regression):
        return None
    means = []
    for part in in_portions(examples):
        said = outputs_and_answers(experiment, params, part)[1]
        error = np.asarray(said, float) - task.decoded(np.asarray(part.y, float))
        means.append(len(part) / len(examples) * np.mean(error**2))
    return float(np.sqrt(sum(means)))


def _ready(experiment: Experiment) -> Any:
    return precision(experiment.training.dtype)


def _answering(experiment: Experiment, params: tuple[LayerParams, ...]) -> Answering:
    """With the state of the rule as it is drawn: what rules learn, they do not answer with."""
    wide = wide_dtype(experiment.training.dtype)
    params = jax.tree.map(lambda part: jnp.asarray(part, wide), params)
    return Answering(params, initial_state.rule_state(experiment, params))


@jax.jit
def _said(experiment: Experiment, wide: Answering, examples: DeviceExamples) -> tuple[Array, Array]:
    network, _ = narrow(experiment)
    narrowed = narrow_answering(experiment, wide)
    boundary = experiment.cost.cost_function.decision_boundary
    task: Task = examples.task

    def example(x: Array) -> tuple[Array, Array]:
        x, _ = floats(experiment, examples._replace(x=x, y=jnp.zeros((network.n_out,))))
        trace = equations.forward(network, narrowed.params, x.reshape(network.shape))
        a, _ = outputs(experiment, narrowed, trace, jnp.zeros_like(trace.a[-1]))
        return a, task.answer(a, boundary)

    return jax.lax.map(example, examples.x, batch_size=EVALUATION_CHUNK)
