"""The rule that makes every component a frozen dataclass and a JAX pytree.

Float fields and fields that hold components are leaves or subtrees; every other field is static
structure. So a new eta does not retrace, and two experiments share a compiled program exactly
when their tree structures are equal.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, dataclass_transform

import jax

from bpframe.errors import ConfigError, unknown

BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_HOLDS = {
    "gt": lambda value, bound: value > bound,
    "ge": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "le": lambda value, bound: value <= bound,
}


def hyperparameter(
    *,
    default: Any = dataclasses.MISSING,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
    leaf: bool = False,
    named: str | None = None,
) -> Any:
    """A field of a component with its allowed range: above `gt`, at least `ge`, and so on.

    For a string, `choices` are the allowed values. An int may be made a `leaf`. `named` is what a
    config calls a default that is a component, such as an optimiser in another. Values are checked
    when an experiment is assembled, never under tracing.
    """
    bounds = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    metadata = {
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "choices": choices,
        "leaf": leaf,
        "named": named,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(frozen_default=True, field_specifiers=(hyperparameter, dataclasses.field))
@dataclasses.dataclass(frozen=True)
class Component:
    """Base of everything a plugin supplies: subclasses become frozen dataclasses and pytrees.

    A subclass lists its fields like a dataclass. A field annotated `float` is a leaf; one
    annotated with a component, or a tuple of components, is a subtree; the rest must be hashable
    and is static. An int given to a float field becomes a float.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True)(cls)
        hints = cls._field_types = _field_types(cls)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        leaves = [
            name
            for name, field in fields.items()
            if _is_tree(hints[name]) or field.metadata.get("leaf")
        ]
        static = [name for name in fields if name not in leaves]
        cls._float_fields = tuple(name for name in fields if _holds_floats(hints[name]))
        _register(cls, leaves, static)

    examples: typing.ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """Values of fields with which the conformance kit checks the class, besides its defaults."""

    _float_fields: typing.ClassVar[tuple[str, ...]] = ()
    _field_types: typing.ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def field_types(cls) -> dict[str, Any]:
        """The types of the fields, resolved, by name."""
        return dict(cls._field_types)

    def __post_init__(self) -> None:
        for name in self._float_fields:
            value = getattr(self, name)
            if isinstance(value, int | tuple) and not isinstance(value, bool):
                object.__setattr__(self, name, _as_floats(value))


def _field_types(cls: type[Component]) -> dict[str, Any]:
    """The types of the fields of a class, resolved: its own, and those of its bases as they are."""
    known: dict[str, Any] = {}
    for base in reversed(cls.__mro__[1:]):
        known |= vars(base).get("_field_types", {})
    names = [field.name for field in dataclasses.fields(cls)]
    own = vars(cls).get("__annotations__", {})
    if any(name in own or name not in known for name in names):
        known |= typing.get_type_hints(cls)  # which evaluates every annotation of every base
    return {name: known[name] for name in names}


def _holds_floats(hint: Any) -> bool:
    """Whether a field with this annotation holds floats alone: one, or tuples of them."""
    if typing.get_origin(hint) is tuple:
        return all(_holds_floats(arg) for arg in typing.get_args(hint) if arg is not Ellipsis)
    return hint is float


def _as_floats(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_as_floats, value))
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _register(cls: type[Any], leaves: list[str], static: list[str]) -> None:
    """Make `cls` a pytree node whose structure is its class and its static fields.

    Not by jax.tree_util.register_dataclass: structures that it makes compare equal for different
    classes, and jit, when their hashes fall together, then runs the program of another class.
    """
    keys = [jax.tree_util.GetAttrKey(name) for name in leaves]

    def flatten_with_keys(component: Any) -> tuple[list[Any], tuple[Any, ...]]:
        children = [(key, getattr(component, key.name)) for key in keys]
        return children, tuple(getattr(component, name) for name in static)

    def flatten(component: Any) -> tuple[list[Any], tuple[Any, ...]]:
        children = [getattr(component, name) for name in leaves]
        return children, tuple(getattr(component, name) for name in static)

    def unflatten(structure: tuple[Any, ...], children: Any) -> Any:
        values = dict(zip(leaves, children, strict=True))
        return cls(**values, **dict(zip(static, structure, strict=True)))

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)


def _is_tree(hint: Any) -> bool:
    """Whether a field with this annotation holds leaves: a float or components."""
    if hint is float:
        return True
    if isinstance(hint, type) and not typing.get_args(hint):
        return issubclass(hint, Component)
    if typing.get_origin(hint) in (tuple, typing.Union, types.UnionType):
        members = [arg for arg in typing.get_args(hint) if arg not in (Ellipsis, type(None))]
        return bool(members) and all(_is_tree(member) for member in members)
    return False


def hyperparameters(component: Component) -> Iterator[tuple[str, Any]]:
    """The names and values of a component's fields, in the order of their declaration."""
    for field in dataclasses.fields(component):
        yield field.name, getattr(component, field.name)


def check_fields(component: Component, path: str) -> None:
    """Raise a ConfigError if a field of `component` is outside its declared range.

    `path` is where the component stands in the configuration, such as "optimiser".
    """
    for field in dataclasses.fields(component):
        check_field(component, field, f"{path}.{field.name}" if path else field.name)


def check_field(component: Component, field: dataclasses.Field[Any], place: str) -> None:
    """Raise a ConfigError if this field of `component`, which stands at `place`, is out of range.

    What it holds of other components is looked through.
    """
    value = getattr(component, field.name)
    choices = field.metadata.get("choices", ())
    if isinstance(value, Component):
        check_fields(value, place)
    elif isinstance(value, tuple) and all(isinstance(part, Component) for part in value):
        for index, part in enumerate(value):
            check_fields(part, f"{place}[{index}]")
    elif choices and value not in choices and not (value is field.default is None):
        raise unknown(place, value, choices)
    elif field.name in component._float_fields and isinstance(value, tuple):  # pyright: ignore[reportPrivateUsage]
        _check_numbers(value, component.field_types()[field.name], field.metadata, place)
    elif isinstance(value, int | float):
        _check_number(value, field.metadata.get("bounds", {}), place)


def _check_numbers(value: Any, hint: Any, metadata: Mapping[str, Any], path: str) -> None:
    """Tuples of floats, nested as the annotation has it."""
    if typing.get_origin(hint) is not tuple:
        if not isinstance(value, int | float):
            raise ConfigError(f"{path}: {value!r} is not a number")
        _check_number(value, metadata.get("bounds", {}), path)
        return
    if not isinstance(value, tuple):
        raise ConfigError(f"{path}: {value!r} is not a list")
    for index, part in enumerate(value):
        _check_numbers(part, typing.get_args(hint)[0], metadata, f"{path}[{index}]")


def _check_number(value: float, bounds: dict[str, float], path: str) -> None:
    inside = all(_HOLDS[name](value, bound) for name, bound in bounds.items())
    if not math.isfinite(value) or not inside:
        allowed = " and ".join(f"{BOUNDS[name]} {bound}" for name, bound in bounds.items())
        raise ConfigError(
            f"{path}: {value!r} is out of range; allowed: {allowed or 'finite numbers'}"
        )


def arrays_shown(value: Any) -> str:
    """A value as text, in which an array stands as its dtype and shape, such as float32[30,64]."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        pairs = zip(value._fields, value, strict=True)  # pyright: ignore[reportAttributeAccessIssue]
        inside = ", ".join(f"{name}={arrays_shown(part)}" for name, part in pairs)
        return f"{type(value).__name__}({inside})"
    if isinstance(value, tuple):
        inside = ", ".join(map(arrays_shown, value))
        return f"({inside}{',' * (len(value) == 1)})"
    return repr(value)
