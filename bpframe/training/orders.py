"""The order in which examples are seen, and how it is cut into blocks of mini-batches."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from jax import Array

from bpframe.training.experiment import POISSON, Experiment

T = TypeVar("T", Array, np.ndarray)

WINDOW = 16
"""So many blocks of rows are mixed where the order is drawn by blocks."""

NOBODY = -1
"""Where a mini-batch is filled up."""


def epoch_order(experiment: Experiment, epoch: int, n: int) -> np.ndarray:
    """The order in which the n training examples are seen in an epoch, counted from 1.

    It is drawn with the experiment's seed, or with seed 0 if its order is shared; without shuffling
    it is that of the data set. Poisson samples are of `training.rows` entries each, filled up with
    `NOBODY`.
    """
    if experiment.training.sampling == POISSON:
        return _samples(experiment, epoch, n)
    if not experiment.training.shuffle:
        return np.arange(n, dtype=np.int32)
    seed = 0 if experiment.training.shared_order else experiment.seed
    draws, block = np.random.default_rng([seed, epoch]), experiment.data.shuffle_block
    if block is not None:
        return by_blocks(draws, n, block)
    return draws.permutation(n).astype(np.int32)


def by_blocks(draws: np.random.Generator, n: int, block: int) -> np.ndarray:
    """An order (n,) of blocks of rows that follow each other, mixed within windows of blocks.

    The blocks come in random order, and the rows of each `WINDOW` of them in random order: not all
    orders can be drawn, and a mini-batch has rows of `WINDOW` blocks at most, or of two windows'.
    """
    starts = draws.permutation(-(-n // block)) * block
    order = (starts[:, None] + np.arange(block)).reshape(-1)
    order = order[order < n].astype(np.int32)
    for start in range(0, n, WINDOW * block):
        draws.shuffle(order[start : start + WINDOW * block])
    return order


def epoch_orders(experiment: Experiment, epochs: range, n: int) -> np.ndarray:
    """The orders of some epochs, (epochs, entries); see `epoch_order`."""
    orders = [epoch_order(experiment, epoch, n) for epoch in epochs]
    return np.array(orders, np.int32).reshape(-1, experiment.training.order_length(n))


def _samples(experiment: Experiment, epoch: int, n: int) -> np.ndarray:
    """The Poisson samples of an epoch; one for which there is no room is drawn again."""
    training = experiment.training
    seed = 0 if training.shared_order else experiment.seed
    draws = np.random.default_rng([seed, epoch, n])
    samples = np.full((training.steps(n), training.rows(n)), NOBODY, np.int32)
    for sample in samples:
        size = n + 1
        while size > len(sample):
            size = draws.binomial(n, training.m(n) / n)
        sample[:size] = draws.choice(n, size, replace=False, shuffle=False)
    return samples.reshape(-1)


def padded(orders: np.ndarray, epochs: int) -> np.ndarray:
    """Orders (..., epochs, n) with rows of zeros after them, up to so many epochs.

    The last turn may have fewer epochs than the others, and runs the same program.
    """
    missing = epochs - orders.shape[-2]
    unused = np.zeros((*orders.shape[:-2], missing, orders.shape[-1]), orders.dtype)
    return np.concatenate([orders, unused], axis=-2)


def blocks(order: T, m: int, longest: int) -> list[T]:
    """The rows of an epoch, cut into arrays (blocks, mini-batches of a block, m).

    The first holds nearly all of them, in blocks of at most `longest` mini-batches and more than
    half of that. Then come the mini-batches that fill no block, which are as few as can be, and
    the short mini-batch that is left, where there are any.
    """
    k = order.shape[0] // m
    longest = max(1, min(k, longest))
    b = min(range(longest, longest // 2, -1), key=lambda length: k % length)
    whole, full = k // b * b * m, k * m
    parts = (
        order[:whole].reshape(-1, b, m),
        order[whole:full].reshape(1, -1, m),
        order[full:].reshape(1, 1, -1),
    )
    return [rows for rows in parts if rows.size]
