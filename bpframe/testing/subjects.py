"""What is checked: a component class, with instances of several values of its fields."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax

from bpframe.component import check_fields
from bpframe.errors import BpframeError
from bpframe.plugin_host.registry import Registry
from bpframe.testing.outcome import CheckFailedError
from bpframe.testing.parameters import Straight
from bpframe.testing.search import QUICK, Effort

MOST_INSTANCES = 8
SPECIAL = (0.0, 1.0, -1.0, 2.0, 0.5)
"""Values of fields at which formulas change."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A component class to check.

    Attributes:
        kind: its kind.
        name: its name, or names for an output pair.
        component: the class.
        registry: all components, for those that need others beside them.
        probe: computes from an instance whatever the contract says it computes.
        effort: how long inputs are searched.

    """

    kind: str
    name: Any
    component: type[Any]
    registry: Registry
    probe: Callable[[Any], Any]
    effort: Effort = QUICK

    @functools.cached_property
    def compiled(self) -> Any:
        """The probe, compiled once for the checks that need no more."""
        return jax.jit(self.probe)

    @functools.cached_property
    def default(self) -> Any:
        """The instance with the default values."""
        return self.instances[0]

    @functools.cached_property
    def instances(self) -> tuple[Any, ...]:
        """Instances with default and other values, those of `component.examples` among them.

        Raises:
            CheckFailedError: no instance can be made.

        """
        instances = tuple(itertools.islice(self._instances(), MOST_INSTANCES))
        for instance in instances:
            try:
                check_fields(instance, str(self.name))
            except BpframeError as error:
                raise CheckFailedError(
                    "a default or an example is outside the range that the field declares",
                    given=instance,
                    found=str(error),
                ) from error
        return instances

    @functools.cached_property
    def searched(self) -> tuple[Any, ...]:
        """The same and, where their fields allow it, ten times larger and smaller numbers."""
        return (*self.instances, *self._scaled())

    def _scaled(self) -> Iterator[Any]:
        values = {field: getattr(self.default, field.name) for field in self._fields()}
        for factor in (0.1, 10.0):
            yield from self._replaced(
                {
                    field.name: _inside(value, lambda x, f=factor: f * x, field.metadata)
                    for field, value in values.items()
                    if isinstance(value, float)
                }
            )
        for special in SPECIAL:
            yield from self._replaced(
                {
                    field.name: special
                    for field, value in values.items()
                    if isinstance(value, float) and _is_inside(special, field.metadata)
                }
            )
        for more in (1, 2):
            yield from self._replaced(
                {field.name: value + more for field, value in values.items() if type(value) is int}
            )

    def _replaced(self, fields: dict[str, Any]) -> Iterator[Any]:
        """The default with other fields, if they go together."""
        fields = {name: value for name, value in fields.items() if value is not None}
        try:
            instance = dataclasses.replace(self.default, **fields)
            check_fields(instance, str(self.name))
        except (BpframeError, ValueError):
            return
        if fields:
            yield instance

    @property
    def same_structure(self) -> tuple[Any, ...]:
        """The instances that a compiled program can take turns with."""
        structure = jax.tree.structure(self.default)
        return tuple(i for i in self.instances if jax.tree.structure(i) == structure)

    def of_each_structure(self, most: int = 2) -> Iterator[Any]:
        """The last instances of every structure; those of one structure run the same code."""
        left = collections.Counter()
        for instance in reversed(self.instances):
            structure = jax.tree.structure(instance)
            left[structure] += 1
            if left[structure] <= most:
                yield instance

    def made(self, **fields: Any) -> Any:
        """An instance; for an output pair, with its two parts, for a layer with an activation."""
        if self.kind == "layer":
            return self.component(**{"activation": Straight(), **fields})
        if self.kind != "output_pair":
            return self.component(**fields)
        cost, activation = self.name
        parts = (
            self.registry.get("cost", cost, "output_pair")(),
            self.registry.get("activation", activation, "output_pair")(),
        )
        return self.component(*parts, **fields)

    def _instances(self) -> Iterator[Any]:
        examples = self.component.examples
        required = [
            f.name
            for f in self._fields()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        if required and not examples:
            raise CheckFailedError(
                f"cannot be made: {', '.join(required)} has no default; give it one, or give the "
                "class examples = ({...},) with values to check"
            )
        try:
            if not required:
                default = self.made()
                yield default
                yield from self._varied(default)
            for example in examples:
                yield self.made(**example)
        except (TypeError, ValueError, BpframeError) as error:
            raise CheckFailedError(f"cannot be made: {type(error).__name__}: {error}") from error

    def _varied(self, default: Any) -> Iterator[Any]:
        """The default with all numbers moved, twice, then at their bounds, then other choices."""
        for move in (lambda x: 1.5 * x + 0.25, lambda x: 0.6 * x):
            moved = {
                field.name: number
                for field in self._fields()
                if self._is_leaf(field.name)
                and (number := _inside(getattr(default, field.name), move, field.metadata))
            }
            if moved:
                yield dataclasses.replace(default, **moved)
        for bound in ("ge", "le"):
            reached = {
                field.name: field.metadata["bounds"][bound]
                for field in self._fields()
                if self._is_leaf(field.name) and bound in field.metadata.get("bounds", {})
            }
            if reached:
                yield dataclasses.replace(default, **reached)
        if self.kind == "output_pair":
            yield from self._of_other_parts(default)
        if self.kind in (
            "data",
            "metric",
            "recorder",
        ):  # other choices of these are other files, or splits
            return
        for field in self._fields():
            value = getattr(default, field.name)
            others = [c for c in field.metadata.get("choices", ()) if c != value]
            for other in [not value] if isinstance(value, bool) else others:
                yield dataclasses.replace(default, **{field.name: other})

    def _of_other_parts(self, default: Any) -> Iterator[Any]:
        """A pair whose cost, or activation, has other numbers."""
        for name, part in (("cost_function", self.name[0]), ("activation", self.name[1])):
            kind = name.partition("_")[0]
            own = Subject(kind, part, type(getattr(default, name)), self.registry, self.probe)
            for instance in own.instances[1:3]:
                yield dataclasses.replace(default, **{name: instance})

    def _fields(self) -> list[Any]:
        skipped = ("cost_function", "activation") if self.kind in ("output_pair", "layer") else ()
        return [f for f in dataclasses.fields(self.component) if f.name not in skipped]

    def _is_leaf(self, name: str) -> bool:
        field = next(f for f in self._fields() if f.name == name)
        return self.component.field_types()[name] is float or field.metadata.get("leaf", False)


def _is_inside(value: float, metadata: Any) -> bool:
    """Whether a number lies in a range that is declared."""
    bounds = metadata.get("bounds", {})
    kept = {"gt": value.__gt__, "ge": value.__ge__, "lt": value.__lt__, "le": value.__le__}
    return bool(bounds) and all(kept[name](float(bound)) for name, bound in bounds.items())


def _inside(value: Any, move: Callable[[float], float], metadata: Any) -> Any:
    """Another number inside the declared range, or None if there is none to be found."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value + 1
    bounds = metadata.get("bounds", {})
    low = max(bounds.get("gt", -float("inf")), bounds.get("ge", -float("inf")))
    high = min(bounds.get("lt", float("inf")), bounds.get("le", float("inf")))
    moved = move(value)
    if not low < moved < high:
        moved = (value + (low if moved <= low else high)) / 2  # half-way to the bound
    return moved if low < moved < high else None
