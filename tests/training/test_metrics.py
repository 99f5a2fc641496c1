"""Every metric, over the steps and over every split, against NumPy."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bpframe_plugins import curvature, example_gradients
from bpframe_plugins.linear_theory import singular_vectors
from bpframe_plugins.metrics import (
    CoefficientOfDetermination,
    MeanAbsoluteError,
    RootMeanSquaredError,
)
from oracles import ACTIVATIONS
from test_runs import Kit, composed, equal, examples, summary

import bpframe
from bpframe import (
    ConfigError,
    Data,
    Dataset,
    Examples,
    Experiment,
    MeanMetric,
    Metric,
    Observation,
    Params,
    RunResult,
    Shape,
    hookimpl,
)
from bpframe.metrics import SPLITS, STEPS
from bpframe.plugin_host.host import load_registry
from bpframe.training import initial_state, loading
from bpframe.training.precision import precision

ELSEWHERE = (
    "settling",
    *example_gradients.bpframe_metrics(),
    *curvature.bpframe_metrics(),
)
"""Those that test_settling_rules, test_example_gradients and test_curvature look at."""
NAMES = [name for name in load_registry().names("metric") if name not in ELSEWHERE]
OVERS = (STEPS, *SPLITS)
THRESHOLD = 0.15
N_TRAIN = 23


class Three(Dataset):
    """Noise with labels of three classes."""

    @property
    def shape(self) -> Shape:
        return (3,)

    @property
    def n_out(self) -> int:
        return 3

    def load(self) -> Data:
        return Data(*(examples(n, n_out=3) for n in (N_TRAIN, 7, 5)))


class Plugin(Kit):
    """The kit of the runner's tests with more classes, and with metrics that are not finite."""

    @hookimpl
    def bpframe_datasets(self) -> dict[str, Any]:
        return {**super().bpframe_datasets(), "three": Three}

    @hookimpl
    def bpframe_metrics(self) -> dict[str, Any]:
        return {"lost": Lost, "partly": Partly}


class Lost(MeanMetric):
    """Not a number."""

    def measure(self, seen: Observation) -> Any:
        return jnp.full(seen.y.shape[0], jnp.nan, seen.y.dtype)


class Partly(Metric):
    """A matrix with infinities, a count and a truth."""

    def start(self, seen: Observation) -> Any:
        return jnp.zeros((), jnp.int32)

    def add(self, total: Any, seen: Observation) -> Any:
        return total + 1

    def result(self, total: Any, params: Any) -> dict[str, Any]:
        matrix = jnp.asarray([[1.0, -jnp.inf], [jnp.inf, 2.0]], params[0].w.dtype)
        return {"z_first": matrix, "a_count": total, "truth": total > 0}


def chosen(*overs: str, names: list[str] = NAMES) -> str:
    """The override that chooses metrics over some examples."""
    parts = []
    for over in overs:
        for name in names:
            more = f", threshold: {THRESHOLD}" if name == "saturation" else ""
            parts.append(f"{{name: {name}, over: {over}{more}}}")
    return f"metrics=[{', '.join(parts)}]"


DEEP = ("{n: 8, activation: relu}", "{n: 5, activation: tanh}", "{n: 3, activation: sigmoid}")


def three(*overrides: str, layers: tuple[str, ...] = DEEP) -> Experiment:
    """Three classes, in float64, with mini-batches of 5."""
    network = f"network.layers=[{','.join(layers)}]"
    common = (network, "data=three", "training.dtype=float64", "seed=5")
    overrides = (*common, "training.epochs=2", "training.batch_size=5", *overrides)
    return bpframe.compose(overrides, plugins=[Plugin()])


class Batch(NamedTuple):
    """What NumPy makes of a mini-batch: one array a layer."""

    deltas: list[np.ndarray]
    gradient: list[np.ndarray]
    slopes: list[np.ndarray | None]
    answer: np.ndarray
    target: np.ndarray
    a: np.ndarray
    y: np.ndarray
    cost: np.ndarray
    products: list[np.ndarray]


def targets(y: np.ndarray, n_out: int) -> np.ndarray:
    return np.eye(n_out)[y] if y.ndim == 1 else y


def classes(outputs: np.ndarray) -> np.ndarray:
    return (outputs[:, 0] > 0.5).astype(int) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def xy(split: Examples, rows: Any = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    return split.x[rows].astype(float), split.y[rows]


gradient = jax.jit(bpframe.gradient)


def costs(experiment: Experiment, a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """C of each example."""
    if type(experiment.cost.cost_function).__name__ == "LogLikelihood":
        return -np.sum(y * np.log(a), axis=1)
    assert type(experiment.cost.cost_function).__name__ == "CrossEntropy"
    return -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a), axis=1)


def batch(experiment: Experiment, params: Any, x: np.ndarray, y: np.ndarray) -> Batch:
    y = targets(y, experiment.network.sizes[-1]).astype(float)
    found = jax.tree.map(np.asarray, gradient(experiment.network, experiment.cost, params, x, y))
    names = [type(layer.activation).__name__.lower() for layer in experiment.network.layers]
    return Batch(
        list(found.deltas),
        [np.concatenate([w.ravel(), b]) for w, b in found.mean],
        [
            None if name == "softmax" else ACTIVATIONS[name][1](z)
            for name, z in zip(names, found.trace.z, strict=True)
        ],
        classes(found.trace.a[-1]),
        classes(y),
        found.trace.a[-1],
        y,
        costs(experiment, found.trace.a[-1], y),
        [
            np.einsum("mj,jk,mk->m", delta, np.asarray(w), a)
            for delta, (w, _), a in zip(found.deltas, params, found.trace.a[:-1], strict=True)
        ],
    )


def expected(batches: list[Batch], params: Any, over: str) -> dict[str, Any]:
    """All columns over the mini-batches, from the definitions; `params` are the last ones."""
    answer, target = (
        np.concatenate([getattr(b, part) for b in batches]) for part in ("answer", "target")
    )
    a, y = (np.concatenate([getattr(b, part) for b in batches]) for part in "ay")
    n = max(2, params[-1].b.shape[0])
    matrix = np.zeros((n, n), int)
    for row, column in zip(target, answer, strict=True):
        matrix[row, column] += 1
    columns: dict[str, Any] = {
        f"accuracy.{over}": np.mean(answer == target),
        f"confusion_matrix.{over}": matrix,
        f"cost.{over}": np.mean(np.concatenate([b.cost for b in batches])),
        f"mae.{over}": np.mean(np.abs(a - y)),
        f"rmse.{over}": np.sqrt(np.mean((a - y) ** 2)),
        f"r2.{over}": np.mean(
            1 - np.sum((a - y) ** 2, axis=0) / np.sum((y - y.mean(axis=0)) ** 2, axis=0)
        ),
        **of_the_linear_theory([(np.asarray(w), np.asarray(b)) for w, b in params], over),
    }
    for index, (w, _) in enumerate(params):
        deltas = np.concatenate([b.deltas[index] for b in batches])
        gradients = [np.linalg.norm(b.gradient[index]) for b in batches]
        layer = f"{over}.layer_{index + 2}"
        columns[f"delta_norm.{layer}"] = np.mean(np.sqrt(np.sum(deltas**2, axis=1)))
        columns[f"mean_delta_norm.{layer}"] = np.linalg.norm(np.mean(deltas, axis=0))
        products = np.concatenate([b.products[index] for b in batches])
        columns[f"weight_gradient_product.{layer}"] = np.mean(products)
        columns[f"gradient_norm.{layer}"] = np.mean(gradients)
        columns[f"weight_norm.{layer}"] = np.sqrt(np.sum(np.asarray(w) ** 2))
        for name in ("alignment", "gradient_alignment"):  # other rules: test_learning_rules.py
            columns |= {f"{name}.{layer}": 0.0, f"{name}.{layer}.ratio": 1.0}
        if index:
            columns[f"feedback_alignment_angle.{layer}"] = 0.0
        slopes = [s for b in batches if (s := b.slopes[index]) is not None]
        if slopes:
            every = np.concatenate(slopes)
            columns[f"saturation.{layer}"] = np.mean(np.abs(every) < THRESHOLD)
            columns[f"dead_units.{layer}"] = np.mean(np.all(every == 0, axis=0))
    return columns


def of_the_linear_theory(
    params: list[tuple[np.ndarray, np.ndarray]], over: str
) -> dict[str, np.ndarray]:
    product = params[0][0]
    for w, _ in params[1:]:
        product = w @ product
    u, v = (singular_vectors(n, side, 0) for n, side in zip(product.shape, "uv", strict=True))
    modes = np.diag(u.T @ product @ v)
    columns = {f"mode_strengths.{over}.mode_{k}": mode for k, mode in enumerate(modes, start=1)}
    for number, ((w, b), (after, _)) in enumerate(itertools.pairwise(params), start=2):
        columns[f"balancedness.{over}.layer_{number}"] = after.T @ after - w @ w.T - np.outer(b, b)
    return columns


def assert_columns(
    found: Mapping[str, Any], wanted: Mapping[str, Any], rtol: float = 1e-10
) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        atol = 1e-9 if "alignment" in name else 0  # of angles of zero degrees
        np.testing.assert_allclose(np.asarray(found[name]), value, rtol, atol, err_msg=name)


def one_by_one(experiment: Experiment, epochs: int) -> Iterator[tuple[list[Batch], Any]]:
    """The mini-batches of each epoch, with gradient descent as a loop, and the params after it."""
    with precision(experiment.training.dtype):
        params = initial_state.initial_state(experiment).params
    train = experiment.data.load().train
    m = experiment.training.m(len(train))
    eta = experiment.optimiser.eta  # pyright: ignore[reportAttributeAccessIssue]
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([experiment.seed, epoch]).permutation(len(train))
        batches = []
        for start in range(0, len(order), m):
            rows = order[start : start + m]
            x, y = xy(train, rows)
            batches.append(batch(experiment, params, x, y))
            y = targets(y, experiment.network.sizes[-1]).astype(float)
            mean = gradient(experiment.network, experiment.cost, params, x, y).mean
            params = bpframe.gradient_descent_step(params, mean, eta)
        yield batches, params


@functools.cache
def everything() -> tuple[Experiment, RunResult]:
    """Two epochs in mini-batches of 5, of which the last has 3 examples; all metrics over all."""
    experiment = three(chosen(*OVERS))
    return experiment, bpframe.run(experiment)


def at_epoch(result: RunResult, index: int, over: str) -> dict[str, np.ndarray]:
    metrics = result.history.metrics
    return {name: values[index] for name, values in metrics.items() if f".{over}" in name}


@pytest.mark.slow
def test_all_shipped_metrics_have_an_oracle() -> None:
    """Slow: all metrics are compiled over every split."""
    experiment, _ = everything()
    _, params = next(one_by_one(experiment, 1))
    split = experiment.data.load().test
    columns = expected([batch(experiment, params, *xy(split))], params, "test")
    assert {name.partition(".")[0] for name in columns} == set(NAMES)


@pytest.mark.slow
def test_over_the_steps_every_mini_batch_counts_as_it_was_seen() -> None:
    """Slow: it runs NumPy's network step by step."""
    experiment, result = everything()
    shares = []
    for index, (batches, params) in enumerate(one_by_one(experiment, 2)):
        assert [len(b.answer) for b in batches] == [5, 5, 5, 5, 3]
        wanted = expected(batches, params, STEPS)
        assert_columns(at_epoch(result, index, STEPS), wanted)
        shares += [wanted[f"saturation.{STEPS}.layer_{layer}"] for layer in (2, 3, 4)]
    assert all(0 < share < 1 for share in shares)


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_over_a_split_the_last_parameters_count(split: str) -> None:
    """Slow: all metrics are compiled over every split."""
    experiment, result = everything()
    for wanted in (result.params, [params for _, params in one_by_one(experiment, 2)][-1]):
        part = getattr(experiment.data.load(), split)
        columns = expected([batch(experiment, wanted, *xy(part))], wanted, split)
        assert_columns(at_epoch(result, 1, split), columns)
        assert 0 < columns[f"saturation.{split}.layer_3"] < 1


@pytest.mark.slow
def test_some_units_are_dead() -> None:
    """So that the oracle has something to tell apart. Slow: as the tests before."""
    metrics = everything()[1].summary.metrics
    assert all(0 < metrics[f"dead_units.{split}.layer_2"] < 1 for split in SPLITS)


@pytest.mark.slow
def test_full_batches_see_the_initial_parameters_and_splits_come_in_portions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also that softmax, which couples its neurons, has no saturation.

    Slow: all metrics are compiled over every split.
    """
    monkeypatch.setattr("bpframe.training.evaluation.EVALUATION_CHUNK", 3)
    experiment = three(
        chosen(STEPS, "validation"),
        *("training.batch_size=23", "training.epochs=1", "cost=log_likelihood"),
        layers=("{n: 4, activation: sigmoid}", "{n: 3, activation: softmax}"),
    )
    result = bpframe.run(experiment)
    data = experiment.data.load()
    initial = initial_state.initial_state(experiment).params
    wanted = expected([batch(experiment, initial, *xy(data.train))], result.params, STEPS)
    assert "saturation.steps.layer_2" in wanted
    assert "saturation.steps.layer_3" not in wanted
    assert_columns(at_epoch(result, 0, STEPS), wanted)
    batches = [
        batch(experiment, result.params, *xy(data.validation, rows))
        for rows in (slice(0, 3), slice(3, 6), slice(6, 7))
    ]
    wanted = expected(batches, result.params, "validation")
    assert_columns(at_epoch(result, 0, "validation"), wanted)


@pytest.mark.slow
def test_metrics_agree_with_the_records() -> None:
    """Slow: all metrics are compiled over every split."""
    _, result = everything()
    history = result.history
    metrics = history.metrics
    assert metrics["accuracy.validation"].tolist() == history.validation_accuracy.tolist()
    np.testing.assert_allclose(metrics["accuracy.steps"], history.train_accuracy, rtol=1e-12)
    assert metrics["accuracy.test"][-1] == result.summary.test_accuracy
    for over, n in zip(OVERS, (23, 23, 7, 5), strict=True):
        matrix = metrics[f"confusion_matrix.{over}"]
        assert matrix.shape == (2, 3, 3)
        assert matrix.sum(axis=(1, 2)).tolist() == [n, n]
        np.testing.assert_allclose(
            np.trace(matrix, axis1=1, axis2=2) / n, metrics[f"accuracy.{over}"], rtol=1e-12
        )


@pytest.mark.slow
def test_columns_are_in_every_record_and_what_is_not_finite_is_null(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    metrics = "metrics=[accuracy,delta_norm,confusion_matrix,lost,partly]"
    overrides = ["data=small", "network.hidden=[4]", "training.epochs=2", metrics]
    result = bpframe.run(bpframe.compose(overrides, plugins=[Plugin()]), tmp_path)
    odd = {
        "lost.steps": None,
        "partly.steps.z_first": [[1.0, None], [None, 2.0]],
        "partly.steps.a_count": 3,
        "partly.steps.truth": True,
    }
    columns = [
        *("delta_norm.steps.layer_2", "delta_norm.steps.layer_3", *odd),
        *("accuracy.validation", "confusion_matrix.validation"),
    ]
    rows = [
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert len(rows) == 2
    for index, row in enumerate(rows):
        assert list(row)[6:] == columns
        assert {name: row[name] for name in odd} == odd
        for name in set(columns) - set(odd):
            assert row[name] == result.history.metrics[name][index].tolist()
        assert all(isinstance(n, int) for part in row[columns[-1]] for n in part)
    assert list(result.summary.metrics) == columns
    assert summary(tmp_path)["metrics"] == {name: rows[-1][name] for name in columns}
    assert result.summary.status == "completed"
    history = result.history.metrics
    assert np.isnan(history["lost.steps"]).tolist() == [True, True]
    assert np.isnan(history["partly.steps.z_first"][0]).tolist() == [[False, True], [True, False]]


OF_THRESHOLDS = ("accuracy", "saturation", "dead_units")


def assert_near(result: RunResult, experiment: Experiment, tolerance: float) -> None:
    """The columns over the steps of the first epoch are those of float64, nearly."""
    batches, params = next(one_by_one(experiment, 1))
    wanted = expected(batches, params, STEPS)
    found = at_epoch(result, 0, STEPS)
    assert set(found) == set(wanted)
    for name, value in found.items():
        if "norm" in name:
            assert value == pytest.approx(wanted[name], rel=tolerance), name
        elif "confusion" in name:
            assert value.sum() == N_TRAIN
        elif not name.startswith(OF_THRESHOLDS):
            np.testing.assert_allclose(  # with an atol, for inner products cancel
                value, wanted[name], rtol=tolerance, atol=2 * tolerance, err_msg=name
            )
        else:
            # One neuron, or one answer, may fall on the other side of a threshold.
            assert math.isclose(value, wanted[name], abs_tol=1 / 5), name


@pytest.mark.slow
def test_narrow_dtypes_and_that_metrics_change_no_bit() -> None:
    """Slow: all metrics are compiled in three dtypes."""
    without, measured = (bpframe.run(composed(*more)) for more in ((), (chosen(STEPS),)))
    assert equal(without.params, measured.params)
    for name in ("train_cost", "validation_cost", "train_accuracy", "validation_accuracy"):
        first, second = (getattr(run.history, name).tolist() for run in (without, measured))
        assert first == second, name
    assert without.history.metrics == without.summary.metrics == {}
    wide = composed("training.dtype=float64")
    assert_near(measured, wide, 1e-5)
    one_epoch = ("training.dtype=bfloat16", "training.epochs=1")
    # 16 of bfloat16's eps, after two layers and five steps
    assert_near(bpframe.run(composed(*one_epoch, chosen(STEPS))), wide, 2**-4)


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ("[accuracy,accuracy]", "metrics[1]: accuracy over validation is chosen already"),
        (
            "[delta_norm,{name: delta_norm, over: steps}]",
            "metrics[1]: delta_norm over steps is chosen already",
        ),
        ("[acuracy]", "metrics[0]: unknown 'acuracy'; did you mean 'accuracy'? known: "),
        ("[{name: accuracy, over: all}]", "metrics[0].over: unknown 'all'; known: steps, test, tr"),
        ("[{name: accuracy, of: test}]", "metrics[0].of: unknown 'of'; known: first, over"),
        ("[{name: saturation, threshold: 0}]", "metrics[0].threshold: 0.0 is out of range; allow"),
        ("[3]", "metrics[0]: 3 is not a metric; give a name"),
        ("accuracy", "metrics: "),
    ],
)
def test_wrong_choices_are_one_line(metrics: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(f"metrics={metrics}")
    message = str(caught.value)
    assert message.startswith(text)
    assert len(message.splitlines()) == 1


def test_one_metric_over_several_examples() -> None:
    experiment = composed("metrics=[accuracy,{name: accuracy, over: test}]")
    assert [(m.name, m.metric.over) for m in experiment.metrics] == [
        ("accuracy", "validation"),
        ("accuracy", "test"),
    ]


@pytest.mark.slow
def test_a_single_output() -> None:
    """Slow: compiles a program."""
    overrides = ["data=xor", "network.hidden=[3]", "training.batch_size=4", "training.epochs=1"]
    experiment = bpframe.compose([*overrides, "training.dtype=float64", chosen(STEPS)])
    result = bpframe.run(experiment)
    initial: tuple[Params, ...] = initial_state.initial_state(experiment).params
    seen = batch(experiment, initial, *xy(loading.load(experiment).train))
    wanted = expected([seen], result.params, STEPS)
    assert wanted["confusion_matrix.steps"].shape == (2, 2)
    assert_columns(at_epoch(result, 0, STEPS), wanted)


def folded(metric: Metric, a: np.ndarray, y: np.ndarray, m: int) -> float:
    """What a metric gives for outputs and targets, in mini-batches of m."""
    starts = range(0, len(y), m)
    seen: list[Any] = [
        Outputs(jnp.asarray(a[start : start + m]), jnp.asarray(y[start : start + m]))
        for start in starts
    ]
    total = metric.start(jax.eval_shape(lambda seen: seen, seen[0]))
    for part in seen:
        total = metric.add(total, part)
    return float(np.asarray(metric.result(total, ())))


class Outputs(NamedTuple):
    """As much of an observation as metrics of regression read."""

    last: Any
    y: Any

    right = None

    @property
    def answer(self) -> Any:
        return self.last

    @property
    def target(self) -> Any:
        return self.y


def r2_score(a: np.ndarray, y: np.ndarray) -> float:
    """As scikit-learn defines it: averaged over outputs, finite for equal targets."""
    scores = []
    for column, target in zip(a.T.tolist(), y.T.tolist(), strict=True):
        mean = math.fsum(target) / len(target)
        errors = math.fsum((p - t) ** 2 for p, t in zip(column, target, strict=True))
        spread = math.fsum((t - mean) ** 2 for t in target)
        scores.append(1 - errors / spread)
    return sum(scores) / len(scores)


@pytest.mark.share(3)
@pytest.mark.parametrize("m", [1, 7, 100])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float64", 1e-12)])
def test_metrics_of_regression(m: int, dtype: str, rtol: float) -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=(100, 3)).astype(dtype)
    a = (y + rng.normal(size=y.shape)).astype(dtype)
    errors = a.astype(float) - y
    expect = {
        MeanAbsoluteError: np.mean(np.abs(errors)),
        RootMeanSquaredError: np.sqrt(np.mean(errors**2)),
        CoefficientOfDetermination: r2_score(a.astype(float), y.astype(float)),
    }
    for metric, value in expect.items():
        assert folded(metric(), a, y, m) == pytest.approx(value, rel=rtol), metric


def test_r2_keeps_its_digits_beside_a_large_mean() -> None:
    """In float32, where the difference of sum y^2 and n mean^2 has few left."""
    rng = np.random.default_rng(4)
    y = (4096 + rng.integers(-4, 5, (500, 1)) / 8).astype(np.float32)
    a = (y + rng.integers(-1, 2, y.shape) / 8).astype(np.float32)
    found = folded(CoefficientOfDetermination(), a, y, 10)
    assert found == pytest.approx(r2_score(a.astype(float), y.astype(float)), rel=1e-5)


@pytest.mark.parametrize(("off", "wanted"), [(0.0, 1.0), (0.25, 0.0)])
def test_r2_of_targets_that_are_all_equal(off: float, wanted: float) -> None:
    y = np.full((30, 1), 0.1)
    assert folded(CoefficientOfDetermination(), y + off, y, 7) == wanted
