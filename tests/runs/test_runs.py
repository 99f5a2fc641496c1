"""One run from Python: its records, its folder, and every way in which it can end."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import numpy_step
from safetensors.numpy import load_file

import bpframe
from bpframe import (
    BpframeError,
    ConfigError,
    Data,
    DataError,
    Dataset,
    DivergenceError,
    ElementwiseActivation,
    Examples,
    Experiment,
    Initialiser,
    OutputError,
    Params,
    RunResult,
    Shape,
    hookimpl,
)
from bpframe.explanation import algorithm
from bpframe.explanation.items import as_plain
from bpframe.training import devices, initial_state, loading, step
from bpframe.training.precision import precision

FILES = {
    *(".lock", "metrics.jsonl", "summary.json", "params.safetensors", "learning_curves.png"),
    "best.safetensors",
}
METRICS = [
    "epoch",
    "train_cost",
    "validation_cost",
    "train_accuracy",
    "validation_accuracy",
    "seconds",
]
N_TRAIN, N_VALIDATION, N_TEST = 23, 7, 5


def examples(n: int, n_out: int = 2, x: np.ndarray | None = None) -> Examples:
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, 3)) if x is None else x
    return Examples(x, rng.integers(0, n_out, n), n_out=n_out)


class Small(Dataset):
    """Noise with labels; the subclasses below break their promises."""

    @property
    def shape(self) -> Shape:
        return (3,)

    @property
    def n_out(self) -> int:
        return 2

    def load(self) -> Data:
        return Data(examples(N_TRAIN), examples(N_VALIDATION), examples(N_TEST))


class Ones(Small):
    """Four times x = (1, 1, 1) and y = (10, 10); `far` is what x is in the validation set."""

    far: float = 1.0

    def load(self) -> Data:
        x, y = np.ones((4, 3)), np.full((4, 2), 10.0)
        same = Examples(x, y, n_out=2)
        return Data(same, dataclasses.replace(same, x=x * self.far), same)


class WrongOutputs(Small):
    def load(self) -> Data:
        return Data(*(examples(n, n_out=3) for n in (N_TRAIN, N_VALIDATION, N_TEST)))


class WrongInputs(Small):
    def load(self) -> Data:
        return super().load()._replace(test=examples(4, x=np.zeros((4, 5))))


class EmptyValidation(Small):
    def load(self) -> Data:
        return super().load()._replace(validation=examples(0))


class EmptyTraining(Small):
    def load(self) -> Data:
        return super().load()._replace(train=examples(0))


class Constant(Initialiser):
    """w = value, b = 0."""

    value: float = 0.0

    def __call__(self, key: Any, shape: Any, n_in: int, n_out: int) -> Params:
        return Params(jnp.full(shape, self.value), jnp.zeros(shape[:1]))

    def variance(self, n_in: int, n_out: int) -> float:
        return 0.0


class Steep(ElementwiseActivation):
    """tanh with a derivative that is wrong and enormous."""

    def __call__(self, z: Any) -> Any:
        return jnp.tanh(z)

    def prime(self, z: Any) -> Any:
        return jnp.full_like(z, 1e30)


class Kit:
    """The plugin with all of the above."""

    @hookimpl
    def bpframe_datasets(self) -> dict[str, Any]:
        kinds = (Small, Ones, WrongOutputs, WrongInputs, EmptyValidation, EmptyTraining)
        return {kind.__name__.lower(): kind for kind in kinds}

    @hookimpl
    def bpframe_initialisers(self) -> dict[str, Any]:
        return {"one_value": Constant}

    @hookimpl
    def bpframe_activations(self) -> dict[str, Any]:
        return {"steep": Steep}


def composed(*overrides: str) -> Experiment:
    """A small experiment: 3-4-2, 23 training examples, three epochs of mini-batches of 5."""
    small = ("data=small", "network.hidden=[4]", "training.epochs=3", "training.batch_size=5")
    return bpframe.compose([*small, *overrides], plugins=[Kit()])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, Path]:
    folder = tmp_path_factory.mktemp("run") / "new" / "folder"
    return bpframe.run(composed("seed=7"), folder), folder


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "metrics.jsonl").read_text()
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def equal(first: tuple[Params, ...], second: tuple[Params, ...]) -> bool:
    """Whether two sets of parameters are the same, bit for bit."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


@pytest.mark.slow
def test_run_without_folder_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow: compiles a program."""
    monkeypatch.chdir(tmp_path)
    result = bpframe.run(composed())
    assert not list(tmp_path.iterdir())
    assert result.summary.status == "completed"
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(result.params))


def test_folder_holds_the_documented_files_and_no_others(written: tuple[RunResult, Path]) -> None:
    assert set(contents(written[1])) == FILES


def test_metrics_have_one_line_an_epoch(written: tuple[RunResult, Path]) -> None:
    result, folder = written
    rows = lines(folder)
    assert [list(row) for row in rows] == [METRICS] * 3
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for name in METRICS:
        assert getattr(result.history, name).tolist() == [row[name] for row in rows]


def test_summary_agrees_with_the_history(written: tuple[RunResult, Path]) -> None:
    result, folder = written
    found, history = summary(folder), result.history
    checksums = {name: found.pop(name) for name in ("files", "crc32", "algorithm")}
    assert checksums["algorithm"] == as_plain(algorithm.items(composed("seed=7"), data="Small"))
    assert set(checksums["files"]) == FILES - {".lock", "learning_curves.png", "summary.json"}
    assert found == json.loads(json.dumps(result.summary.as_dict()))
    assert found["status"] == "completed"
    assert found["error"] is None
    assert found["epochs"] == 3
    assert found["seed"] == 7
    assert found["sizes"] == [3, 4, 2]
    assert found["best_validation_accuracy"] == history.validation_accuracy.max()
    order = np.lexsort((history.validation_cost, -history.validation_accuracy))
    assert found["best_epoch"] == history.epoch[order[0]]
    assert found["timing"]["compile_s"] > 0
    assert found["timing"]["epoch_s"] == history.seconds.tolist()
    assert (found["test_accuracy"] * N_TEST).is_integer()
    assert math.isfinite(found["test_cost"])
    assert {"bpframe", "hydra-core", "jax", "numpy", "python"} <= set(found["versions"])


def test_parameters_are_saved_by_the_books_numbers(written: tuple[RunResult, Path]) -> None:
    result, folder = written
    saved = load_file(folder / "params.safetensors")
    assert set(saved) == {"layer_2.w", "layer_2.b", "layer_3.w", "layer_3.b"}
    for number, (w, b) in enumerate(result.params, start=2):
        np.testing.assert_array_equal(saved[f"layer_{number}.w"], w, strict=True)
        np.testing.assert_array_equal(saved[f"layer_{number}.b"], b, strict=True)


def test_learning_curves_are_a_png(written: tuple[RunResult, Path]) -> None:
    picture = (written[1] / "learning_curves.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize("held", sorted(FILES - {".lock", "learning_curves.png"}))
def test_used_folder_is_refused_and_left_as_it_was(tmp_path: Path, held: str) -> None:
    (tmp_path / held).write_text("the result of another run\n")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="holds a run already") as caught:
        bpframe.run(composed("training.epochs=1"), tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert held in str(caught.value)
    assert contents(tmp_path) == before


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(OutputError, match="file"):
        bpframe.run(composed("training.epochs=1"), path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("data.train_size=24", "data.train_size: 24 is out of range; allowed: 1 to 23"),
        ("training.batch_size=24", "training.batch_size: 24 is out of range; allowed: 1 to 23"),
        ("data.train_size=4", "training.batch_size: 5 is out of range; allowed: 1 to 4"),
    ],
)
def test_sizes_beyond_the_data(tmp_path: Path, override: str, text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        bpframe.run(composed(override), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_train_size_keeps_the_first_examples() -> None:
    data = loading.load(composed("data.train_size=6"))
    np.testing.assert_array_equal(data.train.x, examples(N_TRAIN).x[:6])
    assert (len(data.validation), len(data.test)) == (N_VALIDATION, N_TEST)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "wrongoutputs",
            "train set has inputs of shape \\(3,\\) and 3 outputs; promised by WrongOutputs",
        ),
        (
            "wronginputs",
            "test set has inputs of shape \\(5,\\) and 2 outputs; promised by WrongInputs",
        ),
        ("emptyvalidation", "validation set of EmptyValidation is empty"),
        ("emptytraining", "train set of EmptyTraining is empty"),
    ],
)
def test_data_that_break_their_promise(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(DataError, match=text):
        bpframe.run(composed(f"data={name}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("returned", [None, 3, (examples(4), examples(4), examples(4))])
def test_load_that_returns_no_data(monkeypatch: pytest.MonkeyPatch, returned: Any) -> None:
    monkeypatch.setattr(Small, "load", lambda self: returned)
    with pytest.raises(BpframeError, match="Small"):
        bpframe.run(composed())


def forward_by_numpy(params: tuple[Params, ...], x: np.ndarray) -> np.ndarray:
    """The output of a network of sigmoids for the inputs x (n, n_in)."""
    a = x
    for w, b in params:
        a = 1 / (1 + np.exp(-(a @ np.asarray(w).T + np.asarray(b))))
    return a


def evaluated(params: tuple[Params, ...], split: Examples, decay: float) -> tuple[float, float]:
    """Cross-entropy with L2's penalty, and accuracy, from the definitions."""
    a = forward_by_numpy(params, split.x)
    y = np.eye(2)[split.y]
    cost = -np.mean(np.sum(y * np.log(a) + (1 - y) * np.log(1 - a), axis=1))
    penalty = decay / 2 * sum(np.sum(np.asarray(w) ** 2) for w, _ in params) / N_TRAIN
    return float(cost + penalty), float(np.mean(a.argmax(axis=1) == split.y))


WIDE = ("training.dtype=float64", "regulariser=l2", "regulariser.strength=0.7")


@pytest.mark.slow
def test_evaluation_follows_the_definitions() -> None:
    """Slow: compiles a program."""
    experiment = composed(*WIDE, "training.epochs=1", "training.evaluate_train=true")
    result = bpframe.run(experiment)
    record = {name: getattr(result.history, name)[0] for name in METRICS}
    data = Small().load()
    for split in ("train", "validation"):
        cost, accuracy = evaluated(result.params, getattr(data, split), 0.7)
        assert record[f"{split}_cost"] == pytest.approx(cost, rel=1e-12)
        assert record[f"{split}_accuracy"] == accuracy
    cost, accuracy = evaluated(result.params, data.test, 0.7)
    assert result.summary.test_cost == pytest.approx(cost, rel=1e-12)
    assert result.summary.test_accuracy == accuracy


@pytest.mark.slow
def test_running_means_are_those_that_the_batches_saw() -> None:
    """Slow: compiles a program."""
    experiment = composed("training.dtype=float64", "training.epochs=1", "training.batch_size=23")
    initial = initial_state.initial_state(experiment).params
    history = bpframe.run(experiment).history
    cost, accuracy = evaluated(initial, Small().load().train, 0.0)
    assert history.train_cost[0] == pytest.approx(cost, rel=1e-12)
    assert history.train_accuracy[0] == accuracy


@pytest.mark.slow
def test_evaluation_in_chunks_counts_every_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow: compiles a program."""
    monkeypatch.setattr("bpframe.training.evaluation.EVALUATION_CHUNK", 3)
    overrides = ("training.dtype=float64", "training.epochs=1", "network.hidden=[5]")
    result = bpframe.run(composed(*overrides, "training.evaluate_train=true"))
    cost, accuracy = evaluated(result.params, Small().load().train, 0.0)
    assert result.history.train_cost[0] == pytest.approx(cost, rel=1e-12)
    assert result.history.train_accuracy[0] == accuracy


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 5])
def test_run_equals_a_loop_in_python(batch_size: int) -> None:
    """Slow: compiles a program."""
    experiment = composed(
        *WIDE, "training.epochs=2", f"training.batch_size={batch_size}", "cost=quadratic"
    )
    params = initial_state.initial_state(experiment).params
    split = Small().load().train
    y = np.eye(2)[split.y]
    for epoch in (1, 2):
        order = np.random.default_rng([experiment.seed, epoch]).permutation(N_TRAIN)
        for start in range(0, N_TRAIN, batch_size):
            rows = order[start : start + batch_size]
            params = numpy_step(
                ["sigmoid"] * 2, "quadratic", params, split.x[rows], y[rows], 0.5, 0.7 / N_TRAIN
            )
    result = bpframe.run(experiment)
    for mine, expected in zip(jax.tree.leaves(result.params), jax.tree.leaves(params), strict=True):
        assert mine.dtype == np.float64
        np.testing.assert_allclose(mine, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.optimised
@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_same_seed_same_bits(dtype: str) -> None:
    """Slow: products in bfloat16 are."""
    overrides = (f"training.dtype={dtype}", "optimiser=adam", "training.epochs=2")
    experiment = composed(*overrides, "seed=3")
    first, again = bpframe.run(experiment), bpframe.run(experiment)
    other = bpframe.run(dataclasses.replace(experiment, seed=4))
    assert equal(first.params, again.params)
    assert first.history.train_cost.tolist() == again.history.train_cost.tolist()
    assert not equal(first.params, other.params)


@pytest.mark.slow
def test_dtypes_start_from_the_same_parameters() -> None:
    """Slow: compiles a program."""
    states = []
    for dtype in ("float32", "float64", "bfloat16"):
        with precision(dtype):
            states.append(initial_state.initial_state(composed(f"training.dtype={dtype}")))
    for state in states[1:]:
        for first, other in zip(
            jax.tree.leaves(states[0].params), jax.tree.leaves(state.params), strict=True
        ):
            np.testing.assert_array_equal(np.asarray(first), np.asarray(other, np.float32))


train_step = jax.jit(step.train_step, static_argnames="n")


@functools.cache
def digits_gradient(dtype: str, *overrides: str) -> list[np.ndarray]:
    """The mean gradient of the first step on digits, in float64."""
    experiment = bpframe.compose([f"training.dtype={dtype}", *overrides])
    data = loading.load(experiment)
    with precision(dtype):
        state = initial_state.initial_state(experiment)
        device = devices.to_device(data.train, dtype)
        rows = jnp.arange(50, dtype=jnp.int32)
        step = train_step(experiment, state, devices.take(device, rows), len(data.train))
        return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(step.gradient.mean)]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 3e-2)])
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("network.output_activation=softmax", "cost=log_likelihood", "network.activation=relu"),
    ],
    ids=["default", "softmax"],
)
def test_narrow_gradients_agree_with_float64(
    dtype: str, tolerance: float, overrides: tuple[str, ...]
) -> None:
    """Slow: compiles a program."""
    for narrow, wide in zip(
        digits_gradient(dtype, *overrides), digits_gradient("float64", *overrides), strict=True
    ):
        assert np.linalg.norm(narrow - wide) <= tolerance * np.linalg.norm(wide)


LINEAR = ("data=ones", "cost=quadratic", "network.output_activation=linear")
# Each case: overrides, then the epoch, the mini-batch, the quantity and the layer to be named.
DIVERGENCES: list[tuple[tuple[str, ...], int, int | None, str, int]] = [
    # 3 inputs of 1 times weights of 3e38
    ((*LINEAR, "initialiser=one_value", "initialiser.value=3e38"), 1, 1, "z", 2),
    # z^2 = 3e30 is finite, z^3 = 4 * 1e30 * 3e30 is not
    (
        (*LINEAR, "network.activation=relu", "initialiser=one_value", "initialiser.value=1e30"),
        *(1, 1, "z", 3),
    ),
    # a^3 = 12e20, and its square is not finite
    (
        (*LINEAR, "network.activation=relu", "initialiser=one_value", "initialiser.value=1e10"),
        *(1, 1, "the cost", 3),
    ),
    # delta^3 is about 1e30, and delta^2 is 1e30 times that
    (("data=small", "network.hidden=[4,4]", "network.activation=steep"), 1, 1, "delta", 2),
    # delta^3 = -10 and w^3 = 0: only the step of layer 3 is not finite, 10 * 3e38
    ((*LINEAR, "initialiser=zeros", "optimiser.eta=3e38"), 1, 1, "the step", 3),
    # the error grows by 1e4 a step: after 5 steps its square is not finite, the 6th sees it
    (
        (*LINEAR, "network.hidden=[]", "initialiser=zeros", "optimiser.eta=2500.25"),
        *(2, 2, "the cost", 2),
    ),
    # training is finite, validation on inputs of 1e30 is not
    ((*LINEAR, "network.hidden=[]", "data.far=1e30"), 1, None, "the cost", 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "epoch", "batch", "quantity", "layer"),
    DIVERGENCES,
    ids=lambda case: None if isinstance(case, tuple) else str(case),
)
def test_divergence_names_where_and_keeps_what_is_finite(
    tmp_path: Path,
    overrides: tuple[str, ...],
    epoch: int,
    batch: int | None,
    quantity: str,
    layer: int,
) -> None:
    """Slow: compiles a program."""
    size = "training.batch_size=5" if "data=small" in overrides else "training.batch_size=1"
    with pytest.raises(DivergenceError) as caught:
        print(bpframe.run(composed(*overrides, size), tmp_path))  # shown if nothing diverged
    error, message = caught.value, str(caught.value)
    where = f"epoch {epoch}, mini-batch {batch}:" if batch else f"epoch {epoch}:"
    assert f"training diverged in {where} {quantity} is not finite in layer {layer};" in message
    assert len(message.splitlines()) == 1
    assert (error.epoch, error.layer) == (epoch, layer)
    found = summary(tmp_path)
    assert (found["status"], found["epochs"]) == ("diverged", epoch - 1)
    assert found["error"] == message
    assert found["test_cost"] is None
    assert ("test_accuracy" in found) == ("data=small" in overrides)  # the others are regressions
    assert len(lines(tmp_path)) == epoch - 1
    saved = load_file(tmp_path / "params.safetensors")
    assert all(np.isfinite(array).all() for array in saved.values())
    assert (tmp_path / "learning_curves.png").exists() == (epoch > 1)


@pytest.mark.slow
def test_divergence_keeps_the_parameters_before_the_bad_step(tmp_path: Path) -> None:
    """The error of `Ones` is -10 (-1e4)^k after k steps; the cost overflows after the fifth.

    Slow: runs whole commands.
    """
    overrides = (*LINEAR, "network.hidden=[]", "initialiser=zeros", "optimiser.eta=2500.25")
    with pytest.raises(DivergenceError):
        bpframe.run(composed(*overrides, "training.batch_size=1"), tmp_path)
    saved = load_file(tmp_path / "params.safetensors")
    output = saved["layer_2.w"].astype(np.float64).sum(axis=1) + saved["layer_2.b"]
    np.testing.assert_allclose(output - 10, 1e21, rtol=1e-3)


def test_float64_survives_what_float32_does_not() -> None:
    overrides = (*LINEAR, "network.hidden=[]", "initialiser=zeros", "optimiser.eta=2500.25")
    result = bpframe.run(composed(*overrides, "training.batch_size=1", "training.dtype=float64"))
    assert result.summary.status == "completed"
    assert np.isfinite(result.history.train_cost).all()


@pytest.mark.slow
def test_interruption_writes_what_there_is(tmp_path: Path) -> None:
    """Slow: compiles a program."""

    def interrupt(record: Any) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bpframe.run(composed(), tmp_path, on_epoch=interrupt)
    found = summary(tmp_path)
    assert (found["status"], found["epochs"]) == ("interrupted", 2)
    assert found["error"] == "interrupted by ctrl-C"
    assert set(contents(tmp_path)) == FILES
    assert len(lines(tmp_path)) == 2
    two = bpframe.run(composed("training.epochs=2"))
    saved = load_file(tmp_path / "params.safetensors")
    np.testing.assert_array_equal(saved["layer_3.w"], two.params[1].w)


def test_report_sees_each_epoch_after_its_line_is_written(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def note(record: Any) -> None:
        seen.append((record.epoch, len(lines(tmp_path))))

    bpframe.run(composed(), tmp_path, on_epoch=note)
    assert seen == [(1, 1), (2, 2), (3, 3)]


def test_experiments_made_in_python_are_checked() -> None:
    experiment = composed()
    bad = dataclasses.replace(
        experiment, training=dataclasses.replace(experiment.training, epochs=0)
    )
    with pytest.raises(ConfigError, match=r"training\.epochs: 0 is out of range"):
        bpframe.run(bad)


@pytest.mark.slow
def test_bfloat16_trains_on_digits_in_large_batches() -> None:
    """XLA has no kernel for some of the mixed products of large batches on a CPU.

    Slow: products in bfloat16 are.
    """
    overrides = ["training.dtype=bfloat16", "training.epochs=2", "training.batch_size=50"]
    result = bpframe.run(bpframe.compose([*overrides, "optimiser.eta=2"]))
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(result.params))
    assert result.history.train_cost[1] < result.history.train_cost[0]


def test_interruption_before_the_first_epoch_leaves_no_run(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bpframe.training.devices.to_device", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bpframe.run(bpframe.compose(["training.epochs=1"]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.slow
def test_an_error_while_reporting_leaves_a_whole_folder(tmp_path):
    """Slow: compiles a program."""

    def report(record):
        raise BrokenPipeError("no reader")

    with pytest.raises(BrokenPipeError):
        bpframe.run(bpframe.compose(["training.epochs=3"]), tmp_path, on_epoch=report)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["epochs"]) == ("failed", 1)
    assert {path.name for path in tmp_path.iterdir()} == FILES | {".hydra"}


@pytest.mark.slow
def test_given_data_are_checked_like_those_that_are_loaded(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    data = loading.load(composed())
    narrow = data._replace(train=dataclasses.replace(data.train, x=data.train.x[:, :-1]))
    few = data._replace(train=data.train.first(2))
    for given, overrides, error, message in (
        (narrow, (), DataError, "promised by Small, for which"),
        (few, ("training.batch_size=3",), ConfigError, "training.batch_size: 3 is out of range"),
        (few, ("data.train_size=3",), ConfigError, "data.train_size: 3 is out of range"),
        (data.train, (), DataError, "expected bpframe.Data"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            bpframe.run(composed(*overrides), tmp_path / "run", data=given)  # pyright: ignore
    assert not (tmp_path / "run").exists()
