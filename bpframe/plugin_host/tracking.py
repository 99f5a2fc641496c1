"""Telling trackers what happens during one run, so that none of them can cost it."""

from __future__ import annotations

import dataclasses
import threading
import warnings
from collections.abc import Callable
from typing import Any

from bpframe.errors import PluginWarning, described
from bpframe.runs.listeners import Listener
from bpframe.runs.records import EpochRecord, RunInfo, RunResult
from bpframe.runs.trackers import Tracker, Tracking

Named = tuple[str, Tracker]


class Failures:
    """What the runs of one process know of each other's trackers.

    `silent` are those that have not answered in time: each run would wait as long again. `told`
    are the warnings, which the jobs of a sweep need not repeat.
    """

    def __init__(self) -> None:
        self.silent: set[Named] = set()
        self.told: set[str] = set()


class TrackerEvents:
    """Tells the trackers of one run what happens in it.

    One that raises is told nothing more of this run, and one that does not answer within its
    timeout nothing more of any.
    """

    def __init__(self, tracking: Tracking, failures: Failures) -> None:
        self._tracking = tracking
        self._failures = failures
        self._listeners: dict[Named, Listener] = {}

    def run_started(self, run: RunInfo) -> None:
        """Make the listeners of this run, and tell them that it begins."""
        if not self._tracking.trackers:
            return
        told = dataclasses.replace(
            run, settings=self._tracking.settings, sweep=self._tracking.sweep
        )
        for named in self._tracking.trackers:
            listener = self._called(named, "listener", lambda t=named[1]: t.listener(told))
            if isinstance(listener, Listener):
                self._listeners[named] = listener
            elif listener is not None:
                self._give_up(named, f"listener returned {listener!r}; expected a bpframe.Listener")
        self._tell("run_started")

    def epoch_finished(self, record: EpochRecord) -> None:
        """Tell the listeners that an epoch is over."""
        self._tell("epoch_finished", record)

    def run_finished(self, result: RunResult) -> None:
        """Tell the listeners that the run is over."""
        self._tell("run_finished", result)

    def _tell(self, event: str, *arguments: Any) -> None:
        for named, listener in list(self._listeners.items()):
            self._called(named, event, lambda one=listener: getattr(one, event)(*arguments))

    def _called(self, named: Named, what: str, call: Callable[[], Any]) -> Any:
        """What a call returns; None if it raises or takes too long."""
        if named in self._failures.silent:
            return None
        name, tracker = named
        answers: list[Any] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(call())
            except BaseException as error:  # a library may raise any
                errors.append(error)

        thread = threading.Thread(target=run, name=f"bpframe tracker {name}", daemon=True)
        thread.start()
        thread.join(tracker.timeout)
        if errors:
            self._give_up(named, f"{what} raised {described(errors[0])}")
        elif not answers:
            self._failures.silent.add(named)
            self._give_up(
                named,
                f"{what} has not ended after {tracker.timeout:g} s; its field timeout may be more",
                "from here on, in all runs of this process",
            )
        return answers[0] if answers else None

    def _give_up(self, named: Named, reason: str, when: str = "for the rest of this run") -> None:
        self._listeners.pop(named, None)
        text = f"tracker {named[0]} is off {when}: {reason}"
        if text not in self._failures.told:
            self._failures.told.add(text)
            warnings.warn(text, PluginWarning, stacklevel=2)
