"""One run: load the data, compile once, train epoch by epoch, record, write the run folder."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import jax

from bpframe.component import check_fields
from bpframe.data import Data
from bpframe.runs.bookkeeping import Ending, OnEpoch, Recorder
from bpframe.runs.folder import RunFolder
from bpframe.runs.interruption import Interruption, InterruptionError
from bpframe.runs.listeners import Events, NoEvents
from bpframe.runs.provenance import versions
from bpframe.runs.records import RunInfo, RunResult
from bpframe.training import devices
from bpframe.training.experiment import Experiment
from bpframe.training.loading import check, fitting, load
from bpframe.training.orders import epoch_orders
from bpframe.training.precision import precision
from bpframe.training.programs import Programs


def run(
    experiment: Experiment,
    output_dir: str | Path | None = None,
    *,
    data: Data | None = None,
    on_epoch: OnEpoch | None = None,
    events: Events | None = None,
    plots: bool = True,
) -> RunResult:
    """Train, and evaluate on the test set at the end.

    Args:
        experiment: what to run, as `bpframe.compose` assembles it.
        output_dir: the run folder to write; nothing is written without one.
        data: the data to use instead of loading the experiment's; they are checked like those.
        on_epoch: called with the record of each epoch.
        events: who is told what happens.
        plots: whether to draw the learning curves.

    Raises:
        BpframeError: see `bpframe.run`.

    """
    check_fields(experiment, "")
    device = devices.on_device(experiment.training.device)
    if data is None:
        data = load(experiment)
    else:
        data = fitting(experiment.data, data)
        check(experiment, data)
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
            on_epoch=on_epoch,
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

    def train(self) -> RunResult:
        try:
            with Interruption() as signals:
                self.recorder.started()
                ending = self._epochs(signals)
        except KeyboardInterrupt:
            self._finish(Ending("interrupted", error="interrupted by ctrl-C"))
            raise
        except InterruptionError as error:
            self._finish(Ending("interrupted", error=str(error)))
            # Neither is an Exception, with which Hydra would go on to the next job.
            if error.number == signal.SIGINT:
                raise KeyboardInterrupt from error
            raise SystemExit(error.status) from error
        except Exception as error:
            self._finish(Ending("failed", error=f"{type(error).__name__}: {error}"))
            raise
        result = self._finish(ending)
        if ending.cause:
            raise ending.cause
        return result

    def _epochs(self, signals: Interruption) -> Ending:
        """Train until the run ends."""
        training, epoch = self.experiment.training, 0
        ending = self._turn(range(0)) if training.evaluate_start else None
        while ending is None:
            signals.check()
            first, epoch = epoch + 1, training.next_evaluated(epoch)
            ending = self._turn(range(first, epoch + 1))
        return ending

    def _turn(self, epochs: range) -> Ending | None:
        """Train these epochs, or none, and note what came of them."""
        started = time.perf_counter()
        before = self.state
        orders = epoch_orders(self.experiment, epochs, self.programs.n_train)
        state, outcome = self.programs.turn(before, orders)
        outcome = jax.device_get(outcome)
        if outcome.finite:
            self.state = state
        seconds = time.perf_counter() - started
        sets = self.programs.sets
        return self.recorder.take(epochs, outcome, seconds, sets=sets, before=lambda: before)

    def _finish(self, ending: Ending) -> RunResult:
        params = ending.params or jax.device_get(self.state.params)
        sets, test = self.programs.sets, None
        if ending.status == "completed":
            test = jax.device_get(self.programs.test(params))
        return self.recorder.finish(
            ending._replace(params=params, test=test),
            n_test=sets["test"].x.shape[0],
            compile_s=self.programs.seconds,
            device=str(sets["train"].x.device),
        )
