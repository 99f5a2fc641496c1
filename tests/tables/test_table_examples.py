"""Examples of tables and arrays: what they become, how they are divided, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bpframe.errors import AdviceWarning, BpframeError, ConfigError, DataError
from bpframe.tables import targets
from bpframe.tables.examples import Columns, data_of_arrays, data_of_table
from bpframe.tables.splits import SHARES, Shares, divided
from bpframe.tables.table import Table
from bpframe.tasks import Classification, MultiLabel, Regression

GENERATOR = np.random.default_rng(0)
TABLE = Table.of(
    {
        "size": GENERATOR.normal(size=60),
        "place": [["home", "away"][i % 2] for i in range(60)],
        "kind": [["ape", "bee", "cow"][i % 3] for i in range(60)],
        "price": GENERATOR.normal(size=60),
        "part": [["train", "train", "validation", "test"][i % 4] for i in range(60)],
    }
)


@pytest.mark.parametrize(
    ("values", "task", "labels", "names"),
    [
        (["b", "a", "b"], None, [1, 0, 1], ("a", "b")),
        ([1, 3, 2], None, [0, 2, 1], (1, 2, 3)),
        ([0, 2, 1], None, [0, 2, 1], ()),
        ([0.0, 2.0, 1.0], None, [0, 2, 1], ()),
        ([True, False], None, [1, 0], (False, True)),
        (list(range(30)), "classification", list(range(30)), ()),
        ([[1], [3]], None, [0, 1], (1, 3)),
        (["1", "10", "2"], None, [0, 1, 2], ("1", "10", "2")),
    ],
)
def test_classes(values: Any, task: str | None, labels: list[int], names: tuple) -> None:
    y, found = targets.of(values, task)
    assert y.tolist() == labels
    assert found == Classification(names=names)


def test_quantities() -> None:
    y, task = targets.of([0.5, 1.0, 2.0])
    assert (y.tolist(), task) == ([[0.5], [1.0], [2.0]], Regression())
    y, task = targets.of([1, 2, 3], "regression")
    assert (y.tolist(), task) == ([[1.0], [2.0], [3.0]], Regression())
    y, task = targets.of(np.eye(3))
    assert task == Classification()
    assert targets.of(np.array([[0.0, 1], [1, 1]]), "multi_label")[1] == MultiLabel()


@pytest.mark.parametrize(
    ("values", "task", "said"),
    [
        (range(30), None, "set data.task=regression, or data.task=classification"),
        ([0.5, np.nan], None, "row 1 holds nan"),
        (["a", "a"], None, "one class alone, a"),
        (["a", None], None, "row 1 is empty"),
        (["a", "b"], "regression", "'a' is no number"),
        ([0.5, 1.0], "classification", "0.5 is no class"),
        ([0, 1], "multi_label", "a column of 0 and 1 for each label"),
        ([[1, 2], [3]], None, "rows of different lengths"),
        ([], None, "shape (0,)"),
        (np.zeros((2, 2, 2)), None, "shape (2, 2, 2)"),
    ],
)
def test_targets_that_tell_nothing_are_refused(values: Any, task: str | None, said: str) -> None:
    with pytest.raises(DataError) as raised:
        targets.of(list(values) if isinstance(values, range) else values, task)
    assert said in str(raised.value)


@pytest.mark.parametrize("n", [10, 97, 1000])
def test_every_example_is_in_one_split_and_shares_are_kept(n: int) -> None:
    y = np.arange(n) % 3
    parts = divided(y, SHARES)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    for part, share in zip(parts, (0.7, 0.15, 0.15), strict=True):
        assert abs(len(part) - share * n) <= 2
        for label in range(3):
            assert abs((y[part] == label).sum() - share * n / 3) <= 2
    assert [part.tolist() for part in divided(y, SHARES)] == [part.tolist() for part in parts]
    other = divided(y, SHARES._replace(seed=1))
    assert other[0].tolist() != parts[0].tolist()


def test_a_class_seen_once_is_trained_on() -> None:
    y = np.array([0] * 50 + [1] * 50 + [2])
    train, validation, test = divided(y, Shares(0.4, 0.4))
    assert 100 in train
    assert 100 not in (*validation, *test)


@pytest.mark.parametrize(
    ("y", "shares", "said"),
    [
        (np.zeros((3, 1)), SHARES, "none is left for the validation set; give more"),
        (np.zeros((2, 1)), SHARES, "2 examples cannot be divided"),
        (np.zeros((9, 1)), Shares(0.6, 0.4), "leave nothing for training"),
        (np.zeros((9, 1)), Shares(0.0, 0.4), "data.validation: 0.0 is out of range"),
        (np.zeros((9, 1)), Shares(0.01, 0.4), "none is left for the validation set"),
    ],
)
def test_shares_that_leave_nothing_are_refused(y: np.ndarray, shares: Shares, said: str) -> None:
    with pytest.raises(BpframeError) as raised:
        divided(y, shares)
    assert said in str(raised.value)


def test_columns_become_inputs_in_their_order() -> None:
    columns = Columns(("kind",), ("place", "size"), ("place",))
    data = data_of_table(TABLE, columns, SHARES)
    assert data.train.features == (("place", "away"), ("place", "home"), "size")
    assert data.task == Classification(names=("ape", "bee", "cow"))
    assert sum(map(len, data)) == 60
    for examples in data:
        for row, label in zip(examples.x, examples.y, strict=True):
            at = int(np.flatnonzero(TABLE.columns["size"] == row[2])[0])
            assert row[:2].tolist() == [float(at % 2), float(at % 2 == 0)]
            assert label == at % 3


def test_a_column_says_the_split() -> None:
    columns = Columns(("price",), ("size",), split="part")
    data = data_of_table(TABLE, columns, SHARES)
    assert list(map(len, data)) == [30, 15, 15]
    trained = [row for row in range(60) if row % 4 < 2]
    assert data.train.x[:, 0].tolist() == TABLE.columns["size"][trained].tolist()
    assert data.task == Regression(names=("price",))


def test_several_targets() -> None:
    columns = Columns(("price", "size"), ("place",), ("place",))
    assert data_of_table(TABLE, columns, SHARES).train.n_out == 2


def test_other_files_are_the_other_splits() -> None:
    later = TABLE.rows(np.arange(10))
    columns = Columns(("kind",), ("size",))
    data = data_of_table(TABLE, columns, SHARES, {"test": later})
    assert len(data.test) == 10
    assert len(data.train) + len(data.validation) == 60
    assert data.test.y.tolist() == [i % 3 for i in range(10)]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (Columns(("kin",), ("size",)), "did you mean 'kind'?"),
        (Columns(("kind",), ("sise",)), "did you mean 'size'?"),
        (Columns(("kind",)), "column 'place' holds text, 'home' in row 1; set data.one_hot"),
        (Columns(("kind",), ("kind", "size")), "'kind' is the target"),
        (Columns(("kind",), ("size",), ("plaice",)), "data.one_hot: unknown 'plaice'"),
        (Columns(("kind",), ("size",), split="place"), "no row has 'train'"),
        (Columns(("size", "place"), ("price",)), "holds text"),
    ],
)
def test_columns_that_are_not_there_are_named(columns: Columns, said: str) -> None:
    with pytest.raises((ConfigError, DataError)) as raised:
        data_of_table(TABLE, columns, SHARES)
    assert said in str(raised.value)


def test_gaps_are_refused_by_place_or_left_out() -> None:
    size = TABLE.columns["size"].copy()
    size[[3, 5]] = np.nan
    table = Table({**TABLE.columns, "size": size})
    columns = Columns(("kind",), ("size",))
    with pytest.raises(DataError, match=r"'size' is empty in row 4, and in 2 of 60 rows"):
        data_of_table(table, columns, SHARES)
    with pytest.warns(AdviceWarning, match="2 of 60 rows have an empty cell, and are left out"):
        kept = data_of_table(table, columns._replace(drop_missing=True), SHARES)
    assert sum(map(len, kept)) == 58
    infinite = Table({**TABLE.columns, "size": np.where(np.isnan(size), np.inf, size)})
    with pytest.raises(DataError, match=r"'size' holds inf in row 4"):
        data_of_table(infinite, columns, SHARES)


def test_a_class_that_is_never_trained_on_is_refused() -> None:
    kinds = np.array(TABLE.columns["kind"])
    kinds[TABLE.columns["part"] == "test"] = "dog"
    table = Table({**TABLE.columns, "kind": kinds})
    with pytest.raises(DataError, match="no training example is of class 'dog'"):
        data_of_table(table, Columns(("kind",), ("size",), split="part"), SHARES)


def test_arrays_keep_their_shape_and_bytes_their_unit() -> None:
    x = GENERATOR.integers(0, 256, (40, 5, 6), dtype=np.uint8)
    data = data_of_arrays({"train": (x, np.arange(40) % 2)})
    assert data.train.shape == (5, 6, 1)
    assert data.train.scale == 1 / 255
    sets = {"train": (x, np.arange(40) % 2), "test": (x[:4], [0, 1, 0, 1])}
    data = data_of_arrays(sets)
    assert data.test.x[:, :, :, 0].tolist() == x[:4].tolist()
    assert len(data.train) + len(data.validation) == 40


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([1.0, 2, 3], [0, 1, 0], "write [[1.0], [2.0]] for one number each"),
        ([[1.0], [2]], [0, 1, 0], "2 inputs and 3 targets"),
        ([["a"], ["b"]], [0, 1], "expected numbers"),
        ([[1.0, 2], [3]], [0, 1], "rows of different lengths"),
        ([[1.0], [np.inf], [2]], [0, 1, 0], "example 1 holds values that are not finite"),
        (np.zeros((0, 3)), [], "shape (0, 3)"),
    ],
)
def test_arrays_that_are_no_examples_are_refused(x: Any, y: Any, said: str) -> None:
    with pytest.raises(DataError) as raised:
        data_of_arrays({"train": (x, y)})
    assert said in str(raised.value)


def test_all_columns_of_text_are_named_at_once() -> None:
    texts = {name: np.array(["p", "q"] * 3, object) for name in ("a", "b", "c")}
    table = Table({**texts, "kind": np.array(["x", "y"] * 3, object)}, "own.csv")
    with pytest.raises(DataError, match=r"'a' holds .*; texts stand too in 'b', 'c'"):
        data_of_table(table, Columns(("kind",)), SHARES)


def test_one_hot_is_of_classes_among_the_features() -> None:
    columns = Columns(("kind",), ("size",), ("kind",))
    with pytest.raises(ConfigError, match=r"'kind' is not among data\.features, size; add"):
        data_of_table(TABLE, columns, SHARES)
    size = TABLE.columns["size"] + 0.25
    table = Table({**TABLE.columns, "size": size})
    with pytest.raises(ConfigError, match=r"'size' holds numbers such as .*, which are no"):
        data_of_table(table, Columns(("kind",), ("size",), ("size",)), SHARES)
