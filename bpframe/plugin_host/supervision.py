"""Watching plugins while they are loaded: what they print, how long they take, what they change."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from types import TracebackType
from typing import Self

from bpframe.errors import printable
from bpframe.plugin_host.process_state import RANDOM, ProcessState
from bpframe.runs.interruption import CtrlC

PATIENCE_S = 1.0
"""After so long it is told which plugin is being loaded."""


class Supervision:
    """A context in which plugins are loaded, one after another.

    What they print goes to standard error, since what bpframe prints may be read by a program.
    """

    def __init__(self) -> None:
        self._all = contextlib.ExitStack()
        self._ctrl_c = CtrlC()
        self._state = ProcessState()
        self._doing: tuple[str, float] | None = None
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._all.enter_context(contextlib.redirect_stdout(sys.stderr))
        self._all.enter_context(self._ctrl_c)
        self._all.callback(self._ended.set)
        threading.Thread(target=self._tell_of_the_slow, daemon=True).start()
        self._state = ProcessState()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._all.close()

    def begin(self, what: str) -> None:
        """Note what is being done from now on."""
        self._doing = what, time.monotonic()

    def undone(self) -> str | None:
        """What has changed since this was last called, in words; it is undone."""
        before, now = self._state, ProcessState()
        changes = before.changes(now)
        # Libraries draw from it when they are imported, which is no fault and undone all the same.
        drawn = [RANDOM] if before.differs(now, RANDOM) else []
        before.restore(*changes, *drawn)
        self._state = ProcessState() if changes or drawn else now
        return "; ".join(f"{name} ({told})" for name, told in changes.items()) or None

    def is_the_users(self, error: BaseException) -> bool:
        """Whether an error is the ctrl-C of the user, and no plugin's own."""
        return isinstance(error, KeyboardInterrupt) and self._ctrl_c.has_come

    def _tell_of_the_slow(self) -> None:
        told = None
        while not self._ended.wait(PATIENCE_S / 4):
            doing = self._doing
            if doing and doing is not told and time.monotonic() - doing[1] >= PATIENCE_S:
                told = doing
                text = printable(f"bpframe: still {doing[0]}; ctrl-C ends it")
                print(text, file=sys.stderr, flush=True)
