"""One job of a chunk: its records, its log and its run folder."""

from __future__ import annotations

import dataclasses
import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from bpframe.errors import OutputError
from bpframe.files import check_no_link
from bpframe.runs import array_files
from bpframe.runs.bookkeeping import Bookkeeper, Ending
from bpframe.runs.folder import RunFolder
from bpframe.runs.listeners import Events
from bpframe.runs.records import RunInfo
from bpframe.sweeps.hydra import files
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.hydra.logs import JobLog, LogFiles
from bpframe.sweeps.lanes.checkpoint import SavedLane
from bpframe.sweeps.lanes.programs import LanePrograms
from bpframe.sweeps.ledger import unwritable
from bpframe.sweeps.rows import COMPLETED, FAILED, Row, scalars
from bpframe.training.metric_folds import Totals
from bpframe.training.step import State, answering
from bpframe.training.turn import Evaluated, Trained

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of the disk itself, with which another job will fare no better."""


class Lane:
    """One job of a chunk, and how it ended: `ending` is None until then."""

    def __init__(
        self,
        job: Job,
        place: int,
        programs: LanePrograms,
        events: Events,
        versions: dict[str, str],
    ) -> None:
        self.job = job
        self.place = place
        self.ending: Ending | None = None
        self._programs = programs
        self._log = JobLog()
        data = programs.data
        info = RunInfo(job.experiment, job.folder, data.sizes["train"], data.task, data.info)
        self._bookkeeper = Bookkeeper(
            *(info, None, events),
            versions=versions,
            plots=job.plots,
            explained=job.show,  # half a millisecond a job
            buffered=True,
        )

    def own(self, tree: Any) -> Any:
        """The entries of the lane in arrays that hold all lanes."""
        return jax.tree.map(lambda leaf: leaf[self.place], tree)

    @property
    def reached(self) -> dict[str, float | int | None]:
        """What the job has reached so far; see `rows.scalars`."""
        return scalars(self._bookkeeper.best(), self._bookkeeper.records[-1].as_dict())

    def moved(self, place: int, programs: LanePrograms) -> Lane:
        """Move the lane to another place, of other programs."""
        self.place, self._programs = place, programs
        return self

    @property
    def saved(self) -> SavedLane:
        """The lane, for a checkpoint."""
        return SavedLane(tuple(self._bookkeeper.records), self.ending)

    def start(self, saved: SavedLane | None, epoch: int) -> None:
        """Make the run folder, with Hydra's files; what an earlier attempt has left goes.

        With `saved` the lane goes on from there, after that epoch, with what it has recorded.
        """
        try:
            had_begun = self.job.folder.exists()
            if had_begun:
                _emptied(self.job.folder, keeps_arrays=saved is not None)
            if had_begun or saved:
                earlier = saved.records if saved else ()
                info = self._bookkeeper.info
                self._bookkeeper.info = dataclasses.replace(info, earlier=earlier)
            files.write(self.job)
            self._bookkeeper.folder = RunFolder(self.job.folder, one_of_many=True)
            self._bookkeeper.folder.begin()
            if saved:
                self._bookkeeper.folder.add(*saved.records)
                n = self._programs.data.sizes["train"]
                steps = epoch * self.job.experiment.training.steps(n)
                self._bookkeeper.folder.reopen_arrays(steps)
                self.ending = saved.ending
                self._bookkeeper.records[:] = saved.records
        except OSError as error:
            self._unwritable(error)
        except OutputError as error:
            self._unusable(error)

    def started(self) -> None:
        """Tell the listeners, now that the programs are compiled."""
        if self.ending is None:
            with self._log.listening():
                self._bookkeeper.started()

    def take(
        self,
        epochs: range,
        outcome: Evaluated | Trained,
        seconds: float,
        before: Callable[[], State],
    ) -> None:
        """Note what a turn gave; see `Bookkeeper.take`."""
        data = self._programs.data
        sets = data.shapes if outcome.finite else jax.device_get(data.sets)
        with self._log.listening():
            try:
                self.ending = self._bookkeeper.take(
                    epochs,
                    outcome,
                    seconds,
                    train=sets["train"],
                    sizes=data.sizes,
                    before=before,
                )
            except OSError as error:
                self._unwritable(error)
            except OutputError as error:
                self._unusable(error)

    def flush(self) -> None:
        """Write the lines that are kept."""
        try:
            self._bookkeeper.flush()
        except OSError as error:
            self._unwritable(error)

    def write_arrays(self) -> None:
        """Write what recorders kept; see `Bookkeeper.write_arrays`."""
        try:
            self._bookkeeper.write_arrays()
        except OutputError as error:
            self._unusable(error)

    def finish(self, state: State | None, test: Totals | None, logs: LogFiles) -> Row:
        """Write the run folder, with the last and the best parameters when the lane ended."""
        ending = self.ending
        assert ending is not None
        if ending.status == COMPLETED:
            ending = ending._replace(test=test)
        if state is not None:
            last = ending.params or jax.device_get(answering(self.job.experiment, state).params)
            ending = ending._replace(params=last, best_params=state.best.params)
        try:
            return self._written(ending, logs)
        except OSError as error:
            self._unwritable(error)
        except OutputError as error:
            self._unusable(error)
        assert self.ending is not None
        return Row.without_run(self.job, FAILED, str(self.ending.error))

    def _written(self, ending: Ending, logs: LogFiles) -> Row:
        with self._log.listening():
            result = self._bookkeeper.finish(
                ending,
                n_test=self._programs.data.sizes["test"],
                compile_s=self._programs.seconds,
                device=str(self._programs.device(self.place)),
            )
            if self.job.show:
                from bpframe.runs.page import page  # for those who ask for it alone

                page.wanted(self.job.folder)
        logs.write(self.job, self._log)
        folder = self._bookkeeper.folder
        checksum = folder.checksum if folder else None
        return Row.of(self.job, result.summary, self._bookkeeper.records, checksum)

    def _unusable(self, error: OutputError) -> None:
        if isinstance(error.__cause__, OSError):
            self._unwritable(error.__cause__)
        else:
            self.ending = Ending(FAILED, error=str(error))

    def _unwritable(self, error: OSError) -> None:
        if error.errno in _DISK:
            raise unwritable(self.job.folder.parent, error) from error
        self.ending = Ending(
            FAILED, error=f"{self.job.folder}: cannot be written: {error.strerror}"
        )


def _emptied(folder: Path, *, keeps_arrays: bool) -> None:
    """Remove what an earlier attempt has left, but for what it recorded before a checkpoint."""
    if not keeps_arrays:
        shutil.rmtree(folder)
        return
    check_no_link(folder)
    for path in folder.iterdir():
        if path.name == array_files.FOLDER:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
