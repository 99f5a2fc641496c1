"""Rows of Parquet are those that were written, whatever groups and files they lie in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bpframe
from bpframe.errors import DataError
from bpframe.tables import parquet
from bpframe.tables.streamed import in_memory

N = 1_000
BOTH, TEXT = {"x1": [1.0], "x2": [2.0]}, {"x0": [1.0], "x1": ["a"]}


@pytest.fixture(scope="module")
def arrow() -> Any:
    """pyarrow and pyarrow.parquet, as one thing that writes."""
    return pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")


def written(arrow: Any, path: Path, columns: dict[str, Any], group: int = 300) -> Path:
    pa, pq = arrow
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


@pytest.mark.parametrize("portion", [1, 1_000, 2**24])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i2", "?"])
def test_columns_of_numbers_are_rows(
    portion: int, dtype: str, arrow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "PORTION_BYTES", portion)
    x = (3 * np.random.default_rng(0).normal(size=(N, 3))).astype(dtype)
    x = x[: 50 if portion == 1 else N]
    paths = [
        written(arrow, tmp_path / f"{part}.parquet", {f"x{i}": rows[:, i] for i in range(3)})
        for part, rows in enumerate(np.split(x, [40]))
    ]
    found = bpframe.unpack_parquet(paths, "x")
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found.take(np.arange(len(x))), x)
    np.testing.assert_array_equal(bpframe.unpack_parquet(paths, "x1").parts[0], x[:40, 1])


def test_mixed_numbers_lists_and_text(arrow: Any, tmp_path: Path) -> None:
    pa, _ = arrow
    lists = np.arange(3 * N, dtype=np.float32).reshape(N, 3)
    listed = pa.FixedSizeListArray.from_arrays(pa.array(lists.reshape(-1)), 3)
    columns = {"xa": np.arange(N), "xb": lists[:, 0], "v": listed, "label": ["a", "bc"] * (N // 2)}
    first = written(arrow, tmp_path / "0.parquet", columns)
    second = written(arrow, tmp_path / "1.parquet", columns | {"label": ["longer"] * N})
    mixed = bpframe.unpack_parquet([first], "x")
    assert mixed.dtype == np.float64
    np.testing.assert_array_equal(mixed.parts[0], np.stack([np.arange(N), lists[:, 0]], axis=1))
    np.testing.assert_array_equal(bpframe.unpack_parquet([first], "v").parts[0], lists)
    category = pa.array(columns["label"]).dictionary_encode()
    third = written(arrow, tmp_path / "2.parquet", {"label": category})
    assert bpframe.unpack_parquet([third], "label").parts[0].tolist() == columns["label"]
    labels = bpframe.unpack_parquet([first, second], "label")
    assert (labels.dtype, labels.shape) == (np.dtype("U6"), (2 * N,))
    assert labels.take(np.array([0, 1, N])).tolist() == ["a", "bc", "longer"]


def test_columns_are_known_by_their_names(arrow: Any, tmp_path: Path) -> None:
    first = written(arrow, tmp_path / "0.parquet", BOTH)
    second = written(arrow, tmp_path / "1.parquet", {"x2": [4.0], "x1": [3.0]})
    found = bpframe.unpack_parquet([first, second], "x").take(np.arange(2))
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_columns_of_another_set_in_another_order_are_refused(arrow: Any, tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, N)), [0, 1] * (N // 2)
    written(arrow, tmp_path / "a.parquet", {"x1": x[0], "x2": x[1], "y": y})
    written(arrow, tmp_path / "b.parquet", {"x2": x[1], "x1": x[0], "y": y})
    words = [f"data.path={tmp_path}/a.parquet", f"data.test_path={tmp_path}/b.parquet"]
    message = "inputs of the test files are the columns x2, x1; those of training are x1, x2"
    with pytest.raises(DataError, match=message):
        bpframe.compose(["data=shards", *words, "data.validation_rows=50"])


def test_a_data_set_of_parquet_is_that_of_arrays(arrow: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
    y = np.where(x[:, 0] > 0, "high", "low")
    written(arrow, tmp_path / "a.parquet", {"x1": x[:, 0], "y": y, "x2": x[:, 1]})
    np.savez(tmp_path / "a.npz", x=x, y=y)
    more = ["data.validation_rows=50", "data.test_rows=60"]
    found, expected = (
        in_memory(
            bpframe.compose(["data=shards", f"data.path={tmp_path}/a.{kind}", *more]).data.load()
        )
        for kind in ("parquet", "npz")
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)


def test_what_cannot_be_unpacked_is_told(
    arrow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa, _ = arrow

    def refused(message: str, columns: dict[str, Any], *others: dict[str, Any]) -> None:
        paths = [
            written(arrow, tmp_path / f"{number}.parquet", each)
            for number, each in enumerate((columns, *others))
        ]
        with pytest.raises(DataError, match=message):
            bpframe.unpack_parquet(paths, "x")

    refused("begins with 'x'; it has a, b; set data.x and data.y to", {"a": [1], "b": [2]})
    refused(r"0.parquet: x\*: x1: row 1 has no value; leave", {"x1": [1.0, None]})
    refused("x1: row 700 has no value", {"x1": [None if at == 700 else 1.0 for at in range(N)]})
    refused("x1: holds timestamp", {"x1": pa.array([0], pa.timestamp("s"))})
    refused("x1: holds list<", {"x1": [[1.0], [1.0, 2.0]]})
    refused("x1: holds fixed_size_list", {"x1": pa.array([[1, None]], pa.list_(pa.int8(), 2))})
    refused("has no rows", {"x1": pa.array([], pa.float32())})
    refused("1.parquet: has the column 'x2', which the first file has not", {"x1": [1.0]}, BOTH)
    refused("1.parquet: lacks the column 'x2', which the first file has; ", BOTH, {"x1": [1.0]})
    refused("x1 holds text, and others numbers; read the files with data=parquet", TEXT)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    for name, message in (("bad", "is no Parquet file: "), ("none", "cannot be read: ")):
        with pytest.raises(DataError, match=message):
            bpframe.unpack_parquet([tmp_path / f"{name}.parquet"], "x")
    whole = written(arrow, tmp_path / "cut.parquet", {"x": np.random.default_rng(0).normal(size=N)})
    content = bytearray(whole.read_bytes())
    content[4:30] = bytes(26)  # the head of the first page
    whole.write_bytes(content)
    with pytest.raises(DataError, match=r"cut.parquet: x\*: cannot be read: "):
        bpframe.unpack_parquet([whole], "x")
    full = shutil.disk_usage(tmp_path)._replace(free=7)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    refused("unpacked, it takes 0.0 GB, and .* has room for 0.0 GB; set TMPDIR", {"x1": [1.0]})


def test_a_single_input_column(arrow: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=N)
    written(arrow, tmp_path / "a.parquet", {"x": x, "y": x > 0})
    words = ["data=shards", f"data.path={tmp_path}/a.parquet", "data.validation_rows=50"]
    data = in_memory(bpframe.compose([*words, "data.test_rows=50"]).data.load())
    assert data.train.x.shape == (N - 100, 1)
    assert data.train.features == data.test.features == ("x",)
    np.testing.assert_array_equal(data.train.y, data.train.x[:, 0] > 0)
