"""What is said of the gradients of single examples, against autodiff's gradients one by one."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bpframe_plugins import example_gradients as plugin
from bpframe_plugins.activations import Linear, Softmax, Tanh
from bpframe_plugins.costs import LogLikelihood, Quadratic
from bpframe_plugins.layers import (
    AveragePooling,
    Convolution,
    Dropout,
    LayerNorm,
    MaxPooling,
    Repeat,
    Residual,
)
from oracles import assert_close

import bpframe
from bpframe import ConfigError, Credit, Dense, Layer, Network
from bpframe.deltas.example_gradients import ExampleGradients
from bpframe.plugin_host.host import load_registry
from bpframe.training import loading
from bpframe.training.precision import precision

M = 7
LINEAR, TANH = Linear(), Tanh()
DENSE_PAIR = (Dense(5, activation=TANH), Dense(5, activation=LINEAR))
MAPS = (Convolution(2, 3, 1, "same", activation=TANH),)

NETWORKS: dict[str, tuple[Layer, ...]] = {
    "dense": (Dense(5, activation=TANH),),
    "few windows": (Convolution(3, 5, activation=TANH),),
    "many windows": (Convolution(2, 2, activation=TANH),),
    "pooling": (Convolution(2, 3, 1, "same", activation=TANH), MaxPooling(2, activation=LINEAR)),
    "means": (AveragePooling(3, activation=TANH),),
    "dropout": (Dense(5, activation=TANH), Dropout(0.4, activation=LINEAR)),
    "normalised": (LayerNorm(activation=TANH),),
    "residual": (Dense(5, activation=TANH), Residual(DENSE_PAIR, activation=LINEAR)),
    "residual maps": (Residual(MAPS, activation=TANH),),
    "repeat": (Dense(5, activation=TANH), Repeat(3, DENSE_PAIR, activation=LINEAR)),
    "repeat in residual": (
        Dense(5, activation=TANH),
        Residual((Repeat(2, DENSE_PAIR, activation=LINEAR), LayerNorm(activation=TANH)),
                 activation=LINEAR),
    ),
}  # fmt: skip
COSTS = {"quadratic": (Quadratic(), TANH), "log_likelihood": (LogLikelihood(), Softmax())}


class Case:
    """A network, a mini-batch, what is said of it, and the gradients by autodiff (m, ...)."""

    def __init__(self, layers: str, cost: str, m: int = M) -> None:
        function, output = COSTS[cost]
        self.network = Network((6, 6, 2), (*NETWORKS[layers], Dense(4, activation=output)))
        rng = np.random.default_rng(5)
        initialiser = load_registry().get("initialiser", "scaled", "")()
        params = self.network.init(initialiser, jax.random.key(2))
        moved = lambda part: part + 0.1 * jnp.asarray(rng.normal(size=part.shape))  # noqa: E731
        self.params = jax.tree.map(moved, params)
        x = jnp.asarray(rng.normal(size=(m, 6, 6, 2)))
        y = jnp.asarray(np.eye(4)[rng.integers(0, 4, m)])
        key = jax.random.key(6)
        gradient = jax.jit(functools.partial(bpframe.gradient, self.network, function))
        found = gradient(self.params, x, y, key=key)
        self.said = ExampleGradients(self.network.layers, self.params, found.credit)

        def one(params: Any, x: Any, y: Any, key: Any) -> Any:
            return function(bpframe.forward(self.network, params, x, key).a[-1], y)

        by_autodiff = jax.jit(jax.vmap(jax.grad(one), in_axes=(None, 0, 0, 0)))
        self.each = by_autodiff(self.params, x, y, jax.random.split(key, m))
        self.by_layer = [
            np.concatenate([np.asarray(g).reshape(m, -1) for g in jax.tree.leaves(own)]
                           or [np.zeros((m, 0))], axis=1)
            for own in self.each
        ]  # fmt: skip


@functools.cache
def case(layers: str, cost: str = "quadratic", m: int = M) -> Case:
    with precision("float64"):
        return Case(layers, cost, m)


@pytest.mark.slow
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("layers", NETWORKS)
def test_norms_products_and_squares_are_those_of_autodiff(layers: str, cost: str) -> None:
    """Slow: compiles programs."""
    found = case(layers, cost)
    with precision("float64"):
        said = jax.jit(
            lambda said: (said.squared_norms(), said.inner_products(), said.sum_of_squares())
        )(found.said)
        mean = found.said.mean()
    norms, products, squares = said
    assert_close(norms, tuple((g**2).sum(1) for g in found.by_layer), 1e-12)
    assert_close(products, tuple(g @ g.T for g in found.by_layer), 1e-12)
    assert_close(squares, jax.tree.map(lambda g: (g**2).sum(0), found.each), 1e-12)
    assert_close(mean, jax.tree.map(lambda g: g.mean(0), found.each), 1e-12)


@pytest.mark.slow
def test_terms_of_a_rule_are_added_before_they_are_squared() -> None:
    """Slow: compiles programs."""
    found = case("dense")
    (term,) = found.said.credit
    other = Credit(tuple(a**2 for a in term.a), term.kept, tuple(-d / 3 for d in term.delta))
    with precision("float64"):
        said = found.said._replace(credit=(term, other))
        norms, products, squares = (
            said.squared_norms(),
            said.inner_products(),
            said.sum_of_squares(),
        )
    for at, layer in enumerate(found.by_layer):
        a, d = (np.asarray(part[at]).reshape(M, -1) for part in (term.a, term.delta))
        minus = np.concatenate([np.einsum("xi,xj->xij", d, a**2).reshape(M, -1), d], axis=1) / 3
        each = layer - minus
        assert_close(norms[at], (each**2).sum(1), 1e-12)
        assert_close(products[at], each @ each.T, 1e-12)
        flat = [np.asarray(part).ravel() for part in squares[at]]
        assert_close(np.concatenate(flat), (each**2).sum(0), 1e-12)


def test_no_dense_gradient_of_one_example_is_formed() -> None:
    network = Network((40,), (Dense(30, activation=TANH), Dense(20, activation=TANH)))
    params = network.init(load_registry().get("initialiser", "scaled", "")(), jax.random.key(0))
    m = 97

    def said(x: Any, y: Any) -> Any:
        found = bpframe.gradient(network, Quadratic(), params, x, y)
        of = ExampleGradients(network.layers, params, found.credit)
        return of.squared_norms(), of.inner_products(), of.sum_of_squares()

    program = jax.make_jaxpr(said)(jnp.zeros((m, 40)), jnp.zeros((m, 20)))
    sizes = {var.aval.size for eqn in program.jaxpr.eqns for var in eqn.outvars}
    assert max(sizes) < m * 20 * 30


# The metrics, in runs against NumPy. The learning rate is so small that no parameter moves.

N, BATCH = 40, 12
STAYING = (
    *(f"data.train_size={N}", "training.epochs=1", f"training.batch_size={BATCH}"),
    *("training.dtype=float64", "training.shuffle=false", "optimiser.eta=1e-300"),
    *("network.hidden=[6]", "network.activation=tanh"),
)
OVER_STEPS = "gradient_norms,gradient_variance,signal_to_noise,noise_scale,gradient_tests"


def gradients(*overrides: str, split: str = "train") -> tuple[Any, np.ndarray, tuple[int, ...]]:
    """The columns of a run, its gradients one by one (n, all parameters), and where layers end."""
    experiment = bpframe.compose([*STAYING, *overrides])
    result = bpframe.run(experiment)
    with precision("float64"):
        examples = getattr(loading.load(experiment), split)
        x = examples.x.reshape(len(examples.x), -1) * np.float64(examples.scale)
        y = np.eye(10)[examples.y]

        def one(params: Any, x: Any, y: Any) -> Any:
            trace = bpframe.forward(experiment.network, params, x)
            return experiment.cost.cost(trace.z[-1], trace.a[-1], y)

        each = jax.vmap(jax.grad(one), in_axes=(None, 0, 0))(result.params, x, y)
        sizes = [sum(leaf.size for leaf in own) for own in result.params]
    parts = [np.asarray(leaf).reshape(len(x), -1) for leaf in jax.tree.leaves(each)]
    return result.history.metrics, np.concatenate(parts, axis=1), tuple(np.cumsum(sizes))


def parts(g: np.ndarray, ends: tuple[int, ...]) -> dict[str, np.ndarray]:
    starts = (0, *ends)
    named = {f"layer_{i + 2}": g[:, starts[i] : end] for i, end in enumerate(ends)}
    return named | {"whole": g}


def assert_column(columns: Any, name: str, expected: Any) -> None:
    np.testing.assert_allclose(columns[name][-1], expected, rtol=1e-10, atol=1e-14, err_msg=name)


@pytest.mark.slow
def test_metrics_over_steps_are_those_of_numpy() -> None:
    """Slow: compiles a run."""
    columns, whole, ends = gradients(f"metrics=[{OVER_STEPS}]")
    batches = [whole[i : i + BATCH] for i in range(0, N, BATCH)]
    assert len(batches[-1]) == 4
    traces, squares = {}, {}
    for name, g in parts(whole, ends).items():
        norms = np.linalg.norm(g, axis=1)
        of = [parts(b, ends)[name] for b in batches]
        assert_column(columns, f"gradient_norms.steps.{name}", norms.mean())
        for share in (10, 50, 90):
            quantiles = [np.quantile(np.linalg.norm(b, axis=1), share / 100) for b in of]
            assert_column(columns, f"gradient_norms.steps.{name}.q{share}", np.mean(quantiles))
        variances = [b.var(axis=0, ddof=1) for b in of]
        assert_column(columns, f"gradient_variance.steps.{name}", np.mean(variances))
        ratios = []
        for b in of:
            mean, variance = b.mean(0), b.var(0)
            counts = variance > 8 * np.finfo(float).eps * (variance + mean**2)
            ratios.append((mean[counts] ** 2 / variance[counts]).sum() / len(mean))
        assert_column(columns, f"signal_to_noise.steps.{name}", np.mean(ratios))
        traces[name] = np.mean([v.sum() for v in variances])
        squares[name] = np.mean(
            [(b.mean(0) ** 2).sum() - v.sum() / len(b) for b, v in zip(of, variances, strict=True)]
        )
        assert_column(columns, f"noise_scale.steps.{name}", traces[name] / squares[name])
    assert_column(columns, "noise_scale.steps.trace", traces["whole"])
    assert_column(columns, "noise_scale.steps.square", squares["whole"])
    tests: dict[str, list[float]] = {"norm": [], "inner_product": [], "orthogonality": []}
    for b in batches:
        g, m = b.mean(0), len(b)
        square = g @ g
        along = b @ g
        across = b - np.outer(along / square, g)
        tests["norm"].append(b.var(axis=0, ddof=1).sum() / m / square)
        tests["inner_product"].append(along.var(ddof=1) / m / square**2)
        tests["orthogonality"].append((across**2).sum() / (m - 1) / m / square)
    for name, found in tests.items():
        assert_column(columns, f"gradient_tests.steps.{name}", np.mean(found))


@pytest.mark.slow
def test_smoothing_weighs_late_mini_batches_more() -> None:
    """Slow: compiles a run."""
    chosen = "metrics=[{name: noise_scale, smoothing: 0.7}]"
    columns, whole, _ = gradients(chosen)
    traces, squares = [], []
    for i in range(0, N, BATCH):
        b = whole[i : i + BATCH]
        traces.append(b.var(axis=0, ddof=1).sum())
        squares.append((b.mean(0) ** 2).sum() - traces[-1] / len(b))
    weights = 0.3 * 0.7 ** np.arange(4)[::-1]
    assert_column(columns, "noise_scale.steps.trace", np.average(traces, weights=weights))
    assert_column(columns, "noise_scale.steps.whole", (weights @ traces) / (weights @ squares))


@pytest.mark.slow
def test_metrics_over_a_split_are_those_of_numpy() -> None:
    """Slow: compiles a run."""
    count = 7
    columns, whole, _ = gradients(
        f"metrics=[{{name: largest_gradients, over: validation, count: {count}}}, gram]",
        split="validation",
    )
    norms = np.linalg.norm(whole, axis=1)
    largest = np.argsort(-norms)[:count]
    assert columns["largest_gradients.validation.example"][-1].tolist() == largest.tolist()
    assert_column(columns, "largest_gradients.validation.norm", norms[largest])
    first = whole[:32]
    products = first @ first.T
    assert_column(columns, "gram.validation.products", products)
    cosines = products / np.outer(norms[:32], norms[:32])
    assert_column(columns, "gram.validation.cosine", cosines[~np.eye(32, dtype=bool)].mean())
    shares = np.linalg.eigvalsh(products)
    shares = shares[shares > 1e-14 * shares.max()] / shares.sum()
    assert_column(
        columns, "gram.validation.effective_rank", np.exp(-np.sum(shares * np.log(shares)))
    )


class Seen(NamedTuple):
    """An observation of which example gradients alone are read."""

    params: Any
    y: Any
    example_gradients: ExampleGradients


def dense_seen(delta: Any, a: Any) -> Seen:
    """m examples of a dense layer."""
    delta, a = jnp.asarray(delta), jnp.asarray(a)
    n_out, n_in = delta.shape[1], a.shape[1]
    params = (bpframe.Params(jnp.zeros((n_out, n_in)), jnp.zeros(n_out)),)
    credit = Credit((a,), (None,), (delta,))
    return Seen(
        params, delta, ExampleGradients((Dense(n_out, activation=LINEAR),), params, (credit,))
    )


def measured(metric: Any, *batches: Seen) -> Any:
    total = metric.start(batches[0])
    for seen in batches:
        total = metric.add(total, seen)
    return metric.result(total, batches[0].params)


@pytest.mark.slow
def test_equal_gradients_have_no_noise() -> None:
    """A closed case: m equal examples, then one direction and its opposite.

    Slow: compiles a program.
    """
    with precision("float64"):
        delta, a = np.array([[0.5, -2.0]]), np.array([[1.0, 3.0, -1.0]])
        equal = dense_seen(np.repeat(delta, 4, 0), np.repeat(a, 4, 0))
        assert abs(measured(plugin.NoiseScale(), equal)["whole"]) < 1e-12
        assert measured(plugin.GradientVariance(), equal)["whole"] == pytest.approx(0, abs=1e-12)
        assert measured(plugin.SignalToNoise(), equal)["whole"] == 0  # all of them are 0
        assert measured(plugin.GradientTests(), equal)["norm"] == pytest.approx(0, abs=1e-12)
        rank = measured(plugin.Gram(), equal)
        assert rank["effective_rank"] == pytest.approx(1)
        assert rank["cosine"] == pytest.approx(1)
        opposite = dense_seen(np.array([[1.0], [-1.0]]), np.array([[2.0], [2.0]]))
        tests = measured(plugin.GradientTests(), opposite)
        assert tests == {"norm": 0, "inner_product": 0, "orthogonality": 0}
        assert measured(plugin.Gram(), opposite)["cosine"] == pytest.approx(-1)
        # g = +-(2, 1): tr S = 10, |G|^2 is estimated as 0 - 10/2
        assert measured(plugin.NoiseScale(), opposite)["whole"] == pytest.approx(-2)


def test_gradients_of_zero_give_finite_numbers() -> None:
    with precision("float64"):
        nothing = dense_seen(np.zeros((5, 2)), np.ones((5, 3)))
        for metric in (plugin.GradientNorms, plugin.LargestGradients, plugin.GradientVariance,
                       plugin.SignalToNoise, plugin.NoiseScale, plugin.Gram,
                       plugin.GradientTests):  # fmt: skip
            for name, column in measured(metric(), nothing).items():
                assert np.isfinite(column).all(), (metric, name)


@pytest.mark.slow
def test_the_noise_scale_is_unbiased() -> None:
    """Both parts over 10^4 mini-batches of 3, within five standard errors of the whole data's.

    Draws with replacement, so that S is that of the data. A right estimate misses once in a
    million. Slow: ten thousand mini-batches.
    """
    rng = np.random.default_rng(1)
    deltas, a = rng.normal(size=(50, 2)) + 0.4, rng.normal(size=(50, 3)) + 0.3
    each = np.concatenate([np.einsum("xi,xj->xij", deltas, a).reshape(50, -1), deltas], axis=1)
    trace, square = each.var(axis=0).sum(), (each.mean(0) ** 2).sum()
    with precision("float64"):
        rows = rng.integers(0, 50, (10_000, 3))
        x, d = jnp.asarray(a), jnp.asarray(deltas)

        def parts_of(rows: Any) -> tuple[Any, Any]:
            found = measured(plugin.NoiseScale(), dense_seen(d[rows], x[rows]))
            return found["trace"], found["square"]

        traces, squares = map(np.asarray, jax.jit(jax.vmap(parts_of))(rows))
    for found, expected in ((traces, trace), (squares, square)):
        assert abs(found.mean() - expected) < 5 * found.std() / 100


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["metrics=[noise_scale]", "training.batch_size=1"],
            "metrics: noise_scale over steps compares examples of a mini-batch, and with training.",
        ),
        (
            ["metrics=[{name: gradient_variance, over: test, first: 1}]"],
            "and with first: 1; set it to 2 or more, or leave the metric out",
        ),
        (["metrics=[{name: gram, first: 1}]"], "first: 1 is out of range"),
        (["metrics=[{name: gram, over: steps}]"], "unknown 'steps'"),
    ],
)
def test_what_says_nothing_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        bpframe.compose(overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("more", [
    ("training.dtype=bfloat16",),
    ("aggregation=clipped", "aggregation.norm=0.5"),
    ("learning_rule=feedback_alignment",),
    ("learning_rule=forward_forward", "network.activation=relu"),
])  # fmt: skip
def test_they_work_with_every_dtype_aggregation_and_rule(more: tuple[str, ...]) -> None:
    """Slow: compiles runs."""
    base = ("data.train_size=40", "training.epochs=1", "network.hidden=[6]")
    every = f"metrics=[{OVER_STEPS},largest_gradients,gram]"
    columns = bpframe.run(bpframe.compose([*base, every, *more])).history.metrics
    for name, column in columns.items():
        assert np.isfinite(np.asarray(column, float)).all(), name
    usual = bpframe.run(bpframe.compose([*base, every])).history.metrics
    if more[0] == "aggregation=clipped":  # what is clipped is not what is measured
        first = [part["gradient_norms.steps.whole"][0] for part in (columns, usual)]
        assert first[0] > 0.5
