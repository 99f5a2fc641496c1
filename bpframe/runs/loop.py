"""One run: load the data, compile once, train epoch by epoch, record, write the run folder."""

from __future__ import annotations

import functools
import signal
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax

from bpframe.component import check_fields
from bpframe.data import Data
from bpframe.errors import (
    HostError,
    OutputError,
    OutputWarning,
    PluginError,
    described,
)
from bpframe.runs import checkpoint, provenance, resumption
from bpframe.runs.bookkeeping import Bookkeeper, Ending, OnEpoch
from bpframe.runs.checkpoint import DEFAULT, Checkpoint, Checkpointing, Checkpoints
from bpframe.runs.data_info import DataInfo
from bpframe.runs.folder import RunFolder
from bpframe.runs.interruption import Interruption, InterruptionError, interrupted
from bpframe.runs.listeners import Events, NoEvents
from bpframe.runs.provenance import versions
from bpframe.runs.records import RunInfo, RunResult
from bpframe.training import hosts, parallel
from bpframe.training.experiment import Experiment
from bpframe.training.loading import check, fitting, load
from bpframe.training.precision import precision
from bpframe.training.programs import Programs
from bpframe.training.step import State, answering
from bpframe.training.streamed_programs import StreamedPrograms, programs_for

NOTHING: Mapping[str, str] = MappingProxyType({})


def run(
    experiment: Experiment,
    output_dir: str | Path | RunFolder | None = None,
    *,
    data: Data | None = None,
    on_epoch: OnEpoch | None = None,
    events: Events | None = None,
    plots: bool = True,
    checkpointing: Checkpointing = DEFAULT,
    config: Mapping[str, str] = NOTHING,
) -> RunResult:
    """Train, and evaluate on the test set at the end.

    Args:
        experiment: what to run, as `bpframe.compose` assembles it.
        output_dir: the run folder to write, or one that was taken before; nothing is written
            without one.
        data: the data to use instead of loading the experiment's; they are checked like those.
        on_epoch: called with the record of each epoch.
        events: who is told what happens.
        plots: whether to draw the learning curves.
        checkpointing: when checkpoints are written into the run folder.
        config: what to write into .hydra, by name, where Hydra has not.

    Raises:
        BpframeError: see `bpframe.run`.

    """
    found = _checked(experiment, data, checkpointing)
    if not hosts.is_first():
        output_dir = None
    with hosts.refusing():
        folder = RunFolder(Path(output_dir)) if isinstance(output_dir, str | Path) else output_dir
    told = _Told(on_epoch, events or NoEvents(), plots)
    return _trained(experiment, found, folder, told, checkpointing, config=config)


def resume(
    experiment: Experiment,
    output_dir: str | Path,
    *,
    data: Data | None = None,
    on_epoch: OnEpoch | None = None,
    events: Events | None = None,
    plots: bool = True,
    checkpointing: Checkpointing = DEFAULT,
    accept_changes: bool = False,
    config: Mapping[str, str] = NOTHING,
) -> RunResult:
    """Go on with a run from its last checkpoint, or from its start if it has none; see `run`.

    With `accept_changes` code and data may be others than when the checkpoint was written. Of
    `config` files of .hydra are written again, once nothing refuses the run.

    Raises:
        BpframeError: see `bpframe.run`.
        OutputError: there is no run, it is complete or still running, or its checkpoint is damaged,
            that of another experiment, or of other code or data.

    """
    found, path = _checked(experiment, data, checkpointing), Path(output_dir)
    start = resumption.start(experiment, found, path, accept_changes=accept_changes)
    steps = start.epoch * experiment.training.steps(len(found.train)) if start else -1
    records = start.records if start else ()
    with hosts.refusing():
        folder = RunFolder.reopened(path, records, steps) if hosts.is_first() else None
    told = _Told(on_epoch, events or NoEvents(), plots)
    return _trained(experiment, found, folder, told, checkpointing, start, config)


class _Told(NamedTuple):
    """Who is told of a run, and whether it is drawn."""

    on_epoch: OnEpoch | None
    events: Events
    plots: bool


def _checked(experiment: Experiment, data: Data | None, checkpointing: Checkpointing) -> Data:
    """The data of a run, with everything checked that can be before its folder is made."""
    check_fields(experiment, "")
    checkpointing.check()
    hosts.join(experiment.training)
    if data is None:
        return load(experiment)
    data = fitting(experiment.data, data)
    check(experiment, data)
    return data


def _trained(
    experiment: Experiment,
    data: Data,
    folder: RunFolder | None,
    told: _Told,
    checkpointing: Checkpointing,
    start: Checkpoint | None = None,
    config: Mapping[str, str] = NOTHING,
) -> RunResult:
    with precision(experiment.training.dtype), parallel.on_devices(experiment.training):
        try:
            data_info = DataInfo.of(data)
            plugins = provenance.plugin_code(experiment)  # now: a file may change meanwhile
            if hosts.count() > 1:
                now = provenance.origin(experiment, data_info.checksum, plugins)
                hosts.agree(repr((experiment, now, start.epoch if start else 0)))
            programs = programs_for(experiment, data)
            state = start.state_like(programs.initial) if start else programs.initial
        except BaseException:
            if folder:
                folder.release()
            raise
        if folder:
            folder.begin(config)
        epoch = start.epoch if start else 0
        path = folder.path if folder else None
        goes_on = folder is not None and folder.has_begun
        info = RunInfo(
            *(experiment, path, programs.n_train, data.task),
            data=data_info,
            earlier=(start.records if start else ()) if goes_on else None,
        )
        bookkeeper = Bookkeeper(
            info,
            folder,
            told.events,
            versions=versions(experiment),  # now: a plugin's file may change meanwhile
            on_epoch=told.on_epoch,
            plots=told.plots,
            records=start.records if start else (),
            changed=start.changed if start else None,
            epoch=epoch,
        )
        checkpoints = Checkpoints(folder.path, checkpointing, epoch) if folder else None
        origin = functools.cache(  # for the first checkpoint, since it takes a while
            lambda: (
                start.origin
                if start
                else provenance.origin(experiment, data_info.checksum, plugins)
            )
        )
        try:
            return _Run(programs, bookkeeper, checkpoints, state, epoch, origin).train()
        finally:
            if folder:
                folder.release()


class _Run:
    """The epoch loop of one run, from a state after an epoch."""

    def __init__(
        self,
        programs: Programs | StreamedPrograms,
        bookkeeper: Bookkeeper,
        checkpoints: Checkpoints | None,
        state: State,
        epoch: int,
        origin: Callable[[], Mapping[str, str]],
    ) -> None:
        self.programs = programs
        self.experiment = programs.experiment
        self.bookkeeper = bookkeeper
        self.checkpoints = checkpoints
        self.state = state
        self.epoch = epoch
        self.origin = origin
        self.has_warned = False

    def train(self) -> RunResult:
        try:
            with Interruption() as signals:
                self.bookkeeper.started()
                ending = self._epochs(signals)
        except KeyboardInterrupt:
            self._finish(Ending("interrupted", error="interrupted by ctrl-C"))
            raise
        except InterruptionError as error:
            self._checkpoint()
            self._finish(Ending("interrupted", error=str(error)))
            # Neither is an Exception, with which Hydra would go on to the next job.
            if error.number == signal.SIGINT:
                raise KeyboardInterrupt from error
            raise SystemExit(error.status) from error
        except HostError as error:
            self._checkpoint()
            self._finish(Ending("interrupted", error=str(error)))
            raise HostError(
                f"{error}; ended after epoch {self.epoch}{self._how_to_go_on()}"
            ) from error
        except OutputError:  # of the disk itself, with which no file will fare better
            raise
        except (Exception, SystemExit, GeneratorExit) as error:  # a component may raise any
            self._finish(Ending("failed", error=f"{type(error).__name__}: {error}"))
            if isinstance(error, Exception):
                raise
            raise PluginError(f"the run has failed: {described(error)}") from error
        result = self._finish(ending)
        if ending.cause:
            raise ending.cause
        if self.checkpoints and self.checkpoints.is_kept_at_the_end():
            self._checkpoint()
        return result

    def _epochs(self, signals: Interruption) -> Ending:
        """Train until the run ends."""
        training = self.experiment.training
        ending = None
        if training.evaluate_start and not self.bookkeeper.records:
            ending = self._turn(range(0))
        while self.epoch < training.epochs:
            ending = self._agreed(ending, signals)
            if ending:
                break
            last = min(training.next_evaluated(self.epoch), self.epoch + self.programs.most)
            ending = self._turn(range(self.epoch + 1, last + 1))
            if ending is None and self.checkpoints and self.checkpoints.is_due(self.epoch):
                self._checkpoint()
        return ending or Ending("completed")

    def _agreed(self, ending: Ending | None, signals: Interruption) -> Ending | None:
        """How the run ends here, if it does: all hosts end where one of them does."""
        if hosts.count() == 1:
            if ending is None:
                signals.check()
            return ending
        number, ends = hosts.most(signals.number or 0, ending is not None)
        if number:
            raise interrupted(number)
        return ending or (Ending("completed", stopped="by the first host") if ends else None)

    def _turn(self, epochs: range) -> Ending | None:
        """Train these epochs, or none, and note what came of them."""
        training = self.experiment.training
        evaluated = not epochs or epochs[-1] == training.next_evaluated(epochs[0] - 1)
        started = time.perf_counter()
        before = self.state
        with hosts.losing():
            state, outcome = self.programs.turn(before, epochs, evaluated=evaluated)
            outcome = jax.device_get(outcome)
        if outcome.finite:
            self.state = state
            self.epoch = epochs[-1] if epochs else self.epoch
        seconds = time.perf_counter() - started
        train, sizes = self.programs.train, self.programs.sizes
        return self.bookkeeper.take(
            epochs, outcome, seconds, train=train, sizes=sizes, before=lambda: before
        )

    def _checkpoint(self) -> None:
        """Write a checkpoint; training goes on where that fails."""
        if self.checkpoints is None or not self.epoch:
            return
        self.bookkeeper.write_arrays()
        try:
            self.checkpoints.write(
                Checkpoint(
                    epoch=self.epoch,
                    records=tuple(self.bookkeeper.records),
                    experiment=checkpoint.told(self.experiment),
                    origin=self.origin(),
                    changed=self.bookkeeper.changed,
                    state=tuple(map(checkpoint.host, jax.tree.leaves(self.state))),
                )
            )
        except OSError as error:
            if not self.has_warned:
                path, reason = self.checkpoints.folder, error.strerror or error
                text = f"{path}: no checkpoint after epoch {self.epoch}: {reason}"
                warnings.warn(text, OutputWarning, stacklevel=2)
            self.has_warned = True

    def _how_to_go_on(self) -> str:
        if self.checkpoints is None:
            return ""
        return f": bpframe resume {self.checkpoints.folder} training.hosts=N goes on with N hosts"

    def _finish(self, ending: Ending) -> RunResult:
        experiment, state = self.programs.experiment, self.state
        params = ending.params or jax.device_get(answering(experiment, state).params)
        best = jax.device_get(self.state.best.params)
        test = None
        if ending.status == "completed":
            test = jax.device_get(self.programs.test(state))
        return self.bookkeeper.finish(
            ending._replace(params=params, best_params=best, test=test),
            n_test=self.programs.sizes["test"],
            compile_s=self.programs.seconds,
            device=parallel.named(self.programs.sets["test"].x),
        )
