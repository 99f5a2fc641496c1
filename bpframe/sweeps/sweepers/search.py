"""hydra/sweeper=search: Optuna suggests the jobs, a generation at a time.

The jobs of a generation are trained together. What they reached is told to the sampler, which
suggests the next ones. A search is the same whenever its settings are, also when it is interrupted
and resumed: a generation that was asked for is in the study before it is trained, and its sampler
remembers nothing but the trials before.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf

from bpframe.configuration.components import component
from bpframe.configuration.hydra_internals import returned
from bpframe.errors import BpframeError, ConfigError, DivergenceError
from bpframe.runs.screen import Screen
from bpframe.sweeps import ledger
from bpframe.sweeps.errors import FailedJobsError
from bpframe.sweeps.lanes.halving import Halving
from bpframe.sweeps.objective import Objective, chosen, fitting
from bpframe.sweeps.rows import COMPLETED, DIVERGED, FAILED, PRUNED, Row
from bpframe.sweeps.session import Sweep, SweepTask
from bpframe.sweeps.sweepers.grid import check_composed, in_step
from bpframe.sweeps.terminal import say, show_failures
from bpframe.training import loading

if TYPE_CHECKING:
    from bpframe.sweeps.sweepers.study import Study


class Runs(Protocol):
    """What runs the jobs of a generation."""

    def run(self, batch: Sequence[Sequence[str]], first: int) -> list[Row]:
        """A row for each list of overrides of the jobs that are numbered from `first`."""
        ...

    def holds_folder(self) -> bool:
        """Whether the sweep's folder is there for its files."""
        ...

    def close(self) -> None:
        """Raise a FailedJobsError if jobs have failed that no one else tells of."""
        ...


class LaneRuns:
    """Trains the jobs of a generation as lanes, by halving if that is set."""

    def __init__(self, sweep: Sweep, halving: Halving | None) -> None:
        self._sweep = sweep
        self._halving = halving

    def run(self, batch: Sequence[Sequence[str]], first: int) -> list[Row]:
        """See Runs."""
        return self._sweep.run(batch, first, self._halving)

    def holds_folder(self) -> bool:
        """See Runs; it is made once all jobs of a batch are found sound."""
        return ledger.holds(self._sweep.folder)

    def close(self) -> None:
        """See Runs; the sweep itself tells."""


class SequentialRuns:
    """Runs jobs with any other launcher, which returns the objective of each."""

    def __init__(self, sweeper: Sweeper, objective: Objective, folder: Path) -> None:
        self._sweeper = sweeper
        self._objective = objective
        self._folder = folder
        self._rows: list[tuple[Row, str]] = []

    def run(self, batch: Sequence[Sequence[str]], first: int) -> list[Row]:
        """See Runs."""
        sweeper = self._sweeper
        assert sweeper.launcher
        check_composed(sweeper, batch, first)
        if not self.holds_folder():
            self._folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(sweeper.config, self._folder / ledger.MULTIRUN)
        jobs = sweeper.launcher.launch(batch, initial_job_idx=first)
        rows = [self._row(num, job) for num, job in enumerate(jobs, start=first)]
        self._rows += zip(rows, map(" ".join, batch), strict=True)
        return rows

    def holds_folder(self) -> bool:
        """See Runs."""
        return (self._folder / ledger.MULTIRUN).exists()

    def close(self) -> None:
        """See Runs."""
        failed = [(row, text) for row, text in self._rows if row.status == FAILED]
        if failed:
            table = [(row.num, text, row.status, row.error) for row, text in failed]
            show_failures(Screen(), table)
            raise FailedJobsError([FAILED] * len(failed), len(self._rows))

    def _row(self, num: int, job: JobReturn) -> Row:
        assert job.hydra_cfg
        folder = os.path.relpath(job.hydra_cfg.hydra.runtime.output_dir, self._folder)
        value = returned(job)
        if job.status is JobStatus.COMPLETED:
            number = float(value) if isinstance(value, int | float) else math.nan
            metrics = {self._objective.name: number if math.isfinite(number) else None}
            return Row(num, folder, {}, COMPLETED, 0, metrics, {})
        status = DIVERGED if isinstance(value, DivergenceError) else FAILED
        return Row(num, folder, {}, status, 0, {}, {}, error=str(value))


def sweep(sweeper: Sweeper, task: TaskFunction, arguments: Sequence[str], node: Any) -> None:
    """Search the space that the overrides describe; `node` is hydra.sweeper.

    Raises:
        BpframeError: a setting or the space is wrong, Optuna is missing, or see the launcher.

    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(
            "hydra/sweeper=search: needs Optuna, which is not installed; "
            "pip install 'bpframe[search]'"
        )
    from bpframe.sweeps.sweepers import spaces
    from bpframe.sweeps.sweepers.samplers import SearchSettings
    from bpframe.sweeps.sweepers.study import Study, quiet

    assert sweeper.hydra_context
    assert sweeper.config
    settings = SearchSettings.of(node)
    params = [f"{key}={value}" for key, value in (node["params"] or {}).items()]
    parser = OverridesParser.create(sweeper.hydra_context.config_loader)
    space = spaces.space(parser.parse_overrides(in_step([*params, *arguments])))
    settings.check(space.axes)
    spaces.check_numbers(space.axes, sweeper.config)
    objective = _objective(sweeper.config, task)
    folder = Path(str(sweeper.config.hydra.sweep.dir)).absolute()
    runs = _runs(sweeper, task, settings.halving, objective, folder)
    with quiet():
        study = Study(folder, space, objective, settings)
        search(study, runs, settings.total(space.axes), _say)
    runs.close()


def _objective(config: DictConfig, task: TaskFunction) -> Objective:
    """The objective of a search, which cannot change with the data of a job.

    By default it is that of the data that are configured outside of the space; what is wrong with
    them, the jobs will tell.
    """
    objective = chosen(config.sweep)
    if objective.is_default and isinstance(task, SweepTask):
        with contextlib.suppress(BpframeError):
            data = loading.loaded(component(config.data, "data", task.registry))
            objective = fitting(objective, has_accuracy=data.task.has_accuracy)
    return objective._replace(is_default=False)


def search(study: Study, runs: Runs, n_trials: int, tell: Callable[[str], None]) -> None:
    """Ask, run and tell, generation after generation, until the study has so many trials.

    Raises:
        BpframeError: see `Runs.run`; the study then holds the generation that was asked for, if
            the folder was found good.

    """
    while trials := study.asked() or study.ask(min(study.settings.batch, n_trials - study.done)):
        _write(study, runs)
        batch = [study.space.overrides(trial.params) for trial in trials]
        try:
            rows = runs.run(batch, trials[0].number)
        finally:
            _write(study, runs)
        study.tell(trials, rows)
        _write(study, runs)
        generation = math.ceil(study.done / study.settings.batch)
        tell(f"generation {generation}: {study.done}/{n_trials} trials, {_best(study)}")


def _best(study: Study) -> str:
    best = study.best()
    if best is None:
        return "none completed"
    values = " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in best.params.items()
    )
    return f"best {study.objective.name} {best.value:.4g}: trial {best.number}, {values}"


def _write(study: Study, runs: Runs) -> None:
    if runs.holds_folder():
        study.write()


def _say(line: str) -> None:
    say(Screen(), line)


def _runs(
    sweeper: Sweeper,
    task: TaskFunction,
    halving: Halving | None,
    objective: Objective,
    folder: Path,
) -> Runs:
    assert sweeper.config
    assert sweeper.hydra_context
    if isinstance(task, SweepTask) and getattr(sweeper.launcher, "checks_jobs", False):
        most = sweeper.config.hydra.launcher.lanes
        loader = sweeper.hydra_context.config_loader
        # That some diverge belongs to a search.
        accepted = (COMPLETED, PRUNED, DIVERGED)
        sweep = task.sweep(sweeper.config, loader, most=most, accepted=accepted)
        sweep.fix_objective(objective)
        return LaneRuns(sweep, halving)
    if halving:
        raise ConfigError(
            "hydra.sweeper.halving: needs the jobs of a generation to be trained together; set "
            "hydra/launcher=vmap, or hydra.sweeper.halving.first=null"
        )
    return SequentialRuns(sweeper, objective, folder)
