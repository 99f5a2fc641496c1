"""Telling plugins and trackers what happens during one run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from bpframe.errors import PluginWarning, described
from bpframe.plugin_host.registry import ACTIVE, LISTENER, Plugin, Registry
from bpframe.plugin_host.tracking import Failures, TrackerEvents
from bpframe.runs.interruption import CtrlC
from bpframe.runs.listeners import Listener
from bpframe.runs.records import EpochRecord, RunInfo, RunResult
from bpframe.runs.trackers import NO_TRACKING, Tracking


def events_of(registry: Registry) -> Callable[[Tracking], PluginEvents]:
    """What makes the events of each run of this process."""
    failures = Failures()
    return lambda tracking: PluginEvents(registry, tracking, failures)


class PluginEvents:
    """Tells the plugins with event hooks, and the trackers, what happens in one run.

    A plugin that fails is told nothing more.
    """

    def __init__(
        self,
        registry: Registry,
        tracking: Tracking = NO_TRACKING,
        failures: Failures | None = None,
    ) -> None:
        self._trackers = TrackerEvents(tracking, failures or Failures())
        self._listening = {plugin.name: plugin for plugin in registry.plugins if _listens(plugin)}
        self._listeners: dict[str, Listener] = {}

    @property
    def follows_epochs(self) -> bool:
        """Whether a plugin that does not come with bpframe is told of epochs."""
        hooks = {LISTENER, "bpframe_epoch_finished", "bpframe_should_stop"}
        return any(
            plugin.distribution != "bpframe" and hooks & plugin.listeners.keys()
            for plugin in self._listening.values()
        )

    def run_started(self, run: RunInfo) -> None:
        """Make the listeners of this run, and call bpframe_run_started."""
        for plugin, listener in self._tell(LISTENER, run=run):
            if isinstance(listener, Listener):
                self._listeners[plugin.name] = listener
            else:
                reason = f"hook {LISTENER} returned {listener!r}; expected a bpframe.Listener"
                self._disable(plugin, reason)
        self._tell("bpframe_run_started", run=run)
        self._trackers.run_started(run)

    def epoch_finished(self, run: RunInfo, record: EpochRecord) -> None:
        """Call bpframe_epoch_finished."""
        self._tell("bpframe_epoch_finished", run=run, record=record)
        self._trackers.epoch_finished(record)

    def should_stop(self, run: RunInfo, record: EpochRecord) -> str | None:
        """The reasons of bpframe_should_stop, with the plugins that gave them."""
        reasons = []
        for plugin, reason in self._tell("bpframe_should_stop", run=run, record=record):
            if isinstance(reason, str):
                reasons.append(f"by plugin {plugin.name}, {reason}")
            else:
                self._disable(
                    plugin,
                    f"hook bpframe_should_stop returned {reason!r}; expected a reason or None",
                )
        return "; ".join(reasons) or None

    def run_finished(self, run: RunInfo, result: RunResult) -> None:
        """Call bpframe_run_finished."""
        self._tell("bpframe_run_finished", run=run, result=result)
        self._trackers.run_finished(result)

    def _tell(self, hook: str, **arguments: Any) -> list[tuple[Plugin, Any]]:
        """What each plugin's hook returned, but for None."""
        answers = []
        for plugin in list(self._listening.values()):
            with CtrlC() as ctrl_c:
                try:
                    results = self._called(plugin, hook, arguments)
                except BaseException as error:
                    if isinstance(error, KeyboardInterrupt) and ctrl_c.has_come:
                        raise
                    self._disable(plugin, f"hook {hook} raised {described(error)}")
                    continue
            answers += [(plugin, result) for result in results]
        return answers

    def _called(self, plugin: Plugin, hook: str, arguments: Mapping[str, Any]) -> list[Any]:
        """What a plugin's hook returned, and its listener of this run, but for None."""
        results = plugin.listeners[hook](**arguments) if hook in plugin.listeners else []
        if listener := self._listeners.get(plugin.name):
            own = {name: value for name, value in arguments.items() if name != "run"}
            answer = getattr(listener, hook.removeprefix("bpframe_"))(**own)
            results = [*results, *([] if answer is None else [answer])]
        return results

    def _disable(self, plugin: Plugin, reason: str) -> None:
        del self._listening[plugin.name]
        warnings.warn(
            f"plugin {plugin.source} is disabled for the rest of this run: {reason}",
            PluginWarning,
            stacklevel=2,
        )


def _listens(plugin: Plugin) -> bool:
    return plugin.status == ACTIVE and bool(plugin.listeners)
