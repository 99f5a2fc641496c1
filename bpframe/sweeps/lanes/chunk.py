"""Training a chunk of jobs as lanes, and writing the run folder of each."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from bpframe.errors import OutputError
from bpframe.runs.bookkeeping import Ending, Recorder
from bpframe.runs.folder import RunFolder
from bpframe.runs.interruption import InterruptionError
from bpframe.runs.listeners import Events, NoEvents
from bpframe.runs.records import RunInfo
from bpframe.sweeps.hydra import files
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.hydra.logs import JobLog, LogFiles
from bpframe.sweeps.lanes.checkpoint import ChunkCheckpoints, SavedChunk, SavedLane
from bpframe.sweeps.lanes.programs import LanePrograms, by_lane
from bpframe.sweeps.ledger import unwritable
from bpframe.sweeps.rows import COMPLETED, FAILED, Row, scalars
from bpframe.training.metric_folds import Totals
from bpframe.training.orders import epoch_orders
from bpframe.training.precision import precision
from bpframe.training.step import State
from bpframe.training.turn import Evaluated, Trained

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of the disk itself, with which another job will fare no better."""

FLUSH_S = 1.0
"""Seconds after which lines of metrics.jsonl are written that no listener has asked for."""

Progress = Callable[[int, int], None]


class Chunk:
    """Jobs of one structure on their way through the epochs, one lane each.

    A lane ends when its job does: after its last epoch, when its stopping rule or a plugin says so,
    or when it diverges. Its state is frozen then, and the others go on. Only the jobs of `wanted`
    are run; the others keep their places, so that the program and its numbers are the same.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        programs: LanePrograms,
        events: Callable[[], Events],
        versions: dict[str, str],
        wanted: Container[int],
    ) -> None:
        self.jobs = tuple(jobs)
        self.checkpoints = ChunkCheckpoints(jobs, programs.layout)
        self.checkpoint: Callable[[], object] = self.write_checkpoint
        self._programs = programs
        self._lanes = [
            _Lane(job, place, programs, events(), versions)
            for place, job in enumerate(jobs)
            if job.num in wanted
        ]
        self._experiments = programs.stack([job.experiment for job in jobs])
        self._states: Any = None
        self._parked: Any = None
        self._epoch = 0
        self._flushed = time.monotonic()

    @property
    def nums(self) -> list[int]:
        """The numbers of its jobs."""
        return [job.num for job in self.jobs]

    @property
    def active(self) -> list[Job]:
        """The jobs that have not ended."""
        return [lane.job for lane in self._lanes if lane.ending is None]

    def start(self) -> None:
        """Make the run folders while the programs are compiled, and draw the initial states."""
        with ThreadPoolExecutor(1) as pool:
            compiling = pool.submit(self._programs.compile)
            saved = self._saved()
            for lane in self._lanes:
                lane.start(saved.lanes[lane.job.num] if saved else None)
            compiling.result()
        for lane in self._lanes:
            lane.started()
        if saved:
            self._epoch = saved.epoch
            self._states = jax.tree.map(self._programs.place, saved.states)
            return
        experiments = [job.experiment for job in self.jobs]
        exact = self._programs.stack_exact(experiments)
        self._states = self._programs.initial(self._experiments, exact)
        if self._programs.experiment.training.evaluate_start:
            started = time.perf_counter()
            outcomes = by_lane(self._programs.start(self._experiments, self._states))
            self._take(outcomes, range(0), started)

    def advance(self, last: int, check: Callable[[], None], progress: Progress) -> None:
        """Train up to and with epoch `last`, unless all lanes end before.

        `check` is called between evaluated epochs and may raise; `progress` with the number of
        epochs that the jobs made together, and the last of them.
        """
        while self._epoch < last and self.active:
            try:
                check()
            except InterruptionError:
                self.checkpoint()
                raise
            active, before = len(self.active), self._epoch
            training = self._programs.experiment.training
            end = min(training.next_evaluated(before), last)
            self._epoch = min(end, before + self._programs.most)
            self._train(range(before + 1, self._epoch + 1), evaluated=self._epoch == end)
            if self.is_checkpoint_due:
                self.checkpoint()
            progress(active * (self._epoch - before), self._epoch)

    def _saved(self) -> SavedChunk | None:
        """The chunk as its checkpoint has it, if there is one."""
        wanted = {lane.job.num for lane in self._lanes}
        return self.checkpoints.read(wanted, self._programs.states)

    @property
    def is_checkpoint_due(self) -> bool:
        """Whether a checkpoint is due now."""
        return self.checkpoints.is_due(self._epoch)

    def write_checkpoint(self) -> bool:
        """Write a checkpoint; whether the chunk now has one that is its state."""
        if not self._epoch:
            return False
        lanes = {lane.job.num: lane.saved for lane in self._lanes}
        states = self._parked if self._states is None else by_lane(self._states)
        return self.checkpoints.write(SavedChunk(self._epoch, lanes, states))

    def end(self, status: str, error: str | None, nums: Container[int] | None = None) -> None:
        """End the jobs that are still active, or those of `nums`, with this status."""
        for lane in self._lanes:
            if lane.ending is None and (nums is None or lane.job.num in nums):
                lane.ending = Ending(status, error=error)

    def finish(self) -> list[Row]:
        """Write the run folders of the jobs that have ended, which then leave the chunk."""
        ended = [lane for lane in self._lanes if lane.ending is not None]
        self._lanes = [lane for lane in self._lanes if lane.ending is None]
        params = best = test = None
        if ended and self._states is not None:
            with precision(self._programs.experiment.training.dtype):
                params, best = by_lane((self._states.params, self._states.best.params))
                if any(lane.ending and lane.ending.status == COMPLETED for lane in ended):
                    test = by_lane(self._programs.test(self._experiments, self._states))
        elif ended and self._parked is not None:
            params, best = self._parked.params, self._parked.best.params
        with LogFiles() as logs:
            return [
                lane.finish(lane.own(params), lane.own(best), lane.own(test), logs)
                for lane in ended
            ]

    def park(self) -> None:
        """Take the states from the devices, to make room for other chunks."""
        if self._states is not None:
            self._parked, self._states = by_lane(self._states), None

    def resume(self) -> None:
        """Put the states on the devices again."""
        if self._parked is not None:
            self._states = jax.tree.map(self._programs.place, self._parked)
            self._parked = None

    def reached(self, num: int) -> dict[str, float | int | None]:
        """What an active job has reached so far; see `rows.scalars`."""
        return next(lane.reached for lane in self._lanes if lane.job.num == num)

    @classmethod
    def compacted(
        cls, chunks: Sequence[Chunk], kept: Container[int], programs: LanePrograms
    ) -> Chunk:
        """Parked chunks of a group as one that holds the jobs of `kept` alone."""
        places = [
            (chunk, place)
            for chunk in chunks
            for place, job in enumerate(chunk.jobs)
            if job.num in kept
        ]
        self = cls([chunk.jobs[place] for chunk, place in places], programs, NoEvents, {}, ())
        states = [
            jax.tree.map(lambda leaf, place=place: leaf[place], chunk._parked)
            for chunk, place in places
        ]
        self._parked = jax.tree.map(lambda *rows: np.stack(rows), *states)
        self._epoch = max(chunk._epoch for chunk in chunks)
        self.checkpoints.follow([chunk.checkpoints for chunk in chunks])
        lanes = {lane.job.num: lane for chunk in chunks for lane in chunk._lanes}
        for place, job in enumerate(self.jobs):
            if job.num in lanes:
                self._lanes.append(lanes[job.num].moved(place, programs))
        return self

    def _train(self, epochs: range, *, evaluated: bool) -> None:
        """Train some epochs, of which the last is evaluated or not."""
        started = time.perf_counter()
        lanes = [lane for lane in self._lanes if lane.ending is None]
        active = np.zeros(self._programs.layout.lanes, bool)
        active[[lane.place for lane in lanes]] = True
        states, self._states = self._states, None  # an epoch uses them up, even if it fails
        self._states, outcomes = self._programs.turn(
            self._experiments, states, active, self._orders(lanes, epochs), evaluated=evaluated
        )
        self._take(by_lane(outcomes), epochs, started)

    def _take(self, outcomes: Evaluated | Trained, epochs: range, started: float) -> None:
        """Tell each active lane what a turn gave it; write lines that have waited long enough."""
        lanes = [lane for lane in self._lanes if lane.ending is None]
        seconds = (time.perf_counter() - started) / max(1, len(lanes))
        for lane in lanes:
            lane.take(epochs, lane.own(outcomes), seconds, lambda lane=lane: self._state(lane))
        if time.monotonic() - self._flushed > FLUSH_S:
            for lane in lanes:
                lane.flush()
            self._flushed = time.monotonic()

    def _orders(self, lanes: Sequence[_Lane], epochs: range) -> np.ndarray:
        n = self._programs.data.sizes["train"]
        if self._programs.experiment.training.shared_order:
            return epoch_orders(self._programs.experiment, epochs, n)
        orders = np.zeros((self._programs.layout.lanes, len(epochs), n), np.int32)
        for lane in lanes:
            orders[lane.place] = epoch_orders(lane.job.experiment, epochs, n)
        return orders

    def _state(self, lane: _Lane) -> State:
        """The state of a lane; of one that diverged it is the one before the turn."""
        block = divmod(lane.place, self._programs.layout.width)
        return jax.device_get(jax.tree.map(lambda leaf: leaf[block], self._states))


class _Lane:
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
        info = RunInfo(job.experiment, job.folder, programs.data.sizes["train"])
        self._recorder = Recorder(
            info, None, events, versions=versions, plots=job.plots, buffered=True
        )

    def own(self, tree: Any) -> Any:
        """The entries of the lane in arrays that hold all lanes."""
        return jax.tree.map(lambda leaf: leaf[self.place], tree)

    @property
    def reached(self) -> dict[str, float | int | None]:
        """What the job has reached so far; see `rows.scalars`."""
        return scalars(self._recorder.best(), self._recorder.records[-1].as_dict())

    def moved(self, place: int, programs: LanePrograms) -> _Lane:
        """Move the lane to another place, of other programs."""
        self.place, self._programs = place, programs
        return self

    @property
    def saved(self) -> SavedLane:
        """The lane, for a checkpoint."""
        return SavedLane(tuple(self._recorder.records), self.ending)

    def start(self, saved: SavedLane | None) -> None:
        """Make the run folder, with Hydra's files; what an earlier attempt has left goes.

        With `saved` the lane goes on from there.
        """
        try:
            if self.job.folder.exists():
                shutil.rmtree(self.job.folder)
            files.write(self.job)
            self._recorder.folder = RunFolder(self.job.folder, one_of_many=True)
            self._recorder.folder.begin()
            if saved:
                self._recorder.folder.add(*saved.records)
                self.ending = saved.ending
                self._recorder.records[:] = saved.records
        except OSError as error:
            self._unwritable(error)
        except OutputError as error:
            self._unusable(error)

    def started(self) -> None:
        """Tell the listeners, now that the programs are compiled."""
        if self.ending is None:
            with self._log.listening():
                self._recorder.started()

    def take(
        self,
        epochs: range,
        outcome: Evaluated | Trained,
        seconds: float,
        before: Callable[[], State],
    ) -> None:
        """Note what a turn gave; see `Recorder.take`."""
        data = self._programs.data
        sets = data.shapes if outcome.finite else jax.device_get(data.sets)
        with self._log.listening():
            try:
                self.ending = self._recorder.take(
                    epochs,
                    outcome,
                    seconds,
                    sets=sets,
                    before=before,
                )
            except OSError as error:
                self._unwritable(error)

    def flush(self) -> None:
        """Write the lines that are kept."""
        try:
            self._recorder.flush()
        except OSError as error:
            self._unwritable(error)

    def finish(self, params: Any, best: Any, test: Totals | None, logs: LogFiles) -> Row:
        """Write the run folder, with the last and the best parameters when the lane ended."""
        ending = self.ending
        assert ending is not None
        if ending.status == COMPLETED:
            ending = ending._replace(test=test)
        ending = ending._replace(params=ending.params or params or (), best_params=best or ())
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
            result = self._recorder.finish(
                ending,
                n_test=self._programs.data.sizes["test"],
                compile_s=self._programs.seconds,
                device=str(self._programs.device(self.place)),
            )
        logs.write(self.job, self._log)
        folder = self._recorder.folder
        checksum = folder.checksum if folder else None
        return Row.of(self.job, result.summary, self._recorder.records, checksum)

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
