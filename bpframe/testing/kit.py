"""The conformance kit: every component of a plugin against every check of its contract."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from bpframe.contracts import InitialCondition
from bpframe.errors import BpframeError
from bpframe.plugin_host.registry import ACTIVE, Plugin, Registry
from bpframe.testing import (
    activations,
    aggregations,
    components,
    costs,
    datasets,
    initial_conditions,
    initialisers,
    layers,
    learning_rules,
    metrics,
    optimisers,
    output_pairs,
    plugins,
    recorders,
    regularisers,
    schedules,
    trackers,
    training,
)
from bpframe.testing.outcome import (
    FAILED,
    PASSED,
    SKIPPED,
    Check,
    CheckFailedError,
    CheckSkippedError,
    Outcome,
    described,
    line_of,
)
from bpframe.testing.search import QUICK, Effort
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import plugin_line

CHECKS: Mapping[str, tuple[Check, ...]] = MappingProxyType(
    {
        "activation": activations.CHECKS,
        "layer": layers.CHECKS,
        "cost": costs.CHECKS,
        "output_pair": output_pairs.CHECKS,
        "optimiser": optimisers.CHECKS,
        "initialiser": initialisers.CHECKS,
        "regulariser": regularisers.CHECKS,
        "data": datasets.CHECKS,
        "learning_rule": learning_rules.CHECKS,
        "aggregation": aggregations.CHECKS,
        "metric": metrics.METRIC_CHECKS,
        "recorder": recorders.CHECKS,
        "schedule": schedules.SCHEDULE_CHECKS,
        "stopping": schedules.STOPPING_CHECKS,
        "tracker": trackers.CHECKS,
    }
)


ComponentKey = tuple[str, str, str]
"""The names of a plugin, of a kind, and of a component, or of the plugin once more."""


class Case(NamedTuple):
    """One check of one component, or of a plugin as a whole, ready to be run."""

    plugin: Plugin
    kind: str
    name: str
    check: Check
    subject: Any
    component: type[Any] | None
    place: int

    def component_key(self) -> ComponentKey:
        """The component, by names, which are the same in another process."""
        return self.plugin.name, self.kind, self.name

    def run(self) -> Outcome:
        """The outcome; whatever the plugin raises is a failure."""
        try:
            with _as_in_a_run():
                self.check.run(self.subject)
        except CheckSkippedError as reason:
            return self._outcome(SKIPPED, str(reason))
        except CheckFailedError as error:
            return self._outcome(FAILED, described(error, self.component, self.check.method))
        except (Exception, SystemExit, GeneratorExit) as error:
            text = " ".join(str(error).split()) if isinstance(error, BpframeError) else str(error)
            problem = f"raises {type(error).__name__}: {(text.splitlines() or [''])[0]}"
            place = plugin_line(error) or line_of(self.component, self.check.method)
            return self._outcome(FAILED, f"{problem}\n{'look at:':10}{place}")
        return self._outcome(PASSED)

    def _outcome(self, status: str, detail: str = "") -> Outcome:
        return Outcome(
            self.plugin.name, self.kind, self.name, self.check.name, status, self.place, detail
        )


@contextlib.contextmanager
def _as_in_a_run() -> Iterator[None]:
    """JAX with float64 allowed, and as users have it otherwise; for this thread."""
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def cases(
    registry: Registry, chosen: Iterable[Plugin] | None = None, effort: Effort = QUICK
) -> list[Case]:
    """The checks of some plugins, or of all that are not blocked."""
    found: list[Case] = []
    for plugin in registry.plugins if chosen is None else chosen:
        found += [
            Case(plugin, "plugin", plugin.name, check, (plugin, registry), None, place)
            for place, check in enumerate(plugins.CHECKS)
            if check.applies(plugin)
        ]
        if plugin.status == ACTIVE:
            for kind, offers in plugin.offers.items():
                for name, component in offers.items():
                    subject = Subject(
                        *(kind, name, component, registry, _probe(kind, component, registry)),
                        effort,
                    )
                    found += _component_cases(plugin, subject)
    return found


def _component_cases(plugin: Plugin, subject: Subject) -> list[Case]:
    kind, name, component = subject.kind, subject.name, subject.component
    shown = " with ".join(name) if isinstance(name, tuple) else name
    every = components.MADE
    if _can_be_made(subject):
        every += (*components.STRUCTURE, *_checks(kind, component), *training.CHECKS)
    return [
        Case(plugin, kind, shown, check, subject, component, place)
        for place, check in enumerate(every)
        if _applies(check, subject)
    ]


def _checks(kind: str, component: type[Any]) -> tuple[Check, ...]:
    """The checks of its contract; a kind may have two."""
    if issubclass(component, InitialCondition):
        return initial_conditions.CHECKS
    return CHECKS[kind]


def _can_be_made(subject: Subject) -> bool:
    """Whether there are instances; without any, the check of just that says why not."""
    try:
        return bool(subject.instances)
    except Exception:
        return False


def _applies(check: Check, subject: Subject) -> bool:
    """Whether a check is asked of a subject; one that cannot say fails in the check."""
    try:
        with _as_in_a_run():
            return check.applies(subject)
    except Exception:
        return True


def _probe(kind: str, component: type[Any], registry: Registry) -> Callable[[Any], Any]:
    probes: dict[str, Callable[[], Callable[[Any], Any]]] = {
        "activation": lambda: activations.probe(component.min_neurons),
        "layer": lambda: layers.probe,
        "cost": lambda: costs.probe(component),
        "output_pair": lambda: output_pairs.probe(costs.N_OUT),
        "optimiser": lambda: optimisers.probe,
        "initialiser": lambda: (
            initial_conditions.probe
            if issubclass(component, InitialCondition)
            else initialisers.probe
        ),
        "regulariser": lambda: regularisers.probe,
        "data": lambda: lambda dataset: dataset,
        "learning_rule": lambda: learning_rules.probe,
        "aggregation": lambda: aggregations.probe,
        "metric": lambda: metrics.metric_probe(registry),
        "recorder": lambda: recorders.probe(registry),
        "schedule": lambda: schedules.schedule_probe,
        "stopping": lambda: schedules.stopping_probe,
        "tracker": lambda: lambda tracker: tracker,
    }
    return probes[kind]()
