"""CSV and Parquet files as they come: what is read, and what is refused with its place."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bpframe.errors import DataError
from bpframe.tables.files import read_csv, read_parquet
from bpframe.tables.table import Table


def csv(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,x\n2,y\n", {"a": [1, 2], "b": ["x", "y"]}),
        (b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y\r\n", {"a": [1, 2], "b": ["x", "y"]}),
        ('"a, b","c ""d"""\n1,"x\ny"\n', {"a, b": [1], 'c "d"': ["x\ny"]}),
        ("a,b\n1e3,-.5\n 2 ,0x\n", {"a": [1000, 2], "b": ["-.5", "0x"]}),
        ("a,b\n1,\n,y\n", {"a": [1, np.nan], "b": [None, "y"]}),
        ("a,b\nNA,x\n2,None\n", {"a": [np.nan, 2], "b": ["x", "None"]}),
        ("a,b\n1,x", {"a": [1], "b": ["x"]}),
        ("a,b\n\n1,x\n\n", {"a": [1], "b": ["x"]}),
        ("a,b\nTrue,é\nFalse,\u202e\n", {"a": [1, 0], "b": ["é", "\u202e"]}),
    ],
    ids=["plain", "mark-and-crlf", "quoted", "numbers", "empty", "NA", "no-end", "blank", "bool"],
)
def test_a_table_is_read(text: str | bytes, expected: dict[str, list], tmp_path: Path) -> None:
    table = read_csv(csv(tmp_path, text))
    assert list(table.columns) == list(expected)
    for name, values in expected.items():
        kind = object if isinstance(values[-1], str) else float
        np.testing.assert_array_equal(table.columns[name], np.array(values, kind))


def test_delimiter_names_and_missing_values_are_settings(tmp_path: Path) -> None:
    path = csv(tmp_path, "1;?\n2;3\n")
    table = read_csv(path, delimiter=";", header=False, missing=("?",))
    np.testing.assert_array_equal(table.columns["column_2"], [np.nan, 3])


def test_a_compressed_table_and_thousands_of_columns(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(5000)]
    text = ",".join(names) + "\n" + ",".join(map(str, range(5000))) + "\n"
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert read_csv(path).inputs(names).tolist() == [list(map(float, range(5000)))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, and the first row 2"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 cells, and the first row 2"),
        ("a,b\n1,2,3\n4,5,6\n", "line 2 has 3 cells, and the first row 2"),
        ("a,b,a\n1,2,3\n", "two columns 'a'"),
        ("", "is empty"),
        ("a,b\n", "holds no rows"),
        ("a;b\n1;2\n", "data.delimiter"),
        (b"a,b\n1,\xff\n", "is not UTF-8"),
        (b"a,b\n1,2\n\x00", "line 3"),
    ],
    ids=["short", "long", "all-long", "twice", "empty", "no-rows", "delimiter", "latin", "zero"],
)
def test_what_is_no_table_is_refused_with_its_place(
    text: str | bytes, said: str, tmp_path: Path
) -> None:
    path = csv(tmp_path, text)
    with pytest.raises(DataError) as raised:
        read_csv(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value) or "data.delimiter" in said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.csv: cannot be read: No such file"):
        read_csv(tmp_path / "no.csv")
    with pytest.raises(DataError, match=r"no\.parquet: cannot be read: No such file"):
        read_parquet(tmp_path / "no.parquet")


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_parquet(tmp_path / "t.parquet")
    assert table.columns["a"].tolist() == [1.0, 2.0]
    assert table.columns["b"].tolist() == ["x", None]
    (tmp_path / "bad.parquet").write_bytes(b"a,b\n")
    with pytest.raises(DataError, match="is no Parquet file"):
        read_parquet(tmp_path / "bad.parquet")


@pytest.mark.parametrize("kind", ["float64", "Int64", "category", "string", "bool"])
def test_frames_of_all_kinds(kind: str) -> None:
    values = {"category": ["a", "b"], "string": ["a", "b"], "bool": [True, False]}.get(kind, [1, 2])
    found = Table.of(pd.DataFrame({"c": pd.Series(values, dtype=kind)})).columns["c"]
    assert found.tolist() == values
    with pytest.raises(DataError, match="holds times"):
        Table.of(pd.DataFrame({"c": pd.to_datetime(["2020-01-01"])}))
