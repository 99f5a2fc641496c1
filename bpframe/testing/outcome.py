"""How a check ends: passed, failed with all that is needed to look into it, or skipped."""

from __future__ import annotations

import dataclasses
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_PARSING = threading.Lock()
"""Held while a class is looked for in its file: Python 3.11 parses in one thread at a time."""


class CheckFailedError(AssertionError):
    """A contract that is not kept.

    Attributes:
        problem: what is wrong, in a sentence.
        given: the input for which it is.
        found: the value that came out.
        expected: the value that should have.
        method: the method to look at, if another than the check itself names.
        place: the very line to look at, if it is known.

    """

    def __init__(
        self,
        problem: str,
        *,
        given: Any = None,
        found: Any = None,
        expected: Any = None,
        method: str | None = None,
        place: str = "",
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.given = given
        self.found = found
        self.expected = expected
        self.method = method
        self.place = place


class CheckSkippedError(Exception):
    """A check that cannot be made; the message is the reason."""


class Check(NamedTuple):
    """One property of a contract.

    Attributes:
        name: the property, in words.
        run: raises CheckFailedError if a subject does not have it.
        method: the method of the component where to look first if it fails.
        applies: whether the property is asked of a subject at all.
        is_alone: whether nothing else may run meanwhile, as it watches the whole process.

    """

    name: str
    run: Callable[[Any], None]
    method: str | None = None
    applies: Callable[[Any], bool] = lambda _: True
    is_alone: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one check of one component ended.

    Attributes:
        plugin: the plugin.
        kind: the kind of component, or "plugin".
        component: its name.
        check: the property that was checked.
        status: "passed", "failed" or "skipped".
        place: where the check stands among those of its kind.
        detail: the failure in several lines, or the reason for the skip.

    """

    plugin: str
    kind: str
    component: str
    check: str
    status: str
    place: int
    detail: str = ""


def described(error: CheckFailedError, component: type[Any] | None, method: str | None) -> str:
    """A failure in several lines: the problem, the values, and the line to look at."""
    lines = [error.problem]
    for label, value in (
        ("input", error.given),
        ("value", error.found),
        ("expected", error.expected),
    ):
        if value is not None:
            lines.append(f"{label + ':':10}{_short(value)}")
    if place := error.place or line_of(component, error.method or method):
        lines.append(f"{'look at:':10}{place}")
    return "\n".join(lines)


def line_of(component: type[Any] | None, method: str | None) -> str:
    """FILE, line N (Class.method), of the method or, where that is the core's, of the class.

    A method that is no function, as `targets = (0, 1)`, has the line of the class that sets it.
    `method` may be several names with "/" between them; the first that there is counts.
    """
    if component is None:
        return ""
    target: Any = component
    for name in (method or "").split("/"):
        owner = next((c for c in component.__mro__ if name in vars(c)), None)
        if owner is not None and owner.__module__.split(".")[0] != "bpframe":
            found = vars(owner)[name]
            target = found if hasattr(found, "__get__") else owner
            break
    target = target.fget if isinstance(target, property) else target
    try:
        file = inspect.getsourcefile(inspect.unwrap(target)) or "?"
        with _PARSING:
            line = inspect.getsourcelines(target)[1]
    except (OSError, TypeError):
        return f"{component.__module__}.{component.__qualname__}"
    name = getattr(target, "__qualname__", component.__qualname__)
    return f"{relative(file)}, line {line} ({name})"


def relative(file: str) -> str:
    """The path of a file from the current folder, where it is inside."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except ValueError:
        return file


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float | np.floating):
        return f"{value:.10g}"
    if hasattr(value, "dtype") and np.size(value) == 1:
        return f"{np.asarray(value).item()!r}"
    if hasattr(value, "dtype"):
        shown = np.array2string(np.asarray(value), threshold=8, precision=6)
        return f"{' '.join(shown.split())} {value.dtype}{list(np.shape(value))}"
    return " ".join(repr(value).split())
