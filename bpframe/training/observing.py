"""What metrics see of a mini-batch."""

from __future__ import annotations

import jax
from jax import Array

from bpframe import equations
from bpframe.contracts import LayerParams, Settling, Trace
from bpframe.deltas.curvature import Curvature
from bpframe.deltas.example_gradients import ExampleGradients
from bpframe.learning import Aggregation, BatchGradient, Credit, Forward, Keys
from bpframe.metrics import Observation
from bpframe.tasks import Task
from bpframe.training.experiment import SHUFFLED, Experiment
from bpframe.training.precision import cast, cast_floats, wide_dtype
from bpframe.training.step import Answering, narrow, narrow_answering, outputs


def observation(
    experiment: Experiment, wide: Answering, found: BatchGradient, y: Array, task: Task
) -> Observation:
    """What metrics see of a mini-batch with targets y (m, n_out), in wide precision."""
    dtype = wide_dtype(experiment.training.dtype)
    narrowed = narrow_answering(experiment, wide)
    a, cost = jax.vmap(outputs, in_axes=(None, None, 0, 0))(experiment, narrowed, found.trace, y)
    boundary = experiment.cost.cost_function.decision_boundary
    answer = jax.vmap(lambda outputs: task.answer(outputs, boundary))(a)
    target = jax.vmap(task.answer)(y)
    exact = _exact_deltas(experiment, narrowed, found, y)
    return Observation(
        activations=cast(tuple(layer.activation for layer in experiment.network.layers), dtype),
        params=wide.params,
        rule=wide.rule,
        feedback=experiment.learning_rule.feedback(wide.rule, wide.params),
        settling=cast_floats(_settling(experiment, narrowed, found, y), dtype),
        trace=cast_floats(found.trace, dtype),
        deltas=cast(found.deltas, dtype),
        inner_deltas=cast(_inner_deltas(experiment, narrowed, found), dtype),
        exact_deltas=cast(exact, dtype),
        example_gradients=_example_gradients(experiment, wide, found),
        curvature=Curvature(
            network=cast(experiment.network, dtype),
            pair=cast(experiment.cost, dtype),
            params=wide.params,
            trace=cast_floats(found.trace, dtype),
            y=y.astype(dtype),
        ),
        gradient=found.mean,
        exact_gradient=_exact_gradient(experiment, narrowed, found, exact),
        y=y.astype(dtype),
        answer=answer,
        target=target,
        right=jax.vmap(task.is_right)(answer, target) if task.has_accuracy else None,
        cost=cost.astype(dtype),
    )


def _example_gradients(
    experiment: Experiment, wide: Answering, found: BatchGradient
) -> ExampleGradients:
    dtype = wide_dtype(experiment.training.dtype)
    layers, credit = experiment.network.layers, cast_floats(found.credit, dtype)
    mean = found.mean if _takes_the_mean(experiment) else None
    return ExampleGradients(cast(layers, dtype), wide.params, credit, mean)


def _takes_the_mean(experiment: Experiment) -> bool:
    kind = type(experiment.aggregation)
    is_mean = (kind.weights, kind.gradient) == (Aggregation.weights, Aggregation.gradient)
    return is_mean and experiment.training.sampling == SHUFFLED


def _settling(
    experiment: Experiment, narrowed: Answering, found: BatchGradient, y: Array
) -> tuple[Settling, ...] | None:
    network, pair = narrow(experiment)

    def one(trace: Trace, y: Array) -> tuple[Settling, ...] | None:
        seen = Forward(network, pair, narrowed.params, trace)
        return experiment.learning_rule.settling(narrowed.rule, seen, y, jax.random.key(0))

    return jax.vmap(one)(found.trace, y)


def _inner_deltas(
    experiment: Experiment, narrowed: Answering, found: BatchGradient
) -> dict[str, Array]:
    layers, trace = experiment.network.layers, found.trace
    parts = zip(layers, narrowed.params, trace.a[:-1], trace.kept, found.deltas, strict=True)
    inside = (
        jax.vmap(layer.inner_deltas, in_axes=(None, 0, 0, 0))(own, a, kept, delta)
        for layer, own, a, kept, delta in parts
    )
    return {
        f"layer_{number}.{name}": delta
        for number, inner in enumerate(inside, start=2)
        for name, delta in inner.items()
    }


def _exact_deltas(
    experiment: Experiment, narrowed: Answering, found: BatchGradient, y: Array
) -> tuple[Array, ...]:
    """Those of backpropagation on the same trace."""
    if experiment.learning_rule.is_gradient:
        return found.deltas
    network, pair = narrow(experiment)
    keys = Keys(*(jax.random.key(0),) * 2)  # which exact deltas do not look at
    nothing = (None,) * len(network.layers)

    def one(trace: Trace, y: Array) -> tuple[Array, ...]:
        seen = Forward(network, pair, narrowed.params, trace)
        return equations.backward(seen, y, equations.EXACT, nothing, keys)

    return jax.vmap(one)(found.trace, y)


def _exact_gradient(
    experiment: Experiment, narrowed: Answering, found: BatchGradient, exact: tuple[Array, ...]
) -> tuple[LayerParams, ...]:
    """The mean over the mini-batch of what backpropagation gives on the same trace."""
    if experiment.learning_rule.is_gradient and _takes_the_mean(experiment):
        return found.mean
    seen = Credit(found.trace.a[:-1], found.trace.kept, exact)
    total = equations.sum_of_gradients(experiment.network, narrowed.params, (seen,))
    return equations.MEAN.gradient(total, len(exact[0]), jax.random.key(0))
