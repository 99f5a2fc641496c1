"""What a class says of itself, where its contract leaves room, and is held to by the kit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bpframe.plugin_host.registry import KINDS
from bpframe.testing.datasets import load
from bpframe.testing.kit import Case
from bpframe.testing.outcome import CheckFailedError, CheckSkippedError
from bpframe.training import advice

_NOT_MEANT = ("formula", "examples", "default_activation")


def declared(cases: Iterable[Case]) -> list[str]:
    """A line for each component that declares something, such as "cost hinge: targets = (0, 1)"."""
    components = {(case.kind, case.name): case.component for case in cases if case.component}
    lines = []
    for (kind, name), component in components.items():
        contracts: Any = KINDS[kind][1]
        contracts = contracts if isinstance(contracts, tuple) else (contracts,)
        contract = next(each for each in contracts if issubclass(component, each))
        if said := list(_said(component, contract)):
            lines.append(f"{kind} {name}: {', '.join(said)}")
    return lines


def advised(cases: Iterable[Case]) -> list[str]:
    """A line for each thing that is allowed, and may not be meant.

    Inputs of a size that is hard to train with, and what looks like a setting and is none.
    """
    cases = list(cases)
    components = {(case.kind, case.name): case.component for case in cases if case.component}
    return _hard_inputs(cases) + [
        f"{kind} {name}: {field} = {value!r} has no annotation, so it is no setting; write "
        f"{field}: {type(value).__name__} = {value!r}"
        for (kind, name), component in components.items()
        for field, value in _not_settings(component)
    ]


def _not_settings(component: type[Any]) -> Iterable[tuple[str, Any]]:
    """Numbers and texts of a class that have no annotation, in it or in what it is derived from."""
    _, *bases = component.__mro__
    annotated = {
        name for each in component.__mro__ for name in vars(each).get("__annotations__", {})
    }
    for name, value in vars(component).items():
        is_plain = isinstance(value, bool | int | float | str) and not name.startswith("_")
        if is_plain and name not in annotated and not any(hasattr(b, name) for b in bases):
            yield name, value


def _hard_inputs(cases: Iterable[Case]) -> list[str]:
    subjects = {case.name: case.subject for case in cases if case.kind == "data"}
    lines = []
    for name, subject in subjects.items():
        try:
            data = load(subject)
        except (CheckFailedError, CheckSkippedError):
            continue  # which is told already
        hint = None if subject.default.standardise else advice.units(data)
        lines += [f"data {name}: {hint}"] if hint else []
    return lines


def _said(component: type[Any], contract: type[Any]) -> Iterable[str]:
    for base in reversed(contract.__mro__):
        for name, hint in vars(base).get("__annotations__", {}).items():
            is_meant = not name.startswith("_") and not name.endswith(_NOT_MEANT)
            if not is_meant or "ClassVar" not in str(hint):
                continue
            value = getattr(component, name)
            if value != getattr(contract, name) and not isinstance(value, property):
                yield f"{name} = {value}"
