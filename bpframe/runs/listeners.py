"""Who is told of a run: an object of its own for each run, and the plugins behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from bpframe.runs.records import EpochRecord, RunInfo, RunResult

if TYPE_CHECKING:
    from bpframe.runs.trackers import Tracking


class Listener:
    """Is told of one run, in order; subclass it, and override what you need.

    A plugin makes one for each run, in its hook `bpframe_listener`, so that the runs of a sweep,
    which are trained at the same time, are kept apart.
    """

    def run_started(self) -> None:
        """Training begins: the programs are compiled, and the run folder is claimed."""

    def epoch_finished(self, record: EpochRecord) -> None:
        """An epoch is over, and its line stands in metrics.jsonl."""

    def should_stop(self, record: EpochRecord) -> str | None:
        """A reason to end the run after this epoch, such as "because ..."; None to go on."""

    def run_finished(self, result: RunResult) -> None:
        """The run is over, however it ended, and its folder is written."""


class Events(Protocol):
    """What happens during one run, told to whoever listens; the event hooks say what each means."""

    @property
    def follows_epochs(self) -> bool:
        """Whether someone may read metrics.jsonl when told of an epoch."""
        ...

    def run_started(self, run: RunInfo) -> None:
        """Training begins."""

    def epoch_finished(self, run: RunInfo, record: EpochRecord) -> None:
        """An epoch is over, and its line is written."""

    def should_stop(self, run: RunInfo, record: EpochRecord) -> str | None:
        """The reason to stop after this epoch, or None."""
        ...

    def run_finished(self, run: RunInfo, result: RunResult) -> None:
        """The run is over, however it ended, and its folder is written."""


EventsOf = Callable[["Tracking"], Events]
"""Makes what is told of one run, from what follows that run besides the plugins."""


class NoEvents:
    """No one listens."""

    follows_epochs = False

    def run_started(self, run: RunInfo) -> None:
        """Nothing."""

    def epoch_finished(self, run: RunInfo, record: EpochRecord) -> None:
        """Nothing."""

    def should_stop(self, run: RunInfo, record: EpochRecord) -> str | None:
        """No reason."""

    def run_finished(self, run: RunInfo, result: RunResult) -> None:
        """Nothing."""
