"""Standard output and logs that may fail: what is shown never decides what is kept."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from bpframe.errors import OutputWarning


class LenientOutput:
    """A text stream that drops all that follows once it cannot be written.

    Attributes:
        error: why; None as long as it can be.

    """

    def __init__(self, stream: TextIO) -> None:
        self.error: OSError | None = None
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop the text."""
        if self.error is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush what was not dropped."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Send what is left in the buffer nowhere."""
        self.error = error
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lenient() -> Iterator[LenientOutput]:
    """Standard output as a LenientOutput meanwhile."""
    before = sys.stdout
    output = LenientOutput(before)
    sys.stdout = output
    try:
        yield output
    finally:
        output.flush()
        sys.stdout = before


@contextlib.contextmanager
def lenient_logs() -> Iterator[None]:
    """Log files that cannot be written are told of once each, in a warning of one line."""
    told: set[str] = set()

    def warn(self: logging.Handler, record: logging.LogRecord) -> None:
        del record
        name, error = getattr(self, "baseFilename", "the log"), sys.exception()
        if name not in told:
            told.add(name)
            reason = getattr(error, "strerror", None) or error
            warnings.warn(f"{name}: not written: {reason}", OutputWarning, stacklevel=2)

    before = logging.Handler.handleError
    logging.Handler.handleError = warn  # what logging offers for this is a traceback, or silence
    try:
        yield
    finally:
        logging.Handler.handleError = before
