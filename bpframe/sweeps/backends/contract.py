"""What a backend is: where the units of a sweep are trained."""

from __future__ import annotations

import abc
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bpframe.experiment import Experiment
from bpframe.sweeps.groups import Group
from bpframe.sweeps.jobs import Job
from bpframe.sweeps.lanes import Layout
from bpframe.sweeps.planning import ChunkPlan
from bpframe.sweeps.progress import SweepProgress
from bpframe.sweeps.rows import FAILED, Row
from bpframe.sweeps.workers import Outcome
from bpframe.training import Device

RETRIES = 1
"""How often a unit is tried again whose worker was lost."""


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


@dataclasses.dataclass(frozen=True)
class DeviceElsewhere:
    """A device of a worker, as planning sees it. `memory` is in bytes."""

    platform: str
    memory: int

    def memory_stats(self) -> Mapping[str, int]:
        """As a jax.Device has them."""
        return {"bytes_limit": self.memory}


class Backend(abc.ABC):
    """Where the units of a sweep are trained. The driver alone keeps the ledger."""

    @abc.abstractmethod
    def checked(self, experiment: Experiment) -> Experiment:
        """The experiment as the driver traces it, to find what cannot be run.

        Raises:
            ConfigError: there is no such device where it is trained.

        """

    @abc.abstractmethod
    def devices(self, experiment: Experiment) -> Sequence[Device]:
        """What a unit of such jobs is laid out for."""

    @abc.abstractmethod
    def most(self, jobs: Sequence[Job], of: int) -> int | None:
        """How many jobs of a group, in a batch `of` so many, a unit holds at most; None: any."""

    @abc.abstractmethod
    def traced(self, layouts: Sequence[Layout]) -> Sequence[Layout]:
        """Which layouts of a group the driver traces."""

    @abc.abstractmethod
    def train(
        self,
        waiting: deque[Unit],
        groups: Mapping[int, Group],
        check: Callable[[], None],
        progress: SweepProgress,
    ) -> Iterator[tuple[Unit, Outcome]]:
        """Train the units that wait, and give what came of each as it comes.

        `waiting` is used up, and may be added to meanwhile. `groups` are the driver's own.

        Raises:
            SweepInterruptedError: `check` raised it; what was done has been given.

        """

    @abc.abstractmethod
    def close(self) -> None:
        """End all workers."""


class Elsewhere(Backend):
    """What the backends have in common whose driver trains nothing itself."""

    def checked(self, experiment: Experiment) -> Experiment:
        """The same on the CPU, so that the driver leaves the devices to its workers."""
        training = dataclasses.replace(experiment.training, device="cpu")
        return dataclasses.replace(experiment, training=training)

    def traced(self, layouts: Sequence[Layout]) -> Sequence[Layout]:
        """One, on one device: what is wrong with a group is wrong with it in any layout."""
        return [layouts[0]._replace(devices=1)]
