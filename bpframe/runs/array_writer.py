"""What recorders keep of a run, on its way into the folder `recording`.

It is written in files that are never touched again: whole or not at all, each with its checksum,
and called by the last step in it. With every checkpoint a file ends, so that a run that goes on
from one takes the files before it, and makes the others again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from bpframe.files import check_no_link, remove_partials, write_whole_by
from bpframe.runs.array_files import FOLDER, files, last_step, name_of
from bpframe.runs.arrays import META, STEPS, InFile, InMemory, content_checksum
from bpframe.runs.checksums import CHECKSUM
from bpframe.training import probes
from bpframe.training.experiment import Experiment
from bpframe.training.probes import Kept


class ArrayWriter:
    """The arrays of one run that are not written yet."""

    def __init__(self, experiment: Experiment, n_train: int) -> None:
        self._experiment = experiment
        self._n_train = n_train
        self._waiting: dict[str, list[np.ndarray]] = {}
        self.bytes = 0

    def add(self, epochs: range, kept: Kept) -> None:
        """Note what a turn of these epochs kept, on the host."""
        by_probe = probes.by_probe(self._experiment).values()
        times = probes.times_in(self._experiment, epochs, self._n_train)
        for recorders, steps, arrays in zip(by_probe, times, kept, strict=False):
            if not len(steps):
                continue
            for name, array in arrays.items():
                used = np.asarray(array)[: len(steps)]
                # A copy where rows that are not used would take room.
                self._note(name, used if len(used) == len(array) else np.array(used))
            for named in recorders:
                self._note(f"{named.name}/{STEPS}", np.asarray(steps, np.int64))

    def taken(self) -> InMemory | None:
        """What is waiting, which then waits no more; None where nothing is."""
        if not self._waiting:
            return None
        arrays = {
            name: parts[0] if len(parts) == 1 else np.concatenate(parts)
            for name, parts in self._waiting.items()
        }
        self._waiting, self.bytes = {}, 0
        return InMemory(self._meta(arrays), arrays)

    def _note(self, name: str, array: np.ndarray) -> None:
        self._waiting.setdefault(name, []).append(array)
        self.bytes += array.nbytes

    def _meta(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        steps = self._experiment.training.steps(self._n_train)
        found: dict[str, Any] = {}
        for named in self._experiment.recorders:
            recorder, axes, m = named.recorder, {}, None
            for path, array in arrays.items():
                name, _, key = path.partition("/")
                if name == named.name and key != STEPS:
                    front = ("example",) if recorder.of_examples else ()
                    m = array.shape[1] if front else None
                    ndim = array.ndim - 1 - len(front)
                    axes[key] = [*front, *recorder.axes(key, ndim)]
            if axes:
                found[named.name] = {
                    "over": recorder.over,
                    "examples": m,
                    "steps_of_epoch": steps,
                    "axes": axes,
                }
        return found


def write(run: Path, part: InMemory, *, durable: bool) -> str:
    """Write a part into the folder of a run; its name there.

    Raises:
        OSError: it cannot be written.

    """
    last = max(int(array[-1]) for name, array in part.arrays.items() if name.endswith(f"/{STEPS}"))
    arrays = {name: np.ascontiguousarray(array) for name, array in part.arrays.items()}
    told = {META: json.dumps(part.meta), CHECKSUM: content_checksum(arrays)}
    folder = run / FOLDER
    check_no_link(folder)
    folder.mkdir(exist_ok=True)

    def save(path: Path) -> None:
        try:
            save_file(arrays, path, told)
        except SafetensorError as error:  # which has the error of the disk as text
            raise OSError(str(error)) from error

    write_whole_by(save, run / name_of(last), durable=durable)
    return name_of(last)


def reopen(run: Path, last: int) -> list[str]:
    """The files of a run that goes on after so many steps, checked; those after it are removed.

    Raises:
        OSError: one cannot be removed.
        OutputError: one is damaged.

    """
    folder, kept = run / FOLDER, []
    if not folder.is_dir():
        return kept
    check_no_link(folder)
    remove_partials(folder)
    for path in files(run):
        if last_step(path) > last:
            path.unlink()
        elif InFile(path).meta:
            kept.append(f"{FOLDER}/{path.name}")
    return kept
