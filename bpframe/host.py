"""The plugin manager, made anew by a factory, and the frozen, checked Registry of what it finds."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.metadata
import inspect
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pluggy

from bpframe import contracts, hookspecs
from bpframe.component import Component
from bpframe.errors import PluginError, unknown

ENTRY_POINT_GROUP = "bpframe"
PAIRS = "output_pair"


class Kind(NamedTuple):
    """One sort of component: the hook that offers it and the contract that it must meet."""

    hook: str
    contract: type[Component]


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "activation": Kind("bpframe_activations", contracts.Activation),
        "cost": Kind("bpframe_costs", contracts.Cost),
        PAIRS: Kind("bpframe_output_pairs", contracts.OutputPair),
        "optimiser": Kind("bpframe_optimisers", contracts.Optimiser),
        "initialiser": Kind("bpframe_initialisers", contracts.Initialiser),
        "regulariser": Kind("bpframe_regularisers", contracts.Regulariser),
        "data": Kind("bpframe_datasets", contracts.Dataset),
        "learning_rule": Kind("bpframe_learning_rules", contracts.LearningRule),
    }
)


@dataclasses.dataclass(frozen=True)
class Offer:
    """A component class and the plugin that offers it."""

    component: type[Any]
    plugin: str


@dataclasses.dataclass(frozen=True)
class Registry:
    """All components by kind and name, looked up and never changed."""

    offers: Mapping[str, Mapping[Any, Offer]]

    def names(self, kind: str) -> list[str]:
        """The names known for a kind, in alphabetical order."""
        return sorted(self.offers[kind])

    def get(self, kind: str, name: str, path: str) -> type[Any]:
        """The class called `name`; `path` says where the name stands, for the error.

        Raises:
            ConfigError: no plugin offers that name.

        """
        if name not in self.offers[kind]:
            raise unknown(path, name, self.offers[kind])
        return self.offers[kind][name].component

    def pair(self, cost: str, activation: str) -> type[contracts.OutputPair] | None:
        """The output pair for a cost and an activation, by their names."""
        offer = self.offers[PAIRS].get((cost, activation))
        return offer.component if offer else None


def plugin_manager(plugins: Iterable[object] = ()) -> pluggy.PluginManager:
    """A manager with the plugins of the installed distributions, and the given objects besides.

    Raises:
        PluginError: a plugin does not import, or has a function that is no hook.

    """
    manager = pluggy.PluginManager("bpframe")
    manager.add_hookspecs(hookspecs)
    for name, plugin in (*_installed(), *((_name_of(plugin), plugin) for plugin in plugins)):
        if manager.has_plugin(name):
            raise PluginError(f"plugin {name}: is given twice; give it once")
        _check_hooks(manager, name, plugin)
        try:
            manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"plugin {name}: {error}") from error
    return manager


def load_registry(plugins: Iterable[object] = ()) -> Registry:
    """The Registry of the installed plugins, and of the given objects besides.

    Raises:
        PluginError: a plugin breaks a hook's contract, or two offer the same name.

    """
    manager = plugin_manager(plugins)
    offers = {kind: MappingProxyType(_collect(manager, kind)) for kind in KINDS}
    return Registry(MappingProxyType(offers))


def _installed() -> Iterator[tuple[str, object]]:
    found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    unique = {(point.dist.name if point.dist else "?", point.name): point for point in found}
    for (distribution, name), point in sorted(unique.items()):
        try:
            yield f"{distribution}:{name}", point.load()
        except Exception as error:
            raise PluginError(
                f"plugin {distribution}:{name}: cannot be imported from {point.value!r}: "
                f"{type(error).__name__}: {error}"
            ) from error


def _name_of(plugin: object) -> str:
    return getattr(plugin, "__name__", None) or type(plugin).__qualname__


def _check_hooks(manager: pluggy.PluginManager, name: str, plugin: object) -> None:
    """Refuse a function that means to be a hook and is none: misspelt, or not marked."""
    known = {kind.hook for kind in KINDS.values()}
    for attribute in dir(plugin):
        marked = manager.parse_hookimpl_opts(plugin, attribute) is not None
        if marked and attribute not in known:
            close = difflib.get_close_matches(attribute, known, n=1)
            suggestion = f"; did you mean {close[0]!r}?" if close else ""
            raise PluginError(f"plugin {name}: unknown hook {attribute!r}{suggestion}")
        if attribute in known and not marked:
            raise PluginError(
                f"plugin {name}: hook {attribute} is not marked; put @bpframe.hookimpl above it"
            )


def _collect(manager: pluggy.PluginManager, kind: str) -> dict[Any, Offer]:
    hook, contract = KINDS[kind]
    every = manager.get_plugins()
    collected: dict[Any, Offer] = {}
    for caller in getattr(manager.hook, hook).get_hookimpls():
        plugin = caller.plugin_name
        others = [other for other in every if other is not caller.plugin]
        try:
            results = manager.subset_hook_caller(hook, others)()
        except Exception as error:
            raise PluginError(
                f"plugin {plugin}: hook {hook} raised {type(error).__name__}: {error}"
            ) from error
        place = f"plugin {plugin}: hook {hook}"
        offered = results[0] if results else None  # pluggy leaves None out
        if not isinstance(offered, Mapping):
            raise PluginError(
                f"{place} returned {type(offered).__name__}; expected a mapping of names to classes"
            )
        for name, component in offered.items():
            _check_offer(place, name, component, contract, paired=kind == PAIRS)
            if name in collected:
                raise PluginError(
                    f"{place}: the name {name!r} is offered by plugin "
                    f"{collected[name].plugin} already; rename one of them"
                )
            collected[name] = Offer(component, plugin)
    return collected


def _check_offer(
    place: str, name: Any, component: Any, contract: type[Any], *, paired: bool
) -> None:
    names = name if paired and isinstance(name, tuple) and len(name) == 2 else (name,)
    if len(names) != 1 + paired or not all(
        isinstance(part, str) and part.isidentifier() for part in names
    ):
        expected = "a pair (cost name, activation name)" if paired else "a name like 'leaky_relu'"
        raise PluginError(f"{place} offers {name!r}; expected {expected}")
    if not isinstance(component, type) or not issubclass(component, contract):
        raise PluginError(
            f"{place}: {name!r} is {component!r}; expected a subclass of {contract.__name__}"
        )
    if inspect.isabstract(component):
        missing = ", ".join(sorted(component.__abstractmethods__))
        raise PluginError(f"{place}: {name!r} ({component.__name__}) does not implement {missing}")
    if any(field.name == "name" for field in dataclasses.fields(component)):
        raise PluginError(f"{place}: {name!r} has a field called 'name', which config reserves")
