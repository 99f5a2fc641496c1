"""Arrays of a NumPy file: which of them are the splits, and which are refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from bpframe_plugins.datasets.tables import Npz

from bpframe.errors import DataError

PARTS = {"train": 40, "validation": 10, "test": 20}


def array(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3))


def written(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "own.npz", **arrays)  # pyright: ignore[reportArgumentType]
    return str(folder / "own.npz")


@pytest.mark.parametrize(
    ("x", "y", "names"),
    [
        ("x", "y", ("{}_train", "{}_validation", "{}_test")),
        ("x", "y", ("{}_train", "{}_val", "{}_test")),
        ("x", "y", ("{}_training", "{}_valid", "{}_test")),
        ("images", "labels", ("train_{}", "val_{}", "test_{}")),
        ("X", "Y", ("{}_train", "{}_val", "{}_test")),
    ],
)
def test_splits_have_the_names_that_are_in_use(
    tmp_path: Path, x: str, y: str, names: tuple[str, ...]
) -> None:
    arrays = {}
    for seed, (name, n) in enumerate(zip(names, PARTS.values(), strict=True)):
        arrays[name.format(x)] = array(n, seed)
        arrays[name.format(y)] = np.arange(n) % 2
    data = Npz(path=written(tmp_path, **arrays), x=x, y=y).load()
    for seed, (part, n) in enumerate(PARTS.items()):
        found = getattr(data, part)
        assert len(found) == n
        np.testing.assert_allclose(np.sort(found.x, axis=0), np.sort(array(n, seed), axis=0))


LABELS = np.arange(40) % 2


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (
            {"x_train": array(40, 0), "y_train": LABELS, "x_val": array(40, 1)},
            "holds x_val without y_val; add it",
        ),
        (
            {"train_images": array(40, 0), "train_labels": LABELS, "test_images": array(40, 1)},
            "expected x and y, or x_train and y_train; data.x and data.y name them",
        ),
        (
            {"x": array(40, 0), "y": LABELS, "x_test": array(40, 1), "y_test": LABELS},
            "x and y are all that would be used of them; leave x_test and y_test out",
        ),
        (
            {
                "x_train": array(40, 0),
                "y_train": LABELS,
                "x_val": array(40, 1),
                "y_val": LABELS,
                "x_valid": array(40, 1),
                "y_valid": LABELS,
            },
            "holds x_val and x_valid, both of them the validation set",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], said: str
) -> None:
    with pytest.raises(DataError) as raised:
        Npz(path=written(tmp_path, **arrays)).load()
    assert said in str(raised.value)


def test_one_split_named_as_if_it_were_all_is_refused(tmp_path: Path) -> None:
    arrays = {"train_images": array(40, 0), "train_labels": LABELS}
    path = written(tmp_path, **arrays, test_images=array(40, 1), test_labels=LABELS)
    with pytest.raises(DataError, match="leave test_images and test_labels out"):
        Npz(path=path, x="train_images", y="train_labels").load()


def test_other_arrays_are_no_matter(tmp_path: Path) -> None:
    data = Npz(path=written(tmp_path, x=array(40, 0), y=LABELS, ids=np.arange(40))).load()
    assert sum(map(len, data)) == 40


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one.npy", "is one array (.npy); give an .npz with x and y"),
        ("table.csv", "is no NumPy file of arrays (.npz); of a table write data=csv"),
    ],
)
def test_another_kind_of_file_is_told_by_what_it_is(tmp_path: Path, name: str, said: str) -> None:
    np.save(tmp_path / "one.npy", np.zeros((3, 2)))
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=re.escape(said)):
        Npz(path=str(tmp_path / name)).load()
