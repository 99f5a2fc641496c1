"""Checks for a plugin as a whole: it loads, says its API version, and owns its names."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import jax

from bpframe.errors import PluginWarning
from bpframe.plugin_host.events import PluginEvents
from bpframe.plugin_host.hookspecs import API_VERSION
from bpframe.plugin_host.host import API_ATTRIBUTE
from bpframe.plugin_host.registry import DISABLED, Plugin, Registry
from bpframe.runs import loop
from bpframe.testing.expect import expect
from bpframe.testing.outcome import Check, CheckFailedError, CheckSkippedError
from bpframe.testing.training import built_in, experiment

Chosen = tuple[Plugin, Registry]


def loads(chosen: Chosen) -> None:
    """It imports, and its hooks return what they should."""
    plugin, _ = chosen
    if plugin.status == DISABLED:
        raise CheckFailedError(
            f"is disabled: {plugin.reason}", given=plugin.origin, expected="a plugin that loads"
        )
    if plugin.reason is not None:
        raise CheckSkippedError(f"is {plugin.status}: {plugin.reason}")


def declares_its_api_version(chosen: Chosen) -> None:
    """It says for which version of the hooks it was written."""
    plugin, _ = chosen
    expect(
        plugin.api_version is not None,
        "does not say for which version of the plugin API it was written",
        given=plugin.origin,
        expected=f"{API_ATTRIBUTE} = {API_VERSION} in the module with the hooks",
    )


def owns_its_names(chosen: Chosen) -> None:
    """No other plugin offers one of its names."""
    plugin, registry = chosen
    for kind, offers in plugin.offers.items():
        for name in offers:
            rivals = [
                other
                for other in registry.plugins
                if other.name != plugin.name and name in other.offers.get(kind, {})
            ]
            expect(
                not rivals,
                f"{kind} {name!r} is offered by another plugin too",
                given=plugin.source,
                found=" and ".join(rival.source for rival in rivals),
                expected="a name of its own",
            )


def listens_without_failing(chosen: Chosen) -> None:
    """Its event hooks go through a run of two epochs, with and without a folder."""
    plugin, registry = chosen
    tiny = experiment(registry, "data", built_in(registry, "data", "xor"), epochs=2)
    for written in (True, False):
        events = PluginEvents(Registry.of([plugin]))
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("error", PluginWarning)
            try:
                with jax.enable_x64(False):
                    loop.run(tiny, Path(folder) / "run" if written else None, events=events)
            except PluginWarning as warning:
                where = "with a run folder" if written else "without a run folder"
                raise CheckFailedError(
                    str(warning), given=f"a run of two epochs on XOR, {where}"
                ) from warning


CHECKS = (
    Check("loads", loads),
    Check("declares its API version", declares_its_api_version, applies=lambda p: p.reason is None),
    Check("owns its names", owns_its_names, applies=lambda p: p.reason is None),
    Check(
        "listens without failing",
        listens_without_failing,
        applies=lambda p: bool(p.listeners),
        is_alone=True,
    ),
)
