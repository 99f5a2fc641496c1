"""Learning rules tried in a small network: what they give, and which networks they take."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.contracts import ElementwiseActivation
from bpframe.equations import Dense, Unpaired
from bpframe.errors import ConfigError
from bpframe.learning import Forward, TrainingStep
from bpframe.network import Network
from bpframe.testing.expect import key_data
from bpframe.testing.outcome import CheckFailedError
from bpframe.testing.parameters import (
    Curved,
    SquaredError,
    dense_network,
    some_params,
    some_step,
)
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced

SIZES = (5, 6, 4, 3)


class Flattened(ElementwiseActivation):
    """a = 0.3 share + (1 - share) z / sqrt(1 + z^2): constant where share is 1."""

    share: float = 0.0

    def __call__(self, z: Array) -> Array:
        """0.3 share + (1 - share) z / sqrt(1 + z^2)."""
        return 0.3 * self.share + (1 - self.share) * Curved()(z)

    def prime(self, z: Array) -> Array:
        """(1 - share) (1 + z^2)^(-3/2)."""
        return (1 - self.share) * Curved().prime(z)


class Tried(NamedTuple):
    """What a rule gives in a network 5-6-4-3.

    Attributes:
        state: of the rule, at the start.
        step: of training, with the deltas.
        learned: the state after it, where the parameters go to 0.9 of what they are.
        answer: to the first example, or None.

    """

    state: Any
    step: TrainingStep
    learned: Any
    answer: Any


class Keys(NamedTuple):
    """What `init`, the credit and `learn` may draw with, by their seeds."""

    init: Any = 3
    credit: Any = 12
    learn: Any = 12


PLAIN = Keys()


def tried(
    rule: Any,
    *,
    params: Any = None,
    x: Any = None,
    flat: tuple[float, float] = (0.0, 0.0),
    keys: Keys = PLAIN,
) -> Tried:
    """Try a rule; rules of one structure share one compiled program."""
    params = some_params(6, sizes=SIZES) if params is None else params
    x = jnp.asarray(np.random.default_rng(11).uniform(-0.9, 0.9, (3, 5))) if x is None else x
    return run_traced(_tried, rule, params, x, flat, keys)


@jax.jit
def _tried(rule: Any, params: Any, x: Any, flat: tuple[float, float], seeds: Keys) -> Tried:
    hidden = (
        Dense(n, activation=Flattened(share)) for n, share in zip(SIZES[1:], flat, strict=False)
    )
    network = Network(SIZES[:1], (*hidden, Dense(SIZES[-1], activation=Curved())))
    keys = Keys(*(jax.random.key(seed) for seed in seeds))
    state = rule.init(keys.init, params, network.shapes)
    step = some_step(params, rule, state, network=network, x=x, key=keys.credit)
    updated = jax.tree.map(lambda p: 0.9 * p, params)
    learned = rule.learn(state, step._replace(key=keys.learn), params, updated)
    first = jax.tree.map(lambda part: part[0], step.found.trace)
    answer = rule.answer(state, Forward(network, step.pair, params, first))
    return Tried(state, step, learned, answer)


def accepted(subject: Subject) -> list[Any]:
    """The instances that take the kit's network."""
    network = dense_network(some_params(6, sizes=SIZES))
    return [rule for rule in subject.instances if not refused(rule, network)]


def refused(rule: Any, network: Network) -> bool:
    """Whether `check` refuses a network."""
    try:
        rule.check(network, Unpaired(SquaredError(), Curved()))
    except ConfigError:
        return True
    except Exception as error:
        raise CheckFailedError(
            f"check raises {type(error).__name__}: {error}",
            given=f"a network {shown_sizes(network)}",
            expected="a bpframe.ConfigError of one line, or nothing",
            method="check",
        ) from error
    return False


def shown_sizes(network: Network) -> str:
    """The sizes of its layers, as messages show them."""
    return "-".join(str(shape[0]) for shape in network.shapes)


def draws(rule: Any, method: str) -> bool:
    """Whether random numbers are drawn in a method."""
    params = some_params(6, sizes=SIZES)
    key, shapes = jax.random.key(0), dense_network(params).shapes
    state, step, *_ = tried(rule)
    programs = {
        "init": lambda: rule.init(key, params, shapes),
        "carry/assign": lambda: some_step(params, rule, state),
        "learn": lambda: rule.learn(state, step, params, params),
    }
    return "random_bits" in str(jax.make_jaxpr(programs[method])())


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """Whether two lists of arrays are the same."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def numbers(tree: Any) -> list[np.ndarray]:
    """The leaves, keys as numbers."""
    return [np.asarray(key_data(leaf)) for leaf in jax.tree.leaves(tree)]
