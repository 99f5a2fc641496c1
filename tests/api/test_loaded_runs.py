"""A run that was written, loaded and asked, against NumPy and against its own summary."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from bpframe_plugins.activations import Linear
from oracles import assert_close, autodiff_gradient
from own_tables import KINDS, PLUGIN, PRICES, SHORT, ZOO, encoded, frame, outputs, refusal, scaled

import bpframe
from bpframe import BpframeError, ConfigError, DataError, OutputError, Run
from bpframe.configuration import trust
from bpframe.errors import AdviceWarning, OutputWarning

WIDE = "training.dtype=float64"


def linear(z: np.ndarray) -> np.ndarray:
    return z


def written(folder: Path, *overrides: str, table: Any = None) -> Run:
    """A short run in folder/run on the table in folder/own.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    (frame() if table is None else table).to_csv(folder / "own.csv", index=False)
    path = f"data.path={folder / 'own.csv'}"
    bpframe.run(bpframe.compose([*overrides, *SHORT, path]), folder / "run", plots=False)
    return bpframe.load(folder / "run")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three kinds by size, weight and site, in float64."""
    return written(tmp_path_factory.mktemp("zoo"), *ZOO, WIDE)


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A price by the same, in float64."""
    return written(tmp_path_factory.mktemp("prices"), *PRICES, WIDE)


@pytest.mark.slow
def test_answers_are_those_of_numpy(zoo: Run) -> None:
    """Of a frame, in whatever order its columns stand, and of an array. Slow: compiles."""
    table, new = frame(), frame(30, seed=1)
    expected = outputs(zoo.folder, scaled(new, table))
    named = np.array(KINDS)[expected.argmax(axis=1)]
    for x in (
        new,
        new[["site", "weight", "size"]],
        new[["size", "weight", "site"]].to_dict("list"),
        encoded(new),
        encoded(new).tolist(),
    ):
        np.testing.assert_allclose(zoo.outputs(x), expected, rtol=1e-12)
        assert zoo.predict(x).tolist() == named.tolist()
    best = outputs(zoo.folder, scaled(new, table), name="best")
    np.testing.assert_allclose(zoo.outputs(new, best=True), best, rtol=1e-12)
    assert zoo.feature_names == ("size", "weight", "site")


@pytest.mark.slow
def test_one_example_needs_no_axis_of_examples(zoo: Run, prices: Run) -> None:
    """A row of a frame, a mapping of values, and (n_in,). Slow: compiles."""
    new = frame(3, seed=2)
    for run in (zoo, prices):
        for x in (new.iloc[1], new.iloc[1].to_dict(), encoded(new)[1]):
            said = run.predict(x)
            assert said == run.predict(new)[1] or said == pytest.approx(run.predict(new)[1])
            np.testing.assert_allclose(run.outputs(x), run.outputs(new)[1], rtol=1e-14)
            np.testing.assert_allclose(run.forward(x).z[0], run.forward(new).z[0][1], rtol=1e-14)
            assert np.ndim(run.predict(x)) == 0
    row = new.iloc[1]
    assert_close(
        zoo.gradient(row, row["kind"]).mean, zoo.gradient(new[1:2], new["kind"][1:2]).mean, 1e-14
    )
    assert zoo.evaluate(row, row["kind"]) == zoo.evaluate(new[1:2], [row["kind"]])
    assert prices.evaluate(row, row["price"]) == prices.evaluate(new[1:2], new["price"][1:2])


@pytest.mark.slow
def test_a_regression_answers_in_the_units_of_its_targets(prices: Run) -> None:
    """Slow: compiles a program."""
    table, new = frame(), frame(40, seed=3)
    target = table[table["part"] == "train"]["price"].to_numpy()
    raw = outputs(prices.folder, scaled(new, table), linear)
    expected = raw[:, 0] * target.std() + target.mean()
    np.testing.assert_allclose(prices.predict(new), expected, rtol=1e-12)
    np.testing.assert_allclose(prices.outputs(new), raw, rtol=1e-10, atol=1e-12)
    y = (new["price"].to_numpy() - target.mean()) / target.std()
    found = prices.evaluate(new, new["price"])
    assert found.accuracy is None
    assert found.cost == pytest.approx(((raw[:, 0] - y) ** 2).mean() / 2, rel=1e-10)
    assert prices.evaluate(new, new["price"].to_numpy()[:, None]) == found


@pytest.mark.slow
def test_rmse_mae_and_r2_have_the_units_of_the_targets(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    run = written(tmp_path, *PRICES, WIDE, "metrics=[rmse,mae,r2]")
    table = frame()
    held = table[table["part"] == "validation"]
    target = table[table["part"] == "train"]["price"].to_numpy()
    answers = outputs(run.folder, scaled(held, table), linear)[:, 0] * target.std() + target.mean()
    errors = answers - held["price"].to_numpy()
    spread = held["price"].to_numpy() - held["price"].mean()
    last = {name: column[-1] for name, column in run.history.metrics.items()}
    assert last["rmse.validation"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-9)
    assert last["mae.validation"] == pytest.approx(np.abs(errors).mean(), rel=1e-9)
    assert last["r2.validation"] == pytest.approx(
        1 - (errors**2).sum() / (spread**2).sum(), rel=1e-9
    )


@pytest.mark.slow
def test_the_gradient_is_that_of_jax(zoo: Run, prices: Run) -> None:
    """With classes by their names, and with numbers in their units. Slow: compiles."""
    new = frame(7, seed=4)
    x = jnp.asarray(scaled(new, frame()))
    onehot = np.eye(3)[[KINDS.index(kind) for kind in new["kind"]]]
    target = frame().query("part == 'train'")["price"]
    y = (new[["price"]].to_numpy() - target.mean()) / target.std(ddof=0)
    for run, given, targets in ((zoo, new["kind"], onehot), (prices, new["price"], y)):
        network, cost = run.experiment.network, run.experiment.cost
        for best in (False, True):
            params = tuple(
                type(own)(*map(jnp.asarray, own))
                for own in (run.best_params if best else run.params)
            )
            expected = autodiff_gradient(network, cost, params, x, jnp.asarray(targets))
            assert_close(run.gradient(new, given, best=best).mean, expected, 1e-12)
    assert_close(zoo.gradient(new, onehot).mean, zoo.gradient(new, list(new["kind"])).mean, 0)
    assert [delta.shape for delta in zoo.gradient(new, new["kind"]).deltas] == [(7, 6), (7, 3)]


ARRAYS = "data=npz", "data.path=own.npz"
EXACT: dict[str, tuple[str, ...]] = {
    "classes": (*ZOO, "data.path=own.csv"),
    "numbers": (*PRICES, "data.path=own.csv"),
    "one cost more": (*PRICES, "data.path=own.csv", "cost=huber", "regulariser=l2"),
    "images": ("data=digits", "data.train_size=60", "data.standardise=true"),
    "bfloat16": ("data=digits", "data.train_size=60", "training.dtype=bfloat16"),
    "float64": (*ZOO, "data.path=own.csv", WIDE),
    "labels": (*ARRAYS, "data.task=multi_label"),
    "goodness": (
        *ZOO,
        "data.path=own.csv",
        "learning_rule=forward_forward",
        "network.hidden=[6,6]",
        "network.activation=relu",
    ),
    "settling": (
        *ZOO,
        "data.path=own.csv",
        "learning_rule=equilibrium_propagation",
        "cost=quadratic",
    ),
    "averaged": (*ZOO, "data.path=own.csv", "optimiser=parameter_average", "optimiser.inner=sgd"),
}


@pytest.mark.slow
@pytest.mark.optimised
@pytest.mark.parametrize("kind", EXACT)
def test_evaluating_gives_the_figures_of_the_summary(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last digit, whatever is trained. Slow: compiles a program."""
    monkeypatch.chdir(tmp_path)
    frame().to_csv("own.csv", index=False)
    draw = np.random.default_rng(0)
    np.savez("own.npz", x=draw.normal(size=(60, 4)), y=draw.integers(2, size=(60, 3)).astype(float))
    chosen = {text.partition("=")[0] for text in EXACT[kind]}
    if "optimiser" in chosen:
        chosen.add("optimiser.eta")
    overrides = [text for text in SHORT if text.partition("=")[0] not in chosen]
    result = bpframe.run(bpframe.compose([*EXACT[kind], *overrides]), "run", plots=False)
    run = bpframe.load("run")
    found = run.evaluate()
    assert (found.cost, found.accuracy) == (result.summary.test_cost, result.summary.test_accuracy)
    n, over = run.over()["test"]
    assert (n, over) == (len(run.data.test), found)
    assert run.summary.status == "completed"


@pytest.mark.slow
def test_other_data_are_found_by_names(zoo: Run, tmp_path: Path) -> None:
    """Columns in another order, fewer categories, and a class fewer. Slow: compiles."""
    other = frame(60, seed=5)
    other = other[(other["site"] != "east") & (other["kind"] != "bee")]
    other = other[["part", "kind", "site", "price", "weight", "size"]]
    other.to_csv(tmp_path / "other.csv", index=False)
    found = zoo.over([f"data.path={tmp_path / 'other.csv'}", "data.features=[weight,site,size]"])
    for split, (n, each) in found.items():
        rows = other[other["part"] == split]
        assert n == len(rows)
        assert each == zoo.evaluate(rows, rows["kind"])
        answers = outputs(zoo.folder, scaled(rows, frame())).argmax(axis=1)
        right = np.array(KINDS)[answers] == rows["kind"]
        assert each.accuracy == pytest.approx(right.mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "dog"}, "the class 'dog'; those of this run are ape, bee, cow"),
        ({"site": "south"}, "column 'site' holds 'south', not trained on"),
    ],
)
@pytest.mark.slow
def test_new_classes_and_categories_are_refused(
    zoo: Run, change: dict[str, str], said: str, tmp_path: Path
) -> None:
    """Slow: trains the run of this file."""
    other = frame(60, seed=5)
    ((column, value),) = change.items()
    other.loc[::7, column] = value
    other.to_csv(tmp_path / "other.csv", index=False)
    assert said in refusal(lambda: zoo.over([f"data.path={tmp_path / 'other.csv'}"]))
    if column == "kind":
        assert "y: 'dog' is no class of this run; its classes: ape, bee, cow" in refusal(
            lambda: zoo.evaluate(other, other["kind"])
        )
    else:
        assert "x: column 'site' holds 'south' in row 1, which is not among those" in refusal(
            lambda: zoo.predict(other)
        )


ROWS = np.zeros((2, 5))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (ROWS[:, :4], None, "x: has shape (2, 4); expected (m, 5), or one example (5,)"),
        (ROWS[:0], None, "x: has shape (0, 5), no example"),
        (ROWS.astype(str), None, "x: is ndarray of <U32; expected numbers"),
        (ROWS + 0j, None, "x: is ndarray of complex128; expected numbers"),
        (ROWS.astype(object), None, "x: is ndarray of object; expected numbers"),
        ([[1.0], [1.0, 2.0]], None, "x: has rows of different lengths"),
        (ROWS * np.nan, None, "x: holds values that are not finite"),
        (None, ["ape"], "x and y belong together"),
        (frame(2)[["size", "site"]], None, "has no column 'weight'; it has size, site"),
        (ROWS, ["ape"], "y: has 1 targets for 2 examples"),
        (ROWS, ["ape", "dog"], "y: 'dog' is no class of this run"),
        (ROWS, [0, 1], "y: 0 is no class of this run; its classes: ape, bee, cow"),
        (ROWS, np.ones((2, 2)), "y: has shape (2, 2); expected (2, 3)"),
        (ROWS, np.full((2, 3), np.nan), "y holds values that are not finite"),
        (ROWS, np.full((2, 3), 7.0), "CrossEntropy is defined for targets from 0 to 1"),
    ],
)
def test_what_is_no_example_is_refused(zoo: Run, x: Any, y: Any, said: str) -> None:
    """Slow: trains the run of this file."""
    calls: list[Callable[[], Any]] = [lambda: zoo.evaluate(x, y)]
    if y is None:
        calls = [lambda: zoo.predict(x), lambda: zoo.outputs(x), lambda: zoo.forward(x)]
    elif x is not None:
        calls.append(lambda: zoo.gradient(x, y))
    for call in calls:
        with np.errstate(invalid="ignore"):
            message = refusal(call, BpframeError)
        assert said in message


@pytest.mark.slow
def test_targets_of_a_regression_are_numbers(prices: Run) -> None:
    """Slow: trains the run of this file."""
    for y, said in (
        (["a", "b"], "y: has shape (2,); expected (2, 1)"),
        ([1.0, np.nan], "y holds values that are not finite"),
        (np.ones((2, 2)), "y: has shape (2, 2); expected (2, 1)"),
        (np.ones(2) + 0j, "y: has shape (2,); expected (2, 1)"),
    ):
        assert said in refusal(lambda y=y: prices.evaluate(ROWS, y), DataError)


@pytest.mark.slow
def test_it_answers_when_its_data_and_folder_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path in a folder that is deleted, from another folder. Slow: compiles."""
    begun, elsewhere = tmp_path / "begun", tmp_path / "elsewhere"
    begun.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(begun)
    table = frame()
    table.to_csv("own.csv", index=False)
    experiment = bpframe.compose([*ZOO, *SHORT, "data.path=own.csv"])
    result = bpframe.run(experiment, tmp_path / "run", plots=False)
    monkeypatch.chdir(elsewhere)
    run = bpframe.load("../run")
    held = table[table["part"] == "test"]
    before = run.evaluate()
    assert Path.cwd() == elsewhere
    os.remove(begun / "own.csv")
    run = bpframe.load("../run")
    answers = run.predict(held)
    assert run.evaluate(held, held["kind"]).accuracy == before.accuracy
    assert (answers == held["kind"]).mean() == result.summary.test_accuracy
    assert "own.csv: cannot be read: No such file" in refusal(lambda: run.evaluate())
    assert Path.cwd() == elsewhere

    shutil.rmtree(begun)
    run = bpframe.load("../run")
    assert run.predict(held).tolist() == answers.tolist()
    table.to_csv(elsewhere / "own.csv", index=False)
    for path in ("own.csv", elsewhere / "own.csv"):
        assert run.over([f"data.path={path}"])["test"][1].accuracy == before.accuracy
    assert "which cannot be entered" in refusal(lambda: run.data, OutputError)


@pytest.mark.slow
def test_a_plugin_beside_it_is_found_from_anywhere_if_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: compiles a program."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("bent.py").write_text(PLUGIN)
    frame().to_csv("own.csv", index=False)
    words = [*ZOO, *SHORT, "data.path=own.csv", "plugins.path=[bent.py]", "network.activation=bent"]
    bpframe.run(bpframe.compose(words), "run", plots=False)
    folder = Path("run").absolute()
    monkeypatch.chdir(tmp_path)
    x = encoded(frame(4, seed=6))
    message = refusal(lambda: bpframe.load(folder), ConfigError)
    assert str(tmp_path / "work" / "bent.py") in message
    assert "trusted=True" in message
    expected = bpframe.load(folder, trusted=True).predict(x)
    assert bpframe.load(folder).predict(x).tolist() == expected.tolist()  # noted by now
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    for _ in range(2):
        refusal(lambda: bpframe.resume(folder, ["training.epochs=9"]), ConfigError)
    assert bpframe.resume(folder, ["training.epochs=5"], trusted=True).summary.epochs == 5
    assert trust.code_of([str(tmp_path / "work" / "bent.py")])


@pytest.mark.slow
def test_runs_that_did_not_end_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Diverged and interrupted ones answer, a killed one says what to do. Slow: compiles."""
    monkeypatch.chdir(tmp_path)
    frame().to_csv("own.csv", index=False)
    experiment = bpframe.compose([*ZOO, *SHORT, "data.path=own.csv"])
    wild = bpframe.compose(
        [*PRICES, *SHORT[:2], "data.path=own.csv", "optimiser.eta=1e12", "network.activation=relu"]
    )
    with pytest.raises(bpframe.DivergenceError):
        bpframe.run(wild, "diverged", plots=False)
    run = bpframe.load("diverged")
    assert run.summary.status == "diverged"
    assert np.isfinite(run.predict(frame(3))).all()
    assert run.summary.test_cost is None
    assert len(run.history.epoch) == run.summary.epochs
    assert "diverged" in repr(run)

    def stop(record: bpframe.EpochRecord) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bpframe.run(experiment, "interrupted", plots=False, on_epoch=stop)
    run = bpframe.load("interrupted")
    assert (run.summary.status, run.summary.epochs) == ("interrupted", 1)
    assert set(run.predict(frame(9))) <= set(KINDS)

    class Killed(BaseException):
        pass

    def kill(record: bpframe.EpochRecord) -> None:
        raise Killed

    with pytest.raises(Killed):
        bpframe.run(experiment, "killed", plots=False, on_epoch=kill)
    message = refusal(lambda: bpframe.load("killed"), OutputError)
    assert "has not ended" in message
    assert f"bpframe.resume('{tmp_path / 'killed'}')" in message
    assert "holds no run" in refusal(lambda: bpframe.load("nowhere"), OutputError)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summary.json", "params.safetensors", "metrics.jsonl"])
def test_a_damaged_file_is_told_of(zoo: Run, name: str, tmp_path: Path) -> None:
    """Slow: trains the run of this file."""
    shutil.copytree(zoo.folder, tmp_path / "run")
    path = tmp_path / "run" / name
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))

    def ask() -> Any:
        run = bpframe.load(tmp_path / "run")
        return run.history if name == "metrics.jsonl" else run.predict(ROWS)

    message = refusal(ask, BpframeError)
    assert str(path) in message
    assert "damaged" in message


@pytest.mark.slow
def test_what_a_run_knows_of_itself(zoo: Run) -> None:
    """Its summary, history, settings and tables for a notebook. Slow: trains the run."""
    assert zoo.summary.data is not None
    data = json.loads((zoo.folder / "summary.json").read_text())["data"]
    assert data["task"]["names"] == list(KINDS)
    assert zoo.task.names == KINDS
    assert zoo.settings["optimiser"]["eta"] == 0.3
    assert zoo.settings["data"]["target"] == "kind"
    table = zoo.history.to_frame()
    assert table.index.tolist() == [1, 2, 3, 4]
    assert table["validation_cost"].iloc[-1] == zoo.history.validation_cost[-1]
    shown = zoo._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert "layer_2.w" in shown
    assert "test accuracy" in shown
    assert "\x1b" not in shown + repr(zoo)
    with pytest.raises(ConfigError, match=r"training.epochs=9: only the data can be other ones"):
        zoo.over(["training.epochs=9"])


@pytest.mark.slow
def test_images_are_taken_as_images_or_flat(tmp_path: Path) -> None:
    """Whole or flat, many or one, and refused of another size. Slow: compiles."""
    words = ["data.train_size=60", "data.standardise=true", "training.epochs=1"]
    bpframe.run(bpframe.compose([*words, WIDE]), tmp_path / "run", plots=False)
    run = bpframe.load(tmp_path / "run")
    raw = bpframe.compose([]).data.load()
    x = raw.test.x[:6].astype(float)
    kept = raw.train.x[:60].astype(float)
    expected = outputs(run.folder, ((x - kept.mean()) / kept.std()).reshape(6, -1))
    for given in (x, x[..., 0], x.reshape(6, -1), x.astype(np.uint8)):
        np.testing.assert_allclose(run.outputs(given), expected, rtol=1e-11)
        np.testing.assert_allclose(run.outputs(given[2]), expected[2], rtol=1e-11)
    assert run.predict(x).dtype.kind == "i"
    assert run.predict(x).tolist() == expected.argmax(axis=1).tolist()
    assert "expected (m, 8, 8, 1)" in refusal(lambda: run.predict(x[:, :7]))
    assert "have no names" in refusal(lambda: run.predict({"a": [1.0]}))


@pytest.mark.slow
def test_classes_that_are_numbers_keep_their_names(tmp_path: Path) -> None:
    """Counted from 1, with gaps, and read as floats or text. Slow: compiles."""
    table = frame()
    numbers = {"ape": 1, "bee": 2, "cow": 5}
    table["kind"] = table["kind"].map(numbers)
    run = written(tmp_path, *ZOO, table=table)
    assert run.task.names == (1, 2, 5)
    answers = run.predict(table)
    assert set(answers.tolist()) <= {1, 2, 5}
    expected = run.evaluate(table, table["kind"])
    assert expected.accuracy == (answers == table["kind"]).mean()
    for y in (table["kind"].astype(float), table["kind"].astype(str), list(table["kind"])):
        assert run.evaluate(table, y) == expected
    assert "y: 0 is no class" in refusal(lambda: run.evaluate(table, [0] * len(table)))


@pytest.mark.slow
def test_without_its_configuration_there_is_no_run_to_load(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    network = bpframe.compose(["data=xor", "training.batch_size=4", "training.epochs=1"])
    odd = bpframe.Network(network.network.shape, (bpframe.Dense(1, activation=_Own()),))
    experiment = bpframe.Experiment(**{**vars(network), "network": odd})
    pair = bpframe.compose(["data=xor", "network.output_activation=linear", "cost=quadratic"]).cost
    experiment = bpframe.Experiment(
        **{**vars(experiment), "cost": type(pair)(pair.cost_function, _Own())}
    )
    with pytest.warns(OutputWarning, match="written without a configuration"):
        bpframe.run(experiment, tmp_path / "run", plots=False)
    assert "holds no run" in refusal(lambda: bpframe.load(tmp_path / "run"), OutputError)


class _Own(Linear):
    """An activation that no plugin offers."""


@pytest.mark.slow
def test_a_result_answers_as_the_run_that_it_became(tmp_path: Path) -> None:
    """Also where nothing was written. Slow: compiles."""
    frame().to_csv(tmp_path / "own.csv", index=False)
    experiment = bpframe.compose([*ZOO, *SHORT, f"data.path={tmp_path / 'own.csv'}"])
    result = bpframe.run(experiment, tmp_path / "run", plots=False)
    run, new = bpframe.load(tmp_path / "run"), frame(30, seed=1)
    assert np.array_equal(result.predict(new), run.predict(new))
    assert np.array_equal(result.predict(new, best=True), run.predict(new, best=True))
    x, kinds = new, new["kind"]
    assert result.evaluate(x, kinds) == run.evaluate(x, kinds)
    counts = result.confusion(x, kinds)
    names = list(run.task.names)
    answered = run.predict(x)
    for i, right in enumerate(names):
        for j, answer in enumerate(names):
            assert counts[i, j] == np.sum((kinds == right) & (answered == answer))
    assert_close(result.outputs(x), run.outputs(x), 0)
    with pytest.raises(DataError, match="a result holds no examples; give x and y"):
        result.evaluate()


def test_inputs_in_other_units_than_those_of_training_are_told_of(digits: Any) -> None:
    """From 0 to 1, where the network was trained on 0 to 16; whole numbers may be meant."""
    with pytest.warns(AdviceWarning, match="was trained on numbers up to 16.*multiply x by 16"):
        digits.predict(np.full((2, 64), 0.5))
    digits.predict(np.ones((2, 64)))
    digits.predict(np.full((2, 64), 7.5))


@pytest.fixture(scope="module")
def digits() -> Any:
    return bpframe.run(bpframe.compose(["training.epochs=1", "network.hidden=[3]"]))


def test_values_with_arrays_are_short(digits: Any) -> None:
    x, y = np.zeros((2, 64)), np.array([0, 1])
    found = digits.gradient(x, y)
    assert repr(digits.params[0]) == "Params(w=float32[3,64], b=float32[3])"
    assert "deltas=(float32[2,3], float32[2,10])" in repr(found)
    assert repr(digits.forward(x)).startswith("Trace(z=(float32[2,3], float32[2,10]), a=(float32")
    examples = bpframe.Examples(x, y, n_out=10)
    assert repr(examples) == "Examples(x=float64[2,64], y=int64[2], n_out=10)"
