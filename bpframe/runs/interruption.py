"""Ending on ctrl-C, SIGTERM or SIGHUP where nothing is lost.

Python raises KeyboardInterrupt wherever it stands. In a callback of the garbage collector or of a
weak reference, of which JAX has many, it is printed and lost; so the signal is noted, and looked
at between two turns.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from bpframe.errors import BpframeError

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class InterruptionError(BpframeError):
    """A run or a sweep was ended by a signal; what was done is written.

    Attributes:
        status: the exit status of the process, 130 for ctrl-C, 143 for SIGTERM and 129 for SIGHUP.

    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number
        self.status = 128 + number


def interrupted(number: int) -> InterruptionError:
    """What a signal ends a run with."""
    name = "ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    return InterruptionError(f"interrupted by {name}", number)


class CtrlC:
    """A context that notes whether a ctrl-C came; it ends what it ends without this.

    So a KeyboardInterrupt that a plugin raises can be told from one of the user.
    """

    def __init__(self) -> None:
        self.has_come = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                signal.signal(signal.SIGINT, self._note)
                self._before = before
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.has_come = True
        self._before(number, frame)


class Interruption:
    """Notes the first signal, to end where `check` is called; a second one ends at once."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def number(self) -> int | None:
        """Of the signal that has come."""
        return self._number

    def check(self) -> None:
        """Raise InterruptionError if a signal has come."""
        if self._number is not None:
            raise interrupted(self._number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._number is not None:
            raise KeyboardInterrupt
        self._number = number
