"""The order in which the training examples are seen, drawn on the host."""

from __future__ import annotations

import numpy as np

from bpframe.training.experiment import Experiment


def epoch_order(experiment: Experiment, epoch: int, n: int) -> np.ndarray:
    """The order in which the n training examples are seen in an epoch, counted from 1.

    It is drawn with the experiment's seed, or with seed 0 if its order is shared.
    """
    seed = 0 if experiment.training.shared_order else experiment.seed
    return np.random.default_rng([seed, epoch]).permutation(n).astype(np.int32)


def epoch_orders(experiment: Experiment, epochs: range, n: int) -> np.ndarray:
    """The orders of some epochs, (epochs, n); see `epoch_order`."""
    orders = [epoch_order(experiment, epoch, n) for epoch in epochs]
    return np.array(orders, np.int32).reshape(-1, n)
