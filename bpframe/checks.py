"""Checks of what Python programs give: arrays of real numbers, parameters of a network.

Shapes and dtypes are checked while a program is traced, and values of arrays that are concrete; so
compiled programs hold none of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from bpframe.errors import ExamplesError


def real(value: Any, name: str, expected: str) -> Array:
    """An argument as it is if it is an array of real numbers, and lists of them as an array.

    Raises:
        ExamplesError: it holds something else, or a number that is not finite.

    """
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ExamplesError(
                f"{name}: has rows of different lengths; expected {expected}"
            ) from error
    check_real(value, name, expected)
    if not isinstance(value, Tracer) and not np.isfinite(np.asarray(value)).all():
        raise ExamplesError(f"{name}: holds values that are not finite; leave them out")
    return value


def as_floats(value: Array, params: Any) -> Array:
    """Whole numbers and booleans in the dtype of parameters; floats as they are."""
    leaves = jax.tree.leaves(params)
    if not leaves or jnp.issubdtype(value.dtype, jnp.floating):
        return value
    return jnp.asarray(value, leaves[0].dtype)


def check_real(value: Any, name: str, expected: str) -> None:
    """Raise an ExamplesError unless an array holds booleans, integers or floats."""
    dtype = getattr(value, "dtype", None)
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    if dtype is None or not any(jnp.issubdtype(dtype, kind) for kind in kinds):
        given = type(value).__name__ if dtype is None else f"an array of {dtype}"
        raise ExamplesError(f"{name}: is {given}; expected real numbers, {expected}")


def check_matrix(value: Any, name: str, axes: str) -> None:
    """Raise an ExamplesError unless it is an array of floats with the axes, such as "m, n"."""
    check_real(value, name, f"({axes})")
    if len(value.shape) != axes.count(",") + 1 or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ExamplesError(
            f"{name}: has shape {value.shape} and dtype {value.dtype}; expected floats ({axes})"
        )


def check_kind(value: Any, kind: type | tuple[type, ...], name: str) -> None:
    """Raise an ExamplesError unless an argument is of a class."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(f"bpframe.{each.__name__}" for each in kinds)
        raise ExamplesError(f"{name}: is {type(value).__name__}; expected {wanted}")


def check_params(given: Any, network: Any, name: str = "params") -> None:
    """Raise an ExamplesError unless parameters are floats of the shapes that a network has.

    `network` has those of the layers 2..L. What has no parameters may be empty in any way.
    """
    if not isinstance(given, tuple | list) or len(given) != len(network):
        layers = f"has {len(given)} entries" if isinstance(given, tuple | list) else ""
        raise ExamplesError(
            f"{name}: {layers or f'is {type(given).__name__}'}; expected a tuple with an entry for "
            f"each of the layers 2..{len(network) + 1}, as in bpframe.read_params"
        )
    for number, (own, wanted) in enumerate(zip(given, network, strict=True), start=2):
        leaves = jax.tree.leaves(own)
        if not leaves and not jax.tree.leaves(wanted):
            continue
        if _structure(own) != _structure(wanted):
            raise ExamplesError(
                f"{name}: layer {number} has {_shown(own)}; the network has {_shown(wanted)}"
            )
        for leaf in leaves:
            check_real(leaf, f"{name}: layer {number}", _shown(wanted))
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise ExamplesError(f"{name}: layer {number} is of {leaf.dtype}; expected floats")


def check_alike(given: Any, like: Any, name: str, as_in: str) -> None:
    """Raise an ExamplesError unless two trees of arrays have one structure and the same shapes."""
    if _structure(given) != _structure(like):
        raise ExamplesError(f"{name}: has {_shown(given)}; expected {_shown(like)}, as {as_in} has")


def _structure(tree: Any) -> tuple[Any, list[Any]]:
    return jax.tree.structure(tree), [np.shape(leaf) for leaf in jax.tree.leaves(tree)]


def _shown(tree: Any) -> str:
    """The arrays of a tree by their paths and shapes, the first of many."""
    found = [
        f"{jax.tree_util.keystr(path, simple=True, separator='.')} {_shape(leaf)}".strip()
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
    return _listed(found) or "no arrays"


def _shape(leaf: Any) -> str:
    return str(np.shape(leaf)) if hasattr(leaf, "shape") else type(leaf).__name__


def _listed(found: Iterable[str]) -> str:
    names = list(found)
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
