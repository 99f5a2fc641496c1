"""One run: load the data, compile once, train epoch by epoch, record, write the run folder."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bpframe import divergence, training
from bpframe.component import check_fields
from bpframe.data import Data
from bpframe.errors import ConfigError, DataError, DivergenceError
from bpframe.experiment import Experiment
from bpframe.folder import CURVES, RunFolder
from bpframe.plots import learning_curves
from bpframe.precision import precision
from bpframe.programs import Programs
from bpframe.provenance import versions
from bpframe.records import (
    EpochRecord,
    Events,
    History,
    NoEvents,
    RunInfo,
    RunResult,
    Summary,
    Timing,
)

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
    events: Events | None = None,
) -> RunResult:
    """Train, and evaluate on the test set at the end.

    Args:
        experiment: what to run, as `bpframe.compose` assembles it.
        output_dir: the run folder to write; nothing is written without one.
        data: the data, if they were loaded already with `load`.
        report: called with the record of each epoch.
        events: who is told what happens.

    Raises:
        BpframeError: see `bpframe.run`.

    """
    check_fields(experiment, "")
    device = training.on_device(experiment.training.device)
    data = load(experiment) if data is None else data
    folder = RunFolder(Path(output_dir)) if output_dir is not None else None
    with precision(experiment.training.dtype), device:
        try:
            programs = Programs(experiment, data)
        except BaseException:
            if folder:
                folder.release()
            raise
        return _Run(programs, folder, report, events or NoEvents()).train()


class _Run:
    """The epoch loop of one run and what it has recorded so far."""

    def __init__(
        self, programs: Programs, folder: RunFolder | None, report: Report | None, events: Events
    ) -> None:
        self.programs = programs
        self.experiment = programs.experiment
        self.folder = folder
        self.report = report
        self.events = events
        self.info = RunInfo(self.experiment, folder.path if folder else None, programs.n_train)
        self.versions = versions(self.experiment)  # now: a plugin's file may change meanwhile
        self.records: list[EpochRecord] = []
        self.state = programs.initial

    def train(self) -> RunResult:
        try:
            self.events.run_started(self.info)
            stopped = self._epochs()
        except KeyboardInterrupt:
            self._finish("interrupted", error="interrupted by the user")
            raise
        except DivergenceError as error:
            self._finish("diverged", error=str(error))
            raise
        except Exception as error:
            self._finish("failed", error=f"{type(error).__name__}: {error}")
            raise
        return self._finish("completed", stopped=stopped)

    def _epochs(self) -> str | None:
        """Train epoch by epoch; the reason if training stops before the last one."""
        epochs = self.experiment.training.epochs
        for epoch in range(1, epochs + 1):
            record, stop = self._epoch(epoch)
            self.records.append(record)
            if self.folder:
                self.folder.add(record)
            if self.report:
                self.report(record)
            self.events.epoch_finished(self.info, record)
            reason = f"by stopping rule {self.experiment.stopping}" if stop else None
            reason = reason or self.events.should_stop(self.info, record)
            if reason and epoch < epochs:
                return reason
        return None

    def _epoch(self, epoch: int) -> tuple[EpochRecord, bool]:
        started = time.perf_counter()
        n_train = self.programs.n_train
        order = np.random.default_rng([self.experiment.seed, epoch]).permutation(n_train)
        order = order.astype(np.int32)
        state, train, finite, columns = self.programs.epoch(self.state, order)
        if self.experiment.training.evaluate_train:
            train = self.programs.evaluate("train", state.params)
        validation = self.programs.evaluate("validation", state.params)
        columns = OrderedDict(columns, **self.programs.measure(state))
        state, stop = self.programs.after_epoch(state, train, validation)
        train, validation, finite, columns, stop = jax.device_get(
            (train, validation, finite, columns, stop)
        )
        if not (finite and np.isfinite(train.cost) and np.isfinite(validation.cost)):
            self._diverged(epoch, order)
        self.state = state
        record = EpochRecord(
            epoch=epoch,
            train_cost=float(train.cost),
            validation_cost=float(validation.cost),
            train_accuracy=int(train.correct) / n_train,
            validation_accuracy=int(validation.correct) / self._size("validation"),
            seconds=time.perf_counter() - started,
            metrics={name: _plain(column) for name, column in columns.items()},
        )
        return record, bool(stop)

    def _size(self, split: str) -> int:
        return self.programs.sets[split].x.shape[0]

    def _diverged(self, epoch: int, order: np.ndarray) -> None:
        train = self.programs.sets["train"]
        found = divergence.locate(self.experiment, self.state, train, order)
        self.state = self.state._replace(params=found.params)
        batch = f", mini-batch {found.step}" if found.step else ""
        raise DivergenceError(
            f"training diverged in epoch {epoch}{batch}: {found.quantity} is not finite "
            f"in layer {found.layer}; try a smaller optimiser.eta, or training.dtype=float64",
            epoch=epoch,
            layer=found.layer,
        )

    def _finish(
        self, status: str, *, error: str | None = None, stopped: str | None = None
    ) -> RunResult:
        history, params = History.of(self.records), self.state.params
        test = None
        if status == "completed":
            test = jax.device_get(self.programs.evaluate("test", params))
        best = int(np.argmax(history.validation_accuracy)) if self.records else None
        summary = Summary(
            status=status,
            epochs=len(self.records),
            test_accuracy=int(test.correct) / self._size("test") if test else None,
            test_cost=float(test.cost) if test and math.isfinite(test.cost) else None,
            best_validation_accuracy=(
                None if best is None else float(history.validation_accuracy[best])
            ),
            best_epoch=None if best is None else int(history.epoch[best]),
            metrics=self.records[-1].metrics if self.records else {},
            stopped=stopped,
            error=error,
            timing=Timing(self.programs.seconds, history.seconds.tolist()),
            seed=self.experiment.seed,
            sizes=self.experiment.network.sizes,
            device=str(self.programs.sets["train"].x.device),
            versions=self.versions,
        )
        result = RunResult(history, jax.device_get(params), summary)
        if self.folder:
            if self.records:
                self.folder.write(CURVES, learning_curves(history))
            self.folder.finish(result)
        self.events.run_finished(self.info, result)
        return result


def _plain(column: np.ndarray) -> Any:
    """An array as a number or nested lists; None for what is not finite, as JSON has no NaN."""
    value = column.tolist()
    if np.isfinite(column).all():
        return value

    def finite(value: Any) -> Any:
        if isinstance(value, list):
            return [finite(part) for part in value]
        return value if math.isfinite(value) else None

    return finite(value)
