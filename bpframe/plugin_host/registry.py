"""What the plugins offer: looked up by kind and name, and never changed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from bpframe import contracts, learning, metrics, recorders, schedules
from bpframe.component import Component
from bpframe.errors import ConfigError, UnknownNameError, unknown
from bpframe.runs.trackers import Tracker

ACTIVE, DISABLED, BLOCKED = "active", "disabled", "blocked"
PAIRS = "output_pair"


class Kind(NamedTuple):
    """One sort of component: the hook that offers it and the contracts, one of which it meets."""

    hook: str
    contract: type[Component] | tuple[type[Component], ...]

    @property
    def expected(self) -> str:
        """The names of the contracts."""
        several = self.contract if isinstance(self.contract, tuple) else (self.contract,)
        return " or ".join(contract.__name__ for contract in several)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "activation": Kind("bpframe_activations", contracts.Activation),
        "layer": Kind("bpframe_layers", contracts.Layer),
        "cost": Kind("bpframe_costs", contracts.Cost),
        PAIRS: Kind("bpframe_output_pairs", contracts.OutputPair),
        "optimiser": Kind("bpframe_optimisers", learning.Optimiser),
        "initialiser": Kind(
            "bpframe_initialisers", (contracts.Initialiser, contracts.InitialCondition)
        ),
        "regulariser": Kind("bpframe_regularisers", contracts.Regulariser),
        "data": Kind("bpframe_datasets", contracts.Dataset),
        "learning_rule": Kind("bpframe_learning_rules", learning.LearningRule),
        "aggregation": Kind("bpframe_aggregations", learning.Aggregation),
        "metric": Kind("bpframe_metrics", metrics.Metric),
        "recorder": Kind("bpframe_recorders", recorders.Recorder),
        "schedule": Kind("bpframe_schedules", schedules.Schedule),
        "stopping": Kind("bpframe_stopping", schedules.Stopping),
        "tracker": Kind("bpframe_trackers", Tracker),
    }
)
LISTENER = "bpframe_listener"
EVENTS = (
    LISTENER,
    "bpframe_run_started",
    "bpframe_epoch_finished",
    "bpframe_should_stop",
    "bpframe_run_finished",
)

Offers = Mapping[str, Mapping[Any, type[Any]]]


@dataclasses.dataclass(frozen=True)
class Plugin:
    """A plugin and what became of it.

    Attributes:
        name: DISTRIBUTION:ENTRY_POINT if installed, the file's name if a file.
        origin: the module or file that it came from.
        distribution: the distribution that installed it, if one did.
        version: that distribution's version.
        api_version: the version of the hooks that it declares, if it does.
        doc: its docstring.
        module: the name of the module that holds its code.
        file: the file of that module, where it has one.
        offers: its components, by kind and name.
        listeners: its event hooks, to be called with the keywords of the hook.
        status: "active", "disabled" for a fault, or "blocked" by the user.
        reason: why it is not active.
        is_given: whether it was given as a Python object.

    """

    name: str
    origin: str
    distribution: str | None = None
    version: str | None = None
    api_version: int | None = None
    doc: str = ""
    module: str | None = None
    file: Path | None = None
    offers: Offers = dataclasses.field(default_factory=dict)
    listeners: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)
    status: str = ACTIVE
    reason: str | None = None
    is_given: bool = False

    @property
    def source(self) -> str:
        """Its name with its origin, for errors."""
        return f"{self.name} ({self.origin})"

    def is_called(self, word: str) -> bool:
        """Whether a user may mean this plugin by `word`."""
        entry = self.name.partition(":")[2]
        names = {self.name, self.origin, entry, self.distribution or ""} - {""}
        return normalised(word) in map(normalised, names)


@dataclasses.dataclass(frozen=True)
class Offer:
    """A component class and the plugin that offers it."""

    component: type[Any]
    plugin: str


@dataclasses.dataclass(frozen=True)
class Registry:
    """All components by kind and name.

    Attributes:
        offers: what can be chosen, by kind and name.
        plugins: every plugin that was found, active or not.
        conflicts: names that several active plugins offer, so that none can be chosen.
        prefer: which plugin to take such a name from, the most preferred first.

    """

    offers: Mapping[str, Mapping[Any, Offer]]
    plugins: tuple[Plugin, ...]
    conflicts: Mapping[tuple[str, Any], tuple[Plugin, ...]]
    prefer: tuple[str, ...] = ()

    @classmethod
    def of(cls, plugins: Iterable[Plugin], prefer: Sequence[str] = ()) -> Registry:
        """The registry of some plugins."""
        plugins = tuple(plugins)
        offers: dict[str, dict[Any, Offer]] = {kind: {} for kind in KINDS}
        conflicts: dict[tuple[str, Any], tuple[Plugin, ...]] = {}
        for kind, named in offers.items():
            rivals: dict[Any, list[Plugin]] = {}
            for plugin in plugins:
                for name in plugin.offers.get(kind, {}) if plugin.status == ACTIVE else ():
                    rivals.setdefault(name, []).append(plugin)
            for name, offering in rivals.items():
                preferred = [p for word in prefer for p in offering if p.is_called(word)]
                if len(offering) > 1 and not preferred:
                    conflicts[kind, name] = tuple(offering)
                    continue
                chosen = (preferred or offering)[0]
                named[name] = Offer(chosen.offers[kind][name], chosen.name)
        frozen = {kind: MappingProxyType(named) for kind, named in offers.items()}
        return cls(MappingProxyType(frozen), plugins, MappingProxyType(conflicts), tuple(prefer))

    def without(self, name: str, reason: str) -> Registry:
        """The registry with one plugin disabled."""
        plugins = (
            dataclasses.replace(p, status=DISABLED, reason=reason)
            if p.name == name and p.status == ACTIVE
            else p
            for p in self.plugins
        )
        return Registry.of(plugins, self.prefer)

    @property
    def disabled(self) -> tuple[Plugin, ...]:
        """The plugins with a fault."""
        return tuple(plugin for plugin in self.plugins if plugin.status == DISABLED)

    def names(self, kind: str) -> list[str]:
        """The names known for a kind, in alphabetical order."""
        return sorted(self.offers[kind])

    def get(self, kind: str, name: str, path: str) -> type[Any]:
        """The class called `name`; `path` says where the name stands, for the error.

        Raises:
            ConfigError: no plugin offers that name, or several do, or the one that does is
                disabled.

        """
        if name not in self.offers[kind]:
            raise self._unavailable(kind, name, path)
        return self.offers[kind][name].component

    def pair(self, cost: str, activation: str) -> type[contracts.OutputPair] | None:
        """The output pair for a cost and an activation, by their names.

        Raises:
            ConfigError: several plugins offer it.

        """
        if (PAIRS, (cost, activation)) in self.conflicts:
            raise self._unavailable(PAIRS, (cost, activation), "cost")
        offer = self.offers[PAIRS].get((cost, activation))
        return offer.component if offer else None

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Explain a name that Hydra does not know by what this registry knows of it."""
        try:
            yield
        except UnknownNameError as error:
            if error.path not in KINDS:
                raise
            raise self._unavailable(error.path, error.name, error.path) from error

    def _unavailable(self, kind: str, name: Any, path: str) -> ConfigError:
        """Why a name cannot be chosen."""
        if rivals := self.conflicts.get((kind, name)):
            listed = " and ".join(plugin.source for plugin in rivals)
            return ConfigError(
                f"{path}: {kind} {name!r} is offered by several plugins: {listed}; choose one with "
                f"plugins.prefer=[{rivals[0].name}], or disable the other with "
                f"BPFRAME_DISABLED_PLUGINS"
            )
        for plugin in self.plugins:
            if plugin.status != ACTIVE and name in plugin.offers.get(kind, {}):
                return ConfigError(
                    f"{path}: {kind} {name!r} is offered by plugin {plugin.source}, which is "
                    f"{plugin.status}: {plugin.reason}"
                )
        error = unknown(path, name, self.offers[kind])
        if not self.offers[kind]:
            error = ConfigError(f"{path}: unknown {name!r}; no {kind} can be chosen")
        idle = [f"{plugin.source}: {plugin.reason}" for plugin in self.disabled]
        if blocked := [plugin.name for plugin in self.plugins if plugin.status == BLOCKED]:
            idle.append(f"blocked are {', '.join(blocked)}")
        if not idle:
            return error
        return ConfigError(f"{error}; plugins that may offer it are not active: {'; '.join(idle)}")


def normalised(name: str) -> str:
    """A distribution's name as packaging compares it, so that a_b, a-b and A.B are the same."""
    return re.sub(r"[-_.]+", "-", name).lower()
