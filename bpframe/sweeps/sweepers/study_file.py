"""Optuna's journal in a file to which whole steps of a search are added."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from optuna.storages.journal import BaseJournalBackend

from bpframe.errors import OutputError
from bpframe.files import check_no_link, open_own
from bpframe.sweeps.ledger import unwritable

_LINES = "bpframe_lines"


class StudyFile(BaseJournalBackend):
    """Optuna's journal in a file to which whole steps of a search are added, or nothing.

    What is logged is kept until `write`. The first line of what is then written says how many
    there are, and a part that a killed process or a full disk left does not count. One process
    alone may write: the one that holds the sweep's folder.

    Raises:
        OutputError: the file cannot be read.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            content = path.read_bytes() if path.exists() else b""
            end = _whole(content)
            self._logs = [json.loads(line) for line in content[:end].splitlines()]
            if end < len(content):
                check_no_link(path)
                os.truncate(path, end)
        except ValueError as error:
            raise OutputError(f"{path}: is no journal of Optuna: {error}") from error
        except OSError as error:
            raise unwritable(path.parent, error) from error
        self._written = len(self._logs)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """See Optuna."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """See Optuna."""
        self._logs += json.loads(json.dumps(logs))

    def write(self) -> None:
        """Add what was logged to the file; it is on the disk when this returns.

        Raises:
            OutputError: it cannot be written.

        """
        new = self._logs[self._written :]
        if not new:
            return
        new[0] = {**new[0], _LINES: len(new)}
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in new).encode()
        try:
            with open_own(self._path, "ab", buffering=0) as file:
                _append(file, text)
        except OSError as error:
            raise unwritable(self._path.parent, error) from error
        self._written = len(self._logs)


def _append(file: IO[bytes], text: bytes) -> None:
    """Add all to a file, or nothing."""
    end = file.seek(0, os.SEEK_END)
    rest = memoryview(text)
    try:
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise


def _whole(content: bytes) -> int:
    """The length of the steps that are whole."""
    lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
    head = f'"{_LINES}":'.encode()
    last = next((n for n in reversed(range(len(lines))) if head in lines[n]), None)
    if last is not None and len(lines) - last < json.loads(lines[last])[_LINES]:
        lines = lines[:last]
    return sum(map(len, lines))
