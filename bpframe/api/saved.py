"""A run that has been written, loaded to be asked: answers, figures, gradients and deltas."""

from __future__ import annotations

import contextlib
import functools
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bpframe.api.given import GivenData, given_folder, given_overrides
from bpframe.configuration import saved_runs, trust
from bpframe.contracts import LayerParams
from bpframe.data import Data, Examples
from bpframe.errors import AdviceWarning, ConfigError, DataError, OutputError, plainly
from bpframe.files import shown
from bpframe.runs import array_files, html
from bpframe.runs.arrays import Recording
from bpframe.runs.data_info import DataInfo, data_checksum
from bpframe.runs.folder import check_file
from bpframe.runs.layout import BEST, METRICS, PARAMS, read_summary
from bpframe.runs.records import EpochRecord, History, Summary
from bpframe.runs.saved import read_params
from bpframe.runs.trained import Evaluation, Trained
from bpframe.sweeps import ledger
from bpframe.tables.in_memory import InMemory
from bpframe.tasks import Task
from bpframe.training import loading
from bpframe.training.experiment import Experiment

_OF_DATA = ("data=", "data.")


@plainly
def load(run_dir: str | Path, *, trusted: bool = False) -> Run:
    """The run in a folder, however it ended.

    Args:
        run_dir: the folder.
        trusted: whether plugins that the folder names may be imported, though no command or program
            of this user has.

    Raises:
        ConfigError: its configuration cannot be composed here, such as by a plugin that is missing.
        OutputError: there is no run, it has not ended, or a file is damaged.

    """
    folder = given_folder(run_dir, "run_dir").absolute()
    ledger.check_no_sweep(folder)
    saved_runs.check_run(folder)
    written = read_summary(folder)
    if written is None:
        raise OutputError(
            f"{folder}: its run has not ended; go on with it first, with bpframe resume {folder}, "
            f"in Python bpframe.resume({str(folder)!r})"
        )
    return Run(folder, written, trusted=trusted)


class Run(Trained):
    """A run that has ended, in its folder.

    Attributes:
        folder: the folder.
        summary: how it ended, as in `RunResult`.

    Its data set is read when it is asked for its examples. What it answers, see `Trained`.

    """

    def __init__(self, folder: Path, written: Mapping[str, Any], *, trusted: bool) -> None:
        self.folder = folder
        self.summary = Summary.read(written)
        self._files = written["files"]
        self._trusted = trusted
        info = self.summary.data
        self._found = self._composed([], info)

    @property
    def experiment(self) -> Experiment:
        """What was run."""
        return self._found.experiment

    @functools.cached_property
    @plainly
    def params(self) -> tuple[LayerParams, ...]:
        """The parameters after the last epoch, of the layers 2..L, as NumPy arrays."""
        return read_params(self.folder / PARAMS, self.experiment.network.params)

    @functools.cached_property
    @plainly
    def best_params(self) -> tuple[LayerParams, ...]:
        """Those after the best epoch, by the objective."""
        return read_params(self.folder / BEST, self.experiment.network.params)

    @functools.cached_property
    @plainly
    def history(self) -> History:
        """One array a quantity, one entry an epoch; `history.to_frame()` is a pandas frame."""
        content = check_file(self.folder / METRICS, self._files.get(METRICS))
        return History.of([EpochRecord.read(json.loads(line)) for line in content.splitlines()])

    @functools.cached_property
    @plainly
    def recording(self) -> Recording:
        """What recorders kept over time: `recording["deltas"]["layer_2"]` is a `RecordedArray`.

        Files are checked when they are opened, and of an array only what is asked for is read.

        Raises:
            OutputError: a file is missing.

        """
        return array_files.read(self.folder, self._files)

    @functools.cached_property
    @plainly
    def data(self) -> Data:
        """The examples as the data set has them, and as `predict` takes them, read again.

        Raises:
            DataError: they are not there any more, or were given in Python.

        """
        if isinstance(self.experiment.data, InMemory):
            raise DataError(
                f"{self.folder}: its data were given in Python, and no file has them; give them, "
                "as in run.evaluate(x, y)"
            )
        with self._entered():
            return loading.read(self.experiment.data)

    @functools.cached_property
    @plainly
    def fitted_data(self) -> Data:
        """The same as they were trained on: cut, expanded and standardised; see `data`."""
        data = self.data
        with self._entered():
            found = loading.fitting(self.experiment.data, data)
        info = self.summary.data
        if info and info.checksum and info.checksum != data_checksum(found):
            text = "its data are others now than when it was trained, and the figures are of these"
            warnings.warn(f"{shown(self.folder)}: {text}", AdviceWarning, stacklevel=3)
        return found

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Its configuration, as plain values."""
        cfg = self._found.cfg
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        values = OmegaConf.to_container(own, resolve=True)
        assert isinstance(values, dict)
        return {str(key): value for key, value in values.items()}

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of a table that it was trained on, in their order; empty for arrays."""
        names = [f if isinstance(f, str) else f[0] for f in self._info.features]
        return tuple(dict.fromkeys(names))

    @property
    def task(self) -> Task:
        """What an answer is."""
        return self._info.task or self.fitted_data.task

    @plainly
    def over(
        self, overrides: Sequence[str] = (), *, best: bool = False
    ) -> dict[str, tuple[int, Evaluation]]:
        """How good it is over all splits: of its own data, or of others that `overrides` choose.

        Args:
            overrides: settings of the data, such as "data=mnist" or "data.path=new.csv"; a path
                among them starts in the working directory.
            best: whether to answer with `best_params`.

        Returns:
            The number of examples and the evaluation, by the name of the split.

        Raises:
            DataError: the data do not fit the network.

        """
        words = given_overrides(overrides)
        if other := next((o for o in words if not o.lstrip("+~").startswith(_OF_DATA)), None):
            raise ConfigError(f"{other}: only the data can be other ones; the run stays as it is")
        data = self._adapted(words) if words else self.fitted_data
        return {
            split: (len(examples), self._evaluated(examples, best))
            for split, examples in data._asdict().items()
        }

    def _adapted(self, overrides: list[str]) -> Data:
        """Other data, made like those that were trained on."""
        found = self._composed([saved_runs.from_here(o, "data") for o in overrides], self._info)
        with self._entered(if_there=True):
            other = loading.read_whole(found.experiment.data)
        return Data(*(self._info.adapted(examples, self.task) for examples in other))

    def curves(self) -> Any:
        """Cost and accuracy over the epochs, as a figure of matplotlib."""
        return self.history.curves()

    def __repr__(self) -> str:
        return f"Run({shown(self.folder)!r}: {self.summary.line})"

    def _repr_html_(self) -> str:
        return html.table(self.summary.shown(), caption=repr(self)) + html.params_table(self.params)

    @property
    def _info(self) -> DataInfo:
        """What is known of the data; a run of an earlier version has to read them."""
        return self.summary.data or DataInfo.of(self.fitted_data)

    def _chosen(self, best: bool) -> tuple[LayerParams, ...]:
        return self.best_params if best else self.params

    def _test_set(self) -> Examples:
        return self.fitted_data.test

    def _composed(self, overrides: list[str], sizes: DataInfo | None) -> saved_runs.Composed:
        with contextlib.chdir(Path.cwd()):
            return saved_runs.composed(
                self.folder,
                overrides,
                trusting=trust.note if self._trusted else trust.checking(self.folder),
                sizes=sizes,
                plugins=[GivenData()],
                given=True,
            )

    @contextlib.contextmanager
    def _entered(self, *, if_there: bool = False) -> Any:
        """The working directory in which the run began, where its paths start."""
        with contextlib.chdir(Path.cwd()):
            saved_runs.enter(self.folder, if_there=if_there)
            yield
