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
    """A line for each data set whose inputs are of a size that is hard to train with."""
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
