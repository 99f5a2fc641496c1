"""What may be better in an experiment that is allowed."""

from __future__ import annotations

from collections.abc import Iterator

from bpframe.data import Data
from bpframe.network import PerNeuronActivation
from bpframe.training.experiment import Experiment


def hints(experiment: Experiment, data: Data) -> Iterator[str]:
    """Lines for whoever begins to train."""
    if hint := better_cost(experiment):
        yield hint
    if hint := _better_output(experiment, data):
        yield hint


def better_cost(experiment: Experiment) -> str | None:
    """A line that names a cost better suited to the output layer, if there is one."""
    cost, output = experiment.cost.cost_function, experiment.network.layers[-1].activation
    if not output.sums_to_one or cost.needs_distribution:
        return None
    return (
        f"{type(output).__name__} gives outputs that sum to one, and {type(cost).__name__} judges "
        "each of them by itself; cost=log_likelihood suits them better, with delta^L = a^L - y"
    )


def _better_output(experiment: Experiment, data: Data) -> str | None:
    """A line for targets of a regression that the output layer cannot reach."""
    output, y = experiment.network.layers[-1].activation, data.train.y
    if data.task.has_accuracy or isinstance(output, PerNeuronActivation):
        return None
    (low, high), least, most = output.range, y.min(), y.max()
    if low <= least and most <= high:
        return None
    return (
        f"{type(output).__name__} gives outputs from {low:g} to {high:g}, and the targets are "
        f"{least:g} to {most:g}; network.output_activation=linear reaches them"
    )
