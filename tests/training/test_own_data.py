"""Own data on their way into training: what is advised, what is kept, and that it is made once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_cli
from own_tables import PRICES, ZOO, frame
from test_cli import Main

import bpframe
from bpframe import Data, Examples
from bpframe.data import FittedData
from bpframe.runs.data_info import DataInfo
from bpframe.tasks import Classification, MultiLabel, Regression
from bpframe.training import advice, loading

main = test_cli.main
DRAW = np.random.default_rng(0)


def hints(words: list[str], data: Any = None, target: Any = None) -> list[str]:
    experiment = bpframe.compose(words, data=data, target=target)
    return list(advice.hints(experiment, loading.load(experiment)))


def said(found: list[str], text: str) -> bool:
    return any(text in line for line in found)


def test_a_table_says_that_it_was_standardised(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "own.csv", index=False)
    path = f"data.path={tmp_path / 'own.csv'}"
    for words, line in (
        (ZOO, "inputs have mean 0 and deviation 1 over the training set; data.standardise=false"),
        (PRICES, "inputs and targets have mean 0 and deviation 1 over the training set"),
        (
            (*PRICES, "data.standardise=false"),
            "targets have mean 0 and deviation 1 over the training set; data.standardise_targets=",
        ),
    ):
        assert said(hints([*words, path]), line)
    bare = hints([*PRICES, path, "data.standardise=false", "data.standardise_targets=false"])
    assert not said(bare, "have mean 0")
    assert said(bare, "inputs have a size (root mean square) of up to")
    assert said(bare, "data.standardise=true brings them there")


@pytest.mark.parametrize(
    ("factor", "advised"), [(1.0, False), (1e4, True), (1e-4, True), (5.0, False)]
)
def test_inputs_far_from_unit_scale_get_a_line(factor: float, advised: bool) -> None:
    x, y = DRAW.normal(size=(60, 3)), [0, 1, 2] * 20
    found = hints([], (x * factor, y))
    assert said(found, "and weights are drawn for inputs of about 1") == advised
    assert not said(hints(["data.standardise=true"], (x * factor, y)), "weights are drawn")


def test_pictures_of_bytes_are_of_unit_scale() -> None:
    x = DRAW.integers(256, size=(30, 4, 4)).astype(np.uint8)
    assert not said(hints([], (x, [0, 1, 2] * 10)), "weights are drawn")
    assert said(hints([], (x.astype(float), [0, 1, 2] * 10)), "weights are drawn")


def test_what_may_not_be_meant_gets_a_line() -> None:
    inline = ["data=inline", "data.x=[[0],[1]]", "data.y=[[0],[1]]", "training.batch_size=2"]
    assert said(hints(inline), "training, validation and test set of Inline are the same examples")
    table = {"a": DRAW.normal(size=40), "b": np.ones(40), "k": ["u", "v"] * 20}
    found = hints([], table, "k")
    assert said(found, "constant in the training set, so nothing can be learned of it: b")
    assert not said(found, "are the same examples")
    lone = hints([], (DRAW.normal(size=(41, 2)), ["u", "v"] * 20 + ["w"]))
    assert said(lone, "one example alone of class w: it is trained on, and never tested")


def test_outputs_that_cannot_reach_the_targets_get_a_line() -> None:
    y = 100 * DRAW.normal(size=(60, 1))
    words = ["cost=quadratic", "data.task=regression"]
    found = hints([*words, "network.output_activation=sigmoid"], (DRAW.normal(size=(60, 2)), y))
    assert said(found, "network.output_activation=linear reaches them")
    assert not said(hints(words, (DRAW.normal(size=(60, 2)), y)), "reaches them")


def test_expanded_data_are_expanded_once(data_dir: Path) -> None:
    """A single run checks data that are loaded already: 7 examples stay 7 x 5, all distinct."""
    words = ["data=mnist", f"data.root={data_dir / 'mnist'}", "data.expand=true"]
    experiment = bpframe.compose([*words, "data.train_size=7", "network.hidden=[3]"])
    data = loading.load(experiment)
    assert isinstance(data, FittedData)
    assert len(data.train) == 35
    assert len(np.unique(data.train.x.reshape(35, -1), axis=0)) == 35
    again = loading.fitting(experiment.data, experiment.data.load())
    np.testing.assert_array_equal(again.train.x, data.train.x)


@pytest.mark.slow
def test_a_run_trains_on_what_is_expanded_once(data_dir: Path, tmp_path: Path) -> None:
    """From Python, with and without data that were loaded. Slow: compiles a program."""
    words = ["data=mnist", f"data.root={data_dir / 'mnist'}", "data.expand=true"]
    experiment = bpframe.compose(
        [*words, "data.train_size=7", "network.hidden=[3]", "training.epochs=1"]
    )
    seen = []
    for at, data in enumerate((None, experiment.data.load(), loading.load(experiment))):
        bpframe.run(experiment, tmp_path / f"{at}", data=data, plots=False)
        summary = json.loads((tmp_path / f"{at}" / "summary.json").read_text())
        seen.append(summary["data"]["n_train"])
    assert seen == [35, 35, 35]
    assert len(bpframe.load(tmp_path / "0").fitted_data.train) == 35


TASKS = (
    Classification(),
    Classification(names=("a", "b")),
    Classification(names=(1, 2)),
    Classification(names=(False, True)),
    MultiLabel(names=("p", "q")),
    Regression(names=("p", "q")),
    Regression.standardising(np.array([[1.0, 2], [3, 5]]), ("p", "q")),
)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_known_of_data_is_read_as_it_was_written(task: Any) -> None:
    classes = task.has_classes
    y = np.array([0, 1, 1]) if classes else DRAW.integers(2, size=(3, 2)).astype(float)
    features = ("size", ("site", "east"))
    one = Examples(DRAW.normal(size=(3, 2)), y, 2, task=task, features=features)
    info = DataInfo.of(Data(one, one, one))
    again = DataInfo.read(json.loads(json.dumps(info.as_dict())))
    assert again == info
    assert again.task == task


def test_a_task_of_a_plugin_is_asked_of_the_data_again() -> None:
    class Own(Classification):
        """A task that bpframe has not."""

    one = Examples(DRAW.normal(size=(3, 2)), np.array([0, 1, 1]), 2, task=Own())
    info = DataInfo.of(Data(one, one, one))
    assert DataInfo.read(json.loads(json.dumps(info.as_dict()))).task is None


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_examples_are_scaled_as_those_that_were_trained_on(dtype: Any) -> None:
    """Bytes by a scale that stands beside them, floats before they are kept."""
    x = DRAW.integers(256, size=(20, 3, 3, 1)).astype(dtype)
    one = Examples(x, np.arange(20) % 2, 2, scale=1 / 255 if dtype is np.uint8 else 1.0)
    dataset = bpframe.compose(["data.standardise=true"], data=Data(one, one, one)).data
    fitted = loading.loaded(dataset)
    found = DataInfo.of(fitted).examples(x, one.y, fitted.task)
    expected = (x.astype(float) - x.mean()) / x.std()
    np.testing.assert_allclose(found.x, expected, rtol=1e-12)


def test_regression_is_undone_in_units() -> None:
    y = DRAW.normal(50, 9, size=(20, 2))
    task = Regression.standardising(y, ("p", "q"))
    encoded = task.encoded(y)
    np.testing.assert_allclose(encoded, (y - y.mean(0)) / y.std(0), rtol=1e-12)
    np.testing.assert_allclose(task.decoded(encoded), y, rtol=1e-12)
    constant = Regression.standardising(np.full((5, 1), 3.0))
    np.testing.assert_array_equal(constant.encoded(np.full((5, 1), 3.0)), np.zeros((5, 1)))
    assert Regression().encoded(y) is y


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [["optimiser.eta=1e30"], ["optimiser.eta=500"]])
def test_a_run_that_is_worse_than_one_answer_is_told_of(main: Main, overrides: list[str]) -> None:
    """The cross-entropy of the shares of ten classes is 3.23. Slow: compiles."""
    ended = main(*overrides, "training.epochs=2")
    assert (ended.status, ended.err) == (0, "")
    assert "is worse than the 3.23 of one answer to everything, the mean target" in ended.out
    assert "worse than" not in main("training.epochs=2").out
