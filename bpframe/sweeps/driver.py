"""The course of a sweep: compose, check all, train group by group, note what is done."""

from __future__ import annotations

import dataclasses
import warnings
from collections import deque
from collections.abc import Callable, Container, Mapping, Sequence

from bpframe.errors import (
    BpframeError,
    ConfigError,
    OutputError,
    OutputWarning,
    PluginWarning,
    described,
    unknown,
)
from bpframe.runs import provenance
from bpframe.runs.checkpoint import ACCEPT
from bpframe.runs.folder import is_whole
from bpframe.runs.listeners import EventsOf
from bpframe.sweeps import ledger
from bpframe.sweeps.backends import messages
from bpframe.sweeps.backends.backend import Backend
from bpframe.sweeps.backends.in_process import InProcess
from bpframe.sweeps.backends.messages import UnitResult
from bpframe.sweeps.errors import BadJobsError
from bpframe.sweeps.folders import JobFolders, check_free
from bpframe.sweeps.hydra.callbacks import JobCallbacks
from bpframe.sweeps.hydra.jobs import Job, JobComposer
from bpframe.sweeps.lanes import checkpoint, partition
from bpframe.sweeps.lanes.data import DataCache
from bpframe.sweeps.lanes.group import Group, OutOfMemoryError
from bpframe.sweeps.lanes.halving import Halving, Rungs, Work
from bpframe.sweeps.lanes.halving import check as check_halving
from bpframe.sweeps.lanes.halving import train as train_by_halving
from bpframe.sweeps.ledger import Ledger
from bpframe.sweeps.objective import Objective, chosen, fitting
from bpframe.sweeps.plan import GroupPlan, Unit, batch_entry, origin_entry, planned_groups
from bpframe.sweeps.progress import SweepProgress
from bpframe.sweeps.rows import FINISHED, OBJECTIVES, Row

Check = Callable[[], None]


class Driver:
    """Runs the batches of one sweep, and keeps its ledger.

    Attributes:
        rows: how each job ended that has, by number.
        objective: by what they are compared; None before the first batch is composed.
        fixed_objective: takes the place of the one that the jobs are configured with.

    """

    def __init__(
        self,
        book: Ledger,
        composer: JobComposer,
        events: EventsOf,
        progress: SweepProgress,
        backend: Backend,
        callbacks: JobCallbacks,
        *,
        accepts_changes: bool = False,
    ) -> None:
        self.rows: dict[int, Row] = {}
        self.objective: Objective | None = None
        self.fixed_objective: Objective | None = None
        self._hashes: dict[int, str] = {}
        self._book = book
        self._composer = composer
        self._events = events
        self._progress = progress
        self._backend = backend
        self._callbacks = callbacks
        self._data = DataCache()
        self._accepts_changes = accepts_changes
        self._changed: dict[int, str | None] = {}
        self._hints: set[str] = set()
        for entry in book.entries:
            if entry["event"] == ledger.JOB:
                self._note(Row.from_dict(entry), entry["hash"])

    def launch(
        self,
        batch: Sequence[Sequence[str]],
        first: int,
        check: Check,
        halving: Halving | None = None,
    ) -> list[Row]:
        """Run the jobs of a batch, numbered from `first`, but for those that are done already.

        `check` is called where the sweep can end without loss, and may raise. With `halving` most
        jobs are given up on the way.

        Returns:
            A row for each list of overrides; combinations that are the same share one.

        Raises:
            BadJobsError: some cannot be run; nothing was trained.
            OutputError: the sweep's folder cannot be written.

        """
        jobs = self._composed(batch, first, check)
        if halving and self.objective:
            if not isinstance(self._backend, InProcess):
                raise ConfigError(
                    "hydra.sweeper.halving: compares all jobs at each rung, in one process; set "
                    "hydra.launcher.backend=here, or hydra.sweeper.halving.first=null"
                )
            check_halving(halving, self.objective)
        run = self._unlike(jobs)
        planned = planned_groups(run, first, self._book)
        missing = {job.num for job in run if not self._is_done(job)}
        traced = self._traced(planned, missing, batch, first, check)
        epochs = [job.experiment.training.epochs for job in run if job.num in missing]
        self._callbacks.started(job for job in run if job.num in missing)
        try:
            if halving:
                total = halving.epochs(len(epochs), max(epochs, default=0))
                with self._progress.training(len(missing), len(traced), total):
                    self._train_by_halving(first, traced, missing, check, halving)
            else:
                with self._progress.training(len(missing), len(traced), sum(epochs)):
                    self._train(first, traced, missing, check)
        finally:
            for _, group in traced:
                group.release()
        if all(self._has_ended(job) for job in run):
            checkpoint.remove_all(self._book.folder)
        by_hash = {hash_: num for num, hash_ in reversed(self._hashes.items())}
        return [self.rows[by_hash[job.hash]] for job in jobs]

    def _composed(self, batch: Sequence[Sequence[str]], first: int, check: Check) -> list[Job]:
        jobs: list[Job] = []
        errors: dict[int, str] = {}
        folders = JobFolders(self._book.folder)
        for num, overrides in enumerate(batch, start=first):
            check()
            try:
                job = self._composer.job(num, overrides)
                self.objective = self.fixed_objective or chosen(job.config["sweep"])
                folders.add(job)
                jobs.append(job)
            except BpframeError as error:
                errors[num] = str(error)
        if errors:
            raise BadJobsError(errors, batch, first)
        return jobs

    def _unlike(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs without duplicates of earlier ones."""
        known = {hash_: num for num, hash_ in self._hashes.items()}
        run, same = [], 0
        for job in jobs:
            if known.setdefault(job.hash, job.num) == job.num:
                run.append(job)
            else:
                same += 1
        if same:
            self._progress.say(f"{same} of {len(jobs)} jobs are like others and are run once")
        return run

    def _traced(
        self,
        planned: Sequence[GroupPlan],
        missing: Container[int],
        batch: Sequence[Sequence[str]],
        first: int,
        check: Check,
    ) -> list[tuple[GroupPlan, Group]]:
        """The groups that have something to do, with all their programs traced.

        A plan that is new goes into the ledger, once nothing is wrong with any job of it. One that
        goes on was traced when it was new, and is traced again only as it is trained, unless its
        code may have changed.
        """
        traced: list[tuple[GroupPlan, Group]] = []
        errors: dict[int, str] = {}
        is_new = not any(plan.chunks for plan in planned)
        todo = [plan for plan in planned if any(num in missing for num in plan.jobs)]
        for plan in self._progress.checking(todo):
            check()
            try:
                for job in plan.jobs.values() if is_new else ():
                    check_free(job)
                plan, group = self._grouped(plan, sum(len(one.jobs) for one in planned))
                traced.append((plan, group))
                if is_new or self._accepts_changes or not self._is_of_every_run():
                    self._trace(plan, group)
            except BpframeError as error:
                errors |= dict.fromkeys(plan.jobs, str(error))
            except Exception as error:
                errors |= dict.fromkeys(plan.jobs, f"cannot be traced: {described(error)}")
        if errors:
            self._book.check_unused()  # else the folders of another sweep are the jobs' errors
            raise BadJobsError(errors, batch, first)
        found = [origin_entry(first, plan, group.origin()) for plan, group in traced]
        if is_new and traced:
            self._book.append([batch_entry(first, [plan for plan, _ in traced]), *found])
        elif traced:
            self._check_origins(found)
        return traced

    def _check_origins(self, now: Sequence[ledger.Entry]) -> None:
        """Refuse groups that would go on with other code or data, unless that is accepted."""
        for entry in now:
            noted = [
                each["origin"]
                for each in self._book.entries
                if all(each.get(key) == entry[key] for key in ("event", "first", "group"))
            ]
            if not noted:  # it was killed while it noted them, and has trained nothing
                self._book.append([entry])
                continue
            if changed := provenance.changes(noted[-1], entry["origin"]):
                if not self._accepts_changes:
                    raise OutputError(f"{self._book.folder}: {changed} since it began; {ACCEPT}")
                self._book.append([entry])
            self._changed |= dict.fromkeys(
                entry["jobs"], provenance.changes(noted[0], entry["origin"]) or None
            )

    def _is_of_every_run(self) -> bool:
        """Whether jobs are compared by what every run has, and not by a metric."""
        return self.objective is None or self.objective.name in OBJECTIVES

    def _grouped(self, plan: GroupPlan, of: int) -> tuple[GroupPlan, Group]:
        """The plan with its chunks, one of so many jobs, and the group that trains them."""
        jobs = list(plan.jobs.values())
        experiment, backend = jobs[0].experiment, self._backend
        group = Group(backend.checked(experiment), self._data)
        for hint in group.hints:
            if hint not in self._hints:
                self._progress.say(hint)
        self._hints.update(group.hints)
        if self.objective:
            fitted = fitting(self.objective, has_accuracy=group.has_accuracy)
            if fitted != self.objective:
                self._progress.say(f"there is no accuracy: jobs are compared by {fitted.name}")
            self.objective = fitted
        chunks = plan.chunks or partition.chunks(
            *(jobs, backend.devices(experiment), group.sizes, backend.most(jobs, of)),
            group.row_bytes,
        )
        return plan._replace(chunks=chunks), group

    def _trace(self, plan: GroupPlan, group: Group) -> None:
        """Trace all programs of a group, and see whether its jobs can be compared."""
        for layout in self._backend.traced([chunk.layout for chunk in plan.chunks]):
            programs = group.trace(layout)
            known = (*OBJECTIVES, *programs.columns)
            if self.objective and self.objective.name not in known:
                raise unknown("sweep.objective", self.objective.name, known)

    def _train(
        self,
        first: int,
        traced: Sequence[tuple[GroupPlan, Group]],
        missing: Container[int],
        check: Check,
    ) -> None:
        """Have the chunks trained, and note what comes of each."""
        numbered = {plan.number: plan for plan, _ in traced}
        waiting = deque(unit for plan in numbered.values() for unit in plan.units(missing))
        groups = {plan.number: group for plan, group in traced}
        if not waiting:
            return
        for unit, outcome in self._backend.train(waiting, groups, check, self._progress):
            jobs = numbered[unit.group].jobs
            for text in outcome.warnings:
                warnings.warn(text, PluginWarning, stacklevel=2)
            rows = [*outcome.rows, *_lost(unit, outcome)]
            if rows:
                self._done(rows, jobs)
            if all(self._has_ended(job) for job in unit.jobs):
                checkpoint.remove(unit.jobs, unit.chunk.layout)
            if outcome.kind == messages.UNWRITABLE:
                raise OutputError(outcome.message)
            if outcome.kind == messages.TOO_LARGE and len(unit.jobs) > 1:
                cut = self._halved(first, numbered[unit.group], unit)
                waiting.extendleft(reversed(cut.units(missing)))

    def _halved(self, first: int, plan: GroupPlan, unit: Unit) -> GroupPlan:
        """Two chunks of a plan in the place of one that does not fit the memory."""
        experiment = unit.jobs[0].experiment
        halves = partition.halves(unit.chunk, experiment, self._backend.devices(experiment))
        self._progress.say(f"{len(unit.jobs)} jobs do not fit the memory; trained in halves")
        place = plan.chunks.index(unit.chunk)
        plan.chunks[place : place + 1] = halves
        self._book.append([plan.entry(first)])
        return plan._replace(chunks=halves)

    def _train_by_halving(
        self,
        first: int,
        traced: Sequence[tuple[GroupPlan, Group]],
        missing: Container[int],
        check: Check,
        halving: Halving,
    ) -> None:
        assert self.objective is not None
        if not traced:
            return
        noted = {
            entry["epoch"]: entry["kept"]
            for entry in self._book.entries
            if entry["event"] == ledger.RUNG and entry["first"] == first
        }

        def note(epoch: int, kept: list[int]) -> None:
            entry = {"event": ledger.RUNG, "first": first, "epoch": epoch, "kept": kept}
            self._book.append([entry])

        jobs = {num: job for plan, _ in traced for num, job in plan.jobs.items()}
        try:
            train_by_halving(
                [Work(group, plan.jobs, plan.chunks) for plan, group in traced],
                halving,
                self.objective,
                Rungs(noted, note),
                events=self._events,
                wanted=missing,
                done=lambda rows: self._done(rows, jobs),
                check=check,
                progress=self._progress.epoch,
            )
        except OutOfMemoryError as error:
            raise ConfigError(
                "hydra.launcher.lanes: the jobs of a group do not fit the memory together "
                f"({error}); set it to less than there are, and begin another sweep"
            ) from error

    def _done(self, rows: Sequence[Row], jobs: Mapping[int, Job]) -> None:
        """Note how jobs ended, once their run folders are written."""
        rows = [dataclasses.replace(row, changed=self._changed.get(row.num)) for row in rows]
        self._book.append(
            [{"event": ledger.JOB, "hash": jobs[row.num].hash, **row.as_dict()} for row in rows]
        )
        for row in rows:
            self._note(row, jobs[row.num].hash)
            assert self.objective is not None
            self._callbacks.ended(jobs[row.num], row, self.objective)
        self._progress.done(rows)

    def _note(self, row: Row, job_hash: str) -> None:
        self.rows[row.num] = row
        self._hashes[row.num] = job_hash

    def _has_ended(self, job: Job) -> bool:
        """Whether the job has ended for good."""
        row = self.rows.get(job.num)
        return row is not None and row.status in FINISHED

    def _is_done(self, job: Job) -> bool:
        """Whether the job has ended for good and its run folder is whole; if not, it is told."""
        if not self._has_ended(job):
            return False
        try:  # a folder that somebody has taken away is made again
            return is_whole(job.folder, self.rows[job.num].checksum)
        except OutputError as error:
            text = f"{error}; job {job.num} is run again"
            warnings.warn(text, OutputWarning, stacklevel=2)
            return False


def _lost(unit: Unit, outcome: UnitResult) -> list[Row]:
    """The rows of jobs that have none, and that will not be tried again in a smaller chunk."""
    if outcome.kind == messages.FAILED:
        ended = {row.num for row in outcome.rows}
        return [row for row in unit.failed(outcome.message) if row.num not in ended]
    if outcome.kind == messages.TOO_LARGE and len(unit.jobs) == 1:
        return unit.failed(f"out of memory: {outcome.message}")
    return []
