"""The conformance kit: whether a plugin keeps the contracts of what it offers.

In a plugin's own tests three lines cover everything that it registers:

    import my_plugin
    from bpframe.testing import conformance
    test_conformance = conformance(my_plugin)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bpframe.configuration import schemas
from bpframe.errors import BpframeError, PluginError
from bpframe.plugin_host import host
from bpframe.plugin_host.registry import DISABLED, Plugin, Registry
from bpframe.testing.declared import advised, declared
from bpframe.testing.kit import Case, cases
from bpframe.testing.outcome import FAILED, PASSED, SKIPPED, Outcome
from bpframe.testing.running import run
from bpframe.testing.search import Effort
from bpframe.testing.verdict import Verdict

__all__ = [
    "FAILED",
    "PASSED",
    "SKIPPED",
    "Case",
    "Effort",
    "Outcome",
    "Verdict",
    "advised",
    "cases",
    "check_plugins",
    "check_registry",
    "conformance",
    "declared",
    "run",
]


def check_registry(registry: Registry, chosen: Iterable[Plugin] | None = None) -> Verdict:
    """The outcomes of all checks of some plugins of a registry, or of all of them."""
    return Verdict.of(run(cases(registry, chosen)))


def check_plugins(*plugins: object) -> Verdict:
    """The outcomes of all checks of some modules or objects with hooks."""
    return Verdict.of(run(_cases_of(plugins)))


def conformance(*plugins: object) -> Callable[..., None]:
    """A test for pytest with one case for each check of each component that `plugins` offer.

    Raises:
        BpframeError: pytest is not installed.

    """
    try:
        import pytest
    except ImportError as error:
        raise BpframeError(
            "bpframe.testing.conformance: needs pytest, which is not installed; "
            "pip install 'bpframe[testing]'"
        ) from error

    found = _cases_of(plugins)

    @pytest.mark.parametrize("case", found, ids=[_identifier(case) for case in found])
    def test(case: Case) -> None:
        (outcome,) = run([case])
        if outcome.status == FAILED:
            pytest.fail(
                f"{case.kind} {case.name}: {outcome.check}: {outcome.detail}", pytrace=False
            )
        if outcome.status == SKIPPED:
            pytest.skip(outcome.detail)

    return test


def _cases_of(plugins: Iterable[object]) -> list[Case]:
    """The checks of some objects; one that does not load has a single check, which fails."""
    found: list[Case] = []
    for plugin in plugins:
        try:
            registry = _with(plugin)
        except PluginError as error:
            name = getattr(plugin, "__name__", type(plugin).__qualname__)
            faulty = Plugin(name, "given in Python", status=DISABLED, reason=str(error))
            found += cases(Registry.of([faulty]))
            continue
        found += cases(registry, [_registered(registry, plugin)])
    return found


def _with(plugin: object) -> Registry:
    """The registry with this plugin in it, once."""
    registry = host.load_registry()
    if _find(registry, plugin) is None:
        registry = host.load_registry([plugin])
    return schemas.store(registry)


def _registered(registry: Registry, plugin: object) -> Plugin:
    found = _find(registry, plugin)
    return found if found is not None else registry.plugins[-1]


def _find(registry: Registry, plugin: object) -> Plugin | None:
    """The installed plugin that is this module, if it is installed."""
    name: Any = getattr(plugin, "__name__", None)
    return next((p for p in registry.plugins if p.module == name and not p.is_given), None)


def _identifier(case: Case) -> str:
    return f"{case.kind}-{case.name}-{case.check.name}".replace(" ", "_")
