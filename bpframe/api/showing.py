"""How runs and sweeps that Python began show how they go: in a notebook in place, else as asked."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from bpframe.runs.bookkeeping import OnEpoch
from bpframe.runs.console import progress as live
from bpframe.runs.records import EpochRecord
from bpframe.runs.screen import Screen


@contextlib.contextmanager
def screen(progress: bool | None) -> Iterator[Console]:
    """A console: in a notebook one line that changes, else the terminal; or one that says nothing.

    `progress` says whether to show anything; unset, it is shown in a notebook alone.
    """
    if progress is False or (progress is None and not in_notebook()):
        yield Screen(quiet=True)
    elif in_notebook():
        # Plain lines, of which the last is shown: no escape codes, and no widgets to install.
        yield Screen(file=_InPlace(), force_terminal=False, force_jupyter=False, width=100)
    else:
        yield Screen()


@contextlib.contextmanager
def shown(
    progress: bool | None,
    epochs: int,
    on_epoch: OnEpoch | None,
) -> Iterator[OnEpoch | None]:
    """What to call with the record of each epoch: `on_epoch`, and what shows it; see `screen`."""
    with screen(progress) as console:
        if console.quiet:
            yield on_epoch
            return
        with live(console, epochs) as show:

            def both(record: EpochRecord) -> None:
                show(record)
                if on_epoch:
                    on_epoch(record)

            yield both


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    module = sys.modules.get("IPython")
    found: Any = getattr(module, "get_ipython", None)  # not there while it is imported
    shell: Any = found() if found is not None else None
    return shell is not None and hasattr(shell, "kernel")


class _InPlace(io.StringIO):
    """The last line that is written, in an output of the cell that is updated."""

    def __init__(self) -> None:
        self._line = ""
        self._handle: Any = None

    def write(self, text: str) -> int:
        """Show the last line of a text."""
        from IPython.display import display

        lines = [line for line in (self._line + text).split("\n") if line.strip()]
        self._line = "" if text.endswith("\n") else (lines[-1] if lines else "")
        if lines:
            shown = _Text(lines[-1].rstrip())
            if self._handle is None:
                self._handle = display(shown, display_id=True)
            else:
                self._handle.update(shown)
        return len(text)


class _Text:
    """A line of text as a notebook shows it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text
