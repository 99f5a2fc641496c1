"""Which code a run or a sweep names, and whether this user has run it before.

A folder may come from someone else, and to resume it is to run what it names. Who has made a
folder cannot be seen from it: what is unpacked belongs to who unpacks it. So what the user's own
commands name is noted in the user's state folder, and `bpframe resume` runs that and no more,
unless it is told to.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import platformdirs

from bpframe.errors import ConfigError, printable
from bpframe.files import open_own

_HARMLESS = re.compile(
    r"hydra(\.(sweep|sweeper|launcher|job\.(name|num|id|chdir)|run|verbose|mode)\b|/)"
)
_HARMFUL = ("_target_", "submitit", "@")


def code_of(
    plugins: Sequence[str],
    configs: Sequence[Path | str | None] = (),
    overrides: Sequence[str] = (),
) -> list[str]:
    """What a command has run: files of plugins, folders of configs, and settings of Hydra.

    Paths are those that the working directory makes of them. Of Hydra's settings some name what is
    called or imported, or set variables; those that cannot are left out.
    """
    paths = [("plugins in", str(path)) for path in plugins]
    paths += [("configs in", str(folder)) for folder in configs if folder is not None]
    named = [f"{what} {os.path.realpath(Path(path).expanduser())}" for what, path in paths]
    settings = [text for text in overrides if re.match(r"[+~]*hydra\b", text)]
    return named + [f"{text} in {os.getcwd()}" for text in settings if _can_run(text.lstrip("+~"))]


def results_of(sweep: Path) -> list[str]:
    """What the jobs of a cluster have left in a sweep: pickles, which run code when they are read.

    They are among the code of a sweep only if it is trained by submitit.
    """
    return [f"results of submitit in {os.path.realpath(sweep)}"]


def note(code: Sequence[str]) -> None:
    """Note what a command of the user's own has run.

    Where that cannot be written, `bpframe resume` will ask for --trust.
    """
    noted = set(_noted())
    new = [name for name in code if printable(name) not in noted]
    if not new:
        return
    with contextlib.suppress(OSError):
        _file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_own(_file(), "a") as file:
            file.write("".join(f"{name}\n" for name in map(printable, new)))


def check(code: Sequence[str], folder: Path) -> None:
    """Raise a ConfigError if a folder to be resumed names code that the user has not run."""
    noted = set(_noted())
    if new := [name for name in code if printable(name) not in noted]:
        raise ConfigError(
            f"{folder}: it names code that no command of yours has run: "
            f"{', '.join(new)}; if you trust where the folder comes from, add --trust (in Python, "
            "trusted=True)"
        )


def checking(folder: Path, overrides: Sequence[str] = ()) -> Callable[[Sequence[str]], None]:
    """What notes code after `check`; what `overrides` name, the user has given now."""

    def checked(code: Sequence[str]) -> None:
        mine = code_of((), (), overrides)
        check([name for name in code if name not in mine], folder)
        note(code)

    return checked


def _can_run(text: str) -> bool:
    return not _HARMLESS.match(text) or any(word in text for word in _HARMFUL)


def _noted() -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from _file().read_text(encoding="utf-8", errors="replace").splitlines()


def _file() -> Path:
    return platformdirs.user_state_path("bpframe") / "code_run_before"
