"""What is known of learning rules exactly, each as the error of a small network in float64.

The networks are curved (a = z / sqrt(1 + z^2)) but where a statement is about linear ones. An error
is the largest difference over the largest value, unless its function says otherwise.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import bpframe
from bpframe.equations import Dense, Unpaired
from bpframe.learning import LearningRule, TrainingStep
from bpframe.network import Network
from bpframe.plugin_host.host import load_registry
from bpframe.testing.parameters import (
    SquaredError,
    Straight,
    dense_network,
    some_params,
    some_step,
)
from bpframe.training.precision import precision

SIZES = (5, 7, 6, 4, 3)
LINEAR = Unpaired(SquaredError(), Straight())
Error = Callable[[int], float]


def rule_of(name: str, **fields: Any) -> LearningRule:
    return load_registry().get("learning_rule", name, "")(**fields)


def exactly(error: Error) -> Error:
    """The same in float64."""

    @functools.wraps(error)
    def wide(seed: int) -> float:
        with precision("float64"):
            return float(error(seed))

    return wide


def params_of(seed: int, sizes: tuple[int, ...] = SIZES, factor: float = 0.4) -> Any:
    return jax.tree.map(lambda part: part * factor, some_params(seed, sizes=sizes))


def stepped(rule: LearningRule, seed: int) -> TrainingStep:
    params = params_of(seed)
    state = rule.init(jax.random.key(seed), params, dense_network(params).shapes)
    return some_step(params, rule, state, 7)


def apart(ours: Any, theirs: Any) -> float:
    """The largest difference of two trees over the largest value of the second, leaf by leaf."""
    leaves = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in leaves)


def from_backprop(name: str, seed: int, **fields: Any) -> float:
    """Of the mean gradient."""
    step = stepped(rule_of(name, **fields), seed)
    return apart(step.found.mean, some_step(step.params, m=7).found.mean)


def trained(rule: LearningRule, optimiser: str, eta: float, seed: int) -> Iterator[tuple[Any, Any]]:
    """Parameters and the state of the rule, step after step."""
    made = load_registry().get("optimiser", optimiser, "")(eta=eta)
    params = params_of(seed, (5, 7, 6, 3))
    state = rule.init(jax.random.key(seed), params, dense_network(params).shapes)
    memory = made.init(params)

    @jax.jit
    def one(params: Any, state: Any, memory: Any) -> Any:
        step = some_step(params, rule, state)
        new, memory = made.update(step.found.mean, memory, params, step)
        return new, rule.learn(state, step, params, new), memory

    while True:
        yield params, state
        params, state, memory = one(params, state, memory)


def kolen_pollack(optimiser: str, eta: float, decay: float = 0.005, steps: int = 1000) -> Error:
    """w - B^T = (1 - decay)^t (w_0 - B_0^T) after t steps, over the first difference."""

    def error(seed: int) -> float:
        runs = trained(rule_of("kolen_pollack", decay=decay), optimiser, eta, seed)
        (first, before), (last, after) = (next(runs), next(itertools.islice(runs, steps - 1, None)))
        found = []
        for w, b, w0, b0 in zip(last[1:], after, first[1:], before, strict=True):
            start = np.asarray(w0.w - b0.w)
            left = np.abs(np.asarray(w.w - b.w) - (1 - decay) ** steps * start)
            found.append(left.max() / np.abs(start).max())
        return max(found)

    return exactly(error)


def fixed_prediction(seed: int) -> float:
    """Fixed predictions with a rate of 1 and as many steps as hidden layers: backpropagation."""
    return from_backprop("predictive_coding", seed, mode="fixed_prediction", steps=3, rate=1.0)


def slow_fixed_prediction(seed: int) -> float:
    """With a rate of 0.2 and 9 steps the last hidden delta is 1 - 0.8^9 times backpropagation's."""
    rule = rule_of("predictive_coding", mode="fixed_prediction", steps=9, rate=0.2)
    step = stepped(rule, seed)
    exact = some_step(step.params, m=7).found.deltas
    return apart(step.found.deltas[-2], (1 - 0.8**9) * exact[-2])


def z_il(seed: int) -> float:
    """Weights that learn in turn, with a rate of 1: backpropagation."""
    return from_backprop("predictive_coding", seed, mode="z_il", rate=1.0)


def settled_trace(seed: int) -> float:
    """Settled activities obey BP2 on their own trace."""
    step = stepped(rule_of("predictive_coding", steps=4000, rate=0.1), seed)
    (credit,) = step.found.credit
    found, expected = [], []
    for at, after in itertools.pairwise(range(len(SIZES) - 1)):
        own = step.params[at]
        z = np.asarray(credit.a[at]) @ np.asarray(own.w).T + np.asarray(own.b)
        arrived = np.asarray(credit.delta[after]) @ np.asarray(step.params[after].w)
        found.append(np.asarray(credit.delta[at]))
        expected.append(arrived * (1 + z**2) ** -1.5)
    return apart(found, expected)


def least_energy(seed: int) -> float:
    """F* = 1/2 r^T S^-1 r in a linear network, S = 1 + sum_l (w^L ... w^l)(w^L ... w^l)^T."""
    params = params_of(seed)
    network = Network(SIZES[:1], tuple(Dense(n, activation=Straight()) for n in SIZES[1:]))
    x, y = _data(seed, 4, SIZES[0], SIZES[-1])
    rule = rule_of("predictive_coding", steps=40_000, rate=0.1)
    found = bpframe.gradient(network, LINEAR, params, x, y, rule, key=jax.random.key(0))
    energy = sum((np.asarray(delta) ** 2).sum(1) for delta in found.deltas) / 2
    s, product = np.eye(SIZES[-1]), np.eye(SIZES[-1])
    for own in reversed(params[1:]):
        product = product @ np.asarray(own.w)
        s += product @ product.T
    r = np.asarray(found.trace.a[-1]) - y
    return apart(energy, 0.5 * np.einsum("mi,ij,mj->m", r, np.linalg.inv(s), r))


def weak_pull(name: str, beta: float, *, symmetric: bool = False) -> Error:
    """Settled with beta C, over beta: backpropagation, as beta goes to 0."""
    fields: dict[str, Any] = {"steps": 2000, "rate": 0.1, "beta": beta}
    if name != "predictive_coding":
        fields["symmetric"] = symmetric
    return exactly(functools.partial(from_backprop, name, **fields))


def hopfield_pull(beta: float, *, symmetric: bool) -> Error:
    """Equilibrium propagation, against the gradient of the cost of the settled answer."""

    def error(seed: int) -> float:
        params = params_of(seed, (4, 5, 4, 3), 0.15)
        step = some_step(params)
        free = rule_of("equilibrium_propagation", steps=200)

        def cost(params: Any, x: Any, y: Any) -> Any:
            trace = bpframe.forward(step.network, params, x)
            seen = bpframe.Forward(step.network, step.pair, params, trace)
            return 0.5 * jnp.sum((free.answer((), seen) - y) ** 2)

        x, y = step.found.trace.a[0], step.y
        each = jax.vmap(jax.jit(jax.grad(cost)), in_axes=(None, 0, 0))(params, x, y)
        exact = jax.tree.map(lambda g: g.mean(0), each)
        rule = rule_of("equilibrium_propagation", steps=200, beta=beta, symmetric=symmetric)
        return apart(some_step(params, rule, ()).found.mean, exact)

    return exactly(error)


def feedback_alignment(seed: int, steps: int = 2000, eta: float = 0.02) -> float:
    """Q = w2 w2^T - B w3 - w3^T B^T of a linear network moves by eta^2 B G G^T B^T alone.

    G = mean (a^L - y) x^T.
    """
    params, state, step, (x, y) = _linear("feedback_alignment", (4, 6, 3), seed, 0.3, eta)
    b = np.asarray(state[0].w).T

    def q(params: Any) -> np.ndarray:
        w2, w3 = (np.asarray(own.w) for own in params)
        return w2 @ w2.T - b @ w3 - w3.T @ b.T

    expected = q(params)
    for _ in range(steps):
        w2, w3 = (np.asarray(own.w) for own in params)
        g = (x @ w2.T @ w3.T - y).T @ x / len(x)
        expected = expected + eta**2 * b @ g @ g.T @ b.T
        params = step(params)
    return apart(q(params), expected)


def direct_feedback_alignment(seed: int, steps: int = 300) -> float:
    """From zero, w^2 = B^2 A, w^3 = B^3 A' (B^2)^T and w^4 = A'' (B^3)^T in a linear network."""
    found = _linear("direct_feedback_alignment", (4, 6, 5, 3), seed, 0.0, 0.02)
    params, state, step, _ = found
    for _ in range(steps):
        params = step(params)
    b2, b3 = (np.asarray(b) for b in state)
    w2, w3, w4 = (np.asarray(own.w) for own in params)
    into2, into3 = b2 @ np.linalg.pinv(b2), b3 @ np.linalg.pinv(b3)
    return apart([into2 @ w2, into3 @ w3 @ into2, w4 @ into3], [w2, w3, w4])


def target_propagation(seed: int) -> float:
    """Targets by exact inverses are Gauss-Newton's: -rate (w^(L-1) ... w^(l+1))^-1 dC/da^(L-1)."""
    rule = rule_of("difference_target_propagation", target_rate=0.25)
    sizes = (4, 4, 4, 4, 3)
    params = params_of(seed, sizes)
    network = Network((4,), tuple(Dense(n, activation=Straight()) for n in sizes[1:]))
    inverses = [np.linalg.inv(own.w) for own in params[1:3]]
    state = tuple(
        own._replace(w=jnp.asarray(w), b=jnp.asarray(-w @ np.asarray(p.b)))
        for own, w, p in zip(
            rule.init(jax.random.key(seed), params, network.shapes),
            inverses,
            params[1:3],
            strict=True,
        )
    )
    x, y = _data(seed, 4, 4, 3)
    found = bpframe.gradient(network, LINEAR, params, x, y, rule, state, jax.random.key(0))
    error = 2 * 0.25 * np.asarray(found.deltas[-1]) @ np.asarray(params[-1].w)
    below = error @ inverses[1].T
    return apart(found.deltas[:3], [below @ inverses[0].T, below, error])


def weight_mirror(seed: int, m: int = 50_000) -> float:
    """E[step of B] = noise^2 diag(E sigma'(z)) w: the largest error in standard errors."""
    rule = rule_of("weight_mirror", rate=1.0, noise=0.8, decay=0.25)
    params = params_of(seed, (2, 4, 3))
    state = rule.init(jax.random.key(seed), params, dense_network(params).shapes)
    step = some_step(params, rule, state, m)._replace(key=jax.random.key(seed))
    moved = np.asarray(rule.learn(state, step, params, params)[0].w - 0.75 * state[0].w)
    w, b = (np.asarray(part) for part in params[1])
    xi = 0.8 * np.random.default_rng(seed).normal(size=(m, 4))
    z = xi @ w.T + b
    products = (z / np.sqrt(1 + z**2))[:, :, None] * xi[:, None, :]
    error = np.sqrt(2) * products.std(0) / np.sqrt(m)  # of the mean here, and of its own
    expected = 0.8**2 * ((1 + z**2) ** -1.5).mean(0)[:, None] * w
    return float((np.abs(moved - expected) / error).max())


def _data(seed: int, m: int, n_in: int, n_out: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, n_in)), rng.normal(size=(m, n_out))


def _linear(name: str, sizes: tuple[int, ...], seed: int, factor: float, eta: float) -> Any:
    """A linear network without biases, the state of a rule, a step of it, and its data."""
    rule = rule_of(name)
    network = Network(sizes[:1], tuple(Dense(n, activation=Straight()) for n in sizes[1:]))
    params = tuple(
        own._replace(w=factor * own.w, b=0.0 * own.b) for own in some_params(seed, sizes=sizes)
    )
    x, y = _data(seed, 20, sizes[0], sizes[-1])
    state = rule.init(jax.random.key(seed), params, network.shapes)

    @jax.jit
    def step(params: Any) -> Any:
        key = jax.random.key(0)
        found = bpframe.gradient(network, LINEAR, params, x, y, rule, state, key).mean
        return tuple(
            own._replace(w=own.w - eta * g.w) for own, g in zip(params, found, strict=True)
        )

    return params, state, step, (x, y)


STATEMENTS: tuple[tuple[str, str, Error, float], ...] = (
    (
        "Kolen-Pollack, sgd: w - B^T after 1000 steps",
        "Kolen and Pollack (1994)",
        kolen_pollack("sgd", 0.1),
        1e-11,
    ),
    ("Kolen-Pollack, momentum", "Kolen and Pollack (1994)", kolen_pollack("momentum", 0.05), 1e-11),
    ("Kolen-Pollack, adam", "Kolen and Pollack (1994)", kolen_pollack("adam", 0.01), 1e-11),
    (
        "fixed-prediction PC is backpropagation",
        "Millidge et al. (2022)",
        exactly(fixed_prediction),
        1e-13,
    ),
    (
        "its last hidden delta with a rate of 0.2",
        "Millidge et al. (2022)",
        exactly(slow_fixed_prediction),
        1e-12,
    ),
    ("Z-IL is backpropagation", "Song et al. (2020)", exactly(z_il), 1e-12),
    (
        "settled PC obeys BP2 on its own trace",
        "Whittington and Bogacz (2017)",
        exactly(settled_trace),
        1e-12,
    ),
    ("least energy of linear PC", "a Gaussian integral", exactly(least_energy), 1e-9),
    (
        "FA's conserved matrix after 2000 steps",
        "two lines of algebra",
        exactly(feedback_alignment),
        1e-11,
    ),
    (
        "DFA factorises deep linear networks",
        "Refinetti et al. (2021)",
        exactly(direct_feedback_alignment),
        1e-11,
    ),
    (
        "targets by exact inverses are Gauss-Newton's",
        "Meulemans et al. (2020)",
        exactly(target_propagation),
        1e-9,
    ),
    (
        "Stein's identity of weight mirrors, in standard errors",
        "Stein (1981)",
        exactly(weight_mirror),
        5.0,
    ),
)
"""What is said, by whom, its error for a seed, and the largest one that rounding explains."""

BETAS = (0.1, 0.03, 0.01, 0.003, 0.001)
PULLS: tuple[tuple[str, Callable[[float], Error], float], ...] = (
    ("PC, output energy times beta", functools.partial(weak_pull, "predictive_coding"), 1.0),
    (
        "EP, Gaussian energy, one-sided",
        functools.partial(weak_pull, "gaussian_equilibrium"),
        1.0,
    ),
    (
        "EP, Gaussian energy, symmetric",
        functools.partial(weak_pull, "gaussian_equilibrium", symmetric=True),
        2.0,
    ),
    ("EP, Hopfield energy, one-sided", functools.partial(hopfield_pull, symmetric=False), 1.0),
    ("EP, Hopfield energy, symmetric", functools.partial(hopfield_pull, symmetric=True), 2.0),
)
"""Rules with a pull beta, their error for it and a seed, and the power of beta that it follows."""
