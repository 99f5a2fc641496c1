"""Checksums, by which a file that was damaged is told from one that was written.

They are CRC-32, which finds every flipped bit and every short burst of them; they are no defence
against somebody who writes both the file and its checksum.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bpframe.errors import OutputError

CHECKSUM = "crc32"


def checksum(content: bytes | memoryview, before: str = "00000000") -> str:
    """The CRC-32 of some bytes as eight hex digits; of what goes on from `before`."""
    return f"{zlib.crc32(content, int(before, 16)):08x}"


def of_arrays(arrays: Iterable[np.ndarray]) -> str:
    """The CRC-32 of some arrays, with their shapes and dtypes."""
    found = checksum(b"")
    for array in arrays:
        found = checksum(f"{array.shape} {array.dtype.str} ".encode(), found)
        found = checksum(np.ascontiguousarray(array).data.cast("B"), found)
    return found


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values for JSON, with their checksum as the last one."""
    return {**values, CHECKSUM: checksum(_text(values))}


def opened(text: bytes) -> dict[str, Any]:
    """What JSON holds, which was sealed, without the checksum.

    Raises:
        ValueError: it is damaged.

    """
    return opened_with_checksum(text)[0]


def opened_with_checksum(text: bytes) -> tuple[dict[str, Any], str]:
    """The same, and the checksum."""
    found = json.loads(text)
    told = found.pop(CHECKSUM, None) if isinstance(found, dict) else None
    if told is None or told != checksum(_text(found)):
        raise ValueError("is damaged: it does not fit its checksum")
    return found, told


def sealed_line(values: Mapping[str, Any]) -> bytes:
    """Values as a line of JSON, with their checksum."""
    return json.dumps(sealed(values), separators=(",", ":")).encode() + b"\n"


def opened_lines(content: bytes, path: Path, remedy: str) -> list[dict[str, Any]]:
    """The values in the lines of a file, all of which are whole.

    Raises:
        OutputError: a line is damaged; the message ends with `remedy`.

    """
    found: list[dict[str, Any]] = []
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        try:
            found.append(opened(line))
        except ValueError as error:
            raise OutputError(f"{path}: line {number} is damaged; {remedy}") from error
    return found


def whole(content: bytes) -> int:
    """The length of the lines that are whole: a writer that was killed leaves a half one."""
    return content.rfind(b"\n") + 1


def _text(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, allow_nan=False, separators=(",", ":")).encode()
