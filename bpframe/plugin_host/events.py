"""Telling plugins what happens during a run."""

from __future__ import annotations

import warnings
from typing import Any

from bpframe.errors import PluginWarning, described
from bpframe.plugin_host.registry import ACTIVE, Plugin, Registry
from bpframe.runs.records import EpochRecord, RunInfo, RunResult


class PluginEvents:
    """Tells the plugins with event hooks what happens; one that fails is told nothing more."""

    def __init__(self, registry: Registry) -> None:
        self._listening = {plugin.name: plugin for plugin in registry.plugins if _listens(plugin)}

    def run_started(self, run: RunInfo) -> None:
        """Call bpframe_run_started."""
        self._tell("bpframe_run_started", run=run)

    def epoch_finished(self, run: RunInfo, record: EpochRecord) -> None:
        """Call bpframe_epoch_finished."""
        self._tell("bpframe_epoch_finished", run=run, record=record)

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

    def _tell(self, hook: str, **arguments: Any) -> list[tuple[Plugin, Any]]:
        """What each plugin's hook returned, but for None."""
        answers = []
        for plugin in list(self._listening.values()):
            if hook in plugin.listeners:
                try:
                    results = plugin.listeners[hook](**arguments)
                except (Exception, SystemExit) as error:
                    self._disable(plugin, f"hook {hook} raised {described(error)}")
                    continue
                answers += [(plugin, result) for result in results]  # pluggy leaves None out
        return answers

    def _disable(self, plugin: Plugin, reason: str) -> None:
        del self._listening[plugin.name]
        warnings.warn(
            f"plugin {plugin.source} is disabled for the rest of this run: {reason}",
            PluginWarning,
            stacklevel=2,
        )


def _listens(plugin: Plugin) -> bool:
    return plugin.status == ACTIVE and bool(plugin.listeners)
