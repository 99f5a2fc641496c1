"""What runs in a worker: units of a sweep, trained one after another for a driver elsewhere.

Only light modules are imported at the top, for JAX must be told of its devices before it starts.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from bpframe.errors import BpframeError, OutputError, PluginWarning, described
from bpframe.sweeps.rows import Row

if TYPE_CHECKING:
    from bpframe.sweeps.lanes.group import Group
    from bpframe.sweeps.plan import Unit

from bpframe.sweeps.backends.messages import (
    EPOCH,
    FAILED,
    OUTCOME,
    SETTINGS,
    TOO_LARGE,
    UNIT,
    UNWRITABLE,
    WRITTEN,
    UnitResult,
    WorkerSettings,
)


class Worker:
    """Trains units; the data and the last group's compiled programs are kept between them.

    Raises:
        ConfigError: the driver's plugins are not here.
        OSError: the driver's working directory is not here.

    """

    def __init__(self, settings: WorkerSettings) -> None:
        os.chdir(settings.folder)
        os.environ.update(settings.environment)
        if settings.platform == "cpu":
            os.environ["JAX_PLATFORMS"] = "cpu"
        import jax

        from bpframe.plugin_host.events import events_of
        from bpframe.plugin_host.host import load_registry
        from bpframe.sweeps.lanes.data import DataCache
        from bpframe.training import compilation

        jax.config.update("jax_num_cpu_devices", settings.devices)
        compilation.use_cache()
        # Before a unit is unpickled: the classes of plugin files are in modules that this makes.
        registry = load_registry(paths=settings.paths, prefer=settings.prefer)
        self._events = events_of(registry)
        self._settings = settings
        self._data = DataCache()
        self._group: tuple[Any, Group] | None = None

    def train(
        self, pickled: bytes, check: Callable[[], None], progress: Callable[[int, int], None]
    ) -> UnitResult:
        """Train a unit and write its run folders; see `Group.train` for `check` and `progress`."""
        from bpframe.runs.interruption import InterruptionError
        from bpframe.sweeps.hydra.logs import levels_of
        from bpframe.sweeps.lanes.group import OutOfMemoryError

        rows: list[Row] = []
        hashes: tuple[str, ...] = ()
        kind, message = WRITTEN, ""
        with _plugin_warnings() as warned, levels_of(self._settings.logging):
            try:
                unit: Unit = pickle.loads(pickled)
                hashes = tuple(job.hash for job in unit.jobs)
                self._group_of(unit).train(
                    unit.jobs,
                    unit.chunk.layout,
                    self._events,
                    wanted=unit.wanted,
                    done=rows.extend,
                    check=check,
                    progress=progress,
                )
            except InterruptionError:
                pass  # and what is done is written
            except OutOfMemoryError as error:
                kind, message = TOO_LARGE, str(error)
            except OutputError as error:
                kind, message = UNWRITABLE, str(error)
            except BpframeError as error:
                kind, message = FAILED, str(error)
            except Exception as error:
                kind, message = FAILED, described(error)
        return UnitResult(kind, tuple(rows), message, tuple(warned), hashes)

    def _group_of(self, unit: Unit) -> Group:
        import jax

        from bpframe.sweeps.lanes.group import Group

        experiment = unit.jobs[0].experiment
        key = (jax.tree.structure(experiment), experiment.data)
        if self._group is None or self._group[0] != key:
            before, self._group = self._group, None
            group = Group(experiment, self._data)
            if before is not None:
                before[1].release()  # not before its data are known to be needed again
            self._check(group, unit)
            self._group = (key, group)
        return self._group[1]

    def _check(self, group: Group, unit: Unit) -> None:
        there, planned = len(group.devices), unit.chunk.layout.devices
        platform = group.devices[0].platform
        expected = "cpu" if group.experiment.training.device == "cpu" else self._settings.platform
        if platform != expected or there < planned:
            raise BpframeError(
                f"training.device: the worker on {socket.gethostname()} has {there} {platform} "
                f"devices, and {planned} of {expected} were planned; see hydra.launcher.backend"
            )


class _Driver:
    """The driver of a sweep, as a worker process sees it; without it the process ends at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stop: tuple[str, int] | None = None
        self.settings = SimpleQueue[WorkerSettings]()
        self.units = SimpleQueue[bytes]()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, *message: Any) -> None:
        """Tell the driver."""
        self._connection.send(message)

    def check(self) -> None:
        """Raise InterruptionError if the driver has said so."""
        from bpframe.runs.interruption import InterruptionError

        if self._stop:
            raise InterruptionError(*self._stop)

    def _listen(self) -> None:
        try:
            while True:
                kind, content = self._connection.recv()
                if kind == SETTINGS:
                    self.settings.put(content)
                elif kind == UNIT:
                    self._stop = None
                    self.units.put(content)
                else:
                    self._stop = content
        finally:
            # Nothing may be written any more: the sweep may be resumed already.
            os._exit(0)


def main() -> None:
    """Train units for the driver at the other end of the socket with the number argv[1].

    With argv[2] it is done on that core of the CPU alone, as all thread pools are then made for
    one. ctrl-C reaches all processes of a terminal, but it is the driver that ends a sweep.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    end, *core = map(int, sys.argv[1:])
    if core and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, core)
    driver = _Driver(Connection(end))
    try:
        worker = Worker(driver.settings.get())
    except Exception as error:
        while driver.units.get():
            driver.send(OUTCOME, UnitResult(FAILED, message=described(error)))
    else:
        while True:
            unit = driver.units.get()
            outcome = worker.train(
                unit, driver.check, lambda jobs, epoch: driver.send(EPOCH, (jobs, epoch))
            )
            driver.send(OUTCOME, outcome)


@contextmanager
def _plugin_warnings() -> Iterator[list[str]]:
    """The texts of all warnings of plugins meanwhile; the others are shown as ever."""
    texts: list[str] = []

    def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            texts.append(str(message))
        else:
            others(message, category, *place, **more)

    with warnings.catch_warnings():
        others = warnings.showwarning
        warnings.simplefilter("always", PluginWarning)
        warnings.showwarning = show
        yield texts
