"""The plan of a batch: its groups and chunks, as they are made, noted and read again."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from bpframe.errors import ConfigError
from bpframe.sweeps import ledger
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.lanes import partition
from bpframe.sweeps.lanes.partition import ChunkPlan
from bpframe.sweeps.ledger import Entry, Ledger
from bpframe.sweeps.rows import FAILED, Row


class Unit(NamedTuple):
    """What is trained at a time: a chunk of a group, never a part of one.

    Attributes:
        group: the number of the group in its batch.
        chunk: which jobs, and how they are laid out.
        jobs: the jobs of the chunk, in its order.
        wanted: the numbers of those that are to be run.

    """

    group: int
    chunk: ChunkPlan
    jobs: tuple[Job, ...]
    wanted: frozenset[int]

    def failed(self, message: str) -> list[Row]:
        """The rows of its jobs if all of them failed for one reason."""
        return [Row.without_run(j, FAILED, message) for j in self.jobs if j.num in self.wanted]


class GroupPlan(NamedTuple):
    """The jobs of a group, by number, in chunks; `number` is that of the group in its batch.

    There are no chunks before the group is traced for the first time.
    """

    number: int
    jobs: dict[int, Job]
    chunks: list[ChunkPlan]

    def units(self, missing: Container[int]) -> list[Unit]:
        """The chunks in which jobs are missing."""
        units = []
        for chunk in self.chunks:
            wanted = frozenset(num for num in chunk.nums if num in missing)
            if wanted:
                jobs = tuple(self.jobs[num] for num in chunk.nums)
                units.append(Unit(self.number, chunk, jobs, wanted))
        return units

    def entry(self, first: int) -> Entry:
        """For the ledger: the chunks of the group as they are now."""
        cut = [chunk.as_entry() for chunk in self.chunks]
        return {"event": ledger.CHUNKS, "first": first, "group": self.number, "chunks": cut}


def batch_entry(first: int, plans: Sequence[GroupPlan]) -> Entry:
    """For the ledger: the whole plan of the batch whose first job is `first`."""
    return {
        "event": ledger.PLAN,
        "first": first,
        "jobs": [(num, job.hash, job.subdir) for plan in plans for num, job in plan.jobs.items()],
        "groups": [[chunk.as_entry() for chunk in plan.chunks] for plan in plans],
    }


def origin_entry(first: int, plan: GroupPlan, origin: Mapping[str, str]) -> Entry:
    """For the ledger: what the numbers of a group come from; see `provenance.origin`."""
    return {
        "event": ledger.ORIGIN,
        "first": first,
        "group": plan.number,
        "jobs": list(plan.jobs),
        "origin": origin,
    }


def planned_groups(jobs: Sequence[Job], first: int, book: Ledger) -> list[GroupPlan]:
    """The plan of a batch, as the ledger has it if it does.

    Raises:
        ConfigError: the jobs are not those of which it was made.

    """
    noted = [entry for entry in book.entries if entry.get("first") == first]
    plan = next((entry for entry in noted if entry["event"] == ledger.PLAN), None)
    if plan is None:
        return [
            GroupPlan(number, {job.num: job for job in group}, [])
            for number, group in enumerate(partition.groups(jobs))
        ]
    known = {(job.num, job.hash, job.subdir) for job in jobs}
    if changed := sorted(known ^ set(map(tuple, plan["jobs"]))):
        raise ConfigError(
            f"{book.folder}: job {changed[0][0]} is not configured as it was when the sweep "
            "began; restore its config files, or begin another sweep"
        )
    cuts = dict(enumerate(plan["groups"]))
    cuts |= {entry["group"]: entry["chunks"] for entry in noted if entry["event"] == ledger.CHUNKS}
    by_num = {job.num: job for job in jobs}
    plans = []
    for number, entries in cuts.items():
        chunks = [ChunkPlan.of(entry) for entry in entries]
        nums = [num for chunk in chunks for num in chunk.nums]
        plans.append(GroupPlan(number, {num: by_num[num] for num in nums}, chunks))
    return plans
