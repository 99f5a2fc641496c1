"""What may be better in an experiment that is allowed."""

from __future__ import annotations

from bpframe.training.experiment import Experiment


def better_cost(experiment: Experiment) -> str | None:
    """A line that names a cost better suited to the output layer, if there is one."""
    cost, output = experiment.cost.cost_function, experiment.network.layers[-1].activation
    if not output.sums_to_one or cost.needs_distribution:
        return None
    return (
        f"{type(output).__name__} gives outputs that sum to one, and {type(cost).__name__} judges "
        "each of them by itself; cost=log_likelihood suits them better, with delta^L = a^L - y"
    )
