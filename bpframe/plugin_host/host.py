"""The plugin host: every plugin is loaded, checked and asked on its own, so none harms another."""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from bpframe.errors import (
    ConfigError,
    PluginError,
    PluginWarning,
    described,
    did_you_mean,
    printable,
)
from bpframe.plugin_host import discovery, hookspecs
from bpframe.plugin_host.discovery import Found
from bpframe.plugin_host.hookspecs import API_VERSION
from bpframe.plugin_host.registry import (
    ACTIVE,
    BLOCKED,
    DISABLED,
    EVENTS,
    KINDS,
    PAIRS,
    Plugin,
    Registry,
)
from bpframe.plugin_host.supervision import Supervision

LOAD, BLOCK, TRACE = (
    "BPFRAME_LOAD_PLUGINS",
    "BPFRAME_DISABLED_PLUGINS",
    "BPFRAME_TRACE_PLUGINS",
)
API_ATTRIBUTE = "BPFRAME_API_VERSION"
HOOKS = (*(kind.hook for kind in KINDS.values()), *EVENTS)


def load_registry(
    plugins: Iterable[object] = (), *, paths: Sequence[str] = (), prefer: Sequence[str] = ()
) -> Registry:
    """The Registry of the installed plugins, of files and folders, and of objects.

    A plugin with a fault is disabled with its reason; the others are loaded. A fault in one of
    the given objects is an error, since the caller asked for it.

    Args:
        plugins: modules or objects with hooks.
        paths: Python files, and folders of them, besides those of BPFRAME_PLUGINS_PATH.
        prefer: plugins to take a name from that several offer, the most preferred first.

    Raises:
        ConfigError: a path does not exist, or a setting names a plugin that does not exist.
        PluginError: a given object breaks a hook's contract.

    """
    manager = _manager()
    found = [*discovery.installed(), *discovery.in_files(paths)]
    given = [Found(_name_of(p), "given in Python", lambda p=p: p) for p in plugins]
    allowed = [_blocked(one) or one for one in found]
    with Supervision() as watch:
        loaded = [
            one if isinstance(one, Plugin) else _loaded(manager, one, watch, is_given=False)
            for one in allowed
        ]
        loaded += [_loaded(manager, one, watch, is_given=True) for one in given]
    _check_names(loaded, prefer)
    return Registry.of((_listening(manager, plugin) for plugin in loaded), prefer)


def warn_of_faults(registry: Registry) -> None:
    """Warn of every plugin that is disabled for a fault, and of names that several offer."""
    for plugin in registry.disabled:
        warnings.warn(
            f"plugin {plugin.source} is disabled: {plugin.reason}", PluginWarning, stacklevel=2
        )
    for (kind, name), rivals in registry.conflicts.items():
        listed = " and ".join(plugin.source for plugin in rivals)
        warnings.warn(
            f"{kind} {name!r} cannot be chosen, as it is offered by {listed}; see plugins.prefer",
            PluginWarning,
            stacklevel=2,
        )


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("bpframe")
    manager.add_hookspecs(hookspecs)
    if os.environ.get(TRACE, "0") not in ("", "0"):
        manager.add_hookcall_monitoring(lambda *_: None, _trace)
    return manager


def _trace(
    outcome: pluggy.Result[Any], name: str, impls: Sequence[pluggy.HookImpl], arguments: Any
) -> None:
    """A line on stderr for each call: the plugin, the hook and what came of it."""
    del arguments
    plugins = ", ".join(impl.plugin_name for impl in impls)
    error = outcome.exception
    if error is not None:
        came = f"raised {described(error)}"
    else:
        came = "returned " + ", ".join(
            f"{len(result)} names: {', '.join(map(str, result))}"
            if isinstance(result, Mapping)
            else " ".join(repr(result).split())
            for result in outcome.get_result() or [None]
        )
    print(printable(f"bpframe: {plugins}: {name} {came}"), file=sys.stderr)


def _blocked(found: Found) -> Plugin | None:
    """The plugin as blocked, if a setting says so."""
    plugin = _plugin(found)
    allowed, blocked = _words(LOAD), _words(BLOCK)
    if allowed is not None and not any(plugin.is_called(word) for word in allowed):
        reason = f"{LOAD} does not name it"
    elif blocked is not None and any(plugin.is_called(word) for word in blocked):
        reason = f"{BLOCK} names it"
    else:
        return None
    return dataclasses.replace(plugin, status=BLOCKED, reason=reason)


def _words(variable: str) -> list[str] | None:
    text = os.environ.get(variable)
    return None if text is None else [word for part in text.split(",") if (word := part.strip())]


def _check_names(plugins: Sequence[Plugin], prefer: Sequence[str]) -> None:
    """Refuse settings that name plugins which do not exist.

    BPFRAME_DISABLED_PLUGINS may: it is often set for several environments at once.
    """
    known = sorted(plugin.name for plugin in plugins)
    for setting, words in ((LOAD, _words(LOAD) or ()), ("plugins.prefer", prefer)):
        for word in words:
            if not any(plugin.is_called(word) for plugin in plugins):
                raise ConfigError(
                    f"{setting}: unknown plugin {word!r}{did_you_mean(word, known) or ';'} "
                    f"known: {', '.join(known)}"
                )


def _plugin(found: Found) -> Plugin:
    return Plugin(found.name, found.origin, found.distribution, found.version, file=found.file)


def _loaded(
    manager: pluggy.PluginManager, found: Found, watch: Supervision, *, is_given: bool
) -> Plugin:
    """The plugin imported, registered and asked for what it offers; disabled if that fails.

    What it changes in this process, of which it is a guest, disables it too, and is undone.
    """
    plugin = dataclasses.replace(_plugin(found), is_given=is_given)
    watch.begin(f"importing plugin {plugin.source}")
    try:
        try:
            loaded = found.load()
        except BaseException as error:
            if watch.is_the_users(error):
                raise
            raise PluginError(f"cannot be imported: {described(error)}") from error
        if changed := watch.undone():
            _forget(loaded)
            raise PluginError(f"changes {changed} when it is imported")
        plugin = dataclasses.replace(
            plugin,
            doc=inspect.getdoc(loaded) or "",
            module=getattr(loaded, "__name__", type(loaded).__module__),
            api_version=_api_version(loaded),
            file=plugin.file or _file_of(loaded),
        )
        _check_hooks(manager, loaded)
        if manager.has_plugin(plugin.name):
            raise PluginError("another plugin has its name; rename one of them")
        try:
            manager.register(loaded, plugin.name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(str(error)) from error
        for kind in KINDS:
            offered = _offered(manager, plugin, kind, watch)
            plugin = dataclasses.replace(plugin, offers={**plugin.offers, kind: offered})
        return plugin
    except PluginError as error:
        fault = error
    except BaseException as error:  # a mere look at a plugin may run its code
        if watch.is_the_users(error):
            raise
        fault = PluginError(f"cannot be read: {described(error)}")
    watch.undone()
    if is_given:
        raise PluginError(f"plugin {plugin.name}: {fault}") from fault
    return dataclasses.replace(plugin, status=DISABLED, reason=str(fault))


def _forget(loaded: object) -> None:
    """Have a module imported anew the next time, so that what it does is seen again."""
    if isinstance(loaded, ModuleType) and sys.modules.get(loaded.__name__) is loaded:
        del sys.modules[loaded.__name__]


def _listening(manager: pluggy.PluginManager, plugin: Plugin) -> Plugin:
    """The plugin with its event hooks, once all plugins are registered: see `_caller`."""
    if plugin.status != ACTIVE:
        return plugin
    listeners = {hook: c for hook in EVENTS if (c := _caller(manager, plugin.name, hook))}
    return dataclasses.replace(plugin, listeners=listeners)


def _name_of(plugin: object) -> str:
    return getattr(plugin, "__name__", None) or type(plugin).__qualname__


def _file_of(loaded: object) -> Path | None:
    """The file that the plugin's code stands in."""
    name = getattr(loaded, "__name__", type(loaded).__module__)
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file).resolve() if file else None


def _api_version(loaded: object) -> int | None:
    """The version that the plugin declares.

    Raises:
        PluginError: it is another than this one, or no version.

    """
    version = getattr(loaded, API_ATTRIBUTE, None)
    if version is None:
        return None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PluginError(
            f"{API_ATTRIBUTE} is {version!r}; expected a number such as {API_VERSION}"
        )
    if version != API_VERSION:
        fix = "upgrade bpframe" if version > API_VERSION else "upgrade the plugin"
        raise PluginError(
            f"was written for version {version} of the plugin API, and this bpframe has version "
            f"{API_VERSION}; {fix}"
        )
    return version


def _check_hooks(manager: pluggy.PluginManager, loaded: object) -> None:
    """Refuse a function that is meant as a hook but is misspelt, or not marked."""
    any_hook = False
    for attribute in dir(loaded):
        marked = manager.parse_hookimpl_opts(loaded, attribute) is not None
        any_hook |= marked
        if attribute not in HOOKS and (marked or _looks_like_a_hook(loaded, attribute)):
            raise PluginError(f"unknown hook {attribute!r}{did_you_mean(attribute, HOOKS)}")
        if attribute in HOOKS and not marked:
            raise PluginError(f"hook {attribute} is not marked; put @bpframe.hookimpl above it")
    if not any_hook:
        raise PluginError("has no hook, so it offers nothing; see `bpframe plugins --hooks`")


def _looks_like_a_hook(loaded: object, attribute: str) -> bool:
    return attribute.startswith("bpframe_") and inspect.isroutine(getattr(loaded, attribute))


def _caller(manager: pluggy.PluginManager, name: str, hook: str) -> pluggy.HookCaller | None:
    """The hook of one plugin alone; it would call those that are registered later as well."""
    caller = getattr(manager.hook, hook)
    if all(impl.plugin_name != name for impl in caller.get_hookimpls()):
        return None
    mine = manager.get_plugin(name)
    return manager.subset_hook_caller(hook, [p for p in manager.get_plugins() if p is not mine])


def _offered(
    manager: pluggy.PluginManager, plugin: Plugin, kind: str, watch: Supervision
) -> Mapping[Any, type[Any]]:
    """The components of one kind that a plugin offers, each of them checked.

    Raises:
        PluginError: the hook raises, changes the process, or returns what it should not.

    """
    hook = KINDS[kind].hook
    caller = _caller(manager, plugin.name, hook)
    if caller is None:
        return {}
    watch.begin(f"calling hook {hook} of plugin {plugin.source}")
    try:
        results = caller()
    except BaseException as error:
        if watch.is_the_users(error):
            raise
        raise PluginError(f"hook {hook} raised {described(error)}") from error
    if changed := watch.undone():
        raise PluginError(f"hook {hook} changes {changed}")
    offered = results[0] if results else None  # pluggy leaves None out
    if not isinstance(offered, Mapping):
        raise PluginError(
            f"hook {hook} returned {type(offered).__name__}; expected a mapping of names to classes"
        )
    for key, component in offered.items():
        if problem := "; ".join(_problems(key, component, kind)):
            raise PluginError(f"hook {hook}{problem}")
    return dict(offered)


def _problems(name: Any, component: Any, kind: str) -> Iterator[str]:
    """What is wrong with one offer."""
    paired, contract = kind == PAIRS, KINDS[kind].contract
    names = name if paired and isinstance(name, tuple) and len(name) == 2 else (name,)
    if len(names) != 1 + paired or not all(
        isinstance(part, str) and part.isidentifier() for part in names
    ):
        expected = "a pair (cost name, activation name)" if paired else "a name like 'leaky_relu'"
        yield f" offers {name!r}; expected {expected}"
    elif not isinstance(component, type) or not issubclass(component, contract):
        yield f": {name!r} is {component!r}; expected a subclass of {KINDS[kind].expected}"
    elif inspect.isabstract(component):
        missing = ", ".join(sorted(vars(component)["__abstractmethods__"]))
        yield f": {name!r} ({component.__name__}) does not implement {missing}"
    elif any(field.name == "name" for field in dataclasses.fields(component)):
        yield f": {name!r} has a field called 'name', which config reserves"
