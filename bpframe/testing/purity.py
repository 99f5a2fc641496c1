"""Watching a component for what a pure function does not do."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import random
import sys
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from bpframe.plugin_host.process_state import ProcessState
from bpframe.testing.outcome import CheckFailedError


@contextlib.contextmanager
def watched(component: type[Any], instance: Any) -> Iterator[None]:
    """Raise CheckFailedError if the code inside prints, writes, draws from a global generator,
    or changes the environment, its module, its class or its instance.
    """
    written: list[str] = []
    printed = io.StringIO()
    with (
        _seeded_anew(),
        _recorded_writes(written),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        process, before = ProcessState(), _state(component, instance)
        threads = set(threading.enumerate())
        yield
        after, changes = _state(component, instance), process.changes(ProcessState())
    if left := [own.name for own in threading.enumerate() if own not in threads]:
        raise CheckFailedError("leaves a thread behind", found=", ".join(left), expected="none")
    if written:
        raise CheckFailedError("writes files", found=", ".join(written), expected="no files")
    if text := printed.getvalue():
        raise CheckFailedError("prints", found=text, expected="no output")
    for name, told in changes.items():
        raise CheckFailedError(f"changes {name}", found=told)
    for name, value in before.items():
        if after.get(name) != value:
            found, expected = _where_they_differ(str(after.get(name)), value)
            raise CheckFailedError(f"changes {name}", found=found, expected=expected)
    if added := sorted(set(after) - set(before)):
        raise CheckFailedError("leaves something behind", found=", ".join(added))


@contextlib.contextmanager
def _seeded_anew() -> Iterator[None]:
    """Bring the global generators to a state that no one else seeds them with, and back."""
    states = random.getstate(), np.random.get_state()
    random.seed(0x6270)
    np.random.seed(0x6270)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _where_they_differ(*texts: str, most: int = 60) -> tuple[str, ...]:
    """Both texts from shortly before the place where they begin to differ."""
    pairs = enumerate(zip(*texts, strict=False))
    differ = next((i for i, (one, other) in pairs if one != other), min(map(len, texts)))
    start = max(0, differ - most // 3)
    return tuple(
        "..." * (start > 0) + text[start : start + most] + "..." * (len(text) > start + most)
        for text in texts
    )


def _state(component: type[Any], instance: Any) -> dict[str, str]:
    """What is the component's own, and the whole environment, as texts."""
    state = {
        "the environment": str(sorted(os.environ.items())),
        "the global generator of random": str(hash(random.getstate())),
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
