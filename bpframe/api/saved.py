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
from bpframe.api.given import GivenData
from bpframe.api.plain import plainly
from bpframe.configuration import saved_runs, trust
from bpframe.contracts import LayerParams, Trace
from bpframe.data import Data, Examples
from bpframe.errors import DataError, OutputError
from bpframe.learning import BatchGradient
from bpframe.runs import array_writer, html
from bpframe.runs.arrays import Recording
from bpframe.runs.data_info import DataInfo
from bpframe.runs.folder import BEST, METRICS, PARAMS, check_file, read_summary
from bpframe.runs.records import EpochRecord, History, Summary, Timing
from bpframe.runs.saved import read_params
from bpframe.tables.table import Table
from bpframe.tasks import Regression, Task
from bpframe.training import answers, loading
from bpframe.training.experiment import Experiment
from bpframe.training.precision import precision, wide_dtype


class Evaluation(NamedTuple):
    """How good answers are.

    Attributes:
        cost: the mean cost per example, with the penalty of the regulariser as in training.
        accuracy: the share of right answers; None where none is right or wrong.

    """

    cost: float
    accuracy: float | None


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
    folder = Path(run_dir).absolute()
    saved_runs.check_run(folder)
    written = read_summary(folder)
    if written is None:
        raise OutputError(
            f"{folder}: its run has not ended; go on with it first: bpframe resume {folder}"
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
        self.summary = _summary(written)
        self._files = written["files"]
        self._trusted = trusted
        info = self.summary.data
        sizes = info if info is not None else None
        with self._entered():
            found = saved_runs.composed(
                folder, trusting=self._trust, sizes=sizes, plugins=[GivenData()]
            )
        self.experiment: Experiment = found.experiment
        self._cfg = found.cfg

    @functools.cached_property
    def params(self) -> tuple[LayerParams, ...]:
        """The parameters after the last epoch, of the layers 2..L, as NumPy arrays."""
        return read_params(self.folder / PARAMS, self.experiment.network.params)

    @functools.cached_property
    def best_params(self) -> tuple[LayerParams, ...]:
        """Those after the best epoch, by the objective."""
        return read_params(self.folder / BEST, self.experiment.network.params)

    @functools.cached_property
    def history(self) -> History:
        """One array a quantity, one entry an epoch; `history.to_frame()` is a pandas frame."""
        content = check_file(self.folder / METRICS, self._files.get(METRICS))
        return History.of([EpochRecord.read(json.loads(line)) for line in content.splitlines()])

    @functools.cached_property
    def recording(self) -> Recording:
        """What recorders kept over time: `recording["deltas"]["layer_2"]` is a `RecordedArray`.

        Files are checked when they are opened, and of an array only what is asked for is read.

        Raises:
            OutputError: a file is missing.

        """
        return array_writer.read(self.folder, self._files)

    @functools.cached_property
    def data(self) -> Data:
        """The examples that were trained on, read again.

        Raises:
            DataError: they are not there any more, or were given in Python.

        """
        with self._entered():
            return loading.loaded(self.experiment.data)

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
        return self._info.task or self.data.task

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
        examples = self.data.test if x is None else self._examples(x, y)[0]
        return self._evaluated(examples, best)

    def _evaluated(self, examples: Examples, best: bool) -> Evaluation:
        self.experiment.cost.cost_function.check_targets(examples.y, "y")
        found = answers.totals(self._ready, self._chosen(best), examples, self._info.n_train)
        accuracy = None if found.correct is None else int(found.correct) / len(examples)
        return Evaluation(float(found.cost), accuracy)

    @plainly
    def over(
        self, overrides: Sequence[str] = (), *, best: bool = False
    ) -> dict[str, tuple[int, Evaluation]]:
        """How good it is over all splits: of its own data, or of others that `overrides` choose.

        Args:
            overrides: settings of the data, such as "data=mnist" or "data.path=new.csv".
            best: whether to answer with `best_params`.

        Returns:
            The number of examples and the evaluation, by the name of the split.

        Raises:
            DataError: the data do not fit the network.

        """
        data = self.data
        if overrides:
            with self._entered():
                found = saved_runs.composed(
                    *(self.folder, overrides),
                    trusting=self._trust,
                    sizes=self._info,
                    plugins=[GivenData()],
                )
                other = loading.read(found.experiment.data)
            data = Data(*(self._info.adapted(examples, self.task) for examples in other))
        return {
            split: (len(examples), self._evaluated(examples, best))
            for split, examples in data._asdict().items()
        }

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
        return f"Run({str(self.folder)!r}: {self.summary.line})"

    def _repr_html_(self) -> str:
        return html.table(self.summary.shown(), caption=repr(self)) + html.params_table(self.params)

    @functools.cached_property
    def _info(self) -> DataInfo:
        """What is known of the data; a run of an earlier version has to read them."""
        return self.summary.data or DataInfo.of(self.data)

    @functools.cached_property
    def _ready(self) -> Experiment:
        return self.experiment.fitted(self._info.n_train)

    def _chosen(self, best: bool) -> tuple[LayerParams, ...]:
        return self.best_params if best else self.params

    def _wide(self, array: Any) -> jax.Array:
        return jnp.asarray(array, wide_dtype(self.experiment.training.dtype))

    def _trust(self, code: list[str]) -> None:
        if self._trusted:
            trust.note(code)
        else:
            trust.check(code, self.folder)

    @contextlib.contextmanager
    def _entered(self) -> Any:
        """The working directory in which the run began, where its paths start."""
        with contextlib.chdir(Path.cwd()):
            saved_runs.enter(self.folder)
            yield

    def _examples(self, x: Any, y: Any) -> tuple[Examples, bool]:
        """Examples as they were trained on, and whether x is one example."""
        info = self._info
        is_frame = hasattr(x, "columns") or isinstance(x, Mapping | Table)
        if is_frame:
            if not info.features:
                raise DataError(
                    "x: is a frame, and the inputs of this run have no names; give (m, n_in)"
                )
            x = (x if isinstance(x, Table) else Table.of(x, "x")).inputs(info.features)
        rows, is_one = _rows(x, info)
        targets = np.zeros(len(rows), np.int32) if y is None else _targets(y, len(rows), self)
        return info.examples(rows, targets, self.task), is_one


def _rows(x: Any, info: DataInfo) -> tuple[np.ndarray, bool]:
    """(m, *shape), and whether the axis m was left out."""
    try:
        array = np.asarray(x, float)
    except (TypeError, ValueError) as error:
        raise DataError(f"x: is no array of numbers: {error}") from error
    flat = (int(np.prod(info.shape)),)
    for shape in (info.shape, flat, info.shape[:-1] if info.shape[-1] == 1 else info.shape):
        if array.shape == shape or array.shape[1:] == shape:
            is_one = array.shape == shape
            rows = array.reshape(1 if is_one else len(array), *info.shape)
            if not np.isfinite(rows).all():
                raise DataError("x: holds values that are not finite")
            return rows, is_one
    raise DataError(
        f"x: has shape {array.shape}; expected (m, {', '.join(map(str, info.shape))}), or one "
        f"example {info.shape}"
    )


def _targets(y: Any, m: int, run: Run) -> np.ndarray:
    """Class labels (m,) from 0, or float targets (m, n_out)."""
    task, n_out = run.task, run.experiment.network.n_out
    array = np.atleast_1d(np.asarray(y))
    if array.ndim == 1 and m == 1 and len(array) == n_out > 1:
        array = array[None]
    if len(array) != m:
        raise DataError(f"y: has {len(array)} targets for {m} examples; give one for each")
    if array.dtype.kind in "biuf" and array.shape in ((m, n_out), (m,) if n_out == 1 else ()):
        given = array.astype(float).reshape(m, n_out)
        return task.encoded(given) if isinstance(task, Regression) else given
    if array.ndim != 1 or not task.has_classes:
        raise DataError(f"y: has shape {array.shape}; expected ({m}, {n_out})")
    names = list(task.names or range(n_out))
    known = {str(name): at for at, name in enumerate(names)}
    new = [value for value in array.tolist() if str(value) not in known]
    if new:
        shown = ", ".join(map(str, names[:10]))
        raise DataError(f"y: {new[0]!r} is no class of this run; its classes: {shown}")
    return np.array([known[str(value)] for value in array.tolist()], np.int64)


def _summary(written: Mapping[str, Any]) -> Summary:
    fields = {k: v for k, v in written.items() if k not in ("files", "checksum")}
    data = fields.pop("data", None)
    accuracies = {"test_accuracy": None, "best_validation_accuracy": None}
    return Summary(
        **{
            **accuracies,
            **fields,
            "has_accuracy": "test_accuracy" in fields,
            "timing": Timing(**fields["timing"]),
            "sizes": tuple(fields["sizes"]),
            "data": data and DataInfo.read(data),
        }
    )
