"""The metrics of an experiment, folded over mini-batches inside the compiled program."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.contracts import Params
from bpframe.equations import BatchGradient
from bpframe.experiment import Experiment
from bpframe.monitoring import Metric, Observation
from bpframe.precision import cast, wide_dtype


class Totals(NamedTuple):
    """A cost, and how many examples were classified rightly."""

    cost: Array
    correct: Array


def observation(
    experiment: Experiment, params: tuple[Params, ...], found: BatchGradient, y: Array
) -> Observation:
    """What metrics see of a mini-batch with targets y (m, n_out), in wide precision."""
    wide = wide_dtype(experiment.training.dtype)
    answer, target = (
        jax.vmap(answered)(outputs).astype(jnp.int32) for outputs in (found.trace.a[-1], y)
    )
    return Observation(
        activations=cast(tuple(layer.activation for layer in experiment.network.layers), wide),
        params=params,
        trace=cast(found.trace, wide),
        deltas=cast(found.deltas, wide),
        gradient=found.mean,
        y=y.astype(wide),
        answer=answer,
        target=target,
    )


def answered(a: Array) -> Array:
    """The largest output; of a single output, whether it lies nearer to 1 than to 0."""
    return a[0] > 0.5 if a.shape[0] == 1 else jnp.argmax(a)


def is_measured(experiment: Experiment, over: str) -> bool:
    """Whether any metric is over `over`."""
    return any(True for _ in _metrics(experiment, over))


def start(experiment: Experiment, over: str, seen: Observation) -> tuple[Any, ...]:
    """The totals of the metrics over `over` before the first mini-batch."""
    return tuple(metric.start(seen) for _, metric in _metrics(experiment, over))


def add(
    experiment: Experiment, over: str, totals: tuple[Any, ...], seen: Observation
) -> tuple[Any, ...]:
    """The totals with one more mini-batch in them."""
    pairs = zip(_metrics(experiment, over), totals, strict=True)
    return tuple(metric.add(total, seen) for (_, metric), total in pairs)


def columns(
    experiment: Experiment, over: str, totals: tuple[Any, ...], params: tuple[Params, ...]
) -> Mapping[str, Array]:
    """The results by column: NAME.OVER, or NAME.OVER.KEY where a metric has several."""
    found: OrderedDict[str, Array] = OrderedDict()  # a dict would leave jit in sorted order
    for (name, metric), total in zip(_metrics(experiment, over), totals, strict=True):
        result = metric.result(total, params)
        if isinstance(result, Mapping):
            found.update((f"{name}.{over}.{key}", value) for key, value in result.items())
        else:
            found[f"{name}.{over}"] = result
    return found


def _metrics(experiment: Experiment, over: str) -> Iterator[tuple[str, Metric]]:
    for monitor in experiment.metrics:
        if monitor.metric.over == over:
            yield monitor.name, monitor.metric
