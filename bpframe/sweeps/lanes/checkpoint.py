"""Checkpoints of a chunk: the states and the records of all its lanes, in one file of the sweep.

It stands in `.checkpoints` in the sweep's folder, and goes when the chunk is done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
import warnings
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bpframe.errors import OutputError, OutputWarning
from bpframe.files import check_no_link, remove_partials, write_whole
from bpframe.runs.bookkeeping import Ending
from bpframe.runs.checkpoint import Checkpointing, host, like, packed, unpacked
from bpframe.runs.records import EpochRecord
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.lanes.programs import Layout
from bpframe.sweeps.rows import FAILED

FOLDER = ".checkpoints"


class SavedLane(NamedTuple):
    """A lane in a checkpoint: its records, and how it ended, if it has."""

    records: tuple[EpochRecord, ...]
    ending: Ending | None


class SavedChunk(NamedTuple):
    """A chunk after an epoch.

    `lanes` are by the numbers of their jobs, `states` those of all lanes on the host.
    """

    epoch: int
    lanes: Mapping[int, SavedLane]
    states: Any


class ChunkCheckpoints:
    """The checkpoint of one chunk: when the next is due, and where it stands."""

    def __init__(self, jobs: Sequence[Job], layout: Layout) -> None:
        self._settings = Checkpointing(**jobs[0].config["checkpoint"])
        self._jobs = jobs
        self._path = path_of(jobs, layout)
        self._epoch = 0
        self._time = time.monotonic()
        self._has_warned = False

    def is_due(self, epoch: int) -> bool:
        """Whether a checkpoint is due after this epoch."""
        return self._settings.is_due(epoch - self._epoch, time.monotonic() - self._time)

    def follow(self, before: Sequence[ChunkCheckpoints]) -> None:
        """Count from the oldest of the checkpoints before: those of chunks that became this one."""
        self._epoch = min(one._epoch for one in before)
        self._time = min(one._time for one in before)

    def covers(self, wanted: Container[int]) -> bool:
        """Whether there is a good checkpoint, with all jobs of the chunk that are wanted."""
        if not any(job.num in wanted for job in self._jobs):
            return True
        return self._lanes(wanted) is not None

    def write(self, found: SavedChunk) -> bool:
        """Write a checkpoint in place of the one before; False where that fails.

        Training goes on then.
        """
        leaves = [host(leaf) for leaf in jax.tree.leaves(found.states)]
        arrays = {f"state_{number}": leaf for number, leaf in enumerate(leaves)}
        lanes = []
        for num, lane in found.lanes.items():
            params = jax.tree.leaves(lane.ending.params if lane.ending else ())
            arrays |= {f"lane_{num}_{at}": np.asarray(leaf) for at, leaf in enumerate(params)}
            lanes.append(
                {
                    "num": num,
                    "records": [dataclasses.asdict(record) for record in lane.records],
                    "status": lane.ending and lane.ending.status,
                    "error": lane.ending and lane.ending.error,
                    "stopped": lane.ending and lane.ending.stopped,
                    "params": len(params),
                }
            )
        content = packed({"epoch": found.epoch, "lanes": lanes}, arrays)
        try:
            check_no_link(self._path.parent)
            self._path.parent.mkdir(exist_ok=True)
            remove_partials(self._path.parent, self._path.name)
            write_whole(self._path, content)
        except OSError as error:
            if not self._has_warned:
                text = f"{self._path}: no checkpoint after epoch {found.epoch}: {error.strerror}"
                warnings.warn(text, OutputWarning, stacklevel=2)
            self._has_warned = True
            return False
        finally:
            self._epoch, self._time = found.epoch, time.monotonic()
        return True

    def remove(self) -> None:
        """Remove the checkpoint, if there is one."""
        self._path.unlink(missing_ok=True)

    def read(self, wanted: Container[int], template: Any) -> SavedChunk | None:
        """The checkpoint, if there is a good one of all jobs that are wanted.

        `template` has the structure, shapes and dtypes of the states of one lane after another.
        """
        if (found := self._lanes(wanted)) is None:
            return None
        epoch, lanes, arrays = found
        leaves, structure = jax.tree.flatten(template)
        saved = [arrays[f"state_{number}"] for number in range(len(leaves))]
        if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in saved]:
            return None
        pairs = zip(leaves, saved, strict=True)
        states = jax.tree.unflatten(structure, [like(info, leaf) for info, leaf in pairs])
        self._epoch = epoch
        return SavedChunk(epoch, lanes, states)

    def _lanes(self, wanted: Container[int]) -> tuple[int, dict[int, SavedLane], Any] | None:
        """The epoch, the lanes and the arrays of the checkpoint, if it has all that is wanted."""
        if not self._path.exists():
            return None
        try:
            meta, arrays = unpacked(self._path)
        except OutputError as error:
            warnings.warn(f"{error}; its jobs begin again", OutputWarning, stacklevel=2)
            return None
        jobs = {job.num: job for job in self._jobs}
        lanes = {lane["num"]: _lane(lane, arrays, jobs[lane["num"]]) for lane in meta["lanes"]}
        own = [lanes.get(job.num) for job in self._jobs if job.num in wanted]
        # A lane that has failed is to be tried again, and its state is not one to go on from.
        if not all(own) or any(_has_failed(lane) for lane in own):
            return None
        return meta["epoch"], lanes, arrays


def path_of(jobs: Sequence[Job], layout: Layout) -> Path:
    """Where the checkpoint of a chunk stands; other jobs or another layout have another."""
    identity = json.dumps([[(job.num, job.hash) for job in jobs], layout])
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return jobs[0].sweep / FOLDER / f"{jobs[0].num}-{name}.npz"


def remove(jobs: Sequence[Job], layout: Layout) -> None:
    """Remove the checkpoint of a chunk that is done."""
    path_of(jobs, layout).unlink(missing_ok=True)


def remove_all(sweep: Path) -> None:
    """Remove what is left of checkpoints when all jobs are done, as after a kill at the last."""
    folder = sweep / FOLDER
    # Where it is a link, not there, or holds something that is not ours, it stays.
    with contextlib.suppress(OSError):
        check_no_link(folder)
        remove_partials(folder)
        for path in folder.glob("*.npz"):
            path.unlink()
        folder.rmdir()


def _has_failed(lane: SavedLane | None) -> bool:
    return lane is not None and lane.ending is not None and lane.ending.status == FAILED


def _lane(lane: Mapping[str, Any], arrays: Mapping[str, Any], job: Job) -> SavedLane:
    ending = None
    if lane["status"] is not None:
        leaves = [arrays[f"lane_{job.num}_{at}"] for at in range(lane["params"])]
        structure = jax.tree.structure(job.experiment.network.params if leaves else ())
        params = jax.tree.unflatten(structure, leaves)
        ending = Ending(lane["status"], params, error=lane["error"], stopped=lane["stopped"])
    return SavedLane(tuple(EpochRecord(**record) for record in lane["records"]), ending)
