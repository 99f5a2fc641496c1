"""Watching a component for what a pure function does not do."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import random
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from bpframe.testing.outcome import CheckFailedError


@contextlib.contextmanager
def watched(component: type[Any], instance: Any) -> Iterator[None]:
    """Raise CheckFailedError if the code inside prints, writes, draws from a global generator,
    or changes the environment, its module, its class or its instance.
    """
    written: list[str] = []
    printed = io.StringIO()
    before = _state(component, instance)
    with (
        _recorded_writes(written),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        yield
    after = _state(component, instance)
    if written:
        raise CheckFailedError("writes files", found=", ".join(written), expected="no files")
    if text := printed.getvalue():
        raise CheckFailedError("prints", found=text, expected="no output")
    for name, value in before.items():
        if after.get(name) != value:
            raise CheckFailedError(
                f"changes {name}", found=after.get(name), expected=f"unchanged: {value}"
            )
    if added := sorted(set(after) - set(before)):
        raise CheckFailedError("leaves something behind", found=", ".join(added))


def _state(component: type[Any], instance: Any) -> dict[str, str]:
    """All that the component could change, as texts."""
    _, words, position, *_ = np.random.get_state(legacy=True)
    state = {
        "the global generator of NumPy": f"{hash(np.asarray(words).tobytes())} {position}",
        "the global generator of random": str(hash(random.getstate())),
        "the environment": str(sorted(os.environ.items())),
        "the current folder": os.getcwd(),
    }
    module = sys.modules.get(component.__module__)
    places = [("module", vars(module) if module else {})]
    mine = [c for c in component.__mro__ if c.__module__ == component.__module__]
    places += [(f"class {c.__name__}", vars(c)) for c in mine]
    places.append(("instance", getattr(instance, "__dict__", {})))
    for place, names in places:
        for name, value in list(names.items()):
            if not name.startswith("__") and (text := _text(value)) is not None:
                state[f"{name} of its {place}"] = text
    return state


def _text(value: Any) -> str | None:
    """A plain value as text; None for what is no plain value."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{hash(value.tobytes())}"
    if isinstance(value, bool | int | float | str | bytes | list | dict | set | tuple):
        return repr(value)
    return None


@contextlib.contextmanager
def _recorded_writes(written: list[str]) -> Iterator[None]:
    """Record what is opened for writing, but for what JAX keeps in its compilation cache."""
    opened = builtins.open
    cache = jax.config.values["jax_compilation_cache_dir"]

    def recording(file: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
        if set(mode) & set("wax+") and not (cache and str(file).startswith(str(cache))):
            written.append(str(file))
        return opened(file, mode, *arguments, **more)

    builtins.open = io.open = recording  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        builtins.open = io.open = opened
