"""Data as they are configured: images expanded, inputs standardised, of the training set alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import test_cli
from bpframe_plugins.datasets import FashionMnist, Inline, Mnist

import bpframe
from bpframe import Data, DataError, Examples
from bpframe.errors import ConfigError
from bpframe.sweeps.lanes.data import DataCache
from bpframe.training import devices, loading, memory
from bpframe.training.precision import precision

main = test_cli.main


def pictures(n: int, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 28, 28, 1)).astype(np.uint8)
    return Examples(x, rng.integers(0, 10, n), n_out=10, scale=1 / 256)


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """An image moved by some pixels, pixel by pixel; what comes from outside is 0."""
    found = np.zeros_like(image)
    for row in range(28):
        for column in range(28):
            if 0 <= row - down < 28 and 0 <= column - right < 28:
                found[row, column] = image[row - down, column - right]
    return found


SHIFTS = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
"""The image itself, then down, up, right and left."""


@pytest.mark.parametrize("dataset", [Mnist, FashionMnist])
def test_images_are_followed_by_their_shifts(dataset: type[Mnist | FashionMnist]) -> None:
    data = Data(pictures(4), pictures(3, 1), pictures(2, 2))
    found = loading.fitting(dataset(expand=True, train_size=3), data)
    wanted = [shifted(image, *shift) for image in data.train.x[:3] for shift in SHIFTS]
    np.testing.assert_array_equal(found.train.x, np.array(wanted))
    assert found.train.x.dtype == np.uint8
    assert found.train.y.tolist() == [label for label in data.train.y[:3].tolist() for _ in SHIFTS]
    for split in ("validation", "test"):
        np.testing.assert_array_equal(getattr(found, split).x, getattr(data, split).x)
    plain = loading.fitting(dataset(train_size=3), data)
    np.testing.assert_array_equal(plain.train.x, data.train.x[:3])


@pytest.mark.slow
def test_the_whole_of_mnist_becomes_250000(data_dir: Path) -> None:
    """Slow: runs whole commands."""
    data = loading.loaded(Mnist(root=str(data_dir / "mnist"), expand=True))
    assert [len(part) for part in data] == [250_000, 10_000, 10_000]
    assert data.train.x.nbytes == 250_000 * 784


def test_an_expanded_set_that_cannot_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    train = pictures(10)
    size = train.x.nbytes + train.y.nbytes
    monkeypatch.setattr(memory, "machine_bytes", lambda: 5 * size)
    data = Data(train, train, train)
    assert len(loading.fitting(Mnist(expand=True), data).train) == 50
    monkeypatch.setattr(memory, "machine_bytes", lambda: 5 * size - 1)
    monkeypatch.setattr(Mnist, "expanded", None)
    with pytest.raises(DataError, match=r"10 training examples, 5 times as many when expanded"):
        loading.fitting(Mnist(expand=True), data)


def test_examples_that_cannot_fit_the_device_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes count as bytes, floats as wide as the run; the expanded set five times."""
    one = pictures(10)
    experiment = bpframe.compose(["data=mnist", "data.expand=true", "network.hidden=[2]"])
    data = loading.fitting(experiment.data, Data(one, one, one))
    needed = (50 + 10 + 10) * (784 + 4) + 3 * 2 * 4
    monkeypatch.setattr(memory, "device_bytes", lambda device: needed)
    memory.check_examples(experiment, data)
    monkeypatch.setattr(memory, "device_bytes", lambda device: needed - 1)
    with pytest.raises(ConfigError, match=r"data\.train_size: 50 training examples and those of"):
        memory.check_examples(experiment, data)


def test_a_data_set_keeps_what_it_promises_of_its_expansion() -> None:
    class Lying(Inline):
        """Three of each."""

        @property
        def expansion(self) -> int:
            return 3

    with pytest.raises(DataError, match="expands 1 examples to 1; promised were 3"):
        loading.loaded(Lying())


def of(*parts: np.ndarray, **more: float) -> Data:
    return Data(*(Examples(x, np.zeros(len(x), int), n_out=1, **more) for x in parts))  # pyright: ignore[reportArgumentType]


def as_seen(data: Data, dtype: str = "float64") -> list[np.ndarray]:
    """The inputs as they are on the device, flat."""
    experiment = bpframe.compose(["data=xor", "network.hidden=[2]", f"training.dtype={dtype}"])
    with precision(dtype):
        return [
            np.asarray(devices.floats(experiment, devices.to_device(part, dtype))[0], np.float64)
            for part in data
        ]


def standardised(data: Data, train_size: int | None = None) -> Data:
    class Any(Inline):
        """Of any shape."""

        @property
        def shape(self) -> tuple[int, ...]:
            return data.train.shape

    return loading.fitting(Any(standardise=True, train_size=train_size), data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_each_feature_of_a_row_by_itself(dtype: type) -> None:
    rng = np.random.default_rng(0)
    units = np.array([4.0, 30.0, 100.0, 5.0])
    parts = [(10 + rng.uniform(0, 1, (n, 4)) * units).astype(dtype) for n in (5000, 6, 7)]
    found = standardised(of(*parts, scale=1 / 16), train_size=4500)
    kept = parts[0][:4500].astype(float)
    mean, deviation = kept.mean(axis=0), kept.std(axis=0)
    for x, part in zip(as_seen(found), (kept, *parts[1:]), strict=True):
        rtol = 1e-6 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(x, (part - mean) / deviation, rtol=rtol, atol=rtol)
    assert np.abs(as_seen(found)[0].mean(axis=0)).max() < 1e-6
    assert (found.train.x.dtype == np.uint8) == (dtype == np.uint8), "bytes stay bytes"


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_each_channel_of_an_image_over_its_pixels(dtype: type) -> None:
    rng = np.random.default_rng(1)
    parts = [rng.integers(0, (50, 250), (n, 5, 4, 2)).astype(dtype) for n in (40, 3, 3)]
    found = standardised(of(*parts))
    mean, deviation = parts[0].mean(axis=(0, 1, 2)), parts[0].std(axis=(0, 1, 2))
    for x, part in zip(as_seen(found), parts, strict=True):
        wanted = ((part - mean) / deviation).reshape(len(part), -1)
        np.testing.assert_allclose(x, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("constant", [0.1, -7.3e8, 0.0])
def test_what_is_constant_becomes_zero(constant: float) -> None:
    x = np.column_stack([np.full(999, constant), np.arange(999.0)])
    other = np.array([[constant + 2, 0.0]])
    train, validation, _ = as_seen(standardised(of(x, other, other)))
    assert not train[:, 0].any()
    assert validation[0, 0] == pytest.approx(2, rel=1e-7)


def test_digits_that_large_numbers_have_in_common_are_not_lost() -> None:
    """In float32 a difference of 1 at 1e9 would not be seen."""
    x = 1e9 + np.arange(100.0)[:, None]
    train, *_ = as_seen(standardised(of(x, x, x)), "float32")
    wanted = (np.arange(100) - 49.5) / np.arange(100).std()
    np.testing.assert_allclose(train[:, 0], wanted, rtol=1e-6)


def test_an_expanded_set_has_the_figures_of_what_is_trained_on() -> None:
    one = pictures(8)
    dataset = Mnist(expand=True, standardise=True, train_size=5)
    found = loading.fitting(dataset, Data(one, one, one))
    every = np.array([shifted(image, *shift) for image in one.x[:5] for shift in SHIFTS])
    every = every.astype(float)
    assert found.train.mean == pytest.approx(every.mean(), rel=1e-12)
    assert found.train.scale == pytest.approx(1 / every.std(), rel=1e-12)
    assert found.train.x.dtype == np.uint8
    train = as_seen(found)[0]
    assert (train.mean(), train.std()) == pytest.approx((0, 1), abs=1e-12)


@pytest.mark.slow
@pytest.mark.optimised
def test_bytes_and_floats_train_alike_and_so_do_lanes(main: test_cli.Main, tmp_path: Path) -> None:
    """Standardised digits against those that NumPy standardises, and a sweep against a run.

    Slow: compiles a program.
    """
    words = ["data.train_size=60", "network.hidden=[5]", "training.dtype=float64", "plots=false"]
    words += ["training.epochs=2"]
    result = bpframe.run(bpframe.compose([*words[:3], words[4], "data.standardise=true"]))
    raw = bpframe.compose(words[:1]).data.load()
    kept = raw.train.x[:60].astype(float)
    by_hand = Data(
        *(dataclasses.replace(p, x=(p.x - kept.mean()) / kept.std(), scale=1.0) for p in raw)
    )
    again = bpframe.run(bpframe.compose([*words[:3], words[4]]), data=by_hand)
    both = map(jax.tree.leaves, (result.params, again.params))
    for one, other in zip(*both, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)

    swept = ("data.standardise=true,false", "seed=0", "hydra.sweep.dir=sweep")
    ended = main("-m", *words, *swept)
    assert (ended.status, ended.err) == (0, "")
    last = (tmp_path / "sweep" / "0" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["train_cost"] == pytest.approx(result.history.train_cost[-1], rel=1e-12)


def test_groups_share_what_was_read() -> None:
    cache = DataCache()
    one, other = (
        cache.acquire(bpframe.compose([f"data.standardise={yes}"])).train.x for yes in (True, False)
    )
    assert np.shares_memory(one, other)


def test_only_images_of_mnist_can_be_expanded() -> None:
    with pytest.raises(ConfigError, match="expand"):
        bpframe.compose(["data=digits", "data.expand=true"])
