"""study.journal: the trials of a search, as Optuna keeps them in the sweep's folder.

Optuna's own tools read it, while the search goes on as well:

    from optuna import load_study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend("multirun/.../study.journal"))
    study = load_study(study_name="bpframe", storage=storage)

Trial n asked for job n. Its attributes `job` and `folder` name the run that answered it, which is
an earlier one where the values are the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from bpframe.errors import ConfigError
from bpframe.sweeps.objective import DIRECTIONS, Objective
from bpframe.sweeps.rows import COMPLETED, PRUNED, Row
from bpframe.sweeps.sweepers.samplers import SearchSettings
from bpframe.sweeps.sweepers.spaces import Space
from bpframe.sweeps.sweepers.study_file import StudyFile

JOURNAL = "study.journal"
_NAME = "bpframe"


class Study:
    """The trials of one search.

    Raises:
        ConfigError: `folder` holds a study of another search.
        OutputError: the journal cannot be read.

    """

    def __init__(
        self, folder: Path, space: Space, objective: Objective, settings: SearchSettings
    ) -> None:
        self.space = space
        self.objective = objective
        self.settings = settings
        self._file = StudyFile(folder / JOURNAL)
        self._storage = JournalStorage(self._file)
        noted: Mapping[str, Any] = {
            "objective": objective.name,
            "direction": objective.direction,
            "sampler": settings.sampler,
            "batch": settings.batch,
            "seed": settings.seed,
            "halving": list(settings.halving) if settings.halving else None,
        }
        if not optuna.get_all_study_names(self._storage):
            # Not "maximise": Optuna's spelling.
            direction = "maximize" if objective.direction == DIRECTIONS[0] else "minimize"
            study = optuna.create_study(
                storage=self._storage, study_name=_NAME, direction=direction
            )
            for key, value in noted.items():
                study.set_user_attr(key, value)
        # A sampler of its own, for that of a grid cannot be told of its last trial.
        self._study = optuna.load_study(
            study_name=_NAME, storage=self._storage, sampler=optuna.samplers.RandomSampler()
        )
        self._check(folder, noted)

    def _check(self, folder: Path, noted: Mapping[str, Any]) -> None:
        again = "restore its config files, or begin another sweep"
        for key, value in noted.items():
            if (was := self._study.user_attrs.get(key)) != value:
                raise ConfigError(
                    f"{folder}: {key} is {value!r}, and was {was!r} when the search began; {again}"
                )
        trials = self._trials()
        if trials and trials[-1].distributions != self.space.distributions:
            raise ConfigError(f"{folder}: its space is not what it was as it began; {again}")

    @property
    def done(self) -> int:
        """How many trials have ended."""
        return sum(trial.state.is_finished() for trial in self._trials())

    def asked(self) -> list[FrozenTrial]:
        """The trials that have not ended: a generation that was interrupted, or none."""
        return [trial for trial in self._trials() if not trial.state.is_finished()]

    def ask(self, n: int) -> list[FrozenTrial]:
        """The next generation, of so many trials."""
        sampler = self.settings.generation(self.space.axes, len(self._trials()))
        study = optuna.load_study(study_name=_NAME, storage=self._storage, sampler=sampler)
        for _ in range(n):
            study.ask(self.space.distributions)
        return self.asked()

    def tell(self, trials: Sequence[FrozenTrial], rows: Sequence[Row]) -> None:
        """How the trials of a generation ended.

        One that was given up keeps its value as that of its last epoch; one without a value, or
        that did not complete, has failed, and the samplers pass over it.
        """
        study_id = self._storage.get_study_id_from_name(self._study.study_name)
        for trial, row in zip(trials, rows, strict=True):
            number = self._storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            self._storage.set_trial_user_attr(number, "job", row.num)
            self._storage.set_trial_user_attr(number, "folder", row.folder)
            value = row.metrics.get(self.objective.name)
            if value is None or row.status not in (COMPLETED, PRUNED):
                self._study.tell(trial.number, state=TrialState.FAIL)
            elif row.status == PRUNED:
                self._storage.set_trial_intermediate_value(number, row.epochs, value)
                self._study.tell(trial.number, state=TrialState.PRUNED)
            else:
                self._study.tell(trial.number, value)

    def write(self) -> None:
        """Put what has happened into the journal; see `StudyFile.write`."""
        self._file.write()

    def best(self) -> FrozenTrial | None:
        """The best trial that was completed, if there is one."""
        complete = [trial for trial in self._trials() if trial.state is TrialState.COMPLETE]
        sign = self.objective.sign
        return max(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's log but for errors."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
