"""The metrics of an experiment, folded over mini-batches inside the compiled program."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.contracts import LayerParams
from bpframe.metrics import Metric, Observation
from bpframe.tasks import Task
from bpframe.training.experiment import Experiment


class Portion(NamedTuple):
    """The examples that some metrics measure: all of `over`, or the `first` ones of a split."""

    over: str
    first: int | None = None


class Totals(NamedTuple):
    """A cost, and how many answers are right; None where none is right or wrong."""

    cost: Array
    correct: Array | None


def no_totals(task: Task, dtype: Any) -> Totals:
    """The totals of no examples, with the cost in `dtype`."""
    correct = jnp.zeros((), jnp.int32) if task.has_accuracy else None
    return Totals(jnp.zeros((), dtype), correct)


def portions(experiment: Experiment, over: str) -> list[Portion]:
    """The portions of `over` that any metric is over, in the order in which they are measured."""
    metrics = [monitor.metric for monitor in experiment.metrics if monitor.metric.over == over]
    return list(dict.fromkeys(Portion(metric.over, metric.first) for metric in metrics))


def start(experiment: Experiment, portion: Portion, seen: Observation) -> tuple[Any, ...]:
    """The totals of the metrics over a portion before the first mini-batch."""
    return tuple(metric.start(seen) for _, metric in _metrics(experiment, portion))


def add(
    experiment: Experiment, portion: Portion, totals: tuple[Any, ...], seen: Observation
) -> tuple[Any, ...]:
    """The totals with one more mini-batch in them."""
    pairs = zip(_metrics(experiment, portion), totals, strict=True)
    return tuple(metric.add(total, seen) for (_, metric), total in pairs)


def columns(
    experiment: Experiment,
    portion: Portion,
    totals: tuple[Any, ...],
    params: tuple[LayerParams, ...],
) -> Mapping[str, Array]:
    """The results by column: NAME.OVER, or NAME.OVER.KEY where a metric has several."""
    found: OrderedDict[str, Array] = OrderedDict()  # a dict would leave jit in sorted order
    for (name, metric), total in zip(_metrics(experiment, portion), totals, strict=True):
        result = metric.result(total, params)
        if isinstance(result, Mapping):
            found.update((f"{name}.{portion.over}.{key}", value) for key, value in result.items())
        else:
            found[f"{name}.{portion.over}"] = result
    return found


def _metrics(experiment: Experiment, portion: Portion) -> Iterator[tuple[str, Metric]]:
    for monitor in experiment.metrics:
        if (monitor.metric.over, monitor.metric.first) == portion:
            yield monitor.name, monitor.metric


def summed(totals: Totals) -> Totals:
    """The sums over a leading axis of examples or mini-batches."""
    return jax.tree.map(lambda leaf: jnp.sum(leaf, dtype=leaf.dtype), totals)
