"""Tracing a component, and saying plainly what it does that cannot be traced."""

from __future__ import annotations

import inspect
from typing import Any

import jax

from bpframe.testing.outcome import CheckFailedError

_NEEDS_A_VALUE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerIntegerConversionError,
)


def shape_of(function: Any, *arguments: Any) -> Any:
    """What a function gives for arguments, as shapes and dtypes; nothing is computed."""
    return run_traced(jax.eval_shape, function, *arguments)


def run_traced(program: Any, *arguments: Any) -> Any:
    """Call a traced program; say plainly what a branch on a value does."""
    try:
        return program(*arguments)
    except _NEEDS_A_VALUE as error:
        where = plugin_line(error)
        raise CheckFailedError(
            "cannot be compiled: it asks for the value of a traced array, by `if`, `float()` or "
            f"the like; use jnp.where{where}",
            found=type(error).__name__,
        ) from error
    except jax.errors.TracerArrayConversionError as error:
        raise CheckFailedError(
            "cannot be compiled: it gives a traced array to NumPy; use jax.numpy"
            f"{plugin_line(error)}",
            found=type(error).__name__,
        ) from error


def plugin_line(error: BaseException) -> str:
    """(FILE, line N), the innermost line of the plugin's own code, or nothing."""
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    packages = ("/jax/", "/bpframe/", "/jaxlib/")
    mine = [f for f in frames if not any(name in f.filename for name in packages)]
    return f" ({mine[-1].filename}, line {mine[-1].lineno})" if mine else ""
