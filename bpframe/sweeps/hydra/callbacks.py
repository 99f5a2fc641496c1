"""The return values and the callbacks that Hydra itself would give the jobs of a sweep."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf

from bpframe.configuration import hydra_internals
from bpframe.errors import BpframeError
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.objective import Objective
from bpframe.sweeps.rows import COMPLETED, PRUNED, Row


def returned(row: Row, overrides: Sequence[str], objective: Objective) -> JobReturn:
    """The JobReturn of a job, for Hydra's sweepers."""
    job = JobReturn(overrides=list(overrides), working_dir=os.getcwd(), task_name="bpframe")
    if row.status in (COMPLETED, PRUNED):
        job.return_value = row.metrics[objective.name]
        job.status = JobStatus.COMPLETED
    else:
        job.return_value = BpframeError(row.error or row.status)
        job.status = JobStatus.FAILED
    return job


class JobCallbacks:
    """`on_job_start` and `on_job_end` of `hydra.callbacks`, called in the driver.

    A job starts when the training of its batch does, and ends when its run folder is written.
    """

    def __init__(self, callbacks: hydra_internals.Callbacks, task: TaskFunction) -> None:
        self._callbacks = callbacks
        self._task = task

    def started(self, jobs: Iterable[Job]) -> None:
        """Jobs are about to be trained."""
        for job in jobs if self._callbacks.callbacks else ():
            self._callbacks.on_job_start(config=_config(job), task_function=self._task)

    def ended(self, job: Job, row: Row, objective: Objective) -> None:
        """A job has ended, and is noted."""
        if self._callbacks.callbacks:
            config = _config(job)
            found = returned(row, job.overrides, objective)
            found.hydra_cfg = OmegaConf.create({"hydra": config.hydra})
            found.cfg = OmegaConf.create(dict(job.config))
            self._callbacks.on_job_end(config=config, job_return=found)


def _config(job: Job) -> DictConfig:
    """The whole config of a job, as its files have it."""
    whole: dict[str, Any] = {**job.config, "hydra": dict(job.hydra)}
    return OmegaConf.create(whole)
