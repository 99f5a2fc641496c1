"""hydra.launcher.backend=here: this process trains, one unit after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from bpframe.runs.listeners import EventsOf
from bpframe.sweeps.backends.backend import Backend
from bpframe.sweeps.backends.messages import TOO_LARGE, WRITTEN, UnitResult
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.lanes.group import Group, OutOfMemoryError
from bpframe.sweeps.lanes.partition import devices_of
from bpframe.sweeps.lanes.programs import Layout
from bpframe.sweeps.plan import Unit
from bpframe.sweeps.progress import SweepProgress
from bpframe.sweeps.rows import Row
from bpframe.training.devices import Device
from bpframe.training.experiment import Experiment


class InProcess(Backend):
    """The driver itself, with all devices that it has; a unit holds at most `lanes` jobs."""

    def __init__(self, lanes: int | None, events: EventsOf) -> None:
        self._lanes = lanes
        self._events = events

    def checked(self, experiment: Experiment) -> Experiment:
        """See the contract."""
        return experiment

    def devices(self, experiment: Experiment) -> Sequence[Device]:
        """See the contract."""
        return devices_of(experiment)

    def most(self, jobs: Sequence[Job], of: int) -> int | None:
        """See the contract."""
        del jobs, of
        return self._lanes

    def traced(self, layouts: Sequence[Layout]) -> Sequence[Layout]:
        """All, for they are used."""
        return layouts

    def train(
        self,
        waiting: deque[Unit],
        groups: Mapping[int, Group],
        check: Callable[[], None],
        progress: SweepProgress,
    ) -> Iterator[tuple[Unit, UnitResult]]:
        """See the contract."""
        while waiting:
            unit = waiting.popleft()
            rows: list[Row] = []
            try:
                groups[unit.group].train(
                    unit.jobs,
                    unit.chunk.layout,
                    self._events,
                    wanted=unit.wanted,
                    done=rows.extend,
                    check=check,
                    progress=progress.epoch,
                )
            except OutOfMemoryError as error:
                yield unit, UnitResult(TOO_LARGE, message=str(error))
            except BaseException:
                if rows:
                    yield unit, UnitResult(WRITTEN, tuple(rows))
                raise
            else:
                yield unit, UnitResult(WRITTEN, tuple(rows))
            if not any(other.group == unit.group for other in waiting):
                groups[unit.group].release()

    def close(self) -> None:
        """See the contract; there are no workers."""
