"""Optuna's journal in a file to which whole steps of a search are added."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from optuna.storages.journal import BaseJournalBackend

from bpframe.files import check_no_link, open_own
from bpframe.runs.checksums import opened_lines, sealed_line, whole
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
            self._logs = _steps(content, path)
            end = len(_text(self._logs))
            if end < len(content):
                check_no_link(path)
                os.truncate(path, end)
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
        try:
            with open_own(self._path, "ab", buffering=0) as file:
                _append(file, _text(new))
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


def _text(logs: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(map(sealed_line, logs))


def _steps(content: bytes, path: Path) -> list[dict[str, Any]]:
    """The logs of all steps that are whole."""
    if not (end := whole(content)):
        return []
    logs = opened_lines(content[:end], path, "the search cannot go on; begin another")
    last = max(number for number, log in enumerate(logs) if _LINES in log)
    return logs if len(logs) - last >= logs[last][_LINES] else logs[:last]
