"""Curvature against autodiff's Jacobians, and the optimisers that follow it against NumPy."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bpframe_plugins.activations import Gelu, Linear, Sigmoid, Silu, Softmax, Tanh
from bpframe_plugins.costs import (
    CrossEntropy,
    CrossEntropySigmoid,
    LogLikelihood,
    LogLikelihoodSoftmax,
    Quadratic,
)
from bpframe_plugins.layers import Convolution, LayerNorm, MaxPooling, Repeat, Residual
from bpframe_plugins.optimisers import DiagonalGgn, Kfac
from jax.flatten_util import ravel_pytree
from oracles import assert_close

import bpframe
from bpframe import ConfigError, Curvature, Dense, Layer, Network, OutputPair, hessian_trace
from bpframe.equations import Unpaired
from bpframe.learning import TrainingStep
from bpframe.network import ModifiedNeurons, PerNeuronActivation
from bpframe.plugin_host.host import load_registry
from bpframe.training.precision import precision

M, N_OUT = 4, 3
LINEAR, TANH = Linear(), Tanh()
PAIR = (Dense(5, activation=TANH), Dense(5, activation=LINEAR))
NETWORKS: dict[str, tuple[Layer, ...]] = {
    "dense": (Dense(5, activation=TANH),),
    "maps": (Convolution(2, 2, activation=TANH), MaxPooling(1, activation=LINEAR)),
    "residual": (Dense(5, activation=TANH), Residual(PAIR, activation=LINEAR)),
    "repeat": (Dense(5, activation=TANH), Repeat(2, PAIR, activation=LINEAR)),
}
PAIRS: dict[str, OutputPair] = {
    "quadratic": Unpaired(Quadratic(), TANH),
    "cross_entropy": CrossEntropySigmoid(CrossEntropy(), Sigmoid()),
    "log_likelihood": LogLikelihoodSoftmax(LogLikelihood(), Softmax()),
}


class Case:
    """A network, a mini-batch, and its GGN by autodiff, (parameters, parameters)."""

    def __init__(self, layers: tuple[Layer, ...], pair: OutputPair, m: int = M) -> None:
        self.network = Network((4, 4, 1), (*layers, Dense(N_OUT, activation=pair.activation)))
        rng = np.random.default_rng(8)
        initialiser = load_registry().get("initialiser", "scaled", "")()
        self.params = self.network.init(initialiser, jax.random.key(3))
        x = jnp.asarray(rng.normal(size=(m, 4, 4, 1)))
        y = jnp.asarray(np.eye(N_OUT)[rng.integers(0, N_OUT, m)])
        self.found = bpframe.gradient(self.network, pair, self.params, x, y)
        key = jax.random.key(0)
        self.step = TrainingStep(self.network, pair, self.params, y, self.found, key)
        self.curvature = Curvature.of(self.step)
        flat, self.unflatten = ravel_pytree(self.params)

        def of(flat: Any, x: Any) -> Any:
            trace = bpframe.forward(self.network, self.unflatten(flat), x)
            return (trace.a if isinstance(pair, Unpaired) else trace.z)[-1]

        def curved(z: Any, y: Any) -> Any:  # at a^L without a pair, else at z^L
            if isinstance(pair, Unpaired):
                return pair.cost_function(z, y)
            return pair.cost(z, pair.activation(z), y)

        jacobian = jax.vmap(jax.jacrev(of), in_axes=(None, 0))(flat, x)
        out = jax.vmap(of, in_axes=(None, 0))(flat, x)
        hessian = jax.vmap(jax.hessian(curved))(out, y)
        self.ggn = np.asarray(jnp.einsum("xip,xij,xjq->pq", jacobian, hessian, jacobian)) / m
        sizes = [sum(leaf.size for leaf in jax.tree.leaves(own)) for own in self.params]
        ends = np.cumsum([0, *sizes])
        self.blocks = [self.ggn[a:b, a:b] for a, b in itertools.pairwise(ends)]


@functools.cache
def case(layers: str, pair: str, m: int = M) -> Case:
    with precision("float64"):
        return Case(NETWORKS[layers], PAIRS[pair], m)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("layers", NETWORKS)
def test_the_gauss_newton_matrix_is_that_of_autodiff(layers: str, pair: str) -> None:
    """Slow: compiles programs."""
    found = case(layers, pair)
    with precision("float64"):
        diagonal, traces, values = jax.jit(
            lambda c: (c.diagonal(), c.trace_of_layers(), c.eigenvalues())
        )(found.curvature)
    assert_close(ravel_pytree(diagonal)[0], np.diag(found.ggn), 1e-12)
    assert_close(np.asarray(traces), np.array([np.trace(b) for b in found.blocks]), 1e-12)
    largest = np.linalg.eigvalsh(found.ggn)[-M * N_OUT :]
    np.testing.assert_allclose(values, largest, atol=1e-12 * largest.max())


BENDING: dict[str, tuple[tuple[Layer, ...], OutputPair]] = {
    "deep": ((Dense(4, activation=TANH), Dense(5, activation=Sigmoid())), PAIRS["quadratic"]),
    "maps": (NETWORKS["maps"], PAIRS["log_likelihood"]),
    "modified": (
        (Dense(4, activation=PerNeuronActivation(TANH, (ModifiedNeurons((1, 2), Silu()),))),),
        PAIRS["cross_entropy"],
    ),
    "unpaired": ((Dense(4, activation=Gelu()),), Unpaired(CrossEntropy(), Sigmoid())),
}


def hessian_traces(found: Case, pair: OutputPair, x: Any, y: Any) -> list[float]:
    """Of the blocks of the layers, by autodiff."""

    def cost(flat: Any) -> Any:
        def one(x: Any, y: Any) -> Any:
            trace = bpframe.forward(found.network, found.unflatten(flat), x)
            return pair.cost(trace.z[-1], trace.a[-1], y)

        return jnp.mean(jax.vmap(one)(x, y))

    diagonal = np.diag(jax.hessian(cost)(ravel_pytree(found.params)[0]))
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(own)) for own in found.params]
    return [part.sum() for part in np.split(diagonal, np.cumsum(sizes)[:-1])]


@pytest.mark.slow
@pytest.mark.parametrize("name", BENDING)
def test_the_trace_of_the_hessian_is_that_of_autodiff(name: str) -> None:
    """And, sampled, on average over keys, within 5 standard errors. Slow: compiles programs."""
    layers, pair = BENDING[name]
    with precision("float64"):
        found = Case(layers, pair)
        expected = np.array(hessian_traces(found, pair, found.found.trace.a[0], found.step.y))
        assert_close(np.asarray(hessian_trace(found.curvature)), expected, 1e-12)
        keys = jax.random.split(jax.random.key(5), 2000)
        sampled = jax.vmap(lambda key: jnp.stack(hessian_trace(found.curvature, key)))(keys)
    deviation = np.std(sampled, axis=0) / np.sqrt(len(keys))
    assert (np.abs(np.mean(sampled, axis=0) - expected) <= 5 * deviation + 1e-12).all()
    assert (deviation > 0).any()


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_a_sampled_root_is_right_on_average(pair: str) -> None:
    """Over all signs, which are as many as 2^3. Slow: compiles a program."""
    found = case("dense", pair, 1)
    with precision("float64"):
        roots = found.curvature.roots()[0]
        total = np.zeros(len(found.ggn))
        for signs in itertools.product((-1.0, 1.0), repeat=len(roots)):
            delta_out = (jnp.asarray(signs) @ roots)[None]
            squares = found.curvature.gradients(delta_out).sum_of_squares()
            total += np.asarray(ravel_pytree(squares)[0]) / 2 ** len(roots)
        keys = [jax.random.key(number) for number in range(40)]
        drawn = {tuple(np.asarray(found.curvature.sampled_root(key)[0]).round(9)) for key in keys}
    assert_close(total, np.diag(found.ggn), 1e-12)
    assert 4 <= len(drawn) <= 8


def exact_factors(found: Case) -> list[Any]:
    """A and G of every layer, of all roots in place of a sampled one."""
    with precision("float64"):
        roots = found.curvature.roots().swapaxes(0, 1)
        per_root = []
        for root in roots:
            credit = found.curvature.gradients(root).credit[0]
            parts = zip(found.network.layers, found.params, *credit, strict=True)
            per_root.append([layer.factors(own, a, k, d) for layer, own, a, k, d in parts])
    return [
        (np.asarray(of_layer[0].a), np.sum([np.asarray(f.g) for f in of_layer], axis=0))
        for of_layer in zip(*per_root, strict=True)
    ]


def blocks_with_biases_last(found: Case) -> list[np.ndarray]:
    """The GGN of each dense layer, ordered as A kron G has it: inputs first, then the neurons."""
    ordered = []
    for block, own in zip(found.blocks, found.params, strict=True):
        n, fan_in = own.w.shape
        at = np.concatenate([np.arange(n * fan_in).reshape(n, fan_in),
                             n * fan_in + np.arange(n)[:, None]], axis=1).T.ravel()  # fmt: skip
        ordered.append(block[np.ix_(at, at)])
    return ordered


@pytest.mark.slow
@pytest.mark.parametrize("m", [1, 6])
def test_kronecker_factors_are_exact_in_deep_linear_networks(m: int) -> None:
    """With the quadratic cost, at any m. Slow: compiles programs."""
    layers = (Dense(5, activation=LINEAR), Dense(4, activation=LINEAR))
    with precision("float64"):
        found = Case(layers, Unpaired(Quadratic(), LINEAR), m)
    for (a, g), block in zip(exact_factors(found), blocks_with_biases_last(found), strict=True):
        assert_close(np.kron(a, g), block, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_kronecker_factors_are_exact_for_one_example(pair: str) -> None:
    """Slow: compiles programs."""
    found = case("dense", pair, 1)
    for (a, g), block in zip(exact_factors(found), blocks_with_biases_last(found), strict=True):
        assert_close(np.kron(a, g), block, 1e-12)


# The optimisers.


def kfac_by_numpy(found: Case, steps: int, kfac: Kfac) -> list[np.ndarray]:
    """Parameters (n, fan-in + 1) after some steps on the same gradient and the same factors."""
    params = [np.concatenate([np.asarray(w), np.asarray(b)[:, None]], 1) for w, b in found.params]
    gradient = [
        np.concatenate([np.asarray(w), np.asarray(b)[:, None]], 1) for w, b in found.found.mean
    ]
    velocity = [np.zeros_like(p) for p in params]
    for _ in range(steps):
        directions = []
        for at, g in enumerate(gradient):
            a = np.asarray(found.found.trace.a[at]).reshape(M, -1)
            a = np.concatenate([a, np.ones((M, 1))], axis=1)
            d = np.asarray(found.found.deltas[at])
            cov_a, cov_g = a.T @ a / M, d.T @ d / M
            pi = np.sqrt((np.trace(cov_a) / len(cov_a)) / (np.trace(cov_g) / len(cov_g)))
            root = np.sqrt(kfac.damping)
            left = np.linalg.inv(cov_g + root / pi * np.eye(len(cov_g)))
            right = np.linalg.inv(cov_a + root * pi * np.eye(len(cov_a)))
            directions.append(left @ g @ right)
        squared = sum((v * g).sum() for v, g in zip(directions, gradient, strict=True))
        scale = min(1.0, np.sqrt(kfac.norm_constraint / squared))
        velocity = [
            kfac.mu * v - kfac.eta * scale * d for v, d in zip(velocity, directions, strict=True)
        ]
        params = [p + v for p, v in zip(params, velocity, strict=True)]
    return params


@pytest.mark.slow
@pytest.mark.parametrize("norm_constraint", [1e-3, 1e9])
def test_kfac_is_that_of_numpy(norm_constraint: float) -> None:
    """Slow: compiles programs."""
    found = case("dense", "log_likelihood")
    kfac = Kfac(0.3, 0.5, 0.02, 0.9, norm_constraint, 1, 2, "empirical")
    with precision("float64"):
        params, state = found.params, kfac.init(found.params)
        for _ in range(3):
            params, state = kfac.update(found.found.mean, state, params, found.step)
    expected = kfac_by_numpy(found, 3, kfac)
    for (w, b), whole in zip(params, expected, strict=True):
        assert_close(w, whole[:, :-1], 1e-10)
        assert_close(b, whole[:, -1], 1e-10)


@pytest.mark.slow
def test_factors_are_averaged_and_inverted_every_so_often() -> None:
    """Slow: compiles programs."""
    found = case("dense", "log_likelihood")
    kfac = Kfac(0.1, 0.0, 0.1, 0.75, 1e9, 2, 3, "empirical")
    other = found.step._replace(
        found=found.found._replace(deltas=tuple(2 * d for d in found.found.deltas))
    )
    with precision("float64"):
        state = kfac.init(found.params)
        seen = []
        for number in range(7):
            step = other if number >= 2 else found.step
            _, state = kfac.update(found.found.mean, state, found.params, step)
            seen.append((float(state[1][0].g[0, 0]), float(state[2][0].g[0, 0])))
    g = np.array([g for g, _ in seen])
    expected = [1, 1, (1 + 4) / 2, (1 + 4) / 2, (1 + 4 + 4) / 3, (1 + 4 + 4) / 3]
    expected.append(0.75 * 3 + 0.25 * 4)
    np.testing.assert_allclose(g / g[0], expected, rtol=1e-12)
    changes = np.flatnonzero(np.diff([inverse for _, inverse in seen])) + 1
    assert changes.tolist() == [3, 6]


@pytest.mark.slow
@pytest.mark.parametrize("sampled", [False, True])
def test_diagonal_ggn_is_that_of_numpy(sampled: bool) -> None:
    """Slow: compiles programs."""
    found = case("dense", "cross_entropy")
    optimiser = DiagonalGgn(0.05, 0.1, 0.5, sampled)
    with precision("float64"):
        params, state = found.params, optimiser.init(found.params)
        for _ in range(3):
            params, state = optimiser.update(found.found.mean, state, params, found.step)
        h = found.curvature.diagonal(found.step.key if sampled else None)
    if not sampled:
        assert_close(ravel_pytree(h)[0], np.diag(found.ggn), 1e-12)
    start, g, h = (
        np.asarray(ravel_pytree(tree)[0]) for tree in (found.params, found.found.mean, h)
    )
    assert_close(ravel_pytree(params)[0], start - 3 * 0.05 * g / (h + 0.1), 1e-12)


NORMALISED = (
    "network.layers=[{n: 5, activation: tanh}, {name: layer_norm}, {n: 10, activation: tanh}]"
)
SMALL = ("data.train_size=200", "training.batch_size=50", "training.epochs=8")
BLOCKS = (
    "network.layers=[{name: convolution, maps: 3, size: 3, activation: tanh},"
    "{name: max_pooling}, {n: 12, activation: tanh},"
    "{name: residual, layers: [{n: 12, activation: tanh}]},"
    "{name: repeat, count: 2, layers: [{n: 12, activation: tanh}]},{n: 10, activation: softmax}]"
)


@pytest.mark.slow
@pytest.mark.parametrize("more", [
    ("optimiser.fisher=empirical", "optimiser.eta=0.3"),
    ("training.dtype=bfloat16", "optimiser.eta=0.3"),
    (BLOCKS, "cost=log_likelihood", "training.epochs=30", "optimiser.eta=0.1"),
])  # fmt: skip
def test_kfac_learns_faster_than_gradient_descent(more: tuple[str, ...]) -> None:
    """Slow: trains."""
    settings = [*SMALL, *more]
    usual = [text for text in settings if not text.startswith("optimiser.")]
    kfac = bpframe.run(bpframe.compose(["optimiser=kfac", *settings]))
    sgd = bpframe.run(bpframe.compose(["optimiser=sgd", *usual]))
    assert kfac.history.train_cost[-1] < 0.6 * sgd.history.train_cost[-1]


@pytest.mark.slow
def test_the_metrics_are_those_of_autodiff_over_a_split() -> None:
    """Slow: compiles a run."""
    chosen = "[{name: curvature_trace, over: train}, {name: curvature_diagonal, over: train},"
    chosen += "{name: curvature_diagonal, over: test, sampled: true},"
    chosen += "{name: sharpness, first: 4, count: 3}]"
    experiment = bpframe.compose(
        ["data=xor", "network.hidden=[2]", "training.batch_size=4", "training.epochs=2",
         "training.dtype=float64", "cost=quadratic", f"metrics={chosen}"]
    )  # fmt: skip
    result = bpframe.run(experiment)
    columns = result.history.metrics
    with precision("float64"):
        x = jnp.asarray([[0.0, 0], [0, 1], [1, 0], [1, 1]])
        flat, unflatten = ravel_pytree(result.params)
        of = lambda flat, x: bpframe.forward(experiment.network, unflatten(flat), x).a[-1]  # noqa: E731
        jacobian = np.asarray(jax.vmap(jax.jacrev(of), in_axes=(None, 0))(flat, x))
        ggn = np.einsum("xip,xiq->pq", jacobian, jacobian) / 4
    whole = "curvature_trace.train.whole"
    np.testing.assert_allclose(columns[whole][-1], np.trace(ggn), rtol=1e-12)
    mean = columns["curvature_diagonal.train.whole"][-1]
    np.testing.assert_allclose(mean, np.diag(ggn).mean(), rtol=1e-12)
    largest = np.linalg.eigvalsh(ggn)[::-1][:3]
    np.testing.assert_allclose(columns["sharpness.train"][-1], largest, rtol=1e-9)
    one_output = columns["curvature_diagonal.test.whole"][-1]  # whose sign does not matter
    np.testing.assert_allclose(one_output, np.diag(ggn).mean(), rtol=1e-12)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["cost=absolute", "optimiser=kfac"], "kfac needs the curvature of the cost, which Absol"),
        (
            ["network.output_activation=softmax", "optimiser=diagonal_ggn"],
            "diagonal_ggn needs the curvature of the cost, which CrossEntropy with Softmax does",
        ),
        (
            [NORMALISED, "cost=quadratic", "optimiser=kfac"],
            "kfac needs Kronecker factors of every layer with parameters, and layer 3, LayerNorm,",
        ),
        (
            ["optimiser=clip_by_global_norm", "optimiser.inner={name: kfac}", "cost=absolute"],
            "kfac needs the curvature",
        ),
        ([NORMALISED, "cost=quadratic", "metrics=[hessian_trace]"],
         "metrics: hessian_trace needs layers without curvature of their own, and layer 3, Layer"),
        (["network.output_activation=softmax", "cost=quadratic", "metrics=[hessian_trace]"],
         "metrics: hessian_trace needs sigma'' of every layer, which Softmax does not tell;"),
        (["cost=absolute", "metrics=[hessian_trace]"],
         "metrics: hessian_trace needs the curvature of the cost"),
        (["cost=absolute", "metrics=[sharpness]"], "metrics: sharpness needs the curvature of"),
        (["optimiser=kfac", "optimiser.damping=0"], "optimiser.damping: 0.0 is out of range"),
    ],
)  # fmt: skip
def test_what_has_no_curvature_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        bpframe.compose(overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_layers_without_parameters_and_empirical_factors_need_nothing() -> None:
    """Slow: compiles a run."""
    layers = "network.layers=[{n: 8, activation: tanh}, {name: dropout}, {n: 10, activation: tanh}]"
    overrides = [layers, "cost=absolute", "optimiser=kfac", "optimiser.fisher=empirical"]
    result = bpframe.run(bpframe.compose([*overrides, "training.epochs=1", "data.train_size=50"]))
    assert np.isfinite(result.history.train_cost).all()


def test_no_curvature_of_a_norm_is_told_by_layer_norm() -> None:
    assert LayerNorm(activation=LINEAR).factors((), None, None, None) is None  # pyright: ignore
