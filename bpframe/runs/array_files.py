"""The files of a recording: what they are called, and how they are read, without JAX."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bpframe.errors import OutputError
from bpframe.runs.arrays import InFile, Recording

FOLDER, _END, _DIGITS = "recording", ".safetensors", 12


def name_of(last: int) -> str:
    """What a file is called in the folder of its run, by the last step in it."""
    return f"{FOLDER}/{last:0{_DIGITS}}{_END}"


def last_step(path: Path) -> int:
    """The last step in a file, of which it has its name."""
    return int(path.name.removesuffix(_END))


def files(run: Path) -> list[Path]:
    """Those of a run, in the order of their steps."""
    return [path for path in sorted((run / FOLDER).glob(f"*{_END}")) if _is_ours(path)]


def read(run: Path, names: Iterable[str]) -> Recording:
    """What the files of a run hold, of those that its summary names.

    Raises:
        OutputError: one is missing.

    """
    own = sorted(name for name in names if name.startswith(f"{FOLDER}/"))
    found = {f"{FOLDER}/{path.name}" for path in files(run)}
    if missing := set(own) - found:
        raise OutputError(f"{run / min(missing)}: is missing")
    return Recording([InFile(run / name) for name in own])


def _is_ours(path: Path) -> bool:
    name = path.name.removesuffix(_END)
    is_numbered = len(name) == _DIGITS and name.isascii() and name.isdigit()
    return is_numbered and path.is_file()  # a pipe would be waited for
