"""MLflow: runs in a database or on a server, the jobs of a sweep below a run of the sweep."""

from __future__ import annotations

import getpass
import hashlib
import itertools
import logging
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from filelock import FileLock

from bpframe import ConfigError, EpochRecord, Listener, RunInfo, RunResult, Tracker
from bpframe_plugins.trackers.batches import (
    BatchedListener,
    final_numbers,
    identity,
    identity_of,
    lock_of,
    short_name,
)

FOLDER, ID, ERROR = "bpframe.folder", "bpframe.id", "bpframe.error"
"""Tags of a run, by the second of which it is found when it goes on."""
_ENDED = {"completed": "FINISHED", "interrupted": "KILLED", "pruned": "KILLED"}
_MOST_METRICS, _MOST_PARAMS, _LONGEST = 1000, 100, 5000


class MLflow(Tracker):
    """Runs in MLflow: parameters, metrics by epoch, status, curves, files of parameters.

    `uri` is a database such as sqlite:///mlflow.db or a server; by default what MLflow itself
    takes, MLFLOW_TRACKING_URI or mlflow.db in the working directory. The jobs of a sweep are
    nested below a run of its name.
    """

    uri: str | None = None
    experiment: str = "bpframe"

    library = ("mlflow", "bpframe[mlflow]")

    def check(self) -> None:
        """See the contract."""
        if self.uri and "://" not in self.uri and not self.uri.startswith("databricks"):
            raise ConfigError(
                f"trackers: mlflow: uri {self.uri!r} is no address; write sqlite:///FILE.db, or "
                "that of a server, such as http://localhost:5000"
            )

    def listener(self, run: RunInfo) -> Listener:
        """See the contract."""
        return _Run(self, run)


class _Run(BatchedListener):
    def __init__(self, tracker: MLflow, run: RunInfo) -> None:
        super().__init__(run)
        self._tracker = tracker
        self._client: Any = None
        self._run_id = ""
        self._shown: set[int] = set()

    def begin(self) -> None:
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of tables that it makes
        with self._alone():
            self._client = mlflow.MlflowClient(self._tracker.uri)
            experiment = self._experiment()
        own = identity(self.run)
        found = self._found(experiment, own)
        if found is None:
            parent = self._sweep(experiment) if self.run.sweep else {}
            found = self._created(experiment, self.folder, own, parent)
        else:
            self._client.update_run(found.info.run_id, "RUNNING")
            if ERROR in found.data.tags:
                self._client.delete_tag(found.info.run_id, ERROR)
            history = self._client.get_metric_history(found.info.run_id, "train_cost")
            self._shown = {metric.step for metric in history}
        self._run_id = found.info.run_id
        self._add_settings(found.data.params)

    def add(self, records: Sequence[EpochRecord]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._log(
            Metric(name, value, now, record.epoch)
            for record in records
            if record.epoch not in self._shown  # trained again, to the same numbers
            for name, value in record.scalars().items()
        )

    def end(self, result: RunResult) -> None:
        from mlflow.entities import Metric

        summary, now = result.summary, int(1000 * time.time())
        self._log(
            Metric(name, value, now, summary.epochs)
            for name, value in final_numbers(result).items()
        )
        self._client.set_tag(self._run_id, "bpframe.status", summary.status)
        if summary.error:
            self._client.set_tag(self._run_id, ERROR, summary.error[:_LONGEST])
        for path in (*self.files(), *filter(None, (self.curves,))):
            self._client.log_artifact(self._run_id, str(path))
        self._client.set_terminated(self._run_id, _ENDED.get(summary.status, "FAILED"))

    def _log(self, metrics: Any) -> None:
        metrics = iter(metrics)
        while batch := list(itertools.islice(metrics, _MOST_METRICS)):
            self._client.log_batch(self._run_id, metrics=batch)

    def _add_settings(self, known: dict[str, str]) -> None:
        """Log the settings; those that have changed since the run began become tags."""
        from mlflow.entities import Param

        told = {key: str(value)[:_LONGEST] for key, value in self.run.settings.items()}
        new = iter([Param(key, value) for key, value in told.items() if key not in known])
        while batch := list(itertools.islice(new, _MOST_PARAMS)):
            self._client.log_batch(self._run_id, params=batch)
        for key, value in told.items():
            if known.get(key, value) != value:
                self._client.set_tag(self._run_id, f"bpframe.resumed.{key}", value)

    def _alone(self) -> ExitStack:
        """Held while the tables of a database are made; two processes at it break them."""
        import mlflow

        uri = self._tracker.uri or mlflow.get_tracking_uri()
        name = hashlib.sha256(f"{uri} {Path.cwd()} {getpass.getuser()}".encode()).hexdigest()
        held = ExitStack()
        held.enter_context(FileLock(Path(tempfile.gettempdir()) / f"bpframe-mlflow-{name}.lock"))
        if self.run.sweep is not None:  # whose processes may be on several machines
            held.enter_context(lock_of(self.run.sweep))
        return held

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self._tracker.experiment
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name)
            except MlflowException:
                found = self._client.get_experiment_by_name(name)
                if found is None:  # or another process has made it meanwhile
                    raise
        return found.experiment_id

    def _found(self, experiment: str, own: str) -> Any | None:
        wanted = f"tags.`{ID}` = '{own}'"
        return next(iter(self._client.search_runs([experiment], wanted, max_results=1)), None)

    def _created(self, experiment: str, folder: Path, own: str, tags: dict[str, str]) -> Any:
        told = {FOLDER: str(folder)[:_LONGEST], ID: own, **tags}
        return self._client.create_run(experiment, tags=told, run_name=short_name(folder))

    def _sweep(self, experiment: str) -> dict[str, str]:
        """The tag that puts a job below the run of its sweep, which the first job makes."""
        sweep = self.run.sweep
        assert sweep is not None
        with lock_of(sweep):
            own = identity_of(sweep)
            found = self._found(experiment, own)
            if found is None:
                found = self._created(experiment, sweep, own, {})
                self._client.set_terminated(found.info.run_id)
        return {"mlflow.parentRunId": found.info.run_id}
