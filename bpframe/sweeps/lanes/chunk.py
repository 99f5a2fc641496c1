"""Training a chunk of jobs as lanes."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from bpframe.runs.bookkeeping import Ending
from bpframe.runs.interruption import InterruptionError
from bpframe.runs.listeners import EventsOf, NoEvents
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.hydra.logs import LogFiles
from bpframe.sweeps.lanes.checkpoint import ChunkCheckpoints, SavedChunk
from bpframe.sweeps.lanes.lane import Lane
from bpframe.sweeps.lanes.programs import LanePrograms, by_lane
from bpframe.sweeps.rows import COMPLETED, Row
from bpframe.training.orders import epoch_orders
from bpframe.training.precision import precision
from bpframe.training.step import State
from bpframe.training.turn import Evaluated, Trained

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
        events: EventsOf,
        versions: dict[str, str],
        wanted: Container[int],
    ) -> None:
        self.jobs = tuple(jobs)
        self.checkpoints = ChunkCheckpoints(jobs, programs.layout)
        self.checkpoint: Callable[[], object] = self.write_checkpoint
        self._programs = programs
        self._lanes = [
            Lane(job, place, programs, events(job.tracking), versions)
            for place, job in enumerate(jobs)
            if job.num in wanted
        ]
        n = programs.data.sizes["train"]
        self._experiments = programs.stack([job.experiment.fitted(n) for job in jobs])
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
                own = saved.lanes[lane.job.num] if saved else None
                lane.start(own, saved.epoch if saved else 0)
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
        for lane in self._lanes:
            lane.write_arrays()
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
        states, test = self._parked, None
        with precision(self._programs.experiment.training.dtype), LogFiles() as logs:
            if ended and self._states is not None:
                states = by_lane(self._states)
                if any(lane.ending and lane.ending.status == COMPLETED for lane in ended):
                    test = by_lane(self._programs.test(self._experiments, self._states))
            return [lane.finish(lane.own(states), lane.own(test), logs) for lane in ended]

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
        self = cls(
            [chunk.jobs[place] for chunk, place in places], programs, lambda _: NoEvents(), {}, ()
        )
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
            *(self._experiments, states, active, self._orders(lanes, epochs), epochs),
            evaluated=evaluated,
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

    def _orders(self, lanes: Sequence[Lane], epochs: range) -> np.ndarray:
        n = self._programs.data.sizes["train"]
        if self._programs.experiment.training.shared_order:
            return epoch_orders(self._programs.experiment, epochs, n)
        length = self._programs.experiment.training.order_length(n)
        orders = np.zeros((self._programs.layout.lanes, len(epochs), length), np.int32)
        for lane in lanes:
            orders[lane.place] = epoch_orders(lane.job.experiment, epochs, n)
        return orders

    def _state(self, lane: Lane) -> State:
        """The state of a lane; of one that diverged it is the one before the turn."""
        block = divmod(lane.place, self._programs.layout.width)
        return jax.device_get(jax.tree.map(lambda leaf: leaf[block], self._states))
