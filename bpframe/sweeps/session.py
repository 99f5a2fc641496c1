"""One sweep of this process, from the first batch of a sweeper to its results."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, env_override
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from bpframe.configuration import hydra_internals
from bpframe.errors import ConfigError
from bpframe.plugin_host.events import events_of
from bpframe.plugin_host.registry import Registry
from bpframe.runs.interruption import Interruption, InterruptionError
from bpframe.runs.screen import Screen
from bpframe.sweeps.backends import selection
from bpframe.sweeps.backends.selection import SweepContext
from bpframe.sweeps.driver import Driver
from bpframe.sweeps.errors import FailedJobsError
from bpframe.sweeps.hydra.callbacks import JobCallbacks, returned
from bpframe.sweeps.hydra.jobs import JobComposer
from bpframe.sweeps.hydra.logs import levels_of
from bpframe.sweeps.lanes.halving import Halving
from bpframe.sweeps.ledger import MULTIRUN, Ledger, unwritable
from bpframe.sweeps.objective import Objective, chosen, suited
from bpframe.sweeps.progress import SweepProgress
from bpframe.sweeps.report import files, tables
from bpframe.sweeps.rows import COMPLETED, INTERRUPTED, PRUNED, Row
from bpframe.sweeps.terminal import show_end


@dataclasses.dataclass(frozen=True)
class Command:
    """What began a sweep, and begins it again: overrides, Hydra's options, working directory."""

    overrides: tuple[str, ...]
    config_name: str | None = None
    config_path: str | None = None
    config_dir: str | None = None
    cwd: str = dataclasses.field(default_factory=os.getcwd)


class SweepTask:
    """The task function that Hydra calls for a job; hydra/launcher=vmap gets the sweep from it.

    `run_one` runs a single job; `resumes` says whether the sweep's folder holds a part of it, and
    `accepts_changes` whether it may go on with other code or data than it began with. On `console`
    it shows how it goes.
    """

    def __init__(
        self,
        run_one: Callable[[DictConfig], float | None] | None,
        registry: Registry,
        command: Command,
        *,
        callbacks: hydra_internals.Callbacks | None = None,
        resumes: bool = False,
        accepts_changes: bool = False,
        console: Console | None = None,
    ) -> None:
        self.console = console or Screen()
        self.registry = registry
        self.command = command
        self.callbacks = callbacks or hydra_internals.callbacks()
        self.resumes = resumes
        self.accepts_changes = accepts_changes
        self._run_one = run_one
        self._sweep: Sweep | None = None

    def __call__(self, cfg: DictConfig) -> float | None:
        """Run one job, and return what it reached."""
        assert self._run_one is not None  # launchers that call this are refused without one
        return self._run_one(cfg)

    def sweep(
        self,
        config: DictConfig,
        loader: ConfigLoader,
        *,
        most: int | None,
        accepted: Collection[str] = (COMPLETED, PRUNED),
    ) -> Sweep:
        """The sweep of this process, begun at the first call.

        `accepted` are the statuses of jobs that are no failure of it.

        Raises:
            OutputError: its folder is not free, or cannot be written.

        """
        if self._sweep is None:
            self._sweep = Sweep(self, config, loader, most=most, accepted=accepted)
        return self._sweep

    def close(self) -> None:
        """End the sweep, if there is one; see `Sweep.close`."""
        if self._sweep is not None:
            self._sweep.close()


class Sweep:
    """The sweep that a launcher runs, batch by batch."""

    def __init__(
        self,
        task: SweepTask,
        config: DictConfig,
        loader: ConfigLoader,
        *,
        most: int | None,
        accepted: Collection[str],
    ) -> None:
        if config.hydra.job.chdir:
            raise ConfigError(
                "hydra.job.chdir: jobs that are trained together cannot each have a working "
                "directory; leave it out, or set hydra/launcher=basic"
            )
        self.folder = Path(str(config.hydra.sweep.dir)).absolute()
        self._config = config
        self._accepted = accepted
        self._console = task.console
        composer = JobComposer(config, loader, task.registry, self.folder)
        context = SweepContext(
            registry=task.registry,
            environment={name: str(value) for name, value in config.hydra.job.env_set.items()},
            logging=OmegaConf.to_container(config.hydra.job_logging, resolve=False),  # pyright: ignore[reportArgumentType]
            folder=self.folder,
        )
        self._backend = selection.backend(config.hydra.launcher, most, context)
        head = {"command": dataclasses.asdict(task.command)}
        if task.resumes:
            self._book = Ledger.resume(self.folder)
        else:
            self._book = Ledger.new(self.folder, head, {MULTIRUN: OmegaConf.to_yaml(config)})
        self._driver = Driver(
            self._book,
            composer,
            events_of(task.registry),
            SweepProgress(self._console),
            self._backend,
            JobCallbacks(task.callbacks, task),
            accepts_changes=task.accepts_changes,
        )

    def launch(self, batch: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """The JobReturns of the jobs of a batch, for Hydra's sweepers; see `run`."""
        rows = self.run(batch, first)
        assert self._driver.objective is not None
        return [
            returned(row, batch[place], self._driver.objective) for place, row in enumerate(rows)
        ]

    def run(
        self, batch: Sequence[Sequence[str]], first: int, halving: Halving | None = None
    ) -> list[Row]:
        """Run a batch of jobs, numbered from `first`, and write the results of all so far.

        Returns:
            A row for each list of overrides; combinations that are the same share one.

        Raises:
            BadJobsError: some cannot be run; nothing was trained.
            InterruptionError: a signal has come.
            OutputError: the folder cannot be written.

        """
        before = HydraConfig.instance().cfg
        hydra = self._config.hydra
        settings: Any = OmegaConf.to_container(hydra.job_logging, resolve=False)
        try:
            with Interruption() as signals, levels_of(settings), env_override(hydra.job.env_set):
                return self._driver.launch(batch, first, signals.check, halving)
        except InterruptionError as error:
            done = sum(row.status in (COMPLETED, PRUNED) for row in self._driver.rows.values())
            raise InterruptionError(
                f"{error}: {done} jobs are done; go on with bpframe resume {self.folder}",
                error.number,
            ) from error
        finally:
            HydraConfig.instance().cfg = before
            self._write_results()

    def fix_objective(self, objective: Objective) -> None:
        """Compare by this objective alone, and refuse data for which it has no meaning."""
        self._driver.fixed_objective = objective

    def close(self) -> None:
        """Say how the sweep ended, and release its folder.

        Raises:
            FailedJobsError: some of its jobs did not complete.

        """
        self._backend.close()
        self._book.close()
        rows = [row for _, row in sorted(self._driver.rows.items())]
        if not rows:
            return
        failed = [row for row in rows if row.status not in self._accepted]
        # A search that had all its trials when it was resumed has composed no job.
        objective = suited(self._driver.objective or chosen(self._config.sweep), rows)
        told = [row for row in failed if row.status != INTERRUPTED]
        show_end(self._console, rows, told, objective, self.folder)
        if failed:
            statuses = [row.status for row in failed]
            raise FailedJobsError(statuses, len(rows), self.folder)

    def _write_results(self) -> None:
        rows = [row for _, row in sorted(self._driver.rows.items())]
        if rows and self._driver.objective:
            try:
                objective = suited(self._driver.objective, rows)
                tables.write(self.folder, rows, objective)
                files.write(
                    {self.folder: rows},
                    self.folder,
                    objective,
                    with_picture=self._config.plots is True,
                )
            except OSError as error:
                raise unwritable(self.folder, error) from error
