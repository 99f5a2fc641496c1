"""Sweeps, run and read from Python."""

from __future__ import annotations

import functools
import html
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bpframe.api.given import given_folder, given_overrides, with_data
from bpframe.api.saved import Run, load
from bpframe.api.showing import screen
from bpframe.configuration import composition, schemas
from bpframe.configuration.plugin_settings import plugin_settings
from bpframe.errors import BpframeError, ConfigError, OutputError, plainly
from bpframe.files import shown
from bpframe.plugin_host import host
from bpframe.sweeps.errors import FailedJobsError
from bpframe.sweeps.multirun import multirun
from bpframe.sweeps.objective import Objective, suited
from bpframe.sweeps.report import files, saved_rows
from bpframe.sweeps.rows import COMPLETED, Row
from bpframe.sweeps.session import Command
from bpframe.sweeps.sweepers import grid

_DIR = "hydra.sweep.dir="


@plainly
def sweep(
    overrides: Sequence[str],
    sweep_dir: str | Path | None = None,
    *,
    config_name: str | None = None,
    config_dir: str | Path | None = None,
    plugins: Iterable[object] = (),
    data: Any = None,
    target: str | Sequence[str] | None = None,
    progress: bool | None = None,
) -> Sweep:
    """Run what `bpframe -m [overrides]` would, in this process, and return what came of it.

    Jobs that diverge or fail are among the rows, with their status and error; see `Sweep.failed`.

    Args:
        overrides: settings, with several values for some, such as "optimiser.eta=0.05,0.5" or
            "seed=range(0,5)".
        sweep_dir: the folder to write; unset, one in `multirun` by date and time.
        config_name: another primary config than `config`.
        config_dir: a folder of configs besides bpframe's own.
        plugins: modules or objects with hooks, besides the installed plugins.
        data: examples in memory, see `compose`.
        target: likewise.
        progress: whether to show how it goes; unset, in a notebook alone.

    Raises:
        ConfigError: some jobs cannot be run; nothing was trained.
        DataError: `data` cannot be trained on.
        OutputError: the folder is not empty, or cannot be written.

    """
    words = given_overrides(overrides)
    if sweep_dir is not None:
        if given := next((text for text in words if text.startswith(_DIR)), None):
            raise ConfigError(f"{given}: sweep_dir is given as well; leave one of them out")
        folder = given_folder(sweep_dir, "sweep_dir").absolute()
        words.append(f"{_DIR}{composition.quoted(str(folder))}")
    plugins, words = with_data(plugins, words, data, target)
    extra = str(config_dir) if config_dir is not None else None
    paths, prefer = plugin_settings(words, name=config_name, config_dir=extra)
    registry = schemas.store(host.load_registry(plugins, paths=paths, prefer=prefer))
    host.warn_of_faults(registry)
    command = Command(tuple(grid.in_step(words)), config_name, None, extra)
    with screen(progress) as console:
        try:
            folder = multirun(command, registry, None, console=console)
        except FailedJobsError as error:
            if error.folder is None:
                raise
            folder = error.folder
    return Sweep(folder)


class Sweep:
    """The runs of a sweep, or of any folder of runs, in their order.

    Attributes:
        folder: the folder.
        rows: how each run ended: settings, status, and the scalars that it reached.

    Raises:
        OutputError: the folder holds no run that has ended.

    """

    @plainly
    def __init__(self, folder: str | Path) -> None:
        self.folder = given_folder(folder, "folder").absolute()
        self.rows: list[Row] = saved_rows.rows(self.folder)

    @functools.cached_property
    def runs(self) -> Runs:
        """The runs, each loaded when it is asked for: `sweep.runs[3].predict(x)`."""
        return Runs([self.folder / row.folder for row in self.rows])

    @functools.cached_property
    def objective(self) -> Objective:
        """By what runs are compared."""
        return suited(saved_rows.objective(self.folder, self.rows[0]), self.rows)

    @property
    def best_row(self) -> Row:
        """The row of the best run.

        Raises:
            OutputError: no run was completed.

        """
        found = self.objective.best(self.rows)
        if found is None:
            raise OutputError(f"{self.folder}: no run was completed, so none is the best")
        return found

    @property
    def best(self) -> Run:
        """The best run by the objective, of equal ones that with the least cost."""
        return load(self.folder / self.best_row.folder)

    @property
    def failed(self) -> list[Row]:
        """The rows of the runs that were not completed."""
        return [row for row in self.rows if row.status != COMPLETED]

    def to_frame(self) -> Any:
        """A pandas frame with a row a run: settings, status, and scalars; lists are text."""
        import pandas as pd  # here, since few need it

        rows = [
            {k: _hashable(v) for k, v in row.settings.items()}
            | {"status": row.status, **row.metrics}
            for row in self.rows
        ]
        index = pd.Index([row.num for row in self.rows], name="run")
        return pd.DataFrame(rows, index=index)

    @plainly
    def report(self) -> Path:
        """Write report.html and results.png again, and return the page.

        Raises:
            OutputError: they cannot be written.

        """
        try:
            files.write({self.folder: self.rows}, self.folder, self.objective, with_picture=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written: {error.strerror}") from error
        return self.folder / files.PAGE

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        done = f"{len(self) - len(self.failed)} of {len(self)} runs completed"
        try:
            best, name = self.best_row, self.objective.name
        except BpframeError:
            return f"Sweep({shown(self.folder)!r}, {done})"
        reached = f"best: run {best.num}, {name} {self.objective.of(best):.4g}"
        return f"Sweep({shown(self.folder)!r}, {done}; {reached})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.to_frame()._repr_html_()}"


def _hashable(value: Any) -> Any:
    """A setting by which rows can be grouped."""
    return json.dumps(value) if isinstance(value, list | dict) else value


class Runs(Sequence[Run]):
    """Runs in their folders, each loaded when it is asked for."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._loaded = functools.lru_cache(maxsize=64)(load)

    def __len__(self) -> int:
        return len(self._folders)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Runs(self._folders[index])
        return self._loaded(self._folders[index])

    def __iter__(self) -> Iterator[Run]:
        return map(self._loaded, self._folders)

    def __repr__(self) -> str:
        return f"{len(self)} runs"
