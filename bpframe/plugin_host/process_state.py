"""What of this process decides the numbers of a run, or how it ends: to see and undo its changes.

Nothing is imported to look at it: what no one has imported, no one has changed.
"""

from __future__ import annotations

import contextlib
import locale
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGPIPE", "SIGALRM", "SIGCHLD")
    if hasattr(signal, name)
)
_READ_BY_US = ("BPFRAME", "CUDA", "HYDRA", "JAX", "LIBTPU", "MKL", "OMP", "OPENBLAS", "XLA")
"""Beginnings of variables that decide what is computed, and how."""

RANDOM = "the global generator of random"

_WIDE = ("builtins", "bpframe.errors")
"""Modules with categories of warnings that are nobody's own."""


class _Part(NamedTuple):
    """One part of the state.

    `told` says what a change amounts to, from both values; None if it harms nothing.
    """

    read: Callable[[], Any]
    told: Callable[[Any, Any], str | None]
    restore: Callable[[Any], None]


class ProcessState:
    """The state at a moment."""

    def __init__(self) -> None:
        self._values = {name: part.read() for name, part in _PARTS.items()}

    def changes(self, later: ProcessState) -> dict[str, str]:
        """What has changed since, by name, and how; what decides nothing is left out."""
        found = {}
        for name, part in _PARTS.items():
            before, after = self._values[name], later._values[name]
            if before is None or after is None or _same(before, after):
                continue
            if told := part.told(before, after):
                found[name] = told
        return found

    def differs(self, later: ProcessState, name: str) -> bool:
        """Whether a part is another one since, be it harmless."""
        return not _same(self._values[name], later._values[name])

    def restore(self, *names: str) -> None:
        """Bring these parts back to what they were."""
        for name in names:
            _PARTS[name].restore(self._values[name])


def _same(before: Any, after: Any) -> bool:
    try:
        return bool(before == after)
    except Exception:  # a value of someone else's that cannot be compared
        return before is after


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    return (key for key in after if key not in before or not _same(before[key], after[key]))


def _settings_of_jax() -> dict[str, Any] | None:
    jax: Any = sys.modules.get("jax")
    return dict(jax.config.values) if jax is not None and hasattr(jax, "config") else None


def _told_of_jax(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    return ", ".join(
        f"{key} from {before[key]!r} to {after[key]!r}"
        for key in _differing(before, after)
        if key in before  # a new one is that of a library which uses JAX
    )


def _restore_jax(before: Mapping[str, Any]) -> None:
    config: Any = sys.modules["jax"].config
    for key in _differing(config.values, before):
        config.update(key, before[key])


def _numpy(name: str, *arguments: Any) -> Any:
    """What a function of NumPy gives; None if no one has imported it."""
    module: Any = sys.modules.get("numpy.random" if name.endswith("_state") else "numpy")
    return getattr(module, name)(*arguments) if module is not None else None


def _generator_of_numpy() -> tuple[Any, ...] | None:
    found = _numpy("get_state")
    return None if found is None else (found[0], found[1].tobytes(), *found[2:])


def _restore_generator_of_numpy(before: tuple[Any, ...]) -> None:
    import numpy as np

    words = np.frombuffer(before[1], np.uint32)
    _numpy("set_state", (before[0], words, *before[2:]))


def _settings_of_numpy() -> tuple[Any, Any] | None:
    errors = _numpy("geterr")
    return None if errors is None else (errors, _numpy("get_printoptions"))


def _restore_numpy(before: tuple[Any, Any]) -> None:
    import numpy as np

    np.seterr(**before[0])
    np.set_printoptions(**before[1])


def _told_of_settings(before: tuple[Any, Any], after: tuple[Any, Any]) -> str:
    return ", ".join(key for b, a in zip(before, after, strict=True) for key in _differing(b, a))


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been deleted
        return ""


def _enter(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.chdir(folder)


def _told_of_environment(before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    """The names of variables; a new one of another library's own decides nothing here."""
    changed = [name for name in before if after.get(name) != before[name]]
    new = [name for name in after if name not in before and name.startswith(_READ_BY_US)]
    return ", ".join(sorted(changed + new))


def _restore_environment(before: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def _told_of_filters(before: list[Any], after: list[Any]) -> str | None:
    """Filters that are gone, or silence more than one text, module or category of a library."""
    if any(each not in after for each in before):
        return "filters are gone"
    wide = [
        f"{action} {category.__name__}"
        for action, message, category, module, _ in after
        if message is None and module is None and category.__module__ in _WIDE
        if (action, message, category, module, _) not in before
    ]
    return ", ".join(wide)


def _restore_filters(before: list[Any]) -> None:
    warnings.simplefilter("default")  # so that Python notes that they have changed
    warnings.filters[:] = before  # pyright: ignore[reportIndexIssue]


def _told_of_signals(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> str:
    return ", ".join(signal.Signals(number).name for number in _differing(before, after))


def _restore_signals(before: Mapping[Any, Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _restore_locale(before: str) -> None:
    locale.setlocale(locale.LC_ALL, before)


def _told_of_random(before: tuple[Any, ...], after: tuple[Any, ...]) -> str | None:
    """None if some numbers were drawn, as libraries do when they are imported."""
    twin = random.Random()
    twin.setstate(before)
    words = len(before[1]) - 1
    for _ in range(3):
        if twin.getstate()[1][:words] == after[1][:words]:
            return None
        twin.getrandbits(32 * words)  # all words are new then
    return "seeded"


def _from_to(before: Any, after: Any) -> str:
    return f"from {before} to {after}"


def _just_so(before: Any, after: Any) -> str:
    del before, after
    return "seeded, or drawn from"


_PARTS: Mapping[str, _Part] = MappingProxyType(
    {
        "the settings of JAX": _Part(_settings_of_jax, _told_of_jax, _restore_jax),
        "the global generator of NumPy": _Part(
            _generator_of_numpy, _just_so, _restore_generator_of_numpy
        ),
        RANDOM: _Part(random.getstate, _told_of_random, random.setstate),
        "the settings of NumPy": _Part(_settings_of_numpy, _told_of_settings, _restore_numpy),
        "the current folder": _Part(_folder, _from_to, _enter),
        "the environment": _Part(
            lambda: dict(os.environ), _told_of_environment, _restore_environment
        ),
        "the warning filters": _Part(
            lambda: list(warnings.filters), _told_of_filters, _restore_filters
        ),
        "the signal handlers": _Part(
            lambda: {number: signal.getsignal(number) for number in _SIGNALS},
            _told_of_signals,
            _restore_signals,
        ),
        "the locale": _Part(
            lambda: locale.setlocale(locale.LC_ALL),
            _from_to,
            _restore_locale,
        ),
    }
)
