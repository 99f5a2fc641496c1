"""The data set of a Python program: arrays, a frame, or examples that it has in memory."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

from bpframe.component import hyperparameter
from bpframe.contracts import Dataset, Shape
from bpframe.data import Data, Examples
from bpframe.errors import ConfigError, DataError
from bpframe.tables.examples import Columns, data_of_arrays, data_of_table
from bpframe.tables.splits import SHARES, Shares
from bpframe.tables.table import Table
from bpframe.tables.targets import TASKS

GIVEN = "given"
"""The name of the data set in a configuration."""
_OF_FRAMES = ("target", "features", "one_hot", "split", "drop_missing", "standardise_targets")
_OF_ARRAYS = ("task", "validation", "test", "split_seed")


class InMemory(Dataset):
    """Examples given in Python; see the fields of `csv` for what each means.

    Attributes:
        source: the examples: `Data`, (x, y), or a frame; None in a run that is read again, since no
            file has them.

    """

    task: str | None = hyperparameter(default=None, choices=tuple(TASKS))
    validation: float = hyperparameter(default=SHARES.validation, gt=0, lt=1)
    test: float = hyperparameter(default=SHARES.test, gt=0, lt=1)
    split_seed: int = hyperparameter(default=SHARES.seed, ge=0)
    target: Any = ()
    features: tuple[str, ...] = ()
    one_hot: tuple[str, ...] = ()
    split: str | None = None
    drop_missing: bool = False
    standardise_targets: bool = True

    source: ClassVar[Any] = None

    @property
    def shape(self) -> Shape:
        """That of an input."""
        return self.load().train.shape

    @property
    def n_out(self) -> int:
        """The number of classes, or of targets."""
        return self.load().train.n_out

    def load(self) -> Data:
        """The examples; see `Dataset.load`."""
        return _made(self)


def in_memory(data: Any, target: Any = None) -> type[InMemory]:
    """The class of data set that has these examples; see `bpframe.compose`.

    Raises:
        DataError: they are nothing that can be trained on.

    """
    is_arrays = isinstance(data, tuple | list) and not isinstance(data, Data)
    if is_arrays and (len(data) != 2 or target is not None):
        raise DataError(
            "data: is a tuple or list; give two arrays, data=(x, y), or a frame with target=NAME"
        )
    if is_arrays and hasattr(data[0], "columns"):
        name = str(getattr(data[1], "name", None) or "target")
        data, target, is_arrays = {**_columns(data[0]), name: data[1]}, name, False
    is_frame = not is_arrays and not isinstance(data, Data)
    if is_frame and not (hasattr(data, "columns") or isinstance(data, Mapping)):
        raise DataError(
            f"data: is {type(data).__name__}; give arrays (x, y), a frame with target=NAME, or "
            "bpframe.Data(train, validation, test)"
        )
    if is_frame and not target:
        raise DataError("data: is a frame; say which column is to be answered, with target=NAME")
    if isinstance(data, Data):
        for split, examples in data._asdict().items():
            if not isinstance(examples, Examples):
                raise DataError(
                    f"data: the {split} set is {type(examples).__name__}; expected bpframe.Examples"
                )
        if target is not None:
            raise ConfigError("target: is that of a frame; bpframe.Data has its targets")
    chosen: dict[str, Any] = {"__annotations__": {}, "source": Table.of(data) if is_frame else data}
    if is_frame:
        names = (target,) if isinstance(target, str) else tuple(map(str, target or ()))
        chosen |= {"target": names, "standardise": True}
        chosen["__annotations__"] = {"target": Any, "standardise": bool}
    else:
        chosen |= {"standardise_targets": False}
        chosen["__annotations__"] = {"standardise_targets": bool}
    return type("Given", (InMemory,), {**chosen, "__module__": __name__})


def _check_unused(dataset: InMemory, names: tuple[str, ...], why: str) -> None:
    """Raise a ConfigError if a setting is made that nothing reads."""
    for field in dataclasses.fields(dataset):
        if field.name in names and getattr(dataset, field.name) != field.default:
            raise ConfigError(f"data.{field.name}: {why}; leave it out")


def _columns(frame: Any) -> dict[str, Any]:
    return {str(name): frame[name] for name in frame.columns}


@functools.lru_cache(maxsize=2)
def _made(dataset: InMemory) -> Data:
    source = dataset.source
    if source is None:
        raise DataError(
            "data: those of this run were given in Python, and no file has them; give them again"
        )
    if not isinstance(source, Table):
        _check_unused(dataset, _OF_FRAMES, "is a setting of frames, and data are arrays")
    if isinstance(source, Data):
        _check_unused(dataset, _OF_ARRAYS, "is settled by bpframe.Data")
        return source
    shares = Shares(dataset.validation, dataset.test, dataset.split_seed)
    if isinstance(source, Table):
        target = (dataset.target,) if isinstance(dataset.target, str) else dataset.target
        columns = Columns(
            *(tuple(map(str, target)), dataset.features, dataset.one_hot),
            *(dataset.task, dataset.split, dataset.drop_missing, dataset.standardise_targets),
        )
        return data_of_table(source, columns, shares)
    return data_of_arrays({"train": tuple(source)}, dataset.task, shares)
