"""What an answer is, and whether it is right: by loops over Python numbers, and by scikit-learn's
definitions written out."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_cli
from bpframe_plugins.datasets import Digits, Inline, Mnist, Xor
from bpframe_plugins.linear_theory import Whitened
from jax import Array

import bpframe
from bpframe import Classification, Data, Examples, MultiLabel, Regression, Task
from bpframe.errors import BpframeError, ConfigError, DataError
from bpframe.runs import loop
from bpframe.tasks import implied
from bpframe.training import loading, steering
from bpframe.training.metric_folds import Totals

LABELS = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
X = np.linspace(-1, 1, 4)[:, None]

main = test_cli.main


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array([0, 3, 1]), Classification(0.5)),
        (np.array([[0.0], [1.0]]), Classification(0.5)),
        (np.array([[-1.0], [1.0], [1.0]]), Classification(0.0)),
        (np.array([[0.1], [0.2], [0.4]]), Regression()),
        (np.eye(3), Classification(0.5)),
        (2 * np.eye(3) - 1, Classification(0.5)),
        (np.array([[0.2, 0.8], [0.6, 0.4]]), Classification(0.5)),
        (LABELS, Regression()),
        (np.array([[0.3, -2.0], [5.0, 0.1]]), Regression()),
    ],
)
def test_targets_imply_a_task(y: np.ndarray, task: Task) -> None:
    assert implied(y) == task
    assert implied(y).fitted(y) == task, "and what is implied fits"


def test_several_labels_may_be_any_two_values() -> None:
    assert MultiLabel().fitted(LABELS) == MultiLabel(0.5)
    assert MultiLabel().fitted(2 * LABELS - 1) == MultiLabel(0.0)
    assert MultiLabel().fitted(np.zeros((2, 3))) == MultiLabel(0.5)


@pytest.mark.parametrize(
    ("task", "y", "message"),
    [
        (Classification(), [[1.0], [2.0], [3.0]], "two values, and found 3: 1, 2, 3; choose regr"),
        (Classification(), LABELS, "row 0 has several; choose multi_label, or regression"),
        (MultiLabel(), [[0.0, 1.0], [2.0, 3.0]], "two values, and found 4: 0, 1, 2, ...; choose"),
        (MultiLabel(), [0, 1], "found class labels (n,); choose classification"),
        (Regression(), [0, 1], "found class labels (n,); give a column for each output"),
    ],
)
def test_targets_of_another_task_are_refused(task: Task, y: list[float], message: str) -> None:
    targets = np.array(y)
    n_out = 3 if targets.ndim == 1 else targets.shape[1]
    part = Examples(np.zeros((len(y), 1)), targets, n_out=n_out, task=task)
    with pytest.raises(DataError) as caught:
        loading.fitting(Inline(x=((0.0,),), y=((0.0,) * n_out,)), Data(part, part, part))
    assert str(caught.value).startswith("data: the train set: ")
    assert message in str(caught.value)


def test_a_task_is_a_task() -> None:
    with pytest.raises(DataError, match=r"task is 'regression'; expected a bpframe\.Task"):
        Examples(X, X, n_out=1, task="regression")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("boundary", [None, 0.0])
def test_answers(boundary: float | None) -> None:
    """Each against a loop, with the middle or the boundary of the cost as the limit."""
    outputs = np.random.default_rng(0).normal(size=(50, 3)).round(1)
    limit = 0.5 if boundary is None else boundary
    for row in outputs:
        a = jnp.asarray(row)
        assert int(Classification(0.5).answer(a, boundary)) == row.tolist().index(max(row))
        assert int(Classification(0.5).answer(a[:1], boundary)) == int(row[0] > limit)
        yes = [int(number > limit) for number in row]
        assert MultiLabel(0.5).answer(a, boundary).tolist() == yes
        assert Regression().answer(a, boundary).tolist() == row.tolist()


def test_all_labels_must_be_right() -> None:
    task = MultiLabel()
    for answer, target in itertools.product(itertools.product((0, 1), repeat=3), repeat=2):
        right = task.is_right(jnp.asarray(answer), jnp.asarray(target))
        assert bool(right) == (answer == target)


@pytest.mark.parametrize("dataset", [Digits(), Xor()])
def test_data_sets_of_classes(dataset: Digits | Xor) -> None:
    assert {part.task for part in dataset.load()} == {Classification()}


def test_the_others(data_dir: Path) -> None:
    assert Whitened().load().task == Regression()
    assert Mnist(root=str(data_dir / "mnist")).load().task == Classification()
    assert Inline().load().train.task is None


def inline(*overrides: str, y: np.ndarray = LABELS) -> list[str]:
    return [
        *("data=inline", f"data.x={X.tolist()}", f"data.y={y.tolist()}", "network.hidden=[5]"),
        *("training.batch_size=2", "training.epochs=4", "optimiser.eta=3", *overrides),
    ]


def outputs(experiment: bpframe.Experiment, params: object) -> np.ndarray:
    network = experiment.network
    return np.array([bpframe.forward(network, params, x).a[-1] for x in jnp.asarray(X)])  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_accuracy_of_several_labels_is_that_of_whole_examples() -> None:
    """By the task, by the metric, and for hinge with its boundary of 0.

    Slow: compiles a program.
    """
    for more, limit in (((), 0.5), (("cost=hinge", "network.output_activation=tanh"), 0.0)):
        metrics = "metrics=[accuracy,{name: accuracy, over: train}]"
        words = inline("data.task=multi_label", "training.dtype=float64", metrics, *more)
        experiment = bpframe.compose(words)
        result = bpframe.run(experiment)
        right = np.all((outputs(experiment, result.params) > limit) == (LABELS == 1), axis=1)
        last = result.history.last()
        assert last["validation_accuracy"] == right.mean()
        assert last["accuracy.validation"] == last["accuracy.train"] == right.mean()
        assert result.summary.test_accuracy == right.mean()


def test_classes_are_refused_where_answers_are_labels() -> None:
    experiment = bpframe.compose(inline("data.task=multi_label", "metrics=[confusion_matrix]"))
    with pytest.raises(ConfigError, match=r"metrics\[0\]: confusion_matrix has no meaning"):
        bpframe.run(experiment)


@pytest.mark.slow
@pytest.mark.parametrize("given", [None, "regression"])
def test_regression_may_be_chosen_or_implied(given: str | None, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    words = [] if given is None else [f"data.task={given}"]
    result = bpframe.run(bpframe.compose(inline(*words)), tmp_path / "run")
    assert not result.summary.has_accuracy
    assert "accuracy" not in (tmp_path / "run" / "summary.json").read_text()


@pytest.mark.slow
def test_classes_may_be_taken_as_numbers() -> None:
    """Slow: compiles a program."""
    two = np.array([[0.0], [1.0], [1.0], [0.0]])
    assert bpframe.run(bpframe.compose(inline(y=two))).summary.has_accuracy
    words = inline("data.task=regression", y=two)
    assert not bpframe.run(bpframe.compose(words)).summary.has_accuracy


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.task: unknown 'multi_labl'; did you mean 'multi"):
        bpframe.compose(inline("data.task=multi_labl"))


class NearEnough(Task):
    """Numbers that are right where they lie within `margin`: a task of a third party."""

    margin: float = 0.25

    def answer(self, outputs: Array, boundary: float | None = None) -> Array:
        del boundary
        return outputs

    def is_right(self, answer: Array, target: Array) -> Array:
        return jnp.max(jnp.abs(answer - target)) < self.margin


@pytest.mark.slow
def test_a_task_of_ones_own(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    y = X**2
    part = Examples(X, y, n_out=1, task=NearEnough(0.5))
    words = ["metrics=[accuracy]", "network.output_activation=linear", "cost=quadratic"]
    experiment = bpframe.compose(inline(*words, "optimiser.eta=0.1", "training.dtype=float64", y=y))
    result = bpframe.run(experiment, tmp_path / "run", data=Data(part, part, part))
    right = np.abs(outputs(experiment, result.params) - y) < 0.5
    assert result.summary.test_accuracy == right.mean()
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["accuracy.validation"] == last["validation_accuracy"] == right.mean()


@pytest.mark.slow
@pytest.mark.optimised
@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_lanes_give_what_single_runs_give(task: str, main: test_cli.Main, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    metrics = "accuracy, mae, rmse, r2" if task == "multi_label" else "mae, rmse, r2"
    words = inline(f"data.task={task}", f"metrics=[{metrics}]", "plots=false")
    ended = main("-m", *words, "seed=0,1", "hydra.sweep.dir=sweep")
    assert (ended.status, ended.err) == (0, "")
    for seed in range(2):
        run = tmp_path / f"run{seed}"
        loop.run(bpframe.compose([*words[:-1], f"seed={seed}"]), run)
        for path in (run, tmp_path / "sweep" / str(seed)):
            assert ("accuracy" in (path / "summary.json").read_text()) == (task == "multi_label")
        one, other = (
            [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
            for path in (run, tmp_path / "sweep" / str(seed))
        )
        for a, b in zip(one, other, strict=True):
            assert a.keys() == b.keys()
            for name in a.keys() - {"seconds"}:
                assert a[name] == pytest.approx(b[name], rel=1e-5, abs=1e-6), name


@pytest.mark.slow
def test_a_stopping_rule_sees_no_number_for_an_accuracy() -> None:
    """NaN, which is never large enough, and a score that is minus the cost.

    Slow: compiles a program.
    """
    experiment = bpframe.compose(["data=xor", "stopping=no_improvement", "network.hidden=[2]"])
    seen = []

    class Watching(type(experiment.stopping)):
        """no_improvement that tells."""

        def update(self, state, result):  # pyright: ignore[reportIncompatibleMethodOverride]
            seen.append(result)
            return super().update(state, result)

    experiment = dataclasses.replace(experiment, stopping=Watching())  # pyright: ignore[reportAbstractUsage]
    totals = Totals(jnp.float32(3.0), None)
    state = steering.Steering(
        experiment.schedule.init(jnp.float32), experiment.stopping.init(jnp.float32)
    )
    with jax.disable_jit():
        steering.after_epoch(
            experiment, state, jnp.int32(0), jnp.int32(1), totals, totals, n_train=4, n_validation=4
        )
    (result,) = seen
    assert np.isnan([result.train_accuracy, result.validation_accuracy]).all()
    assert float(result.score) == -3


def test_a_direction_needs_an_objective() -> None:
    with pytest.raises(BpframeError, match=r"sweep\.direction: 'maximise' needs an objective"):
        bpframe.compose(["sweep.direction=maximise"])
