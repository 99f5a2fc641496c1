"""How the modes of a linear network with one hidden layer are learned, each by itself.

Source: Saxe, McClelland and Ganguli (2014), Exact solutions to the nonlinear dynamics of learning
in deep linear neural networks, section 1.
"""

from __future__ import annotations

import numpy as np


def exact(s: np.ndarray, u0: float, t: np.ndarray) -> np.ndarray:
    """(times, modes): u(t) = s e^(2st) / (e^(2st) - 1 + s/u0), and u0 / (1 + 2 u0 t) where s = 0.

    s is (modes,), the singular values; t is (times,), eta times the number of steps.
    Source: Saxe et al. (2014), with tau = 1 / eta.
    """
    t = t[:, None]
    decay = np.exp(-2 * s * t)
    grown = s / (1 - decay + np.where(s > 0, s, 1) / u0 * decay + (s == 0))
    return np.where(s > 0, grown, u0 / (1 + 2 * u0 * t))


def first_order(s: np.ndarray, u0: float, t: np.ndarray) -> np.ndarray:
    """(times, modes): (u - u(t)) / eta in the limit of small eta, for s > 0; see the README.

    u(t) (s - u(t)) (3 I - s t), with I = ln(1 + (e^(2st) - 1) u0/s) / 2 the integral of u(t).
    """
    u, t = exact(s, u0, t), t[:, None]
    positive = np.where(s > 0, s, 1)
    integral = np.log1p(np.expm1(2 * positive * t) * u0 / positive) / 2
    return np.where(s > 0, u * (s - u) * (3 * integral - s * t), np.nan)


def recursion(s: np.ndarray, u0: float, eta: float, steps: int) -> np.ndarray:
    """(steps + 1, modes): u <- u (1 + eta (s - u))^2, gradient descent on each mode by itself.

    Both layers hold sqrt(u) of a mode; the step multiplies either by 1 + eta (s - u).
    """
    found = [np.full(len(s), u0)]
    for _ in range(steps):
        found.append(found[-1] * (1 + eta * (s - found[-1])) ** 2)
    return np.array(found)
