"""Training examples that stay in their files are trained on as those in memory, bit for bit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from test_checkpoints import assert_same

import bpframe
from bpframe import Data, Examples
from bpframe.errors import BpframeError, DivergenceError
from bpframe.runs import loop
from bpframe.tables.streamed import StreamedExamples, in_memory
from bpframe.training import loading, orders, streaming
from bpframe.training.experiment import Experiment
from bpframe.training.orders import WINDOW, by_blocks
from bpframe.training.precision import precision

pytestmark = pytest.mark.optimised

N, N_IN = (
    20_335,
    32,
)  # 2,003 mini-batches and a short one: three blocks, two left over, and the rest
HELD = 150


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes, in three pairs of files."""
    return written(tmp_path_factory.mktemp("parts"), N)


def written(folder: Path, n: int, n_in: int = N_IN) -> Path:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(n, n_in)).astype(np.float32)
    y = np.digitize(x[:, 0] + x[:, 1] ** 2, [0.3, 1.5])
    for number, rows in enumerate(np.split(np.arange(n), [n // 7, n // 2])):
        np.save(folder / f"x_{number}.npy", x[rows])
        np.save(folder / f"y_{number}.npy", y[rows])
    return folder


def composed(path: Path, *words: str) -> Experiment:
    return bpframe.compose(
        [
            *("data=shards", f"data.path={path}", "network.hidden=[5]", "training.epochs=2"),
            *(f"data.validation_rows={HELD}", f"data.test_rows={HELD + 5}", *words),
        ]
    )


def whole(experiment: Experiment) -> Data:
    """The same examples in memory."""
    return in_memory(experiment.data.load())


def both(experiment: Experiment, folder: Path, **more: Any) -> None:
    """Run an experiment with examples streamed and in memory, and find the same bits."""
    bpframe.run(experiment, folder / "streamed", plots=False, **more)
    bpframe.run(experiment, folder / "memory", data=whole(experiment), plots=False, **more)
    assert_same(folder / "memory", folder / "streamed")


@pytest.fixture
def many_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a portion be one block of mini-batches."""
    monkeypatch.setattr(streaming, "PORTION_BYTES", 1)


KINDS = {
    "plain": (),
    "metrics": (
        "metrics=[{name: delta_norm, over: steps},{name: confusion_matrix, over: validation}]",
        "regulariser=l2",
        "training.evaluate_every=2",
        "training.epochs=3",
    ),
    "adam": ("optimiser=adam", "optimiser.eta=0.01", "schedule=cosine", "data.standardise=true"),
    "records": ("record=[{name: activations, every: 700}]", "data.shuffle_block=64"),
    "ordered": ("training.shuffle=false", "data.train_size=11007", "training.batch_size=7"),
    "narrow": ("training.dtype=bfloat16",),
    "wide": ("training.dtype=float64",),
}


@pytest.mark.parametrize(
    "kind",
    [kind if kind == "plain" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
@pytest.mark.usefixtures("many_portions")
def test_an_epoch_in_portions_has_the_same_bits(kind: str, parts: Path, tmp_path: Path) -> None:
    """Slow: all but one, as each compiles several programs."""
    experiment = composed(parts, *KINDS[kind])
    with precision("float32"):
        shapes = streaming.devices.shapes(experiment.data.load().train, "float32")
    assert kind == "ordered" or len(streaming.cuts(experiment, shapes)) == 3
    both(experiment, tmp_path)


@pytest.mark.slow
def test_one_portion_has_the_same_bits(parts: Path, tmp_path: Path) -> None:
    """Slow: compiles two programs."""
    both(composed(parts), tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("many_portions")
def test_images_of_bytes_have_the_same_bits(tmp_path: Path) -> None:
    """In .npz files, whose arrays begin anywhere. Slow: compiles two programs."""
    draw = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(2):
        x, y = draw.integers(256, size=(2500, 28, 28), dtype=np.uint8), draw.integers(3, size=2500)
        np.savez(tmp_path / "images" / f"{number}.npz", images=x, labels=y)
    words = ("data.x=images", "data.y=labels", "data.standardise=true", "training.epochs=1")
    both(composed(tmp_path / "images", *words), tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("many_portions")
def test_a_regression_has_the_same_bits(tmp_path: Path) -> None:
    """With its validation set in other files. Slow: compiles two programs."""
    draw = np.random.default_rng(0)
    for name, n in (("train", 9_000), ("validation", 50)):
        (tmp_path / name).mkdir()
        x = draw.normal(size=(n, 40))
        np.save(tmp_path / name / "x.npy", x)
        np.save(tmp_path / name / "y.npy", np.sin(x[:, :2]))
    more = f"data.validation_path={tmp_path / 'validation'}"
    experiment = composed(tmp_path / "train", "data.task=regression", more)
    data = whole(experiment)
    assert len(data.validation) == 50
    one, other = bpframe.run(experiment), bpframe.run(experiment, data=data)
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)
    assert one.summary.test_cost == other.summary.test_cost
    for name in ("train_cost", "validation_cost"):
        np.testing.assert_array_equal(getattr(one.history, name), getattr(other.history, name))


@pytest.mark.slow
@pytest.mark.usefixtures("many_portions")
def test_a_resumed_run_ends_as_the_undisturbed(parts: Path, tmp_path: Path) -> None:
    """Slow: compiles two programs."""
    bpframe.run(composed(parts, "training.epochs=4"), tmp_path / "whole", plots=False)
    often = bpframe.Checkpointing(epochs=1)
    bpframe.run(composed(parts), tmp_path / "resumed", plots=False, checkpointing=often)
    assert list((tmp_path / "resumed").rglob("*checkpoint*"))
    bpframe.resume(tmp_path / "resumed", ["training.epochs=4"])
    assert_same(tmp_path / "whole", tmp_path / "resumed")


@pytest.mark.slow
@pytest.mark.usefixtures("many_portions")
def test_divergence_is_found_in_the_same_place(tmp_path: Path) -> None:
    """In the third portion of an epoch. Slow: compiles several programs."""
    x = np.load(written(tmp_path, N) / "x_2.npy", mmap_mode="r+")
    x[8_000] = 1e30
    words = ("cost=quadratic", "network.output_activation=linear", "network.activation=relu")
    experiment = composed(tmp_path, *words, "training.shuffle=false", "optimiser.eta=0.001")
    errors = []
    for given in (None, whole(experiment)):
        with pytest.raises(DivergenceError, match=r"epoch 1, mini-batch 1[78]\d\d: ") as found:
            loop.run(experiment, tmp_path / f"{given is None}", data=given, plots=False)
        errors.append(str(found.value))
    assert errors[0] == errors[1]


@pytest.mark.slow
def test_a_run_that_is_loaded_evaluates_all_its_sets(parts: Path, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    experiment = composed(parts, "training.epochs=1")
    bpframe.run(experiment, tmp_path / "run", plots=False)
    loaded = bpframe.load(tmp_path / "run")
    data = whole(experiment)
    assert loaded.evaluate().accuracy == loaded.summary.test_accuracy
    for split, (n, found) in loaded.over().items():
        examples: Examples = getattr(data, split)
        there = loaded.evaluate(examples.x, np.asarray(examples.y))
        assert n == len(examples)
        assert found.accuracy == pytest.approx(there.accuracy)
        assert found.cost == pytest.approx(there.cost, rel=1e-5)


def test_two_portions_are_held_at_most(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PORTION_BYTES", 1)
    begun: list[int] = []
    read = streaming.Stream._read  # pyright: ignore[reportPrivateUsage]

    def noted(self: Any, numbers: list[np.ndarray]) -> Any:
        begun.append(sum(block.size for block in numbers))
        return read(self, numbers)

    monkeypatch.setattr(streaming.Stream, "_read", noted)
    experiment = composed(parts)
    with precision("float32"):
        train = experiment.data.load().train
        assert isinstance(train, StreamedExamples)
        stream = streaming.Stream(experiment, train)
        order = np.random.default_rng(0).permutation(stream.n).astype(np.int32)
        seen = []
        for number, portion in enumerate(stream.portions(order), start=1):
            time.sleep(0.05)
            assert len(begun) == min(number + 1, 3)
            assert portion.is_last == (number == len(stream.cuts))
            rows = np.concatenate([np.asarray(block).reshape(-1) for block in portion.rows])
            seen.append(np.asarray(portion.examples.x)[rows])
    assert sum(begun) == stream.n
    np.testing.assert_array_equal(
        np.concatenate(seen), in_memory(experiment.data.load()).train.x[order]
    )


@pytest.mark.parametrize(("m", "shares"), [(10, 1), (10, 4), (12, 4), (1, 3)])
def test_shares_are_all_rows_once_and_as_many_for_each(m: int, shares: int) -> None:
    rows = np.random.default_rng(0).permutation(6 * m).reshape(2, 3, m).astype(np.int32)
    shared = streaming.shared_out(rows, shares)
    assert shared.shape == (2, 3, shares, -(-m // shares))
    for found, batch in zip(shared.reshape(6, -1), rows.reshape(6, m), strict=True):
        np.testing.assert_array_equal(found[found != orders.NOBODY], batch)


@pytest.mark.parametrize(("n", "block"), [(1000, 7), (1000, 1), (33, 16), (10, 100), (5000, 50)])
def test_an_order_by_blocks_is_a_permutation_mixed_within_windows(n: int, block: int) -> None:
    order = by_blocks(np.random.default_rng(0), n, block)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    for start in range(0, n, WINDOW * block):
        window = order[start : start + WINDOW * block]
        assert len(np.unique(window // block)) <= WINDOW + (n % block > 0)
    if n == 5000:
        assert np.any(np.diff(order[:block] // block))


def test_each_epoch_has_an_order_of_blocks_of_its_own(parts: Path) -> None:
    experiment = composed(parts, "data.shuffle_block=100")
    first, second = orders.epoch_orders(experiment, range(1, 3), 1000)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, orders.epoch_order(experiment, 1, 1000))


def test_figures_of_standardisation_are_those_of_all_in_memory(parts: Path) -> None:
    experiment = composed(parts, "data.standardise=true")
    streamed = loading.load(experiment).train
    data = loading.fitting(experiment.data, whole(experiment))
    assert isinstance(streamed, StreamedExamples)
    np.testing.assert_array_equal(streamed.standardised_by, data.train.standardised_by)
    some = streamed.examples(17, 2000)
    np.testing.assert_array_equal(some.x, data.train.x[17:2000])
    np.testing.assert_array_equal(some.y, data.train.y[17:2000])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("training.evaluate_train=true", "training.evaluate_train: true asks for all of them"),
        ("training.evaluate_start=true", "training.evaluate_start: true asks for all of them"),
        ("training.sampling=poisson", "training.sampling: poisson asks for all"),
        ("training.batch_size=null", "training.batch_size: null asks for all; set a number"),
        ("metrics=[{name: delta_norm, over: train}]", r"metrics\[0\].over: train asks for all"),
        ("record=[{name: activations, over: train}]", r"record\[0\].over: train is not possible"),
        ("data.train_size=30000", "data.train_size: 30000 is out of range; allowed: 1 to 20030"),
    ],
)
def test_what_asks_for_all_training_examples_is_refused(
    word: str, message: str, parts: Path
) -> None:
    experiment = composed(parts, word)
    with pytest.raises(BpframeError, match=message):
        loading.check(experiment, loading.loaded(experiment.data))


def test_examples_that_are_streamed_say_so(parts: Path) -> None:
    data = composed(parts).data.load()
    for name in ("x", "y"):
        with pytest.raises(BpframeError, match="20,030 training examples stay in their files"):
            getattr(data.train, name)
    assert len(data.train.first(100)) == 100
    assert "20030" in repr(data.train)


@pytest.mark.slow
def test_a_sweep_has_them_in_memory(parts: Path, tmp_path: Path) -> None:
    """Slow: compiles programs of lanes."""
    words = [f"data.validation_rows={HELD}", f"data.test_rows={HELD + 5}", "training.epochs=1"]
    found = bpframe.sweep(
        ["data=shards", f"data.path={parts}", "network.hidden=[5]", *words, "seed=0,1"],
        tmp_path / "sweep",
    )
    single = bpframe.run(composed(parts, "training.epochs=1"))
    (cost,) = [row.metrics["test_cost"] for row in found.rows if row.settings["seed"] == 0]
    assert cost == pytest.approx(single.summary.test_cost, rel=1e-4)
