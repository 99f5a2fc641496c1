"""Rows that stay in files: what is read of them, what is refused, and in how little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bpframe
from bpframe import HeldOut, Rows, data_of_rows, memory_map
from bpframe.errors import BpframeError, ConfigError, DataError
from bpframe.tables import shards
from bpframe.tables.streamed import StreamedExamples, in_memory

DRAW = np.random.default_rng(0)
HELD = HeldOut(20, 30)


def rows(array: Any, *cuts: int) -> Rows:
    parts = tuple(np.split(np.asarray(array), cuts))
    return Rows(parts, tuple(f"part {number}" for number in range(len(parts))))


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1", "i2", "<U3", "?"])
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_mapped_array_is_the_array(kind: str, dtype: str, tmp_path: Path) -> None:
    """In .npz files arrays begin at any byte, and after names of any length."""
    array = (3 * DRAW.normal(size=(50, 3))).astype(dtype)
    path = tmp_path / f"file.{kind}"
    if kind == "npy":
        np.save(path, array)
    else:
        np.savez(path, first=np.arange(7, dtype=np.uint8), second=array)
    mapped = memory_map(path, None if kind == "npy" else "second")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, array)
    chosen = np.array([0, 3, 4, 49])
    np.testing.assert_array_equal(Rows((mapped,), ("file",)).take(chosen), array[chosen])


def test_rows_of_several_arrays_are_taken_as_of_one() -> None:
    array = DRAW.normal(size=(100, 2, 3))
    several = rows(array, 10, 10, 55)
    assert (several.shape, several.dtype, len(several)) == ((100, 2, 3), np.float64, 100)
    for chosen in ([], [0], [9, 10, 54, 55, 99], range(100)):
        np.testing.assert_array_equal(several.take(np.array(chosen, int)), array[list(chosen)])
    np.testing.assert_array_equal(np.concatenate(list(several.portions(7))), array)
    assert several.place(12) == "part 2: row 2"


def test_the_sets_have_every_row_once() -> None:
    x = np.arange(500, dtype=np.float64)[:, None]
    data = data_of_rows(rows(x, 100), rows(np.arange(500) % 3, 250), None, HELD)
    assert isinstance(data.train, StreamedExamples)
    whole = in_memory(data)
    assert [len(part) for part in whole] == [450, 20, 30]
    found = np.concatenate([part.x[:, 0] for part in whole])
    np.testing.assert_array_equal(np.sort(found), x[:, 0])
    for part in whole:
        np.testing.assert_array_equal(part.y, part.x[:, 0] % 3)
        assert (np.diff(part.x[:, 0]) > 0).all()
    again = data_of_rows(rows(x), rows(np.arange(500) % 3), None, HELD._replace(seed=1))
    assert not np.array_equal(again.test.x, data.test.x)
    cut = data_of_rows(rows(x, 7), rows(np.arange(500) % 3), None, HELD).train
    assert isinstance(cut, StreamedExamples)
    assert cut.files.checksum == data.train.files.checksum


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u1", "?"])
def test_examples_are_those_that_are_read_into_memory(dtype: str) -> None:
    """In dtype, scale and labels."""
    x = (100 * DRAW.random((90, 4, 4))).astype(dtype)
    y = np.array(["cat", "ant", "bee"] * 30)
    streamed = in_memory(data_of_rows(rows(x, 40), rows(y, 40), None, HeldOut(1, 1)))
    read = bpframe.data_of_arrays({"train": (x, y), "validation": (x, y), "test": (x, y)})
    numbers = np.flatnonzero(np.isin(np.arange(90), _rows_of(x, streamed.train.x)))
    assert streamed.task == read.task
    assert streamed.train.x.dtype == read.train.x.dtype
    assert streamed.train.scale == read.train.scale
    assert streamed.train.shape == read.train.shape == (4, 4, 1)
    assert len(numbers) >= 88 or dtype == "?"


def _rows_of(x: np.ndarray, some: np.ndarray) -> list[int]:
    known = {row.astype(np.float64).tobytes() for row in some}
    return [at for at, row in enumerate(x) if row.astype(np.float64).tobytes() in known]


@pytest.mark.parametrize(
    ("y", "task", "kind", "n_out"),
    [
        (np.arange(90) % 4, None, "Classification", 4),
        (np.arange(90) % 4 + 10, None, "Classification", 4),
        (np.arange(90) % 2 == 0, None, "Classification", 2),
        ((np.arange(90) % 3).astype(float), None, "Classification", 3),
        (DRAW.normal(size=90), None, "Regression", 1),
        (np.arange(90), "regression", "Regression", 1),
        (DRAW.normal(size=(90, 2)), "regression", "Regression", 2),
        (np.eye(3)[np.arange(90) % 3], "classification", "Classification", 3),
        (np.array([[0, 1], [1, 1], [0, 0]] * 30), "multi_label", "MultiLabel", 2),
    ],
)
def test_targets_tell_what_they_are(y: Any, task: str | None, kind: str, n_out: int) -> None:
    data = data_of_rows(rows(DRAW.normal(size=(90, 2))), rows(y, 30), task, HeldOut(5, 5))
    assert (type(data.task).__name__, data.train.n_out) == (kind, n_out)
    read = bpframe.data_of_arrays({"train": (DRAW.normal(size=(90, 2)), y)}, task)
    assert data.task == read.task
    assert in_memory(data).train.y.shape[1:] == read.train.y.shape[1:]


X = DRAW.normal(size=(60, 2))
BAD = X.copy()
BAD[45, 1] = np.nan
LABELS = np.arange(60) % 3


@pytest.mark.parametrize(
    ("x", "y", "task", "message"),
    [
        (rows(BAD, 40), rows(LABELS), None, "part 1: row 5 holds values that are not finite"),
        (rows(X), rows(LABELS[:-1]), None, "the training files have 60 inputs and 59 targets"),
        (rows(X), rows(BAD[:, 1], 40), None, "part 1: row 5 holds values that are not finite"),
        (
            rows(np.ones((60, 1, 1, 1, 1))),
            rows(LABELS),
            None,
            r"1, 1\) and dtype float64; expected",
        ),
        (rows(X.astype(str)), rows(LABELS), None, "expected numbers"),
        (rows(X), rows(X), None, "does not tell what targets are; set data.task to one of"),
        (rows(X), rows(np.zeros(60, int)), None, "has one class alone"),
        (rows(X), rows(np.arange(60)), None, "60 different whole numbers may be classes"),
        (rows(X), rows(np.ones((60, 2, 2))), None, "expected classes or numbers"),
    ],
)
def test_rows_that_cannot_be_trained_on_are_refused(
    x: Rows, y: Rows, task: str | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        data_of_rows(x, y, task, HELD)


def test_sets_in_memory_have_to_fit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="nothing is left for training of 60 rows; set fewer"):
        data_of_rows(rows(X), rows(LABELS), None, HeldOut(30, 30))
    monkeypatch.setattr(shards, "HELD_BYTES", 16 * 49)
    with pytest.raises(ConfigError, match="20 rows for validation and 30 rows for test take"):
        data_of_rows(rows(X), rows(LABELS), None, HELD)


def test_a_class_that_training_lacks_is_refused() -> None:
    y = np.zeros(60, int)
    drawn = data_of_rows(rows(X), rows(LABELS), None, HeldOut(1, 1)).test
    y[X[:, 0] == drawn.x[0, 0]] = 1
    with pytest.raises(DataError, match="all examples of class 1 are in the validation or the"):
        data_of_rows(rows(X), rows(y), None, HeldOut(1, 1))


def test_other_files_have_the_same_classes() -> None:
    more = {"test": (rows(X), rows(LABELS + 1))}
    with pytest.raises(DataError, match="part 0: row 2 is of class 3, which no training file has"):
        data_of_rows(rows(X), rows(LABELS), None, HELD, more)
    more = {"test": (rows(X[:, :1]), rows(LABELS))}
    with pytest.raises(DataError, match="inputs of the test files have rows of shape"):
        data_of_rows(rows(X), rows(LABELS), None, HELD, more)


def save(path: Path, **arrays: Any) -> None:
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ({}, "", "has nothing; expected files x\\*.npy, or files .npz, or .parquet, one of the"),
        ({"y_0": LABELS}, "", "has y_0.npy; expected files x"),
        ({"x_0": X}, "", "x_0.npy: has no targets beside it; expected y_0.npy, or set data.x"),
        ({"x_0": X.T.copy().T, "y_0": LABELS}, "", "lies column by column"),
        ({"x_0": np.array([{}] * 60), "y_0": LABELS}, "", "holds Python's objects"),
        ({"x_0": X, "y_0": LABELS, "x_1": X[:, :1], "y_1": LABELS}, "", "write all with the same"),
        ({"x_0": X[:0], "y_0": LABELS}, "", r"has shape \(0, 2\); expected \(n, ...\) with n > 0"),
    ],
)
def test_files_that_are_not_shards_are_refused(
    files: dict[str, Any], given: str, message: str, tmp_path: Path
) -> None:
    save(tmp_path, **files)
    with pytest.raises(BpframeError, match=message):
        bpframe.compose(["data=shards", f"data.path={tmp_path / given}"])


def test_compressed_cut_and_other_files_are_refused(tmp_path: Path) -> None:
    def refused(path: Path, message: str, member: str | None = "x") -> None:
        with pytest.raises(DataError, match=message):
            memory_map(path, member)

    np.savez_compressed(tmp_path / "small.npz", x=X)
    refused(tmp_path / "small.npz", "x is compressed, .* numpy.savez in place of numpy.savez_comp")
    np.savez(tmp_path / "other.npz", a=X)
    refused(tmp_path / "other.npz", "holds a; expected x")
    save(tmp_path, cut=X)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-8])
    refused(tmp_path / "cut.npy", "is no whole array of NumPy", None)
    (tmp_path / "text.npy").write_text("x,y")
    refused(tmp_path / "text.npy", "is no whole array of NumPy", None)
    refused(tmp_path / "text.npy", "text.npy: is no .npz file, or was cut short")
    content = (tmp_path / "other.npz").read_bytes()
    (tmp_path / "other.npz").write_bytes(content[:-8])
    refused(tmp_path / "other.npz", "other.npz: is no .npz file, or was cut short", "a")
    refused(tmp_path / "none.npy", "cannot be read: No such file", None)


def test_files_that_changed_are_read_again(tmp_path: Path) -> None:
    save(tmp_path, x=X, y=LABELS)
    words = ["data=shards", f"data.path={tmp_path / 'x.npy'}", "data.validation_rows=5"]
    dataset = bpframe.compose([*words, "data.test_rows=5"]).data
    first = dataset.load()
    assert dataset.load() is first
    save(tmp_path, x=np.concatenate([X, X]), y=np.concatenate([LABELS, LABELS]))
    assert len(dataset.load().train) == 110


BOUNDED = """
import json, re, resource, sys
import bpframe
from bpframe.tables.streamed import in_memory

def used():
    return 1024 * int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1])

folder, more, in_the_memory = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "memory"
words = ["data=shards", f"data.path={folder}", "network.hidden=[8]", "training.epochs=1"]
words += ["training.batch_size=1000"]
small = bpframe.compose([*words, "data.train_size=50000"])
bpframe.run(small)  # threads, compilers and code take what they take
limit = used() + more
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
experiment = bpframe.compose(words)
data = in_memory(experiment.data.load()) if in_the_memory else None
result = bpframe.run(experiment, data=data)
print(json.dumps([result.summary.data.n_train, result.history.train_accuracy[0]]))
"""
"""An epoch in a process that the operating system gives so many more bytes than a small run."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit what is mapped")
def test_ten_million_rows_take_a_bounded_memory(tmp_path: Path) -> None:
    """960 MB of inputs, in 512 MB. Slow: writes, reads and trains on all of them."""
    n, width, files = 10_000_000, 24, 4
    for number in range(files):
        x = DRAW.standard_normal((n // files, width), dtype=np.float32)
        save(tmp_path, **{f"x_{number}": x, f"y_{number}": (x[:, 0] > 0).astype(np.uint8)})
        del x

    def run(how: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", BOUNDED, str(tmp_path), str(512 * 2**20), how],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        bounded, whole = run("streamed"), run("memory")
    finally:
        for path in tmp_path.iterdir():
            path.unlink()
    assert bounded.returncode == 0, bounded.stderr[-3000:]
    n_train, accuracy = json.loads(bounded.stdout.splitlines()[-1])
    assert n_train == n - 20_000
    assert accuracy > 0.9
    assert whole.returncode != 0
    assert "memory" in whole.stderr.lower()
