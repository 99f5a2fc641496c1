"""Tracing a component, and saying plainly what it does that cannot be traced."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from bpframe.testing.outcome import CheckFailedError, relative

_NEEDS_A_VALUE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerIntegerConversionError,
)


_NOT_OF_PLUGINS = (
    *(Path(str(package.__file__)).parent for package in (jax, np, optax)),
    Path(__file__).parents[1],
)


def shape_of(function: Any, *arguments: Any) -> Any:
    """What a function gives for arguments, as shapes and dtypes; nothing is computed."""
    return run_traced(jax.eval_shape, function, *arguments)


def run_traced(program: Any, *arguments: Any) -> Any:
    """Call a traced program; say plainly what a branch on a value does."""
    try:
        return program(*arguments)
    except _NEEDS_A_VALUE as error:
        raise CheckFailedError(
            "cannot be compiled: it asks for the value of a traced array, by `if`, `float()` or "
            "the like; use jnp.where",
            found=type(error).__name__,
            place=plugin_line(error),
        ) from error
    except jax.errors.TracerArrayConversionError as error:
        raise CheckFailedError(
            "cannot be compiled: it gives a traced array to NumPy; use jax.numpy",
            found=type(error).__name__,
            place=plugin_line(error),
        ) from error


def plugin_line(error: BaseException) -> str:
    """FILE, line N (FUNCTION): the innermost of the plugin's own code, or nothing."""
    mine = [f for f in traceback.extract_tb(error.__traceback__) if _is_of_a_plugin(f.filename)]
    if not mine:
        return ""
    return f"{relative(mine[-1].filename)}, line {mine[-1].lineno} ({mine[-1].name})"


def _is_of_a_plugin(file: str) -> bool:
    """Whether a file belongs neither to Python, nor to bpframe, nor to what that builds on."""
    path = Path(file)
    if any(path.is_relative_to(package) for package in _NOT_OF_PLUGINS):
        return False
    paths = sysconfig.get_paths()
    is_installed = path.is_relative_to(paths["purelib"])
    return path.exists() and (is_installed or not path.is_relative_to(paths["stdlib"]))
