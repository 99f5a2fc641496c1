"""Ending a sweep on ctrl-C or SIGTERM where nothing is lost."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from bpframe.errors import BpframeError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SweepInterruptedError(BpframeError):
    """A sweep was ended by a signal; what was done is written.

    Attributes:
        status: the exit status of the process, 130 for ctrl-C and 143 for SIGTERM.

    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number
        self.status = 128 + number


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

    def check(self) -> None:
        """Raise SweepInterruptedError if a signal has come."""
        if self._number is not None:
            name = "ctrl-C" if self._number == signal.SIGINT else "SIGTERM"
            raise SweepInterruptedError(f"interrupted by {name}", self._number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._number is not None:
            raise KeyboardInterrupt
        self._number = number
