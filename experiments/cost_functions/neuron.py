"""The book's single neuron, x = 1 and y = 0, in plain Python: every step, and how many it takes.

Source: Nielsen (2015), chapter 3, the cross-entropy cost function, equations 54 to 62.
"""

from __future__ import annotations

import math

import numpy as np

QUADRATIC, ENTROPY = "quadratic", "cross_entropy"
ANIMATED_ETA = 0.005
"""The book's eta for the cross-entropy."""


def sigmoid(z: float) -> float:
    """1 / (1 + e^-z)."""
    return 1 / (1 + math.exp(-z))


def weighted_input(a: np.ndarray) -> np.ndarray:
    """z with sigma(z) = a."""
    return np.log(a) - np.log1p(-a)


def delta(cost: str, a: float) -> float:
    """(a - y) sigma'(z) for the quadratic cost, a - y for the cross-entropy; y = 0."""
    return a * a * (1 - a) if cost == QUADRATIC else a


def outputs(cost: str, eta: float, start: tuple[float, float], epochs: int) -> np.ndarray:
    """(epochs + 1,): a after each step of w <- w - eta delta x, b <- b - eta delta; x = 1."""
    w, b = start
    found = [sigmoid(w + b)]
    for _ in range(epochs):
        step = eta * delta(cost, found[-1])
        w, b = w - step, b - step
        found.append(sigmoid(w + b))
    return np.array(found)


def animation(start: tuple[float, float], epochs: int) -> np.ndarray:
    """(epochs + 1,): a as the book's animations of the cross-entropy compute it."""
    w, b = start
    found = [sigmoid(w + b)]
    for _ in range(epochs):
        step = ANIMATED_ETA / (1 - found[-1])
        w, b = w - step, b - step
        found.append(sigmoid(w + b))
    return np.array(found)


def epochs_in_theory(cost: str, eta: float, z: float) -> float:
    """Epochs until a = 1/2, for small eta, from the weighted input z.

    One epoch changes z = w + b by -2 eta delta. The integral of dz / (2 eta delta) from 0 to z has
    1/delta = 1 + e^-z for the cross-entropy, and (1 + e^-z)^2 (1 + e^z) for the quadratic cost.
    """
    e, inverse = math.exp(z), math.exp(-z)
    if cost == ENTROPY:
        return (z + 1 - inverse) / (2 * eta)
    return (3 * z + (e - 1) + 3 * (1 - inverse) + (1 - inverse**2) / 2) / (2 * eta)
