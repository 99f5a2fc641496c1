"""hydra.launcher.backend=submitit: units as jobs of a cluster, through submitit."""

from __future__ import annotations

import contextlib
import pickle
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bpframe.errors import ConfigError
from bpframe.files import check_no_link, write_whole
from bpframe.runs.layout import SUMMARY
from bpframe.sweeps.backends.backend import RETRIES, WorkerBackend, WorkerDevice
from bpframe.sweeps.backends.cluster_unit import ClusterUnit
from bpframe.sweeps.backends.machine import cores
from bpframe.sweeps.backends.messages import FAILED, WRITTEN, UnitResult, WorkerSettings
from bpframe.sweeps.backends.submitit_parameters import LOCAL, Parameters
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.lanes.group import Group
from bpframe.sweeps.ledger import unwritable
from bpframe.sweeps.plan import Unit
from bpframe.sweeps.progress import SweepProgress
from bpframe.sweeps.rows import FINISHED
from bpframe.training.experiment import Experiment

FOLDER = ".submitit"
"""In the folder of the sweep: what is submitted, the logs, and what comes back."""
LANES = 256
"""So many jobs are a unit at most, unless hydra.launcher.lanes says otherwise."""

_SESSION = "session"
_ARRAY = 1000  # as many jobs as Slurm takes in an array by default
_POLL_S = {LOCAL: 0.2}
_POLL_ELSEWHERE_S = 5.0
_CHECK_S = 0.2


class Cluster(WorkerBackend):
    """The jobs of a cluster, one for each unit, in `folder` of the sweep.

    A unit is laid out for the GPUs of a node that `gpus_per_node` asks for, or for the cores of
    `cpus_per_task`. What cluster jobs have finished while no driver was there is taken up.
    """

    def __init__(
        self, lanes: int | None, parameters: Parameters, settings: WorkerSettings, sweep: Path
    ) -> None:
        self._lanes = lanes or LANES
        self._parameters = parameters
        self._folder = sweep / FOLDER
        self._session = self._folder / _SESSION
        self._token = uuid.uuid4().hex
        self._executor: Any = None
        self._found: dict[str, UnitResult] = {}
        self._running: list[tuple[Unit, Any]] = []
        gpus = parameters.of("gpus_per_node", 0)
        self._settings = settings._replace(
            platform="gpu" if gpus else "cpu",
            devices=gpus or parameters.of("cpus_per_task", 1),
        )

    def checked(self, experiment: Experiment) -> Experiment:
        """See the contract."""
        device = experiment.training.device
        if device not in ("auto", "cpu", self._settings.platform):
            raise ConfigError(
                f"training.device: a job of the cluster has no {device!r}; set "
                "hydra.launcher.submitit.gpus_per_node, or training.device=auto"
            )
        return super().checked(experiment)

    def devices(self, experiment: Experiment) -> Sequence[Any]:
        """See the contract, and the class."""
        if experiment.training.device == "cpu" and self._settings.platform != "cpu":
            return [self._device("cpu", 1)]
        return [
            self._device(self._settings.platform, self._settings.devices)
        ] * self._settings.devices

    def most(self, jobs: Sequence[Job], of: int) -> int:
        """See the contract."""
        del jobs, of
        return self._lanes

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
        self._begin()
        lost: Counter[tuple[int, ...]] = Counter()
        try:
            while waiting or self._running:
                for unit in list(waiting):
                    if outcome := self._taken_up(unit):
                        waiting.remove(unit)
                        yield unit, outcome
                self._submit(waiting, progress)
                for unit, job in self._ended(check):
                    outcome, loss = _outcome(job)
                    if outcome is None:
                        self._cancel(job)  # the cluster may start it again by itself
                        nums = unit.chunk.nums
                        lost[nums] += 1
                        if lost[nums] <= RETRIES:
                            progress.say(f"{loss}; its {len(nums)} jobs are tried again")
                            waiting.append(unit)
                            continue
                        outcome = UnitResult(FAILED, message=f"{loss}, {lost[nums]} times")
                    epochs = [row.epochs for row in outcome.rows]
                    progress.epoch(sum(epochs), max(epochs, default=0))
                    yield unit, outcome
        finally:
            if self._running:
                progress.say(f"cancelled jobs of the cluster: {len(self._running)}")
            self.close()

    def close(self) -> None:
        """Cancel the jobs that have not ended, and have those that go on write nothing."""
        with contextlib.suppress(OSError):
            self._session.unlink()
        for _, job in self._running:
            self._cancel(job)
        self._running.clear()

    def _cancel(self, job: Any) -> None:
        with contextlib.suppress(OSError):
            job.cancel(check=False)

    def _device(self, platform: str, shared_by: int) -> WorkerDevice:
        """A device of a node, of whose memory nothing is known but what is asked for."""
        memory = 2**30 * (self._parameters.of("mem_gb", None) or 8)
        return WorkerDevice(platform, int(memory / shared_by) if platform == "cpu" else 2**33)

    def _begin(self) -> None:
        """Become the driver of the sweep; see what earlier drivers have left."""
        try:
            check_no_link(self._folder)
            self._folder.mkdir(exist_ok=True)
            write_whole(self._session, self._token.encode())
        except OSError as error:
            raise unwritable(self._folder.parent, error) from error
        if self._executor is None:
            for path in self._folder.glob("*_result.pkl"):
                self._found.update(_hashes(path))
            self._executor = self._parameters.executor(self._folder)

    def _taken_up(self, unit: Unit) -> UnitResult | None:
        """The result of a unit that an earlier driver submitted, if it is complete."""
        jobs = [job for job in unit.jobs if job.num in unit.wanted]
        found = self._found.get(jobs[0].hash)
        rows = {row.num: row for row in found.rows} if found else {}
        ended = [row for job in jobs if (row := rows.get(job.num)) and row.status in FINISHED]
        if not found or len(ended) < len(jobs):
            return None
        if not all((job.folder / SUMMARY).is_file() for job in jobs):
            return None
        return found._replace(rows=tuple(ended))

    def _submit(self, waiting: deque[Unit], progress: SweepProgress) -> None:
        room = min(len(waiting), _ARRAY)
        if self._parameters.cluster == LOCAL:
            at_once = max(1, len(cores()) // self._settings.devices)
            room = min(room, at_once - len(self._running))
        units = [waiting.popleft() for _ in range(max(0, room))]
        if not units:
            return
        calls = [
            ClusterUnit(self._settings, pickle.dumps(unit), self._session, self._token)
            for unit in units
        ]
        try:
            jobs = self._executor.submit_array(calls)
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"hydra.launcher.submitit: cannot submit: {error}") from error
        self._running += zip(units, jobs, strict=True)
        if self._parameters.cluster != LOCAL:
            progress.say(f"submitted to the cluster: {len(jobs)} jobs")

    def _ended(self, check: Callable[[], None]) -> list[tuple[Unit, Any]]:
        """The jobs of the cluster that have ended; waits for a moment."""
        until = time.monotonic() + _POLL_S.get(self._parameters.cluster, _POLL_ELSEWHERE_S)
        check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _CHECK_S))
            check()
        running, self._running, ended = self._running, [], []
        for pair in running:
            (ended if pair[1].done() else self._running).append(pair)
        return ended


def _outcome(job: Any) -> tuple[UnitResult | None, str]:
    """What came of a job of the cluster, or None and why it is lost."""
    from submitit.core.utils import UncompletedJobError

    try:
        return job.result(), ""
    except UncompletedJobError as error:
        lines = [text for line in str(error).splitlines() if (text := line.strip(" -"))]
        raised = next((text for text in lines if "Error:" in text), f"state {job.state}")
        return None, f"cluster job {job.job_id} was lost ({raised}; see {job.paths.stderr})"


def _hashes(path: Path) -> Mapping[str, UnitResult]:
    """The outcome in a result of submitit, by the hashes of its jobs; none if it has none."""
    try:
        kind, outcome = pickle.loads(path.read_bytes())
    except Exception:  # of another version, or half written
        return {}
    if kind != "success" or not isinstance(outcome, UnitResult) or outcome.kind != WRITTEN:
        return {}
    return dict.fromkeys(outcome.hashes, outcome)
