"""Data sets of one's own: tables in CSV and Parquet files, and arrays in NumPy files."""

from __future__ import annotations

import dataclasses
import functools
import zipfile
from abc import abstractmethod
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from bpframe import (
    Columns,
    Data,
    DataError,
    Dataset,
    Shape,
    Shares,
    Table,
    data_of_arrays,
    data_of_table,
    hyperparameter,
    read_csv,
    read_parquet,
)

_TASKS = ("classification", "multi_label", "regression")
_EXAMPLE = str(resources.files("bpframe_plugins.datasets") / "data" / "example")


class _OwnFile(Dataset):
    """Examples of a file, divided by chance into training, validation and test set.

    The file is read when the experiment is made, for the sizes of the network.
    """

    path: str = dataclasses.field(kw_only=True)
    task: str | None = hyperparameter(default=None, choices=_TASKS)
    validation: float = hyperparameter(default=0.15, gt=0, lt=1)
    test: float = hyperparameter(default=0.15, gt=0, lt=1)
    split_seed: int = hyperparameter(default=0, ge=0)

    @property
    def shape(self) -> Shape:
        """That of an input in the file."""
        return self._data().train.shape

    @property
    def n_out(self) -> int:
        """The number of classes, or of target columns."""
        return self._data().train.n_out

    def load(self) -> Data:
        """The examples of the file; see `Dataset.load`.

        Raises:
            ConfigError: a column is not in the file.
            DataError: the file is missing, or holds what cannot be trained on; the message names
                the place.

        """
        return self._data()

    def _data(self) -> Data:
        return _read(self, *(_stamp(path) for path in self._paths()))

    def _paths(self) -> tuple[str, ...]:
        return (self.path,)

    def _shares(self) -> Shares:
        return Shares(self.validation, self.test, self.split_seed)

    @abstractmethod
    def fresh(self) -> Data:
        """The examples, read from the file."""


def _stamp(path: str) -> tuple[int, ...]:
    """What tells a file from others, and changes with it."""
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=2)
def _read(dataset: _OwnFile, *stamps: tuple[int, ...]) -> Data:
    """The examples of a data set, read once as long as its files stay as they are."""
    del stamps
    return dataset.fresh()


class _TableFile(_OwnFile):
    """Rows of a table.

    A target of text, or of a few whole numbers, has classes; other numbers are quantities. All
    splits have the classes in the same shares.

    Attributes:
        path: the file.
        target: the column to answer, or several of numbers.
        features: the columns of inputs; unset: all others.
        one_hot: columns that become one input for each of their values, such as those of text.
        task: what an answer is; unset: as the target tells.
        validation: the share of the validation set, drawn by chance.
        test: the share of the test set.
        split_seed: of the draw.
        split: a column that says train, validation or test of each row, in place of chance.
        validation_path: a file with the validation set.
        test_path: a file with the test set.
        drop_missing: leave rows with an empty cell out, instead of refusing them.
        standardise: inputs of mean 0 and deviation 1 over the training set.
        standardise_targets: the same for the targets of a regression; answers keep their units.

    """

    target: Any = dataclasses.field(kw_only=True)
    features: tuple[str, ...] = ()
    one_hot: tuple[str, ...] = ()
    split: str | None = None
    validation_path: str | None = None
    test_path: str | None = None
    drop_missing: bool = False
    standardise: bool = True
    standardise_targets: bool = True

    @abstractmethod
    def _table(self, path: str) -> Table:
        """The table in a file."""

    def _paths(self) -> tuple[str, ...]:
        return (self.path, *self._more().values())

    def _more(self) -> dict[str, str]:
        more = {"validation": self.validation_path, "test": self.test_path}
        return {name: path for name, path in more.items() if path is not None}

    def fresh(self) -> Data:
        """The rows, as examples."""
        target = self.target if isinstance(self.target, tuple) else (str(self.target),)
        columns = Columns(
            tuple(map(str, target)),
            *(self.features, self.one_hot, self.task, self.split, self.drop_missing),
            self.standardise_targets,
        )
        more = {name: self._table(path) for name, path in self._more().items()}
        return data_of_table(self._table(self.path), columns, self._shares(), more)


class Csv(_TableFile):
    """The rows of a CSV file. See the other fields at `parquet`.

    Attributes:
        delimiter: what separates cells.
        header: whether the first row has the names of the columns; else column_1, column_2, ...
        missing: what an empty cell holds.

    """

    delimiter: str = ","
    header: bool = True
    missing: tuple[str, ...] = ("", "NA", "NaN", "nan")

    examples = ({"path": f"{_EXAMPLE}.csv", "target": "species"},)

    def _table(self, path: str) -> Table:
        return read_csv(path, delimiter=self.delimiter, header=self.header, missing=self.missing)


class Parquet(_TableFile):
    """The rows of a Parquet file."""

    examples = ({"path": f"{_EXAMPLE}.parquet", "target": "species"},)

    def _table(self, path: str) -> Table:
        return read_parquet(path)


class Npz(_OwnFile):
    """Arrays in a NumPy file: x with y, or x_train, y_train, x_validation, ...

    x is (n, n_in), (n, rows, columns) or (n, rows, columns, channels); bytes become 0 to 1. y holds
    classes (n,) or numbers (n, n_out). What is not in the file is drawn from the training set.

    Attributes:
        path: the file.
        x: the name of the inputs.
        y: the name of the targets.
        task: what an answer is; unset: as the targets tell.
        validation: the share of the validation set, where the file has none.
        test: likewise.
        split_seed: of the draw.

    """

    x: str = "x"
    y: str = "y"

    examples = ({"path": f"{_EXAMPLE}.npz"},)

    def fresh(self) -> Data:
        """The arrays, as examples."""
        try:
            self._check_kind()
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        except (ValueError, zipfile.BadZipFile, EOFError, AttributeError) as error:
            raise DataError(
                f"{self.path}: is no NumPy file of numbers and text (.npz): {error}"
            ) from error
        sets = self._sets(arrays)
        used = {name for pair in sets.values() for name in pair}
        more = [name for name in arrays if name not in used and _word(name)]
        if more and (self.x, self.y) == sets["train"]:
            raise DataError(
                f"{self.path}: holds {', '.join(arrays)}, and {self.x} and {self.y} are all that "
                f"would be used of them; leave {' and '.join(more)} out of the file, or name the "
                "others x_train, y_train, x_test, y_test, ..."
            )
        return data_of_arrays(
            {split: (arrays[x], arrays[y]) for split, (x, y) in sets.items()},
            self.task,
            self._shares(),
        )

    def _check_kind(self) -> None:
        """Refuse another kind of file, which NumPy would tell of in its own words."""
        with open(self.path, "rb") as file:
            head = file.read(6)
        if head == b"\x93NUMPY":
            raise DataError(f"{self.path}: is one array (.npy); give an .npz with x and y")
        if head[:2] != b"PK":
            raise DataError(
                f"{self.path}: is no NumPy file of arrays (.npz); of a table write data=csv"
            )

    def _sets(self, arrays: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
        """The names of the inputs and the targets of each split that the file holds."""
        sets: dict[str, tuple[str, str]] = {}
        for name in arrays:
            word = _word(name)
            if word is None or name != name.replace(self.y, self.x, 1) or self.x not in name:
                continue
            targets = name.replace(self.x, self.y, 1)
            if targets not in arrays:
                raise DataError(f"{self.path}: holds {name} without {targets}; add it")
            if sets.setdefault(_SPLITS[word], (name, targets)) != (name, targets):
                raise DataError(
                    f"{self.path}: holds {sets[_SPLITS[word]][0]} and {name}, both of them the "
                    f"{_SPLITS[word]} set; leave one of them out"
                )
        if {self.x, self.y} <= arrays.keys():
            return {"train": (self.x, self.y)}
        if "train" not in sets:
            raise DataError(
                f"{self.path}: holds {', '.join(arrays) or 'nothing'}; expected {self.x} and "
                f"{self.y}, or {self.x}_train and {self.y}_train; data.x and data.y name them "
                "otherwise: data.x=images data.y=labels for images_train or train_images"
            )
        return sets


_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
"""The words by which names of arrays say which split they belong to."""


def _word(name: str) -> str | None:
    """The word of a name such as x_train or test_images; None if it has none."""
    return next((part for part in name.split("_") if part in _SPLITS), None)
