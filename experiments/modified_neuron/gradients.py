"""The gradient of a network with a modified neuron: by bpframe, and by differences in NumPy."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from omegaconf import OmegaConf
from reproduction.runs import Run, Runs

import bpframe
from bpframe.configuration import assembly
from bpframe.plugin_host import host

NEURON = 3
"""The modified neuron of layer 2, the hidden one."""
EXAMPLES = 10
"""Of the test set, for the gradients."""
H = 1e-5
"""The step of the differences: their truncation and their rounding are both about 1e-10."""

Function = Callable[[np.ndarray], np.ndarray]
Modified = list[dict[str, Any]]


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z: np.ndarray) -> np.ndarray:
    return sigmoid(z) * sigmoid(-z)


FUNCTIONS: dict[str, tuple[Function, Function]] = {
    "sigmoid": (sigmoid, sigmoid_prime),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "softplus": (lambda z: np.log1p(np.exp(z)), sigmoid),
    "linear": (lambda z: z, np.ones_like),
}
"""f and f' by name, written out a second time."""


@dataclasses.dataclass(frozen=True)
class Gradient:
    """What bpframe gives for the last parameters of a run, in float64.

    Attributes:
        mean: every entry of the mean gradient, one after another.
        z: (m, 30) weighted inputs of layer 2.
        modified: (m, 30), delta^2 for the error (w^3)^T delta^3 that arrives at layer 2.
        unmodified: (m, 30), delta^2 for the same error if all neurons have sigma.

    """

    mean: np.ndarray
    z: np.ndarray
    modified: np.ndarray
    unmodified: np.ndarray


def function(run: Run) -> str:
    """The name of f; that of sigma where no neuron is modified."""
    modified = run.config["network"]["modified_neurons"]
    return modified[0]["activation"] if modified else "sigmoid"


def experiment(run: Run, modified: Modified) -> bpframe.Experiment:
    """The experiment of a run, with these modified neurons."""
    jax.config.update("jax_platforms", "cpu")  # a GPU is left to the sweeps
    settings = OmegaConf.create(dict(run.config))
    settings.network.modified_neurons = modified
    return assembly.assemble(settings, host.load_registry())


def examples(data: bpframe.Data) -> tuple[np.ndarray, np.ndarray]:
    """x and one-hot y of the first test images."""
    test = data.test
    flat = test.x[:EXAMPLES].reshape(EXAMPLES, -1)
    return flat * test.scale, np.eye(test.n_out)[test.y[:EXAMPLES]]


def gradients(runs: Runs) -> Iterator[Gradient]:
    """The gradients run by run; all runs have the same modified neurons."""
    ours = experiment(runs[0], runs[0].config["network"]["modified_neurons"])
    plain = experiment(runs[0], [])
    arrays = examples(ours.data.load())
    for run in runs:
        with jax.enable_x64(True):
            params, (x, y) = doubles(run), map(jnp.asarray, arrays)
            found = bpframe.gradient(ours.network, ours.cost, params, x, y)
            arriving = found.deltas[1] @ params[1].w
            held = [delta_2(which, params, x, y, arriving) for which in (ours, plain)]
        yield Gradient(
            np.concatenate([np.ravel(part) for layer in found.mean for part in layer]),
            np.asarray(found.trace.z[0]),
            *map(np.asarray, held),
        )


def doubles(run: Run) -> tuple[bpframe.Params, ...]:
    """The last parameters in float64."""
    return tuple(
        bpframe.Params(jnp.asarray(w, jnp.float64), jnp.asarray(b, jnp.float64))
        for w, b in run.params()
    )


class Arriving(bpframe.LearningRule):
    """The error that comes back to a layer is given, as the state of the rule."""

    def carry(self, state: jax.Array, step: bpframe.BackwardStep) -> jax.Array:
        """What was given."""
        del step
        return state


def delta_2(
    experiment: bpframe.Experiment,
    params: tuple[bpframe.Params, ...],
    x: jax.Array,
    y: jax.Array,
    arriving: jax.Array,
) -> jax.Array:
    """(m, 30): delta^2 where `arriving`, (m, 30), comes back to layer 2, whatever delta^3 is."""

    def example(x: jax.Array, y: jax.Array, error: jax.Array) -> jax.Array:
        rule = Arriving()
        found = bpframe.gradient(
            experiment.network, experiment.cost, params, x[None], y[None], rule, (error,)
        )
        return found.deltas[0][0]

    return jax.vmap(example)(x, y, arriving)


def cost(params: list[list[np.ndarray]], f: Function, x: np.ndarray, y: np.ndarray) -> float:
    """The mean cross-entropy of the outputs, in NumPy."""
    (w_2, b_2), (w_3, b_3) = params
    z = x @ w_2.T + b_2
    a = sigmoid(z)
    a[:, NEURON] = f(z[:, NEURON])
    z = a @ w_3.T + b_3
    each = np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))
    return float(each.sum(axis=1).mean())


def differences(run: Run, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(C(p + h) - C(p - h)) / 2h of every parameter p, in the order of `Gradient.mean`."""
    f, _ = FUNCTIONS[function(run)]
    params = [[part.astype(float) for part in layer] for layer in run.params()]
    found = []
    for part in itertools.chain.from_iterable(params):
        entries = part.reshape(-1)  # a view: the cost sees what is changed
        for index, value in enumerate(entries):
            ends = []
            for end in (value + H, value - H):
                entries[index] = end
                ends.append(cost(params, f, x, y))
            entries[index] = value
            found.append((ends[0] - ends[1]) / (2 * H))
    return np.array(found)
