"""What a backend is: where the units of a sweep are trained."""

from __future__ import annotations

import abc
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from bpframe.sweeps.backends.messages import UnitResult
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.lanes.group import Group
from bpframe.sweeps.lanes.programs import Layout
from bpframe.sweeps.plan import Unit
from bpframe.sweeps.progress import SweepProgress
from bpframe.training.devices import Device
from bpframe.training.experiment import Experiment

RETRIES = 1
"""How often a unit is tried again whose worker was lost."""


@dataclasses.dataclass(frozen=True)
class WorkerDevice:
    """A device of a worker, as the plan of a batch sees it. `memory` is in bytes."""

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
    ) -> Iterator[tuple[Unit, UnitResult]]:
        """Train the units that wait, and give what came of each as it comes.

        `waiting` is used up, and may be added to meanwhile. `groups` are the driver's own.

        Raises:
            InterruptionError: `check` raised it; what was done has been given.

        """

    @abc.abstractmethod
    def close(self) -> None:
        """End all workers."""


class WorkerBackend(Backend):
    """What the backends have in common whose driver trains nothing itself."""

    def checked(self, experiment: Experiment) -> Experiment:
        """The same on the CPU, so that the driver leaves the devices to its workers."""
        training = dataclasses.replace(experiment.training, device="cpu")
        return dataclasses.replace(experiment, training=training)

    def traced(self, layouts: Sequence[Layout]) -> Sequence[Layout]:
        """One, on one device: what is wrong with a group is wrong with it in any layout."""
        return [layouts[0]._replace(devices=1)]
