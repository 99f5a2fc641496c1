"""Weights & Biases: runs in files that `wandb sync` uploads, or uploaded at once."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from bpframe import (
    ConfigError,
    EpochRecord,
    Listener,
    RunInfo,
    RunResult,
    Tracker,
    hyperparameter,
)
from bpframe_plugins.trackers.batches import (
    BatchedListener,
    final_numbers,
    identity,
    short_name,
)


class Wandb(Tracker):
    """Runs in Weights & Biases: configuration, metrics by epoch, status, curves, parameters.

    `offline`, unless mode=online is asked for, nothing leaves this machine: the files are in the
    run folder, and `wandb sync RUN/wandb/offline-run-*` uploads them. The jobs of a sweep are a
    group of its name. An offline run that goes on writes other files, of the same run and with all
    its records.
    """

    project: str = "bpframe"
    entity: str | None = None
    mode: str = hyperparameter(default="offline", choices=("offline", "online"))

    library = ("wandb", "bpframe[wandb]")

    def check(self) -> None:
        """See the contract."""
        if self.mode == "offline":
            return
        wandb = _library()
        if not wandb.login(prompt=False, verify=False):
            raise ConfigError(
                "trackers: wandb: mode online needs an account, and none is known on this machine; "
                "run wandb login, or leave mode=offline"
            )

    def listener(self, run: RunInfo) -> Listener:
        """See the contract."""
        return _Run(self, run)


class _Run(BatchedListener):
    def __init__(self, tracker: Wandb, run: RunInfo) -> None:
        super().__init__(run)
        self._tracker = tracker
        self._run: Any = None

    def begin(self) -> None:
        wandb = _library()
        tracker, sweep = self._tracker, self.run.sweep
        self._run = wandb.init(
            entity=tracker.entity,
            project=tracker.project,
            mode=tracker.mode,
            dir=self.folder,
            id=identity(self.run),
            resume="allow" if tracker.mode == "online" else None,
            name=short_name(self.folder),
            group=short_name(sweep) if sweep else None,
            config=dict(self.run.settings),
            reinit="create_new",
            settings=wandb.Settings(
                console="off",  # it would take over what is printed
                disable_git=True,
                silent=True,
                x_disable_stats=True,
            ),
        )

    def add(self, records: Sequence[EpochRecord]) -> None:
        for record in records:
            if record.epoch >= self._run.starting_step:
                self._run.log(record.scalars(), step=record.epoch)

    def end(self, result: RunResult) -> None:
        wandb = _library()
        summary = result.summary
        if self.curves is not None:
            self._run.log({"learning_curves": wandb.Image(str(self.curves))}, step=summary.epochs)
        told = {"status": summary.status, "error": summary.error, "stopped": summary.stopped}
        self._run.summary.update(final_numbers(result) | told)
        files = wandb.Artifact(f"run-{self._run.id}", type="run")
        for path in self.files():
            files.add_file(str(path))
        self._run.log_artifact(files)
        self._run.finish(exit_code=0 if summary.status == "completed" else 1)


def _library() -> Any:
    return importlib.import_module("wandb")
