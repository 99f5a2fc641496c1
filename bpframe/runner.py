"""One run: load the data, compile once, train epoch by epoch, record, write the run folder."""

from __future__ import annotations

import importlib.metadata
import logging
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bpframe import divergence, training
from bpframe.component import check_fields
from bpframe.contracts import Params
from bpframe.data import Data
from bpframe.errors import ConfigError, DataError, DivergenceError
from bpframe.experiment import Experiment
from bpframe.folder import CURVES, RunFolder
from bpframe.plots import learning_curves
from bpframe.records import EpochRecord, History, RunResult, Summary, Timing
from bpframe.training import State

log = logging.getLogger(__name__)

Report = Callable[[EpochRecord], None]


def load(experiment: Experiment) -> Data:
    """The experiment's data, cut to `data.train_size` and checked against the experiment.

    What the experiment needs of this machine, its device, is looked for as well.

    Raises:
        ConfigError: `data.train_size` or `training.batch_size` is larger than the training set, or
            `training.device` is not there.
        DataError: a file is missing or corrupt, or the data do not have the promised sizes.

    """
    training.on_device(experiment.training.device)
    dataset = experiment.data
    data = dataset.load()
    if not isinstance(data, Data):
        raise DataError(
            f"data: {type(dataset).__name__}.load returned {type(data).__name__}; expected "
            "bpframe.Data(train, validation, test)"
        )
    for split, examples in data._asdict().items():
        if not len(examples):
            raise DataError(f"data: the {split} set of {type(dataset).__name__} is empty")
        if (examples.n_in, examples.n_out) != (dataset.n_in, dataset.n_out):
            raise DataError(
                f"data: the {split} set of {type(dataset).__name__} has {examples.n_in} inputs and "
                f"{examples.n_out} outputs; promised were {dataset.n_in} and {dataset.n_out}"
            )
    n, k, m = len(data.train), dataset.train_size, experiment.training.batch_size
    if k is not None and k > n:
        raise ConfigError(f"data.train_size: {k} is out of range; allowed: 1 to {n} for this data")
    if k is not None:
        n, data = k, data._replace(train=data.train.first(k))
    if m > n:
        raise ConfigError(
            f"training.batch_size: {m} is out of range; allowed: 1 to {n}, the training set"
        )
    return data


def run(
    experiment: Experiment,
    output_dir: str | Path | None = None,
    *,
    data: Data | None = None,
    report: Report | None = None,
) -> RunResult:
    """Train, and evaluate on the test set at the end.

    Args:
        experiment: what to run, as `bpframe.compose` assembles it.
        output_dir: the run folder to write; nothing is written without one.
        data: the data, if they were loaded already with `load`.
        report: called with the record of each epoch.

    Raises:
        ConfigError: the experiment does not fit its data.
        DataError: the data cannot be loaded.
        DivergenceError: a value is not finite; the run folder then holds the last finite
            parameters and a summary with the status "diverged".
        OutputError: `output_dir` holds a run already, or cannot be written.

    """
    check_fields(experiment, "")
    device = training.on_device(experiment.training.device)
    data = load(experiment) if data is None else data
    folder = RunFolder(Path(output_dir)) if output_dir is not None else None
    with training.precision(experiment.training.dtype), device:
        try:
            prepared = _Run(experiment, data, folder, report)
        except BaseException:
            if folder:
                folder.release()
            raise
        return prepared.train()


class _Programs(NamedTuple):
    """What was compiled, and how long that took."""

    epoch: Callable[..., Any]
    evaluate: dict[str, Callable[..., Any]]
    seconds: float


class _Run:
    """The epoch loop of one run and what it has recorded so far."""

    def __init__(
        self, experiment: Experiment, data: Data, folder: RunFolder | None, report: Report | None
    ) -> None:
        self.experiment = experiment
        self.folder = folder
        self.report = report
        self.n_train = len(data.train)
        self.records: list[EpochRecord] = []
        dtype = experiment.training.dtype
        self.sets = {
            split: training.to_device(examples, dtype) for split, examples in data._asdict().items()
        }
        self.programs, self.state = self._compile()

    def train(self) -> RunResult:
        epochs = self.experiment.training.epochs
        log.info(
            "training %s for %d epochs", "-".join(map(str, self.experiment.network.sizes)), epochs
        )
        try:
            for epoch in range(1, epochs + 1):
                record = self._epoch(epoch)
                self.records.append(record)
                log.info("%s", record)
                if self.folder:
                    self.folder.add(record)
                if self.report:
                    self.report(record)
        except KeyboardInterrupt:
            self._finish(self.state.params, "interrupted", "interrupted by the user")
            raise
        except DivergenceError as error:
            self._finish(self.state.params, "diverged", str(error))
            raise
        except Exception as error:
            self._finish(self.state.params, "failed", f"{type(error).__name__}: {error}")
            raise
        return self._finish(self.state.params, "completed", None)

    def _compile(self) -> tuple[_Programs, State]:
        started = time.perf_counter()
        state = training.initial_state(self.experiment)
        order = np.arange(self.n_train, dtype=np.int32)
        epoch = training.epoch.lower(self.experiment, state, self.sets["train"], order).compile()
        splits = ["validation", "test"]
        if self.experiment.training.evaluate_train:
            splits.append("train")
        n = self._n()
        evaluate = {
            split: training.evaluate.lower(
                self.experiment, state.params, self.sets[split], n
            ).compile()
            for split in splits
        }
        return _Programs(epoch, evaluate, time.perf_counter() - started), state

    def _epoch(self, epoch: int) -> EpochRecord:
        started = time.perf_counter()
        order = np.random.default_rng([self.experiment.seed, epoch]).permutation(self.n_train)
        order = order.astype(np.int32)
        state, train, finite = self.programs.epoch(
            self.experiment, self.state, self.sets["train"], order
        )
        if self.experiment.training.evaluate_train:
            train = self._evaluate("train", state.params)
        validation = self._evaluate("validation", state.params)
        train, validation, finite = jax.device_get((train, validation, finite))
        if not (finite and np.isfinite(train.cost) and np.isfinite(validation.cost)):
            self._diverged(epoch, order)
        self.state = state
        return EpochRecord(
            epoch=epoch,
            train_cost=float(train.cost),
            validation_cost=float(validation.cost),
            train_accuracy=int(train.correct) / self.n_train,
            validation_accuracy=int(validation.correct) / len(self.sets["validation"].x),
            seconds=time.perf_counter() - started,
        )

    def _evaluate(self, split: str, params: tuple[Params, ...]) -> training.Totals:
        return self.programs.evaluate[split](self.experiment, params, self.sets[split], self._n())

    def _n(self) -> np.ndarray:
        return np.asarray(self.n_train, training.wide_dtype(self.experiment.training.dtype))

    def _diverged(self, epoch: int, order: np.ndarray) -> None:
        found = divergence.locate(self.experiment, self.state, self.sets["train"], order)
        self.state = self.state._replace(params=found.params)
        batch = f", mini-batch {found.step}" if found.step else ""
        raise DivergenceError(
            f"training diverged in epoch {epoch}{batch}: {found.quantity} is not finite "
            f"in layer {found.layer}; try a smaller optimiser.eta, or training.dtype=float64",
            epoch=epoch,
            layer=found.layer,
        )

    def _finish(self, params: tuple[Params, ...], status: str, error: str | None) -> RunResult:
        history = History.of(self.records)
        test = None
        if status == "completed":
            test = jax.device_get(self._evaluate("test", params))
        best = int(np.argmax(history.validation_accuracy)) if self.records else None
        summary = Summary(
            status=status,
            epochs=len(self.records),
            test_accuracy=int(test.correct) / len(self.sets["test"].x) if test else None,
            test_cost=float(test.cost) if test and math.isfinite(test.cost) else None,
            best_validation_accuracy=(
                None if best is None else float(history.validation_accuracy[best])
            ),
            best_epoch=None if best is None else int(history.epoch[best]),
            error=error,
            timing=Timing(self.programs.seconds, history.seconds.tolist()),
            seed=self.experiment.seed,
            sizes=self.experiment.network.sizes,
            device=str(self.sets["train"].x.device),
            versions=versions(),
        )
        result = RunResult(history, jax.device_get(params), summary)
        if self.folder:
            if self.records:
                self.folder.write(CURVES, learning_curves(history))
            self.folder.finish(result)
        return result


def versions() -> dict[str, str]:
    """The versions of bpframe and of what decides a run's numbers."""
    packages = ("bpframe", "hydra-core", "jax", "jaxlib", "numpy", "optax", "pluggy")
    found = {package: importlib.metadata.version(package) for package in packages}
    return {**found, "python": platform.python_version()}
