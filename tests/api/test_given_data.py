"""Data in memory: composed, trained on, gone on with, and refused by name."""

from __future__ import annotations

import gc
import importlib.util
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import yaml
from own_tables import KINDS, SHORT, encoded, frame, outputs, scaled

import bpframe
from bpframe import BpframeError, Checkpointing, ConfigError, DataError, Examples
from bpframe.tasks import Classification, MultiLabel, Regression

TABLE = frame(60)
X = TABLE[["size", "weight"]].to_numpy()
KIND = list(TABLE["kind"])
PRICE = TABLE["price"].to_numpy()
FEATURES = "data.features=[size,weight,site]"


def refusal(call: Any) -> str:
    with pytest.raises(BpframeError) as raised:
        call()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    return str(raised.value)


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("data", "target", "sizes", "task"),
    [
        ((X, KIND), None, (2, 3), Classification(names=KINDS)),
        ((X.tolist(), KIND), None, (2, 3), Classification(names=KINDS)),
        ([X, np.array(KIND)], None, (2, 3), Classification(names=KINDS)),
        ((X, [KINDS.index(k) for k in KIND]), None, (2, 3), Classification()),
        ((X, [KINDS.index(k) + 1 for k in KIND]), None, (2, 3), Classification(names=(1, 2, 3))),
        ((X, [k == "ape" for k in KIND]), None, (2, 2), Classification(names=(False, True))),
        ((X, np.eye(3)[[KINDS.index(k) for k in KIND]]), None, (2, 3), Classification()),
        ((X, PRICE), None, (2, 1), Regression()),
        ((X, np.column_stack([PRICE, PRICE])), None, (2, 2), Regression()),
        ((TABLE[["size", "weight"]], TABLE["kind"]), None, (2, 3), Classification(names=KINDS)),
        (TABLE[["size", "weight", "kind"]], "kind", (2, 3), Classification(names=KINDS)),
        ({"a": X[:, 0], "kind": KIND}, "kind", (1, 3), Classification(names=KINDS)),
        ({"a": X[:, 0].tolist(), "kind": KIND}, ["kind"], (1, 3), Classification(names=KINDS)),
    ],
)
def test_data_tell_their_sizes_and_their_task(
    data: Any, target: Any, sizes: tuple[int, int], task: Any
) -> None:
    experiment = bpframe.compose(["network.hidden=[4]"], data=data, target=target)
    assert (experiment.network.sizes[0], experiment.network.n_out) == sizes
    found = experiment.data.load()
    assert found.task == task
    assert sum(map(len, found)) == 60
    again = bpframe.compose(["network.hidden=[4]"], data=data, target=target).data.load()
    np.testing.assert_array_equal(found.test.x, again.test.x)


def test_a_regression_has_linear_outputs_and_the_quadratic_cost_unless_said() -> None:
    for words, cost, output in (
        ([], "Quadratic", "Linear"),
        (["cost=huber"], "Huber", "Linear"),
        (["network.output_activation=softplus"], "Quadratic", "Softplus"),
        (["cost=absolute", "network.output_activation=tanh"], "Absolute", "Tanh"),
        (["network.layers=[{n: 1, activation: relu}]"], "Quadratic", "Relu"),
    ):
        found = bpframe.compose(["data.task=regression", *words], data=(X, PRICE))
        assert type(found.cost.cost_function).__name__ == cost
        assert type(found.network.layers[-1].activation).__name__ == output


@pytest.mark.parametrize(
    ("data", "more", "said"),
    [
        (X, {}, "data: is ndarray; give arrays (x, y), a frame with target=NAME, or bpframe.Data"),
        ((X,), {}, "data: is a tuple or list; give two arrays, data=(x, y)"),
        ((X, KIND, X), {}, "give two arrays"),
        ((X, KIND), {"target": "kind"}, "give two arrays, data=(x, y), or a frame with target="),
        ((X, KIND[:5]), {}, "the train set has 60 inputs and 5 targets"),
        ((X[:, 0], KIND), {}, "has shape (60,); expected (n, n_in)"),
        ((X * np.nan, KIND), {}, "example 0 holds values that are not finite"),
        ((X.astype(str), KIND), {}, "expected numbers (n, n_in); for columns of text give a frame"),
        ((X + 0j, KIND), {}, "expected numbers (n, n_in)"),
        ((X, [None, *KIND[1:]]), {}, "y: row 0 is empty"),
        ((X, ["ape"] * 60), {}, "y: has one class alone, ape"),
        ((X, list(range(60))), {}, "60 different whole numbers may be classes or quantities"),
        (TABLE, {}, "say which column is to be answered, with target=NAME"),
        (TABLE, {"target": "sort"}, "data.target: unknown 'sort'"),
        (TABLE, {"target": "kind"}, "column 'site' holds text, 'east' in row 1"),
        ({"a": [[1, 2]] * 60, "b": KIND}, {"target": "b"}, "column 'a' has shape (60, 2)"),
        ({"a": [1.0], "b": KIND}, {"target": "b"}, "columns of different lengths"),
        ("own.csv", {}, "data: is str; give arrays"),
        (None, {"target": "kind"}, "target: is that of a frame; give it as data="),
    ],
)
def test_what_cannot_be_trained_on_is_refused(data: Any, more: dict[str, Any], said: str) -> None:
    assert said in refusal(lambda: bpframe.compose([], data=data, **more))


@pytest.mark.parametrize(
    ("words", "data", "said"),
    [
        (["data=xor"], (X, KIND), "data=xor: data is given already"),
        (["data.features=[a]"], (X, KIND), "data.features: is a setting of frames"),
        (["data.standardise_targets=true"], (X, PRICE), "data.standardise_targets: is a setting"),
        (["data.drop_missing=true"], (X, KIND), "data.drop_missing: is a setting of frames"),
        (["data.validation=0.6", "data.test=0.4"], (X, KIND), "leave nothing for training"),
        (["data.task=regression"], (X, KIND), "y: 'ape' is no number"),
        (["data.taks=regression"], (X, KIND), "did you mean 'task'?"),
        (["checkpoint.epochs=1"], (X, KIND), "give it to bpframe.run, as checkpointing, plots"),
    ],
)
def test_settings_that_nothing_reads_are_refused(words: list[str], data: Any, said: str) -> None:
    message = refusal(lambda: bpframe.compose(words, data=data))
    assert said in message.replace(KIND[0], "ape")


def test_data_of_three_sets_are_as_they_are() -> None:
    labels = np.array([KINDS.index(k) for k in KIND])
    one = Examples(X, labels, 3)
    data = bpframe.Data(one, one.first(20), one.first(10))
    experiment = bpframe.compose([], data=data)
    assert experiment.data.load() is data
    message = refusal(lambda: bpframe.compose(["data.validation=0.3"], data=data))
    assert "data.validation: is settled by bpframe.Data" in message
    assert "target: is that of a frame" in refusal(lambda: bpframe.compose(data=data, target="a"))


def test_numbers_without_a_task_say_what_to_set() -> None:
    experiment = bpframe.compose([], data=(X, PRICE))
    message = refusal(lambda: bpframe.run(experiment))
    assert "data.task=regression chooses it, with linear outputs" in message


def test_several_labels() -> None:
    y = np.random.default_rng(0).integers(2, size=(60, 3))
    experiment = bpframe.compose(["data.task=multi_label"], data=(X, y))
    assert experiment.data.load().task == MultiLabel()


class Killed(BaseException):
    """What ends a process without a word."""


@pytest.mark.slow
@pytest.mark.optimised
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_killed_run_goes_on_with_the_data_given_again(tmp_path: Path) -> None:
    """To the bits of one that was never killed; longer too. Slow: compiles a program."""
    words = ["network.hidden=[4]", "training.epochs=6", FEATURES, "data.one_hot=[site]"]
    experiment = bpframe.compose(words, data=TABLE, target="kind")
    whole = bpframe.run(experiment, tmp_path / "whole", plots=False)

    def kill(record: bpframe.EpochRecord) -> None:
        if record.epoch == 4:
            raise Killed

    folder = tmp_path / "run"
    with pytest.raises(Killed):
        bpframe.run(
            experiment, folder, on_epoch=kill, plots=False, checkpointing=Checkpointing(epochs=1)
        )
    gc.collect()  # which lets go of the folder, as the end of a process does
    assert (folder / ".hydra" / "config.yaml").exists()
    assert "go on there, with bpframe.resume(folder, data=...)" in refusal(
        lambda: bpframe.resume(folder)
    )
    other = TABLE.assign(size=TABLE["size"] + 1)
    assert "data" in refusal(lambda: bpframe.resume(folder, data=other, target="kind"))
    seen: list[int] = []
    result = bpframe.resume(
        folder, data=TABLE, target="kind", on_epoch=lambda record: seen.append(record.epoch)
    )
    assert seen == [4, 5, 6]
    for one, two in zip(*map(jax.tree.leaves, (result.params, whole.params)), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not (folder / "learning_curves.png").exists()
    run = bpframe.load(folder)
    assert run.evaluate(TABLE, TABLE["kind"]) == bpframe.load(tmp_path / "whole").evaluate(
        TABLE, TABLE["kind"]
    )

    said = refusal(lambda: bpframe.resume(folder, data=TABLE, target="kind"))
    assert "is complete after epoch 6" in said
    before = (folder / ".hydra" / "config.yaml").read_bytes()
    refusal(lambda: bpframe.resume(folder, ["training.epochs=2"], data=TABLE, target="kind"))
    assert (folder / ".hydra" / "config.yaml").read_bytes() == before
    message = refusal(lambda: bpframe.resume(folder, ["seed=3"], data=TABLE, target="kind"))
    assert "seed=3: a run stays as it is; only training.epochs" in message
    longer = bpframe.resume(folder, ["training.epochs=8"], data=TABLE, target="kind")
    assert longer.summary.epochs == 8
    config = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())
    assert config["training"]["epochs"] == 8
    again = bpframe.load(folder)
    assert again.experiment.training.epochs == 8
    assert again.summary.epochs == 8


@pytest.mark.slow
def test_a_run_on_a_frame_answers_as_numpy_does(tmp_path: Path) -> None:
    """Standardised over its training set, with the names of its classes. Slow: compiles."""
    words = [*SHORT, "training.dtype=float64", FEATURES, "data.one_hot=[site]", "data.split=part"]
    experiment = bpframe.compose(words, data=TABLE, target="kind")
    result = bpframe.run(experiment, tmp_path / "run", plots=False)
    run = bpframe.load(tmp_path / "run")
    expected = outputs(run.folder, scaled(TABLE, TABLE))
    np.testing.assert_allclose(run.outputs(TABLE), expected, rtol=1e-12)
    np.testing.assert_allclose(run.outputs(encoded(TABLE)), expected, rtol=1e-12)
    held = TABLE[TABLE["part"] == "test"]
    found = run.evaluate(held, held["kind"])
    assert found.cost == pytest.approx(result.summary.test_cost, rel=1e-12)
    assert found.accuracy == result.summary.test_accuracy
    message = refusal(run.evaluate)
    assert "its data were given in Python, and no file has them" in message
    assert "run.evaluate(x, y)" in message
    TABLE.to_csv(tmp_path / "own.csv", index=False)
    over = run.over(
        [
            *("data=csv", f"data.path={tmp_path / 'own.csv'}", "data.target=kind", FEATURES),
            *("data.one_hot=[site]", "data.split=part"),
        ]
    )
    assert over["test"] == (len(held), found)
    path = run.folder / ".hydra" / "config.yaml"
    assert yaml.safe_load(path.read_text())["data"]["name"] == "given"
    data = json.loads((run.folder / "summary.json").read_text())["data"]
    assert data["task"]["names"] == list(KINDS)


@pytest.mark.slow
def test_frames_of_polars(tmp_path: Path) -> None:
    """As those of pandas. Slow: compiles a program."""
    if importlib.util.find_spec("polars") is None:
        pytest.skip("polars is not installed: frames of it are not tried")
    polars: Any = importlib.import_module("polars")
    words = [*SHORT[:2], FEATURES, "data.one_hot=[site]"]
    table = polars.DataFrame(TABLE.to_dict("list"))
    for name, given in (("pandas", TABLE), ("polars", table)):
        experiment = bpframe.compose(words, data=given, target="kind")
        bpframe.run(experiment, tmp_path / name, plots=False)
    one, two = (bpframe.load(tmp_path / name) for name in ("pandas", "polars"))
    assert one.predict(TABLE).tolist() == two.predict(table).tolist()
    assert one.evaluate(table, table["kind"]) == two.evaluate(TABLE, TABLE["kind"])


@pytest.mark.slow
def test_given_data_of_a_run_are_noted_as_given(tmp_path: Path) -> None:
    """`bpframe.run(data=...)` in place of the experiment's own. Slow: compiles a program."""
    experiment = bpframe.compose(["data=xor", "training.batch_size=4", "training.epochs=2"])
    own = experiment.data.load()
    bpframe.run(experiment, tmp_path / "run", data=own, plots=False)
    run = bpframe.load(tmp_path / "run")
    assert run.outputs(own.train.x).shape == (4, 1)
    assert "given in Python" in refusal(run.evaluate)
    with pytest.raises(ConfigError, match="given in Python"):
        bpframe.resume(tmp_path / "run", ["training.epochs=3"])
    assert bpframe.resume(tmp_path / "run", ["training.epochs=3"], data=own).summary.epochs == 3


def test_a_series_has_no_columns_to_be_data() -> None:
    with pytest.raises(DataError, match="data: is Series"):
        bpframe.compose(data=pd.Series([1.0, 2.0]))
