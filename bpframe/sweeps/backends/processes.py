"""hydra.launcher.backend=processes: a worker process for each device of this machine."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from typing import Any

from bpframe.runs.interruption import InterruptionError
from bpframe.sweeps.backends import messages
from bpframe.sweeps.backends.backend import RETRIES, WorkerBackend, WorkerDevice
from bpframe.sweeps.backends.machine import Machine, cores, machine_for
from bpframe.sweeps.backends.messages import FAILED, UnitResult, WorkerSettings
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.lanes.group import Group
from bpframe.sweeps.plan import Unit
from bpframe.sweeps.progress import SweepProgress
from bpframe.training.experiment import Experiment

LEAST = 4
"""A group is not cut into smaller chunks than this to keep more processes busy."""

_POLL_S = 0.2
_MAIN = "from bpframe.sweeps.backends.worker import main; main()"


class Processes(WorkerBackend):
    """A worker process for each GPU, or for each core of the CPU.

    Every unit has one device. A group is cut into as many units as its share of the batch gives it
    of the processes, rounded up, but not into units of less than `LEAST` jobs.
    """

    def __init__(self, lanes: int | None, settings: WorkerSettings) -> None:
        self._lanes = lanes
        self._settings = settings
        self._pool: list[_Process] = []

    def devices(self, experiment: Experiment) -> Sequence[Any]:
        """One: see the contract."""
        machine = machine_for(experiment.training.device)
        return [WorkerDevice(machine.platform, machine.memory)]

    def checked(self, experiment: Experiment) -> Experiment:
        """See the contract."""
        machine_for(experiment.training.device)
        return super().checked(experiment)

    def most(self, jobs: Sequence[Job], of: int) -> int:
        """See the contract, and the class."""
        processes = machine_for(jobs[0].experiment.training.device).devices
        units = math.ceil(processes * len(jobs) / of)
        most = max(LEAST, math.ceil(len(jobs) / units))
        return min(most, self._lanes or most)

    def train(
        self,
        waiting: deque[Unit],
        groups: Mapping[int, Group],
        check: Callable[[], None],
        progress: SweepProgress,
    ) -> Iterator[tuple[Unit, UnitResult]]:
        """See the contract."""
        for group in groups.values():
            group.release()
        lost: Counter[tuple[int, ...]] = Counter()
        machine = self._machine(waiting)
        try:
            while waiting or self._busy():
                check()
                self._hand_out(waiting, machine)
                for process in self._heard(progress):
                    unit, outcome = process.ended()
                    if outcome is None:
                        self._remove(process)
                        nums = unit.chunk.nums
                        lost[nums] += 1
                        if lost[nums] <= RETRIES:
                            progress.say(f"{process.loss()}; its {len(nums)} jobs are tried again")
                            waiting.appendleft(unit)
                            continue
                        outcome = UnitResult(
                            FAILED, message=f"{process.loss()}, {lost[nums]} times"
                        )
                    yield unit, outcome
        except InterruptionError as error:
            for process in self._busy():
                process.send(messages.STOP, (str(error), error.number))
            while self._busy():
                for process in self._heard(progress):
                    unit, outcome = process.ended()
                    if outcome is None:
                        self._remove(process)
                    else:
                        yield unit, outcome
            raise

    def close(self) -> None:
        """End the processes, whatever they do."""
        for process in self._pool:
            process.kill()
        self._pool.clear()

    def _machine(self, units: Sequence[Unit] | deque[Unit]) -> Machine:
        """The devices that the units need: not the CPU if any unit needs others."""
        found = {machine_for(unit.jobs[0].experiment.training.device) for unit in units}
        return max(found, key=lambda machine: machine.platform != "cpu")

    def _remove(self, process: _Process) -> None:
        self._pool.remove(process)
        process.kill()

    def _busy(self) -> list[_Process]:
        return [process for process in self._pool if process.unit]

    def _hand_out(self, waiting: deque[Unit], machine: Machine) -> None:
        """Give units to idle processes, if possible of the group that each has compiled."""
        for process in self._pool:
            if process.unit is None and waiting:
                known = next((unit for unit in waiting if unit.group == process.group), waiting[0])
                waiting.remove(known)
                process.train(known)
        while waiting and len(self._pool) < machine.devices:
            number = min(set(range(machine.devices)) - {process.number for process in self._pool})
            settings = self._settings._replace(platform=machine.platform)
            self._pool.append(_Process(number, machine.platform, settings))
            self._pool[-1].train(waiting.popleft())

    def _heard(self, progress: SweepProgress) -> list[_Process]:
        """The processes that have finished their unit, or have died; waits for a moment."""
        busy = {process.connection: process for process in self._busy()}
        ready = [busy[connection] for connection in wait(list(busy), _POLL_S)]  # pyright: ignore
        return [process for process in ready if process.hear(progress)]


class _Process:
    """One worker process.

    Attributes:
        unit: what it trains, or None.
        group: the group of its last unit.

    """

    def __init__(self, number: int, platform: str, settings: WorkerSettings) -> None:
        self.number = number
        self.unit: Unit | None = None
        self.group: int | None = None
        self._outcome: UnitResult | None = None
        self.connection, theirs = multiprocessing.Pipe()
        core = [str(cores()[number])] if platform == "cpu" else []
        self._process = subprocess.Popen(
            # -P: without it, a module in the working directory could shadow one of Python's.
            [sys.executable, "-P", "-c", _MAIN, str(theirs.fileno()), *core],
            pass_fds=[theirs.fileno()],
            env=_environment(number, platform),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.send(messages.SETTINGS, settings)

    def train(self, unit: Unit) -> None:
        """Give it something to do."""
        self.unit, self.group, self._outcome = unit, unit.group, None
        self.send(messages.UNIT, pickle.dumps(unit))

    def send(self, kind: str, content: Any) -> None:
        """Tell the process; if it is gone, `hear` finds that."""
        try:
            self.connection.send((kind, content))
        except OSError:
            return

    def hear(self, progress: SweepProgress) -> bool:
        """Take a message; whether its unit, or itself, has ended."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            return True
        if kind == messages.EPOCH:
            progress.epoch(*content)
            return False
        self._outcome = content
        return True

    def ended(self) -> tuple[Unit, UnitResult | None]:
        """The unit, and what came of it; None if the process is lost."""
        unit, self.unit = self.unit, None
        assert unit is not None
        return unit, self._outcome

    def loss(self) -> str:
        """How the process ended."""
        status = self._process.wait()
        if status < 0:
            return f"a worker process was killed by {signal.Signals(-status).name}"
        return f"a worker process ended with status {status}"

    def kill(self) -> None:
        """End it at once."""
        self.connection.close()
        self._process.kill()
        self._process.wait()


def _environment(number: int, platform: str) -> dict[str, str]:
    """The variables by which a process sees one device alone."""
    if platform == "cpu":
        return dict(os.environ)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    mine = visible.split(",")[number].strip() if visible else str(number)
    return {**os.environ, "CUDA_VISIBLE_DEVICES": mine}
