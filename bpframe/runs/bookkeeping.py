"""What one run has recorded so far, its folder, and who is told of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from bpframe.contracts import Params
from bpframe.runs.curves import learning_curves
from bpframe.runs.folder import CURVES, RunFolder
from bpframe.runs.records import EpochRecord, Events, History, RunInfo, RunResult, Summary, Timing
from bpframe.training.metric_folds import Totals

Report = Callable[[EpochRecord], None]


class Ending(NamedTuple):
    """How a run ended: `status`, `error` and `stopped` as in Summary; `test` if completed."""

    status: str
    params: tuple[Params, ...]
    error: str | None = None
    stopped: str | None = None
    test: Totals | None = None


class Recorder:
    """The records of one run, on their way to its folder and to the plugins."""

    def __init__(
        self,
        info: RunInfo,
        folder: RunFolder | None,
        events: Events,
        *,
        versions: dict[str, str],
        report: Report | None = None,
        plots: bool = True,
    ) -> None:
        self.info = info
        self.folder = folder
        self.records: list[EpochRecord] = []
        self._events = events
        self._report = report
        self._plots = plots
        self._versions = versions

    def started(self) -> None:
        """Training begins."""
        self._events.run_started(self.info)

    def add(self, record: EpochRecord, *, stop: bool) -> str | None:
        """Note an epoch; the reason to end training here, if the rule or a plugin has one."""
        self.records.append(record)
        if self.folder:
            self.folder.add(record)
        if self._report:
            self._report(record)
        self._events.epoch_finished(self.info, record)
        experiment = self.info.experiment
        reason = f"by stopping rule {experiment.stopping}" if stop else None
        reason = reason or self._events.should_stop(self.info, record)
        return reason if record.epoch < experiment.training.epochs else None

    def finish(self, ending: Ending, *, n_test: int, compile_s: float, device: str) -> RunResult:
        """Write how the run ended, summary last, and tell the plugins."""
        history, test = History.of(self.records), ending.test
        best = int(np.argmax(history.validation_accuracy)) if self.records else None
        experiment = self.info.experiment
        summary = Summary(
            status=ending.status,
            epochs=self.records[-1].epoch if self.records else 0,
            test_accuracy=int(test.correct) / n_test if test else None,
            test_cost=float(test.cost) if test and math.isfinite(test.cost) else None,
            best_validation_accuracy=(
                None if best is None else float(history.validation_accuracy[best])
            ),
            best_epoch=None if best is None else int(history.epoch[best]),
            metrics=self.records[-1].metrics if self.records else {},
            stopped=ending.stopped,
            error=ending.error,
            timing=Timing(compile_s, history.seconds.tolist()),
            seed=experiment.seed,
            sizes=experiment.network.sizes,
            device=device,
            versions=self._versions,
        )
        result = RunResult(history, ending.params, summary)
        if self.folder:
            if self.records and self._plots:
                self.folder.write(CURVES, learning_curves(history))
            self.folder.finish(result)
        self._events.run_finished(self.info, result)
        return result


def epoch_record(
    epoch: int,
    train: Totals,
    validation: Totals,
    columns: Mapping[str, Any],
    *,
    sizes: Mapping[str, int],
    seconds: float,
) -> EpochRecord:
    """The record of an epoch from host values; `sizes` are the examples in each split."""
    return EpochRecord(
        epoch=epoch,
        train_cost=float(train.cost),
        validation_cost=float(validation.cost),
        train_accuracy=int(train.correct) / sizes["train"],
        validation_accuracy=int(validation.correct) / sizes["validation"],
        seconds=seconds,
        metrics={name: _plain(column) for name, column in columns.items()},
    )


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
