"""Training the jobs of a group, chunk by chunk, in this process."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager

import jax

from bpframe.errors import BpframeError
from bpframe.runs.data_info import data_checksum
from bpframe.runs.interruption import InterruptionError
from bpframe.runs.listeners import EventsOf
from bpframe.runs.provenance import origin, plugin_code, versions
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.lanes.chunk import Chunk, Progress
from bpframe.sweeps.lanes.data import DataCache, LaneData
from bpframe.sweeps.lanes.partition import devices_of
from bpframe.sweeps.lanes.programs import LanePrograms, Layout
from bpframe.sweeps.rows import FAILED, INTERRUPTED, Row
from bpframe.training import probes
from bpframe.training.advice import hints
from bpframe.training.experiment import Experiment
from bpframe.training.precision import precision

Done = Callable[[Sequence[Row]], None]


class OutOfMemoryError(Exception):
    """A chunk does not fit the memory; the message is that of the device."""


class Group:
    """The programs of jobs that share their structure and data.

    Raises:
        ConfigError: `training.device` is not there, or the experiment does not fit its data.
        DataError: the data cannot be loaded.

    """

    def __init__(self, experiment: Experiment, cache: DataCache) -> None:
        self.experiment = experiment
        self.devices = devices_of(experiment)
        self._cache = cache
        self._is_released = False
        data = cache.acquire(experiment)
        self.has_accuracy = data.task.has_accuracy
        self.hints = tuple(hints(experiment, data))
        self.row_bytes = probes.row_bytes(experiment, data)
        self.sizes = {split: len(examples) for split, examples in data._asdict().items()}
        self._programs: dict[Layout, LanePrograms] = {}

    def trace(self, layout: Layout) -> LanePrograms:
        """Trace the programs of a chunk, which finds what cannot be run."""
        if layout not in self._programs:
            with precision(self.experiment.training.dtype):
                data = LaneData(self.experiment, self._cache, self.devices[: layout.devices])
                self._programs[layout] = LanePrograms(self.experiment, data, layout)
        return self._programs[layout]

    def origin(self) -> dict[str, str]:
        """What the numbers of the group come from besides its configuration."""
        data, plugins = self._cache.data(self.experiment), plugin_code(self.experiment)
        return origin(self.experiment, data_checksum(data), plugins)

    def release(self) -> None:
        """The group is done, or is trained elsewhere: forget its programs and its data."""
        self._programs.clear()
        if not self._is_released:
            self._is_released = True
            self._cache.release(self.experiment)

    def train(
        self,
        jobs: Sequence[Job],
        layout: Layout,
        events: EventsOf,
        *,
        wanted: Container[int],
        done: Done,
        check: Callable[[], None],
        progress: Progress,
    ) -> None:
        """Train jobs together, write the run folders of those wanted, and tell `done` of them.

        Raises:
            InterruptionError: `check` raised it; the jobs are written as they are.
            OutOfMemoryError: they do not fit together.
            OutputError: the disk is full.

        """
        with self.computing():
            chunk = self.chunk(jobs, layout, events, wanted)
            with writing_what_is_done([chunk], done):
                chunk.start()
                chunk.advance(self.experiment.training.epochs, check, progress)

    def chunk(
        self,
        jobs: Sequence[Job],
        layout: Layout,
        events: EventsOf,
        wanted: Container[int],
    ) -> Chunk:
        """A chunk, not yet started."""
        return Chunk(jobs, self.trace(layout), events, versions(self.experiment), wanted)

    def compiled(self, layout: Layout) -> LanePrograms:
        """The programs of a chunk."""
        programs = self.trace(layout)
        programs.compile()
        return programs

    @contextmanager
    def computing(self) -> Iterator[None]:
        """The context for all that is computed; memory that runs out is an OutOfMemoryError."""
        with precision(self.experiment.training.dtype):
            try:
                yield
            except Exception as error:
                if _is_out_of_memory(error):
                    raise OutOfMemoryError(str(error)) from error
                raise


@contextmanager
def writing_what_is_done(chunks: Sequence[Chunk], done: Done) -> Iterator[None]:
    """Write the jobs of some chunks at the end of the block, however it ends.

    Raises:
        InterruptionError: as it came, with the jobs written as they are.
        OutputError: likewise, but nothing more is written.

    """
    status, message = FAILED, ""
    try:
        yield
    except (InterruptionError, KeyboardInterrupt) as error:
        status, message = INTERRUPTED, str(error) or "interrupted by ctrl-C"
        raise
    except SystemExit:
        chunks = ()  # a cluster takes the process away, and starts it again
        raise
    except Exception as error:
        if isinstance(error, BpframeError | OutOfMemoryError) or _is_out_of_memory(error):
            chunks = ()
            raise
        message = f"{type(error).__name__}: {error}"
    finally:
        for chunk in chunks:
            chunk.end(status, message)
            if rows := chunk.finish():
                done(rows)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, jax.errors.JaxRuntimeError):
        return "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)
    return isinstance(error, MemoryError)
