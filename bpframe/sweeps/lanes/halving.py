"""Synchronous successive halving: all jobs to a rung, and from there the best ones alone.

Every job of a batch is trained to the first rung. The best 1/factor of those that are still
training go on to the next, as one compacted batch of lanes, and so on. Which jobs are kept is
noted before any other is given up, so that a sweep that is resumed keeps the same ones.

Source: Jamieson and Talwalkar (2016), Non-stochastic best arm identification and hyperparameter
optimization.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Container, Mapping, Sequence
from typing import NamedTuple

from bpframe.errors import ConfigError
from bpframe.runs.listeners import EventsOf
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.lanes import partition
from bpframe.sweeps.lanes.checkpoint import ChunkCheckpoints
from bpframe.sweeps.lanes.chunk import Chunk, Progress
from bpframe.sweeps.lanes.group import Done, Group, writing_what_is_done
from bpframe.sweeps.lanes.partition import ChunkPlan
from bpframe.sweeps.objective import Objective
from bpframe.sweeps.rows import PRUNED


class Halving(NamedTuple):
    """After `first` epochs, `first * factor`, ... the best 1/`factor` of the jobs go on."""

    first: int
    factor: int

    def rungs(self, epochs: int) -> list[int]:
        """The epochs after which jobs are given up, of runs of so many epochs."""
        found = []
        rung = self.first
        while rung < epochs:
            found.append(rung)
            rung *= self.factor
        return found

    def epochs(self, jobs: int, epochs: int) -> int:
        """How many epochs the jobs train in total, if none stops early."""
        total, before = 0, 0
        for rung in [*self.rungs(epochs), epochs]:
            total += jobs * (rung - before)
            jobs, before = math.ceil(jobs / self.factor), rung
        return total


class Rungs:
    """What was decided at each rung, and is kept when the sweep is resumed.

    `noted` is what the ledger holds, `note` adds to it.
    """

    def __init__(
        self, noted: Mapping[int, Sequence[int]], note: Callable[[int, list[int]], None]
    ) -> None:
        self._noted = noted
        self._note = note

    def noted(self, epoch: int) -> set[int] | None:
        """The jobs that were kept after an epoch; None if that is not decided."""
        return set(self._noted[epoch]) if epoch in self._noted else None

    def kept(self, epoch: int, values: Mapping[int, float], keep: int, sign: int) -> set[int]:
        """The best `keep` of the jobs, by number, or those that were kept before."""
        if epoch in self._noted:
            return set(self._noted[epoch])
        best = sorted(values, key=lambda num: (-sign * values[num], num))[:keep]
        self._note(epoch, best)
        return set(best)


class Work(NamedTuple):
    """The chunks of a group, and the jobs in them by number."""

    group: Group
    jobs: Mapping[int, Job]
    chunks: Sequence[ChunkPlan]


def check(halving: Halving, objective: Objective) -> None:
    """Raise a ConfigError for a setting out of range or an objective that comes too late."""
    for name, value, least in (("first", halving.first, 1), ("factor", halving.factor, 2)):
        if value < least:
            raise ConfigError(
                f"hydra.sweeper.halving.{name}: {value} is out of range; allowed: >= {least}"
            )
    if objective.name.startswith("test_"):
        raise ConfigError(
            f"sweep.objective: {objective.name} is known only at the end of a run; with "
            "hydra.sweeper.halving choose another, such as best_validation_accuracy"
        )


def train(
    work: Sequence[Work],
    halving: Halving,
    objective: Objective,
    rungs: Rungs,
    *,
    events: EventsOf,
    wanted: Container[int],
    done: Done,
    check: Callable[[], None],
    progress: Progress,
) -> None:
    """Train all jobs, giving up all but the best at each rung.

    Raises:
        InterruptionError: `check` raised it; the jobs are written as they are.
        OutOfMemoryError: a chunk does not fit the memory.

    """
    alive: list[Chunk] = []
    last = max(one.group.experiment.training.epochs for one in work)
    ends = [*halving.rungs(last), last]
    number, plans = _begun(work, ends, rungs, wanted)
    chunks: list[tuple[Work, list[Chunk]]] = [(one, []) for one in work]
    with writing_what_is_done(alive, done):
        for (one, own), chosen in zip(chunks, plans, strict=True):
            with one.group.computing():
                for plan in chosen:
                    jobs = [one.jobs[num] for num in plan.nums]
                    own.append(one.group.chunk(jobs, plan.layout, events, wanted))
                    alive.append(own[-1])
                    own[-1].start()
                    own[-1].park()
        for rung in ends[number:]:
            for one, own in chunks:
                for chunk in own:
                    with one.group.computing():
                        chunk.resume()
                        chunk.advance(
                            min(rung, one.group.experiment.training.epochs), check, progress
                        )
                        if rows := chunk.finish():
                            done(rows)
                        chunk.park()
            if rung == last:
                break
            values = {
                job.num: _value(chunk, job.num, objective)
                for chunk in alive
                for job in chunk.active
            }
            kept = rungs.kept(rung, values, math.ceil(len(values) / halving.factor), objective.sign)
            for chunk in alive:
                chunk.end(PRUNED, None, {job.num for job in chunk.active} - kept)
                if rows := chunk.finish():
                    done(rows)
            before = tuple(alive)
            chunks = [(one, _compacted(one, own, kept)) for one, own in chunks]
            alive[:] = [chunk for _, own in chunks for chunk in own]
            _Together(alive, before)
    for chunk in alive:
        chunk.checkpoints.remove()


class _Together:
    """Chunks made of the best jobs of other chunks, and checkpoints of all of them.

    Only with the checkpoints of all is it known how far the best have got. Until then those of the
    chunks before are kept.
    """

    def __init__(self, chunks: Sequence[Chunk], before: Sequence[Chunk]) -> None:
        self._missing = list(chunks)
        self._before = before
        for chunk in chunks:
            chunk.checkpoint = functools.partial(self._write, chunk)
        if any(chunk.is_checkpoint_due for chunk in chunks):
            self._write(*chunks)

    def _write(self, *chunks: Chunk) -> None:
        """Write these chunks, and all that have not been written yet."""
        others = [chunk for chunk in self._missing if chunk not in chunks]
        written = [chunk for chunk in (*chunks, *others) if chunk.write_checkpoint()]
        self._missing = [chunk for chunk in self._missing if chunk not in written]
        if not self._missing:
            for chunk in self._before:
                chunk.checkpoints.remove()


def _begun(
    work: Sequence[Work], ends: Sequence[int], rungs: Rungs, wanted: Container[int]
) -> tuple[int, list[Sequence[ChunkPlan]]]:
    """After how many rungs to begin, and the chunks of then: as late as there are checkpoints."""
    levels: list[list[Sequence[ChunkPlan]]] = [[one.chunks for one in work]]
    for kept in map(rungs.noted, ends[:-1]):
        if kept is None:
            break
        pairs = zip(work, levels[-1], strict=True)
        levels.append([_plans(one, plans, kept) for one, plans in pairs])
    for number, level in reversed([*enumerate(levels)][1:]):
        pairs = [(one, plan) for one, plans in zip(work, level, strict=True) for plan in plans]
        reached = {num for _, plan in pairs for num in plan.nums}
        if all(num in reached for one in work for num in one.jobs if num in wanted) and all(
            ChunkCheckpoints([one.jobs[num] for num in plan.nums], plan.layout).covers(wanted)
            for one, plan in pairs
        ):
            return number, level
    return 0, levels[0]


def _value(chunk: Chunk, num: int, objective: Objective) -> float:
    value = chunk.reached(num)[objective.name]
    return -math.inf * objective.sign if value is None else value


def _compacted(work: Work, chunks: Sequence[Chunk], kept: set[int]) -> list[Chunk]:
    """The jobs that are kept, in as few chunks as they can be trained in."""
    group = work.group
    with group.computing():
        return [
            Chunk.compacted(chunks, plan.nums, group.compiled(plan.layout))
            for plan in _plans(work, chunks, kept)
        ]


def _plans(
    work: Work, chunks: Sequence[ChunkPlan] | Sequence[Chunk], kept: set[int]
) -> list[ChunkPlan]:
    """The chunks of the jobs that are kept."""
    jobs = [work.jobs[num] for chunk in chunks for num in chunk.nums if num in kept]
    most = max(len(plan.nums) for plan in work.chunks)
    if not jobs:
        return []
    group = work.group
    return partition.chunks(jobs, group.devices, group.sizes, most, group.row_bytes)
