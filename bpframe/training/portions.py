"""How many epochs are trained in one go where several follow one another without evaluation."""

from __future__ import annotations

from bpframe.training.experiment import Experiment

# What the orders of the examples may take: they are made on the host for all epochs of a portion.
ORDER_BYTES = 64 * 2**20

# How long a portion may take, so that a signal is heard and a checkpoint written meanwhile, at the
# speed of two cores: what a step costs besides its products, and how fast those are.
SECONDS, STEP_SECONDS, FLOPS = 4.0, 10e-6, 5e10


def longest_portion(experiment: Experiment, n: int, lanes: int = 1) -> int:
    """The most epochs to train at a time, with n training examples.

    It depends on the experiment alone, and so do the programs that are compiled.
    """
    training, products = experiment.training, experiment.network.products
    seconds = n / training.m(n) * STEP_SECONDS + n * 6 * products / FLOPS
    fitting = min(ORDER_BYTES / (4 * n), SECONDS / seconds) / lanes
    return min(max(1, int(fitting)), training.next_evaluated(0))
