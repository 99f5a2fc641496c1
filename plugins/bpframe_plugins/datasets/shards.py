"""A data set in files that are not read into the memory."""

from __future__ import annotations

import dataclasses
import functools
import glob
from importlib import resources
from pathlib import Path

from bpframe import (
    Data,
    DataError,
    Dataset,
    HeldOut,
    Rows,
    Shape,
    data_of_rows,
    hyperparameter,
    memory_map,
    unpack_parquet,
)

_TASKS = ("classification", "multi_label", "regression")
_EXAMPLE = str(resources.files("bpframe_plugins.datasets") / "data" / "shards")
_WRITE = "numpy.save('x_0.npy', x) and numpy.save('y_0.npy', y), or numpy.savez('0.npz', x=x, y=y)"


class Shards(Dataset):
    """Rows of files that stay on the disk, for data larger than the memory.

    A .npy file whose name begins with x has inputs, and that with y in its place their targets; an
    .npz file, uncompressed, has both by these names; a .parquet file has them in columns whose
    names begin so, and is unpacked into temporary files. Files follow each other in the order of
    their names. Validation and test set are drawn by chance, and held in memory.

    Attributes:
        path: a folder, one file, or several by a pattern such as parts/x_*.npy.
        x: what names of inputs begin with, and the name of the inputs in .npz files.
        y: the same of the targets.
        task: what an answer is; unset: as the targets tell, and needed for targets (n, n_out).
        validation_rows: how many rows are drawn for the validation set.
        test_rows: how many for the test set.
        split_seed: of the draw.
        validation_path: the files of the validation set, in place of chance.
        test_path: those of the test set.
        shuffle_block: how many rows that follow each other are read together; unset: every epoch
            has any order of the rows.

    """

    path: str = dataclasses.field(kw_only=True)
    x: str = "x"
    y: str = "y"
    task: str | None = hyperparameter(default=None, choices=_TASKS)
    validation_rows: int = hyperparameter(default=10_000, ge=1)
    test_rows: int = hyperparameter(default=10_000, ge=1)
    split_seed: int = hyperparameter(default=0, ge=0)
    validation_path: str | None = None
    test_path: str | None = None
    shuffle_block: int | None = hyperparameter(default=None, ge=1)  # pyright: ignore[reportIncompatibleMethodOverride]

    examples = ({"path": _EXAMPLE, "validation_rows": 12, "test_rows": 12},)

    @property
    def shape(self) -> Shape:
        """That of an input in the files."""
        return self.load().train.shape

    @property
    def n_out(self) -> int:
        """The number of classes, or of target columns."""
        return self.load().train.n_out

    def load(self) -> Data:
        """The examples: of training those that stay in the files; see `Dataset.load`.

        Raises:
            ConfigError: nothing is left for training.
            DataError: a file is missing, compressed, or holds what cannot be trained on.

        """
        whole = dataclasses.replace(self, train_size=None, standardise=False, shuffle_block=None)
        paths = (self.path, self.validation_path, self.test_path)
        return _read(whole, *(_stamps(path) for path in paths if path is not None))

    def fresh(self) -> Data:
        """The examples, looked at once from the first to the last."""
        named = {"validation": self.validation_path, "test": self.test_path}
        more = {name: self._rows(path) for name, path in named.items() if path is not None}
        held_out = HeldOut(self.validation_rows, self.test_rows, self.split_seed)
        return data_of_rows(*self._rows(self.path), self.task, held_out, more)

    def _rows(self, path: str) -> tuple[Rows, Rows]:
        """The inputs and the targets in some files."""
        files = _files(path)
        packed = [file for file in files if file.suffix == ".parquet"]
        both = [file for file in files if file.suffix == ".npz"]
        inputs = [f for f in files if f.suffix == ".npy" and f.name.startswith(self.x)]
        if sum(map(bool, (packed, both, inputs))) != 1:
            found = ", ".join(file.name for file in files[:3]) or "nothing"
            raise DataError(
                f"data.path: {path} has {found}{', ...' if len(files) > 3 else ''}; expected files "
                f"{self.x}*.npy, or files .npz, or .parquet, one of the three: write {_WRITE}"
            )
        if packed:
            return unpack_parquet(packed, self.x), unpack_parquet(packed, self.y)
        if both:
            return _of(both, self.x), _of(both, self.y)
        return _of(inputs), _of([self._partner(file) for file in inputs])

    def _partner(self, file: Path) -> Path:
        """The targets of a file of inputs."""
        targets = file.with_name(self.y + file.name.removeprefix(self.x))
        if not targets.is_file():
            raise DataError(
                f"{file}: has no targets beside it; expected {targets.name}, or set data.x and "
                "data.y to what the names begin with"
            )
        return targets


def _files(path: str) -> list[Path]:
    """All files of a folder or a pattern, in the order of their names."""
    if Path(path).is_dir():
        return sorted(file for file in Path(path).iterdir() if file.is_file())
    return sorted(Path(found) for found in glob.glob(path, recursive=True))


def _of(files: list[Path], member: str | None = None) -> Rows:
    names = tuple(str(file) if member is None else f"{file}: {member}" for file in files)
    return Rows(tuple(memory_map(file, member) for file in files), names)


def _stamps(path: str) -> tuple[tuple[object, ...], ...]:
    """What tells files from others, and changes with them."""
    stats = [(str(file), file.stat()) for file in _files(path)]
    return tuple((name, s.st_dev, s.st_ino, s.st_mtime_ns, s.st_size) for name, s in stats)


@functools.lru_cache(maxsize=2)
def _read(dataset: Shards, *stamps: object) -> Data:
    """The examples of a data set, looked at once as long as its files stay as they are."""
    del stamps
    return dataset.fresh()
