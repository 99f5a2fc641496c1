"""What follows a turn of one run: its record, its files, its listeners, and whether it ends here.

A single run and a lane of a sweep go through the same code.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from bpframe.contracts import LayerParams
from bpframe.errors import DivergenceError, OutputWarning, described
from bpframe.explanation import algorithm
from bpframe.explanation.items import as_plain
from bpframe.runs.array_writer import ArrayWriter
from bpframe.runs.arrays import Recording
from bpframe.runs.curves import learning_curves, trained
from bpframe.runs.folder import RunFolder
from bpframe.runs.layout import CURVES
from bpframe.runs.listeners import Events
from bpframe.runs.records import (
    EpochRecord,
    History,
    RunInfo,
    RunResult,
    Summary,
    Timing,
    finite,
)
from bpframe.training import divergence
from bpframe.training.best import ACCURACY, COST
from bpframe.training.devices import DeviceExamples
from bpframe.training.metric_folds import Totals
from bpframe.training.orders import epoch_orders
from bpframe.training.step import State
from bpframe.training.streaming import Stream
from bpframe.training.turn import Evaluated, Trained

ALONE_BYTES, TOGETHER_BYTES = 2**24, 2**20
"""How much of what recorders keep waits to be written: of a single run, and of one of many."""

BY_RULE = "by stopping rule"
"""How the reason of a run begins that its own rule has ended."""

OnEpoch = Callable[[EpochRecord], None]
"""Called with the record of each evaluated epoch."""


class Ending(NamedTuple):
    """How a run ended: `status`, `error` and `stopped` as in Summary; `test` if completed.

    `params` and `best_params` are as in RunResult.
    """

    status: str
    params: tuple[LayerParams, ...] = ()
    best_params: tuple[LayerParams, ...] = ()
    error: str | None = None
    stopped: str | None = None
    test: Totals | None = None
    cause: DivergenceError | None = None


class Bookkeeper:
    """The records of one run, on their way to its folder and to the plugins.

    With `buffered` lines are kept until `flush`, unless someone may read the file meanwhile. With
    `explained` the summary has the algorithm. `records` are those of a run that goes on after
    `epoch`, which stand in its file already; `changed` is as in Summary.
    """

    def __init__(
        self,
        info: RunInfo,
        folder: RunFolder | None,
        events: Events,
        *,
        versions: dict[str, str],
        on_epoch: OnEpoch | None = None,
        plots: bool = True,
        explained: bool = True,
        buffered: bool = False,
        records: Sequence[EpochRecord] = (),
        changed: str | None = None,
        epoch: int = 0,
    ) -> None:
        self.info = info
        self.folder = folder
        self.records = list(records)
        self._events = events
        self._on_epoch = on_epoch
        self._plots = plots
        self._explained = explained
        self._versions = versions
        self._buffered = buffered
        self.changed = changed
        self._unwritten: list[EpochRecord] = []
        self._arrays = ArrayWriter(info.experiment, info.n_train)
        self._epoch = epoch
        self._seconds = 0.0

    def started(self) -> None:
        """Training begins."""
        self._events.run_started(self.info)

    def take(
        self,
        epochs: range,
        outcome: Evaluated | Trained,
        seconds: float,
        *,
        train: DeviceExamples | Stream,
        sizes: Mapping[str, int],
        before: Callable[[], State],
    ) -> Ending | None:
        """Note what a turn of these epochs gave; how the run ends, if it does so here.

        Of epochs that were trained alone the record follows, with that of the turn they belong to.

        Args:
            epochs: what was trained; none for epoch 0, the evaluation before training.
            outcome: what came of it, on the host.
            seconds: how long it took.
            train: the training examples.
            sizes: how many examples each split has.
            before: gives the state before the turn, in which a value that is not finite is sought.

        """
        self._arrays.add(epochs, outcome.kept)
        if self._arrays.bytes > (TOGETHER_BYTES if self._buffered else ALONE_BYTES):
            self.write_arrays()
        if not outcome.finite:
            return self._diverged(epochs, train, before())
        epoch = self._epoch = epochs[-1] if epochs else 0
        self._seconds += seconds
        if isinstance(outcome, Trained):
            return None
        record = epoch_record(epoch, outcome, sizes=sizes, seconds=self._seconds)
        self._seconds = 0.0
        stopped = self._add(record, stop=bool(outcome.stop))
        if stopped or epoch == self.info.experiment.training.epochs:
            return Ending("completed", stopped=stopped)
        return None

    def best(self) -> dict[str, Any]:
        """What has been best so far, as Summary has it; epoch 0 is before training."""
        trained = [record.as_dict() for record in self.records if record.epoch]
        has_accuracy = self.info.task.has_accuracy
        by = self.info.experiment.best.applied(has_accuracy=has_accuracy)
        accuracies = [record[ACCURACY] for record in trained if has_accuracy]
        sign = 1 if by.maximise else -1
        scores = [
            (sign * value, -record[COST], -record["epoch"])
            for record in trained
            if (value := record[by.column]) is not None
        ]
        return {
            **({"best_validation_accuracy": max(accuracies, default=None)} if has_accuracy else {}),
            "best_validation_cost": min((record[COST] for record in trained), default=None),
            "best_epoch": -max(scores)[-1] if scores else None,
        }

    def flush(self) -> None:
        """Write the lines that are kept."""
        if self.folder and self._unwritten:
            self.folder.add(*self._unwritten)
        self._unwritten.clear()

    def write_arrays(self) -> None:
        """Write what recorders kept, so that a checkpoint can follow it.

        Raises:
            OutputError: it cannot be written.

        """
        if self.folder and (part := self._arrays.taken()):
            self.folder.add_arrays(part)

    def _diverged(self, epochs: range, train: DeviceExamples | Stream, before: State) -> Ending:
        experiment = self.info.experiment
        orders = epoch_orders(experiment, epochs, self.info.n_train)
        numbered = dict(zip(epochs, orders, strict=True))
        found = divergence.locate(experiment, before, train, numbered)
        params = jax.device_get(found.params)
        return Ending("diverged", params, error=str(found.error), cause=found.error)

    def _add(self, record: EpochRecord, *, stop: bool) -> str | None:
        """Note an epoch; the reason to end training here, if the rule or a plugin has one."""
        self.records.append(record)
        self._unwritten.append(record)
        if not self._buffered or self._events.follows_epochs:
            self.flush()
        if self._on_epoch:
            self._on_epoch(record)
        self._events.epoch_finished(self.info, record)
        experiment = self.info.experiment
        reason = f"{BY_RULE} {experiment.stopping}" if stop else None
        reason = reason or self._events.should_stop(self.info, record)
        return reason if record.epoch < experiment.training.epochs else None

    def finish(self, ending: Ending, *, n_test: int, compile_s: float, device: str) -> RunResult:
        """Write how the run ended, summary last, and tell the plugins."""
        test = ending.test
        experiment = self.info.experiment
        epochs = max(self._epoch, self.records[-1].epoch if self.records else 0)
        summary = Summary(
            status=ending.status,
            epochs=epochs,
            test_accuracy=_share(test, n_test) if test else None,
            test_cost=float(test.cost) if test and math.isfinite(test.cost) else None,
            **{"best_validation_accuracy": None, **self.best()},
            metrics=self.records[-1].metrics if self.records else {},
            stopped=ending.stopped,
            error=ending.error,
            timing=Timing(compile_s, [record.seconds for record in self.records]),
            seed=experiment.seed,
            sizes=experiment.network.sizes,
            device=device,
            versions=self._versions,
            changed=self.changed,
            privacy=self._privacy(epochs),
            has_accuracy=self.info.task.has_accuracy,
            data=self.info.data,
        )
        history = History.of(self.records)
        self.flush()
        self.write_arrays()
        recording = self._recording()
        best = ending.best_params or ending.params
        result = RunResult(history, ending.params, best, summary, self.info, recording)
        if self.folder:
            self.folder.finish(result, self._algorithm() if self._explained else ())
            if self.records and self._plots:
                self._draw(self.folder, result)
        self._events.run_finished(self.info, result)
        return result

    def _recording(self) -> Recording:
        if self.folder:
            return self.folder.recording()
        part = self._arrays.taken()
        return Recording([part] if part else [])

    def _privacy(self, epochs: int) -> Mapping[str, Any] | None:
        """What may be claimed of the parameters after so many epochs."""
        if not epochs:
            return None
        n = self.info.n_train
        experiment = self.info.experiment.fitted(n)
        return experiment.aggregation.privacy(experiment.plan(n, epochs))

    def _algorithm(self) -> list[dict[str, str]]:
        """What `bpframe explain` says of the run; nothing, with a warning, where a plugin fails."""
        try:
            # The fields of data may be secrets, and a tracker may take the summary elsewhere.
            data = type(self.info.experiment.data).__name__
            return as_plain(algorithm.items(self.info.experiment, data=data))
        except Exception as error:
            text = f"the algorithm of the run cannot be explained: {described(error)}"
            warnings.warn(text, OutputWarning, stacklevel=2)
            return []

    def _draw(self, folder: RunFolder, result: RunResult) -> None:
        """Draw the learning curves; the run is written already, and does not depend on them."""
        try:
            title = trained(self.info.experiment)
            png = learning_curves(result.history, title, result.summary.best_epoch)
            folder.write(CURVES, png)
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) else None
            text = f"{folder.path / CURVES}: not drawn: {reason or described(error)}"
            warnings.warn(text, OutputWarning, stacklevel=2)


def _share(totals: Totals, n: int) -> float | None:
    """The share of right answers; None where none is right or wrong."""
    return None if totals.correct is None else int(totals.correct) / n


def epoch_record(
    epoch: int, outcome: Evaluated, *, sizes: Mapping[str, int], seconds: float
) -> EpochRecord:
    """The record of an epoch from host values; `sizes` are the examples in each split."""
    return EpochRecord(
        epoch=epoch,
        train_cost=float(outcome.train.cost),
        validation_cost=float(outcome.validation.cost),
        train_accuracy=_share(outcome.train, sizes["train"]),
        validation_accuracy=_share(outcome.validation, sizes["validation"]),
        seconds=seconds,
        metrics={
            name: finite(np.asarray(column).tolist()) for name, column in outcome.columns.items()
        },
    )
