"""Backpropagation as the book's programs do it: example by example, in NumPy and float64.

This is what bpframe is measured against, so it is written as a reader of chapter 2 would write it,
neither tuned nor slowed down. Source: Nielsen (2015), section 2.7, "The backpropagation algorithm",
and section 3.1 for the cross-entropy.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

Layer = tuple[np.ndarray, np.ndarray]
"""(w, b), or the gradient in their place."""
Delta = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""delta^L from z^L, a^L and y."""

EXAMPLES = 300
"""The smallest slice that is timed."""


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-z)."""
    return 1.0 / (1.0 + np.exp(-z))


def sigmoid_prime(z: np.ndarray) -> np.ndarray:
    """sigma(z) (1 - sigma(z))."""
    return sigmoid(z) * (1.0 - sigmoid(z))


def quadratic_delta(z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(a - y) * sigma'(z), the delta^L of the quadratic cost."""
    return (a - y) * sigmoid_prime(z)


def cross_entropy_delta(z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """a - y, the delta^L of the cross-entropy."""
    del z
    return a - y


def nabla(params: Sequence[Layer], x: np.ndarray, y: np.ndarray, delta: Delta) -> list[Layer]:
    """The gradient of the cost of one example, x (n_in,) and y (n_out,), layer by layer."""
    activations, zs = [x], []
    for w, b in params:
        zs.append(w @ activations[-1] + b)
        activations.append(sigmoid(zs[-1]))
    error = delta(zs[-1], activations[-1], y)
    found = [(np.outer(error, activations[-2]), error)]
    for index in range(len(params) - 2, -1, -1):
        error = (params[index + 1][0].T @ error) * sigmoid_prime(zs[index])
        found.append((np.outer(error, activations[index]), error))
    return found[::-1]


def step(
    params: Sequence[Layer], xs: np.ndarray, ys: np.ndarray, eta: float, delta: Delta
) -> list[Layer]:
    """The parameters after a mini-batch: xs (m, n_in) and ys (m, n_out), one after another."""
    sums = [(np.zeros_like(w), np.zeros_like(b)) for w, b in params]
    for x, y in zip(xs, ys, strict=True):
        one = nabla(params, x, y, delta)
        sums = [
            (sum_w + nabla_w, sum_b + nabla_b)
            for (sum_w, sum_b), (nabla_w, nabla_b) in zip(sums, one, strict=True)
        ]
    share = eta / len(xs)
    return [
        (w - share * sum_w, b - share * sum_b)
        for (w, b), (sum_w, sum_b) in zip(params, sums, strict=True)
    ]


def seconds_per_example(
    sizes: Sequence[int], m: int, delta: Delta, *, slice_s: float = 0.5
) -> float:
    """The time of one example of training, the median of three slices.

    A slice has at least 300 examples and takes at least `slice_s` seconds. Larger mini-batches are
    timed as ones of 300, of which the step is less than a hundredth part already.
    """
    rng = np.random.default_rng(0)
    m = min(m, EXAMPLES)
    batches = -(-EXAMPLES // m)
    xs, ys = rng.random((batches, m, sizes[0])), rng.random((batches, m, sizes[-1]))
    params = [
        (rng.standard_normal((n, n_prev)) / n_prev**0.5, rng.standard_normal(n))
        for n_prev, n in itertools.pairwise(sizes)
    ]

    def timed() -> float:
        now, seen, started = params, 0, time.perf_counter()
        while True:
            for x, y in zip(xs, ys, strict=True):
                now = step(now, x, y, 0.1, delta)
            seen += batches * m
            if (seconds := time.perf_counter() - started) >= slice_s:
                return seconds / seen

    step(params, xs[0], ys[0], 0.1, delta)
    return statistics.median(timed() for _ in range(3))
