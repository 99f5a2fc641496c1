"""What recorders kept of a run, to read: arrays with named axes, read in the parts asked for."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors import SafetensorError, safe_open

from bpframe.errors import ConfigError, OutputError, unknown
from bpframe.runs.checksums import CHECKSUM, checksum

STEPS, META = "steps", "recording"


@dataclasses.dataclass(frozen=True)
class InMemory:
    """Some of what was kept, in the order of the steps.

    Attributes:
        meta: by recorder `over`, `examples`, `steps_of_epoch`, and the `axes` of its arrays by key.
        arrays: by NAME/KEY, and NAME/steps.

    """

    meta: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def length(self, name: str) -> int:
        """How many times an array was kept; 0 if it is not here."""
        return len(self.arrays.get(name, ()))

    def rows(self, name: str, chosen: slice) -> np.ndarray:
        """An array at some of these times."""
        return self.arrays[name][chosen]


class InFile:
    """The same in a file, which is checked when it is opened.

    Raises:
        OutputError: it is missing or damaged.

    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @functools.cached_property
    def meta(self) -> Mapping[str, Any]:
        """See `InMemory`."""
        try:
            with safe_open(self._path, "np") as file:
                told = file.metadata() or {}
                names = sorted(file.keys())
                found = "00000000"
                for name in names:
                    found = checksum(_bytes(file.get_tensor(name)), found)
                if told.get(CHECKSUM) != found:
                    raise OutputError(f"{self._path}: is damaged: it does not fit its checksum")
                self._lengths = {name: file.get_slice(name).get_shape()[0] for name in names}
                return json.loads(told[META])
        except FileNotFoundError as error:
            raise OutputError(f"{self._path}: is missing") from error
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise OutputError(
                f"{self._path}: is damaged ({type(error).__name__}: {error})"
            ) from error

    def length(self, name: str) -> int:
        """See `InMemory`."""
        assert self.meta is not None  # which opens it
        return self._lengths.get(name, 0)

    def rows(self, name: str, chosen: slice) -> np.ndarray:
        """See `InMemory`; no other rows are read."""
        try:
            with safe_open(self._path, "np") as file:
                return file.get_slice(name)[chosen]
        except (OSError, SafetensorError) as error:
            raise OutputError(f"{self._path}: cannot be read: {error}") from error


Part: TypeAlias = InMemory | InFile


def content_checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """The checksum of arrays in the order of their names."""
    found = "00000000"
    for name in sorted(arrays):
        found = checksum(_bytes(arrays[name]), found)
    return found


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


@dataclasses.dataclass(frozen=True, eq=False)
class RecordedArray:
    """One array over time, such as delta^2 of the examples of the probe.

    It is indexed as a NumPy array, and only the times that are asked for are read:
    `array[-1]`, `array[10:20, 3]`. `np.asarray(array)` reads all of it.

    Attributes:
        name: what was recorded, such as "deltas".
        key: which of its arrays, such as "layer_2" or "layer_2.w".
        axes: the names of the axes, "step" first: ("step", "example", "neuron").
        steps: (times,) how many steps had been made; 0 is before training.
        epochs: (times,) the same in epochs, which need not be whole.
        examples: (m,) which examples of the split `over`, from 0; None without such an axis.
        over: the split of the probe.

    """

    name: str
    key: str
    axes: tuple[str, ...]
    steps: np.ndarray
    epochs: np.ndarray
    examples: np.ndarray | None
    over: str
    _parts: tuple[Part, ...] = dataclasses.field(repr=False)

    @property
    def layer(self) -> int:
        """The layer, numbered as in the book."""
        return int(self.key.removeprefix("layer_").partition(".")[0])

    def __repr__(self) -> str:
        sizes = ", ".join(f"{axis} {n}" for axis, n in zip(self.axes, self.shape, strict=True))
        return f"RecordedArray({self._path}: {sizes}; {self.dtype}, over the {self.over} set)"

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return len(self.steps), *self._empty.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """That of the entries."""
        return self._empty.dtype

    def at(self, step: int) -> np.ndarray:
        """The array after so many steps.

        Raises:
            ConfigError: nothing was recorded then.

        """
        index = int(np.searchsorted(self.steps, step))
        if index < len(self.steps) and self.steps[index] == step:
            return self[index]
        near = ", ".join(str(found) for found in self.steps[max(0, index - 1) : index + 1])
        raise ConfigError(
            f"step: {step} of {self.name} was not recorded; the nearest are {near}, and all are "
            "in `steps`"
        )

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: Any) -> np.ndarray:
        first, *rest = index if isinstance(index, tuple) else (index,)
        if isinstance(first, int | np.integer):
            if not -len(self) <= first < len(self):
                raise IndexError(
                    f"{self._path}: {first} is out of range; {len(self)} times were recorded, of "
                    "which 0 is the first and -1 the last; at(step) finds one by its step"
                )
            at = int(first) % len(self)
            return self._read(range(at, at + 1))[(0, *rest)]
        if isinstance(first, slice):
            times = range(len(self))[first]
            ordered = times if times.step > 0 else times[::-1]
            read = self._read(range(ordered.start, ordered.stop))[:: ordered.step]
            return (read if times.step > 0 else read[::-1])[(slice(None), *rest)]
        return np.asarray(self)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy
        return np.asarray(self._read(range(len(self))), dtype)

    @property
    def _path(self) -> str:
        return f"{self.name}/{self.key}"

    @functools.cached_property
    def _empty(self) -> np.ndarray:
        return next(part.rows(self._path, slice(0, 0)) for part in self._parts)

    def _read(self, times: range) -> np.ndarray:
        """The array at some times in a row."""
        found, start = [self._empty], 0
        for part in self._parts:
            stop = start + part.length(self._path)
            low, high = max(times.start, start), min(times.stop, stop)
            if low < high:
                found.append(part.rows(self._path, slice(low - start, high - start)))
            start = stop
        return found[1] if len(found) == 2 else np.concatenate(found)


class _Arrays(dict[str, RecordedArray]):
    """The arrays of a recorder by their keys."""

    def __missing__(self, key: str) -> RecordedArray:
        raise unknown("recording", key, self)


class Recording:
    """What recorders kept of a run: `recording["deltas"]["layer_2"]` is a `RecordedArray`.

    `in`, `len` and iteration go over the names of the recorders.

    Raises:
        OutputError: a file is missing or damaged, or does not follow the one before.

    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._told)

    def __len__(self) -> int:
        return len(self._told)

    def __contains__(self, name: object) -> bool:
        return name in self._told

    def __getitem__(self, name: str) -> Mapping[str, RecordedArray]:
        """The arrays of a recorder by layer_2, layer_3, ...

        Raises:
            ConfigError: it was not recorded.

        """
        if not self._told:
            raise ConfigError(f"recording: nothing was recorded; run again with record=[{name}]")
        if name not in self._told:
            raise unknown("recording", name, self._told)
        told, holding = self._told[name], [p for p in self._parts if p.length(f"{name}/{STEPS}")]
        steps = np.concatenate([part.rows(f"{name}/{STEPS}", slice(None)) for part in holding])
        if np.any(np.diff(steps) <= 0):
            raise OutputError(f"recording: the files of {name} do not follow one another")
        return _Arrays(
            {
                key: RecordedArray(
                    *(name, key, ("step", *axes), steps, steps / told["steps_of_epoch"]),
                    np.arange(told["examples"]) if "example" in axes else None,
                    told["over"],
                    tuple(holding),
                )
                for key, axes in told["axes"].items()
            }
        )

    def __repr__(self) -> str:
        return f"Recording({', '.join(self) or 'nothing'})"

    @functools.cached_property
    def _told(self) -> Mapping[str, Any]:
        return {name: told for part in self._parts for name, told in part.meta.items()}


NOTHING = Recording(())
