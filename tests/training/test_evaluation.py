"""Evaluating every so many epochs, before the first, and over the first examples of a split."""

from __future__ import annotations

import functools
import json
import logging
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import numpy_step
from safetensors.numpy import load_file
from test_runs import N_TRAIN, N_VALIDATION, composed, equal, lines
from test_sweep_lanes import assert_as_alone, sweep

import bpframe
from bpframe import ConfigError, DivergenceError
from bpframe.explanation.algorithm import explain
from bpframe.training import devices, evaluation, initial_state, loading
from bpframe.training.precision import precision
from bpframe.training.step import Answering

EVERY = "training.evaluate_every"
START = "training.evaluate_start=true"


@pytest.fixture(autouse=True)
def logging_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep sets logging up, and that closes the stream that pytest captures."""
    monkeypatch.setattr(logging, "shutdown", lambda handlers=(): None)


FIVE = ("metrics=[delta_norm,accuracy]", "training.epochs=5")


@functools.cache
def every_epoch() -> bpframe.RunResult:
    return bpframe.run(composed(*FIVE))


@pytest.mark.slow
@pytest.mark.parametrize(("every", "evaluated"), [(2, [2, 4, 5]), (5, [5]), (9, [5])])
def test_records_of_some_epochs_are_those_of_all(every: int, evaluated: list[int]) -> None:
    """Slow: compiles a program."""
    all_of_them = every_epoch()
    some = bpframe.run(composed(*FIVE, f"{EVERY}={every}"))
    assert some.history.epoch.tolist() == evaluated
    places = [epoch - 1 for epoch in evaluated]
    for name in ("train_cost", "validation_cost", "train_accuracy"):
        expected = getattr(all_of_them.history, name)[places]
        np.testing.assert_allclose(getattr(some.history, name), expected, rtol=1e-6)
    for name, column in some.history.metrics.items():
        np.testing.assert_allclose(column, all_of_them.history.metrics[name][places], rtol=1e-6)
    np.testing.assert_allclose(some.params[0].w, all_of_them.params[0].w, rtol=1e-6)
    assert some.summary.epochs == 5
    assert some.summary.best_epoch in evaluated


@pytest.mark.slow
def test_epoch_0_is_what_there_is_before_training(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    chosen = ("metrics=[delta_norm,{name: cost, over: train},{name: cost, over: test}]",)
    result = bpframe.run(composed(*chosen, START, EVERY + "=3"), tmp_path)
    assert result.history.epoch.tolist() == [0, 3]
    experiment = composed(*chosen)
    with precision("float32"):
        params = initial_state.initial_state(experiment).params
        examples = devices.to_device(experiment.data.load().train, "float32")
        n = jnp.float32(N_TRAIN)
        totals = evaluation.evaluate(experiment, Answering(params, ()), examples, n)
    assert result.history.train_cost[0] == pytest.approx(float(totals.cost), rel=1e-6)
    assert result.history.train_accuracy[0] == int(totals.correct) / N_TRAIN
    assert result.history.metrics["cost.train"][0] == pytest.approx(float(totals.cost), rel=1e-6)
    first, last = lines(tmp_path)
    assert "delta_norm.steps.layer_2" not in first
    assert "delta_norm.steps.layer_2" in last
    assert np.isnan(result.history.metrics["delta_norm.steps.layer_2"][0])
    without = bpframe.run(composed(*chosen))
    assert equal(result.params, without.params)


@pytest.mark.slow
def test_no_training_set_is_evaluated_without_being_asked_for() -> None:
    """Slow: compiles a program."""
    experiment = composed()
    assert experiment.training.evaluate_every == 1
    assert not experiment.training.evaluate_start
    assert bpframe.run(experiment).history.epoch.tolist() == [1, 2, 3]


@pytest.mark.slow
def test_full_batches_are_the_gradient_over_the_whole_training_set() -> None:
    """Slow: runs whole commands."""
    chosen = ("training.batch_size=null", "training.epochs=4", "training.dtype=float64")
    experiment = composed(*chosen, "optimiser.eta=0.3")
    result = bpframe.run(experiment)
    with precision("float64"):
        params: Any = initial_state.initial_state(experiment).params
    train = experiment.data.load().train
    for _ in range(4):
        params = numpy_step(
            ["sigmoid"] * 2, "cross_entropy", params, train.x, np.eye(2)[train.y], 0.3
        )
    for mine, (w, b) in zip(result.params, params, strict=True):
        np.testing.assert_allclose(mine.w, w, rtol=1e-12)
        np.testing.assert_allclose(mine.b, b, rtol=1e-12)


def test_full_batches_are_explained() -> None:
    text = explain(composed("training.batch_size=null"))
    assert "full batches" in text


STEERED = ("stopping=no_improvement", "schedule=halve", "data.train_size=25", "network.hidden=[4]")
LANES = [
    ["seed=1", "stopping.patience=1", "schedule.patience=1"],
    ["seed=2", "stopping.patience=3", "schedule.patience=9"],
    ["seed=3", "stopping.patience=9", "schedule.patience=2", "optimiser.eta=5"],
]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_lanes_are_evaluated_as_alone(tmp_path: Path, shared: bool) -> None:
    """Slow: lanes are compiled, and a single run beside each."""
    static = (
        *(*STEERED, "training.epochs=7", f"{EVERY}=3", START, f"sweep.shared_order={shared}"),
        "metrics=[delta_norm,{name: mean_delta_norm, over: train, first: 9}]",
    )
    swept = sweep(tmp_path / "sweep", static, *LANES)
    for num, row in enumerate(swept.rows):
        assert_as_alone(swept, num, tmp_path / f"alone{num}")
        assert swept.lines(num)[0]["epoch"] == 0
        assert row.epochs == swept.lines(num)[-1]["epoch"] <= 7


DIVERGING = (
    *("cost=quadratic", "network.output_activation=linear", "data.train_size=25"),
    *("network.hidden=[]", "training.epochs=30"),  # the error grows at every step
)


@pytest.mark.slow
def test_divergence_between_evaluations_names_its_epoch(tmp_path: Path) -> None:
    """Slow: two runs and a sweep are compiled, and what locates the divergence in each."""
    eta = "optimiser.eta=1"
    with pytest.raises(DivergenceError) as raised:
        bpframe.run(bpframe.compose([*DIVERGING, eta, f"{EVERY}=30"]), tmp_path / "alone")
    epoch = raised.value.epoch or 0
    assert 2 < epoch < 30
    assert f"in epoch {epoch}, mini-batch" in str(raised.value)
    kept = load_file(tmp_path / "alone" / "params.safetensors")
    assert all(np.isfinite(array).all() for array in kept.values())
    cut = [*DIVERGING, eta, f"{EVERY}=30"]
    cut[cut.index("training.epochs=30")] = f"training.epochs={epoch - 1}"
    with pytest.raises(DivergenceError) as before:  # the validation cost alone is not finite yet
        bpframe.run(bpframe.compose(cut), tmp_path / "before")
    assert "mini-batch" not in str(before.value)
    swept = sweep(tmp_path / "sweep", (*DIVERGING, f"{EVERY}=30"), [eta], ["optimiser.eta=0.01"])
    assert swept.rows[0].error == str(raised.value)
    assert swept.rows[1].status == "completed"


def test_halving_reaches_rungs_between_evaluations() -> None:
    training = composed(f"{EVERY}=4", "training.epochs=10").training
    assert [training.next_evaluated(epoch) for epoch in (0, 3, 4, 8, 9)] == [4, 4, 8, 10, 10]


@pytest.mark.slow
def test_a_probe_is_the_first_examples_of_a_split() -> None:
    """Slow: compiles a program."""
    probed = "metrics=[{name: mean_delta_norm, over: validation, first: 4}]"
    result = bpframe.run(composed(probed, "training.dtype=float64"))
    experiment = composed("training.dtype=float64")
    validation = experiment.data.load().validation.first(4)
    with precision("float64"):
        y = jax.nn.one_hot(validation.y, validation.n_out, dtype=jnp.float64)
        found = bpframe.gradient(
            experiment.network, experiment.cost, result.params, jnp.asarray(validation.x), y
        )
    for number, delta in enumerate(found.deltas, start=2):
        norm = np.linalg.norm(np.mean(delta, axis=0))
        column = result.history.metrics[f"mean_delta_norm.validation.layer_{number}"]
        assert column[-1] == pytest.approx(norm, rel=1e-12)


@pytest.mark.slow
def test_the_metric_of_costs_is_the_mean_cost() -> None:
    """Slow: compiles a program."""
    overs = ("steps", "train", "validation", "test")
    metrics = ", ".join(f"{{name: cost, over: {over}}}" for over in overs)
    result = bpframe.run(composed(f"metrics=[{metrics}]", "training.evaluate_train=true"))
    history = result.history
    expected: dict[str, Any] = {
        "steps": bpframe.run(composed()).history.train_cost[-1],  # as the mini-batches saw them
        "train": history.train_cost[-1],
        "validation": history.validation_cost[-1],
        "test": result.summary.test_cost,
    }
    for over in overs:
        assert history.metrics[f"cost.{over}"][-1] == pytest.approx(expected[over], rel=1e-5), over


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (f"{EVERY}=0", f"{EVERY}: 0 is out of range; allowed: >= 1"),
        (
            f"metrics=[{{name: accuracy, first: {N_VALIDATION + 1}}}]",
            f"metrics[0].first: 8 is out of range; allowed: 1 to {N_VALIDATION}, the validation",
        ),
        (
            "metrics=[accuracy,{name: delta_norm, first: 2}]",
            "metrics[1].first: 2 is out of range; allowed: none over the steps; set over",
        ),
        ("metrics=[{name: accuracy, first: 0}]", "metrics[0].first: 0 is out of range"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(override: str, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loading.load(composed(override))
    assert str(raised.value).startswith(text)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_the_line_of_epoch_0_has_no_number_where_there_is_none(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    bpframe.run(composed(START, "metrics=[confusion_matrix,gradient_norm]"), tmp_path)
    first = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert np.shape(first["confusion_matrix.validation"]) == (2, 2)
    assert not any(name.startswith("gradient_norm") for name in first)
