"""The best parameters, what is classified rightly, and data whose targets are no classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import bpframe
from bpframe.errors import ConfigError
from bpframe.runs import loop
from bpframe.runs.checkpoint import Checkpointing
from bpframe.sweeps import objective
from bpframe.sweeps.report.runs import ReportRun, best_run
from bpframe.sweeps.rows import Row

SMALL = ("data.train_size=40", "network.hidden=[4]", "optimiser.eta=3")
NOISY = (*SMALL, "training.epochs=6", "seed=3")


def one_output(low: float, high: float, n: int = 60) -> bpframe.Data:
    """Points on a line in two classes, apart at 0.3."""
    x = np.random.default_rng(0).uniform(-1, 1, (n, 2)).astype(np.float32)
    y = np.where(x[:, :1] > 0.3, high, low).astype(np.float32)
    parts = [bpframe.Examples(x[i::3], y[i::3], n_out=1) for i in range(3)]
    return bpframe.Data(*parts)


def composed(*overrides: str) -> bpframe.Experiment:
    inline = ("data=inline", "data.x=[[0,0],[1,1]]", "data.y=[[0],[1]]")
    return bpframe.compose([*inline, *overrides])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("low", "high", "limit", "overrides"),
    [
        (0, 1, 0.5, ("cost=quadratic", "network.output_activation=tanh")),
        (-1, 1, 0.0, ("cost=quadratic", "network.output_activation=tanh")),
        (0, 1, 0.0, ("cost=hinge", "network.output_activation=tanh")),
        (0, 1, 0.5, ("cost=cross_entropy",)),
    ],
)
def test_a_single_output_is_judged_between_the_targets(
    low: float, high: float, limit: float, overrides: tuple[str, ...]
) -> None:
    """Slow: compiles a program."""
    data = one_output(low, high)
    experiment = composed(*overrides, "network.hidden=[5]", "training.epochs=3")
    result = bpframe.run(experiment, data=data)
    outputs = [
        np.asarray(bpframe.forward(experiment.network, result.params, x).a[-1])
        for x in data.validation.x
    ]
    right = (np.array(outputs) > limit) == (data.validation.y > (low + high) / 2)
    assert result.history.validation_accuracy[-1] == pytest.approx(right.mean())


def regression(*overrides: str) -> tuple[bpframe.Experiment, bpframe.Data]:
    data = one_output(0, 1)
    parts = (bpframe.Examples(p.x, p.x[:, :1] ** 2, n_out=1) for p in data)
    linear = ("cost=quadratic", "network.output_activation=linear", "optimiser.eta=0.3")
    return composed(*linear, *overrides), bpframe.Data(*parts)


@pytest.mark.slow
def test_without_classes_there_is_no_accuracy_and_the_cost_decides(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    experiment, data = regression("stopping=no_improvement", "stopping.patience=2")
    result = loop.run(experiment, tmp_path / "run", data=data)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    written = [*map(json.loads, lines), json.loads((tmp_path / "run/summary.json").read_text())]
    assert not any("accuracy" in name for part in written for name in part)
    assert not any("accuracy" in name for name in result.history.last())
    assert np.isnan(result.history.train_accuracy).all()
    costs, summary = result.history.validation_cost, result.summary
    assert (summary.test_accuracy, summary.best_validation_accuracy) == (None, None)
    assert summary.best_validation_cost == costs.min()
    assert summary.best_epoch == 1 + costs.argmin()
    assert summary.best_epoch is not None
    since_best = len(costs) - summary.best_epoch
    assert (since_best == 2) == (summary.stopped is not None)


@pytest.mark.parametrize("name", ["accuracy", "confusion_matrix"])
def test_a_metric_of_classes_is_refused_without_them(name: str) -> None:
    experiment, data = regression(f"metrics=[{name}]")
    with pytest.raises(ConfigError, match=rf"metrics\[0\]: {name} has no meaning for these data"):
        bpframe.run(experiment, data=data)


def params_after(epochs: int, *overrides: str) -> Any:
    """The parameters of a run that ends after so many epochs."""
    return bpframe.run(bpframe.compose([*overrides, f"training.epochs={epochs}"])).params


@pytest.mark.slow
@pytest.mark.optimised
@pytest.mark.parametrize(
    "objective",
    [
        (),
        ("sweep.objective=test_cost",),
        ("sweep.objective=train_cost", "sweep.direction=maximise"),
        ("sweep.objective=accuracy.train", "metrics=[{name: accuracy, over: train}]"),
    ],
)
def test_the_best_parameters_are_those_after_the_best_epoch(objective: tuple[str, ...]) -> None:
    """Slow: compiles a program."""
    result = bpframe.run(bpframe.compose([*NOISY, *objective]))
    name = "validation_accuracy"
    if objective:
        name = objective[0].partition("=")[2].replace("test_", "validation_")
    history = {**vars(result.history), **result.history.metrics}[name]
    falls = name == "validation_cost"
    best = 1 + int(history.argmin() if falls else history.argmax())
    assert result.summary.best_epoch == best
    expected = params_after(best, *NOISY[:-2], NOISY[-1], *objective)
    for found, alone in zip(result.best_params, expected, strict=True):
        np.testing.assert_array_equal(found.w, alone.w)
        np.testing.assert_array_equal(found.b, alone.b)


@pytest.mark.slow
@pytest.mark.optimised
def test_they_are_written_and_survive_a_kill(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    worst_first = ("sweep.objective=train_cost", "sweep.direction=maximise")
    experiment = bpframe.compose([*NOISY, *worst_first])

    def stop(record: bpframe.EpochRecord) -> None:
        if record.epoch == 4:
            raise SystemExit

    whole = loop.run(experiment, tmp_path / "whole")
    assert whole.summary.best_epoch != 6
    with pytest.raises(bpframe.PluginError):
        loop.run(experiment, tmp_path / "cut", on_epoch=stop, checkpointing=Checkpointing(epochs=1))
    loop.resume(experiment, tmp_path / "cut")
    one, other = (load_file(tmp_path / name / "best.safetensors") for name in ("whole", "cut"))
    last = load_file(tmp_path / "whole" / "params.safetensors")
    assert one.keys() == other.keys() == last.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])
    assert not np.array_equal(one["layer_2.w"], last["layer_2.w"])


def test_an_unknown_objective_is_named() -> None:
    with pytest.raises(ConfigError, match=r"sweep\.objective: unknown 'acuracy'; did you mean"):
        bpframe.run(bpframe.compose([*SMALL, "training.epochs=1", "sweep.objective=acuracy"]))


@pytest.mark.slow
def test_of_equal_accuracies_the_least_cost_is_the_best() -> None:
    """In the run, which keeps the parameters, as in its summary. Slow: compiles a program."""
    data = one_output(0, 1)
    overrides = ("network.hidden=[5]", "optimiser.eta=3", "training.batch_size=5")
    experiment = composed(*overrides, "training.epochs=40")
    result = bpframe.run(experiment, data=data)
    history, best = result.history, result.summary.best_epoch
    assert best is not None
    highest = history.validation_accuracy == history.validation_accuracy.max()
    assert highest.sum() > 1
    cost = np.where(highest, history.validation_cost, np.inf)
    assert best == history.epoch[cost.argmin()] != history.epoch[highest.argmax()]
    shorter = bpframe.run(composed(*overrides, f"training.epochs={best}"), data=data)
    for ours, theirs in zip(result.best_params, shorter.params, strict=True):
        assert all(map(np.array_equal, ours, theirs))


def test_of_equal_jobs_that_with_the_least_cost_is_the_best() -> None:
    """In the tables of a sweep as on its page."""
    costs = {"a": 0.5, "b": 0.2, "c": 0.3, "d": None}
    metrics = [
        {"best_validation_accuracy": 0.9, "best_validation_cost": cost} for cost in costs.values()
    ]
    rows = [
        Row(num, name, {}, "completed", 1, each, {})
        for num, (name, each) in enumerate(zip(costs, metrics, strict=True))
    ]
    found = objective.DEFAULT.best(rows)
    assert found is not None
    assert found.folder == "b"
    shown = best_run(
        [ReportRun(row.folder, row, (), {}) for row in rows],
        objective.DEFAULT.name,
        objective.DEFAULT.direction,
    )
    assert shown is not None
    assert shown[0].name == "b"
