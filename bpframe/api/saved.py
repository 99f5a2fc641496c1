"""A run that has been written, loaded to be asked: answers, figures, gradients and deltas."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from omegaconf import OmegaConf

from bpframe import equations
from bpframe.api import inputs
from bpframe.api.given import GivenData, given_folder, given_overrides
from bpframe.configuration import saved_runs, trust
from bpframe.contracts import LayerParams, Trace
from bpframe.data import Data, Examples
from bpframe.errors import ConfigError, DataError, OutputError, plainly
from bpframe.files import shown
from bpframe.learning import BatchGradient
from bpframe.runs import array_files, html
from bpframe.runs.arrays import Recording
from bpframe.runs.data_info import DataInfo
from bpframe.runs.folder import check_file
from bpframe.runs.layout import BEST, METRICS, PARAMS, read_summary
from bpframe.runs.records import EpochRecord, History, Summary
from bpframe.runs.saved import read_params
from bpframe.sweeps import ledger
from bpframe.tables.in_memory import InMemory
from bpframe.tasks import Regression, Task
from bpframe.training import answers, loading
from bpframe.training.experiment import Experiment
from bpframe.training.precision import precision, wide_dtype

_OF_DATA = ("data=", "data.")


class Evaluation(NamedTuple):
    """How good answers are.

    Attributes:
        cost: the mean cost per example, with the penalty of the regulariser as in training.
        accuracy: the share of right answers; None where none is right or wrong.
        rmse: in a regression the root of the mean squared error, over examples and outputs, in the
            units of the targets; else None.

    """

    cost: float
    accuracy: float | None
    rmse: float | None = None


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


class Run:
    """A run that has ended, in its folder.

    Attributes:
        folder: the folder.
        summary: how it ended, as in `RunResult`.
        experiment: what was run; its data set is read when it is asked for its examples.

    Inputs of all methods are as the data set has them: they are scaled, and columns are encoded, as
    in training. One example, without the axis m, is allowed everywhere.

    """

    def __init__(self, folder: Path, written: Mapping[str, Any], *, trusted: bool) -> None:
        self.folder = folder
        self.summary = Summary.read(written)
        self._files = written["files"]
        self._trusted = trusted
        info = self.summary.data
        found = self._composed([], info)
        self.experiment: Experiment = found.experiment
        self._cfg = found.cfg

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
            return loading.fitting(self.experiment.data, data)

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Its configuration, as plain values."""
        own = OmegaConf.masked_copy(self._cfg, [str(key) for key in self._cfg if key != "hydra"])
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
    def predict(self, x: Any, *, best: bool = False) -> np.ndarray:
        """What the network answers to each example: (m,) classes by their names, or numbers.

        For several labels these are 0 and 1, (m, n_out); in a regression the outputs, (m, n_out),
        or (m,) where there is one.

        Args:
            x: (m, ...) inputs of the shape of those of the data set, or flat; or, if these were
                columns of a table, a frame with them.
            best: whether to answer with `best_params`.

        Raises:
            DataError: x is of another shape, or lacks a column.

        """
        examples, is_one = self._examples(x, None)
        task = self.task
        _, said = answers.outputs_and_answers(self._ready, self._chosen(best), examples)
        if task.has_classes:
            found = np.asarray(task.names)[said] if task.names else said
        else:
            found = said[:, 0] if said.shape[1] == 1 else said
        return found[0] if is_one else found

    @plainly
    def outputs(self, x: Any, *, best: bool = False) -> np.ndarray:
        """The output activations a^L, (m, n_out); see `predict`."""
        examples, is_one = self._examples(x, None)
        found = answers.outputs_and_answers(self._ready, self._chosen(best), examples)[0]
        return found[0] if is_one else found

    @plainly
    def evaluate(self, x: Any = None, y: Any = None, *, best: bool = False) -> Evaluation:
        """Cost and accuracy over examples; without any, over the test set of the run.

        Args:
            x: see `predict`.
            y: their targets: classes (m,) as `predict` has them, or numbers (m, n_out).
            best: whether to answer with `best_params`.

        Raises:
            DataError: they are no examples for this network.

        """
        if (x is None) != (y is None):
            raise DataError(
                "evaluate: x and y belong together; give both, or none for the test set"
            )
        examples = self.fitted_data.test if x is None else self._examples(x, y)[0]
        return self._evaluated(examples, best)

    def _evaluated(self, examples: Examples, best: bool) -> Evaluation:
        self.experiment.cost.cost_function.check_targets(examples.y, "y")
        found = answers.totals(self._ready, self._chosen(best), examples, self._info.n_train)
        if isinstance(self.task, Regression):
            said = answers.outputs_and_answers(self._ready, self._chosen(best), examples)[1]
            error = np.asarray(said, float) - self.task.decoded(np.asarray(examples.y, float))
            return Evaluation(float(found.cost), None, float(np.sqrt(np.mean(error**2))))
        accuracy = None if found.correct is None else int(found.correct) / len(examples)
        return Evaluation(float(found.cost), accuracy)

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
            other = loading.read(found.experiment.data)
        return Data(*(self._info.adapted(examples, self.task) for examples in other))

    @plainly
    def forward(self, x: Any, *, best: bool = False) -> Trace:
        """All weighted inputs z^l and activations a^l, (m, ...); see `predict`."""
        examples, is_one = self._examples(x, None)
        network = self.experiment.network
        with precision(self.experiment.training.dtype):
            rows = self._wide(examples.x.reshape(len(examples), *network.shape))
            params = jax.tree.map(self._wide, self._chosen(best))
            found = jax.vmap(lambda row: equations.forward(network, params, row))(rows)
            return jax.tree.map(lambda a: a[0], found) if is_one else found

    @plainly
    def gradient(self, x: Any, y: Any, *, best: bool = False) -> BatchGradient:
        """The gradient of the cost by backpropagation, with the delta of every layer and example.

        Args:
            x: see `predict`.
            y: see `evaluate`.
            best: whether to take it at `best_params`.

        Raises:
            DataError: they are no examples for this network.

        """
        examples = self._examples(x, y)[0]
        targets = examples.y
        if targets.ndim == 1:
            targets = np.eye(examples.n_out)[targets]
        with precision(self.experiment.training.dtype):
            return equations.gradient(
                self.experiment.network,
                self.experiment.cost,
                jax.tree.map(self._wide, self._chosen(best)),
                self._wide(examples.x.reshape(len(examples), -1)),
                self._wide(targets),
            )

    def curves(self) -> Any:
        """Cost and accuracy over the epochs, as a figure of matplotlib."""
        return self.history.curves()

    def __repr__(self) -> str:
        return f"Run({shown(self.folder)!r}: {self.summary.line})"

    def _repr_html_(self) -> str:
        return html.table(self.summary.shown(), caption=repr(self)) + html.params_table(self.params)

    @functools.cached_property
    def _info(self) -> DataInfo:
        """What is known of the data; a run of an earlier version has to read them."""
        return self.summary.data or DataInfo.of(self.fitted_data)

    @functools.cached_property
    def _ready(self) -> Experiment:
        return self.experiment.fitted(self._info.n_train)

    def _chosen(self, best: bool) -> tuple[LayerParams, ...]:
        return self.best_params if best else self.params

    def _wide(self, array: Any) -> jax.Array:
        return jnp.asarray(array, wide_dtype(self.experiment.training.dtype))

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

    def _examples(self, x: Any, y: Any) -> tuple[Examples, bool]:
        return inputs.examples(x, y, self._info, self.task)
