"""Independent answers to test against: NumPy in float64, written without looking at bpframe."""

import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from bpframe import Dense, Network, OutputPair, Params, forward

Function = Callable[..., np.ndarray]


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def _phi(z: np.ndarray) -> np.ndarray:
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


SELU_ALPHA, SELU_LAMBDA = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

# name -> (sigma, sigma'), with the default parameters of the plugins
ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "sigmoid": (sigmoid, lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "linear": (lambda z: z, np.ones_like),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "relu": (lambda z: np.where(z > 0, z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "leaky_relu": (
        lambda z: np.where(z > 0, z, 0.01 * z),
        lambda z: np.where(z > 0, 1.0, 0.01),
    ),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(z)), lambda z: np.where(z > 0, 1, np.exp(z))),
    "selu": (
        lambda z: SELU_LAMBDA * np.where(z > 0, z, SELU_ALPHA * np.expm1(z)),
        lambda z: SELU_LAMBDA * np.where(z > 0, 1, SELU_ALPHA * np.exp(z)),
    ),
    "gelu": (
        lambda z: z * ndtr(z),
        lambda z: ndtr(z) + z * _phi(z),
    ),
    "silu": (
        lambda z: z / (1 + np.exp(-z)),
        lambda z: (1 + np.exp(-z) * (1 + z)) / (1 + np.exp(-z)) ** 2,
    ),
    "softplus": (lambda z: np.log1p(np.exp(z)), sigmoid),
    "hard_tanh": (lambda z: np.clip(z, -1, 1), lambda z: np.where(np.abs(z) < 1, 1.0, 0.0)),
    # softmax has a Jacobian instead of a derivative; see `jacobian`
    "softmax": (softmax, softmax),
}


def jacobian(name: str, z: np.ndarray) -> np.ndarray:
    """d sigma(z)_i / d z_j for one layer."""
    if name == "softmax":
        a = softmax(z)
        return np.diag(a) - np.outer(a, a)
    return np.diag(ACTIVATIONS[name][1](z))


# name -> (C, grad_a C) for one example, with the default parameters of the plugins
COSTS: dict[str, tuple[Function, Function]] = {
    "quadratic": (lambda a, y: np.sum((a - y) ** 2) / 2, lambda a, y: a - y),
    "cross_entropy": (
        lambda a, y: -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a)),
        lambda a, y: (a - y) / (a * (1 - a)),
    ),
    "log_likelihood": (lambda a, y: -np.sum(y * np.log(a)), lambda a, y: -y / a),
    "absolute": (lambda a, y: np.sum(np.abs(a - y)), lambda a, y: np.where(a > y, 1.0, -1.0)),
    "huber": (
        lambda a, y: np.sum([e * e / 2 if abs(e) <= 1 else abs(e) - 0.5 for e in (a - y).tolist()]),
        lambda a, y: np.array([max(-1.0, min(1.0, e)) for e in (a - y).tolist()]),
    ),
    "hinge": (
        lambda a, y: np.sum([max(0.0, 1 - (2 * t - 1) * o) for o, t in zip(a, y, strict=True)]),
        lambda a, y: np.array(
            [-(2 * t - 1) if (2 * t - 1) * o < 1 else 0.0 for o, t in zip(a, y, strict=True)]
        ),
    ),
}


def numpy_gradient(
    activations: list[str], cost: str, params: list[tuple[np.ndarray, np.ndarray]], xs, ys
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The mean gradient, one example after another, with full Jacobians and outer products."""
    total = [(np.zeros_like(w), np.zeros_like(b)) for w, b in params]
    for x, y in zip(xs, ys, strict=True):
        outputs, inputs = [x], []
        for (w, b), name in zip(params, activations, strict=True):
            inputs.append(np.einsum("jk,k->j", w, outputs[-1]) + b)
            outputs.append(ACTIVATIONS[name][0](inputs[-1]))
        error = jacobian(activations[-1], inputs[-1]).T @ COSTS[cost][1](outputs[-1], y)
        for layer in range(len(params) - 1, -1, -1):
            w_sum, b_sum = total[layer]
            total[layer] = (w_sum + np.outer(error, outputs[layer]), b_sum + error)
            if layer:
                back = np.einsum("jk,j->k", params[layer][0], error)
                error = jacobian(activations[layer - 1], inputs[layer - 1]).T @ back
    return [(w / len(xs), b / len(xs)) for w, b in total]


def numpy_step(
    activations: list[str], cost: str, params, xs, ys, eta: float, decay: float = 0.0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """w - eta (dC/dw + decay w) and b - eta dC/db, with the mean gradient of a mini-batch."""
    params = [(np.asarray(w), np.asarray(b)) for w, b in params]
    found = numpy_gradient(activations, cost, params, xs, ys)
    return [
        (w - eta * (nabla_w + decay * w), b - eta * nabla_b)
        for (w, b), (nabla_w, nabla_b) in zip(params, found, strict=True)
    ]


def autodiff_gradient(network: Network, cost, params, x, y):
    """The mean gradient by jax.grad through the forward pass and the cost as it is defined."""

    def mean_cost(params):
        def example(x, y):
            trace = forward(network, params, x)
            if isinstance(cost, OutputPair):
                return cost.cost(trace.z[-1], trace.a[-1], y)
            return cost(trace.a[-1], y)

        return jnp.mean(jax.vmap(example)(x, y))

    return jax.grad(mean_cost)(params)


def random_params(rng: np.random.Generator, sizes: list[int]) -> tuple[Params, ...]:
    return tuple(
        Params(
            jnp.asarray(rng.normal(size=(n_out, n_in)) / math.sqrt(n_in)),
            jnp.asarray(rng.normal(size=n_out) / 2),
        )
        for n_in, n_out in itertools.pairwise(sizes)
    )


def make_network(sizes: list[int], activations) -> Network:
    layers = (Dense(n, activation=f) for n, f in zip(sizes[1:], activations, strict=True))
    return Network((sizes[0],), tuple(layers))


def assert_close(actual, expected, tolerance: float) -> None:
    """Every tensor of two trees agrees to `tolerance`, relative to the tensor's largest value."""
    actual, expected = jax.tree.leaves(actual), jax.tree.leaves(expected)
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        assert ours.shape == theirs.shape
        scale = np.abs(theirs).max(initial=0.0)
        assert np.abs(ours - theirs).max(initial=0.0) <= tolerance * scale
