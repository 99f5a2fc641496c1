"""One run: load the data, compile once, train epoch by epoch, record, write the run folder."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.component import check_fields
from bpframe.data import Data
from bpframe.errors import DivergenceError
from bpframe.runs.bookkeeping import Ending, Recorder, Report, epoch_record
from bpframe.runs.folder import RunFolder
from bpframe.runs.provenance import versions
from bpframe.runs.records import EpochRecord, Events, NoEvents, RunInfo, RunResult
from bpframe.training import devices, divergence
from bpframe.training.epoch import Epoch
from bpframe.training.experiment import Experiment
from bpframe.training.loading import load
from bpframe.training.orders import epoch_orders
from bpframe.training.precision import precision
from bpframe.training.programs import Programs


def run(
    experiment: Experiment,
    output_dir: str | Path | None = None,
    *,
    data: Data | None = None,
    report: Report | None = None,
    events: Events | None = None,
    plots: bool = True,
) -> RunResult:
    """Train, and evaluate on the test set at the end.

    Args:
        experiment: what to run, as `bpframe.compose` assembles it.
        output_dir: the run folder to write; nothing is written without one.
        data: the data, if they were loaded already with `load`.
        report: called with the record of each epoch.
        events: who is told what happens.
        plots: whether to draw the learning curves.

    Raises:
        BpframeError: see `bpframe.run`.

    """
    check_fields(experiment, "")
    device = devices.on_device(experiment.training.device)
    data = load(experiment) if data is None else data
    folder = RunFolder(Path(output_dir)) if output_dir is not None else None
    with precision(experiment.training.dtype), device:
        try:
            programs = Programs(experiment, data)
        except BaseException:
            if folder:
                folder.release()
            raise
        info = RunInfo(experiment, folder.path if folder else None, programs.n_train)
        recorder = Recorder(
            info,
            folder,
            events or NoEvents(),
            versions=versions(experiment),  # now: a plugin's file may change meanwhile
            report=report,
            plots=plots,
        )
        return _Run(programs, recorder).train()


class _Run:
    """The epoch loop of one run."""

    def __init__(self, programs: Programs, recorder: Recorder) -> None:
        self.programs = programs
        self.experiment = programs.experiment
        self.recorder = recorder
        self.state = programs.initial
        self.sizes = {split: examples.x.shape[0] for split, examples in programs.sets.items()}

    def train(self) -> RunResult:
        try:
            self.recorder.started()
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
        training, epoch = self.experiment.training, 0
        if training.evaluate_start:
            record, _ = self._epochs_to(0, range(0))
            if reason := self.recorder.add(record, stop=False):
                return reason
        while epoch < training.epochs:
            first, epoch = epoch + 1, training.next_evaluated(epoch)
            record, stop = self._epochs_to(epoch, range(first, epoch + 1))
            if reason := self.recorder.add(record, stop=stop):
                return reason
        return None

    def _epochs_to(self, epoch: int, epochs: range) -> tuple[EpochRecord, bool]:
        """Train `epochs`, evaluate the last, `epoch`; its record, and whether the rule stops it.

        Without epochs to train, this is epoch 0: what there is before training.
        """
        started = time.perf_counter()
        orders = epoch_orders(self.experiment, epochs, self.programs.n_train)
        state, train, finite, columns = self._trained(orders)
        validation = self.programs.evaluate("validation", state.params)
        columns = OrderedDict(columns, **self.programs.measure(state))
        stop: Any = False
        if epochs:
            state, stop = self.programs.after_epoch(state, train, validation)
        train, validation, finite, columns, stop = jax.device_get(
            (train, validation, finite, columns, stop)
        )
        if not (finite and np.isfinite(train.cost) and np.isfinite(validation.cost)):
            self._diverged(dict(zip(epochs, orders, strict=True)))
        self.state = state
        seconds = time.perf_counter() - started
        record = epoch_record(epoch, train, validation, columns, sizes=self.sizes, seconds=seconds)
        return record, bool(stop)

    def _trained(self, orders: np.ndarray) -> Epoch:
        if len(orders) == 0:
            train = self.programs.evaluate("train", self.state.params)
            return Epoch(self.state, train, jnp.ones((), bool), {})
        found = self.programs.train(self.state, orders)
        if self.experiment.training.evaluate_train:
            train = self.programs.evaluate("train", found.state.params)
            return found._replace(totals=train)
        return found

    def _diverged(self, orders: Mapping[int, np.ndarray]) -> None:
        train = self.programs.sets["train"]
        found = divergence.locate(self.experiment, self.state, train, orders)
        self.state = self.state._replace(params=found.params)
        raise found.error

    def _finish(
        self, status: str, *, error: str | None = None, stopped: str | None = None
    ) -> RunResult:
        params = self.state.params
        test = None
        if status == "completed":
            test = jax.device_get(self.programs.evaluate("test", params))
        return self.recorder.finish(
            Ending(status, jax.device_get(params), error, stopped, test),
            n_test=self.sizes["test"],
            compile_s=self.programs.seconds,
            device=str(self.programs.sets["train"].x.device),
        )
