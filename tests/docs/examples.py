"""The examples of a page, in the order in which they stand there.

A block that is announced as "`NAME`:" in the line before it is a file of that name. Other blocks
are run, each in the folder where the ones before have left their files: sh as it stands, console as
a command whose output has every part that is quoted, with ... between them, and python as a
program, of which blocks that follow each other are the parts. Other languages are no examples.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from test_cli import environment

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
_NAMED = re.compile(r"`([\w./-]+\.\w+)`:\s*$")
_RUN = ("sh", "python", "console")


class Example(NamedTuple):
    """A block of code.

    Attributes:
        language: what stands behind its fence.
        code: its lines.
        file: the file that it is; None if it is run.

    """

    language: str
    code: str
    file: str | None


def examples(page: Path) -> list[Example]:
    """The blocks of a page that are files, or that are run."""
    text = page.read_text(encoding="utf-8")
    found: list[Example] = []
    for block in _BLOCK.finditer(text):
        name = _NAMED.search(text[: block.start()].rstrip())
        file = name and name[1]
        example = Example(block[1], block[2], file)
        if found and example[0::2] == found[-1][0::2] == ("python", None):
            found[-1] = found[-1]._replace(code=f"{found[-1].code}\n{example.code}")
        elif file or example.language in _RUN:
            found.append(example)
    return found


def follow(page: Path, folder: Path) -> list[str]:
    """Write and run the examples of a page in a folder; what those that are run have printed."""
    printed = []
    for example in examples(page):
        if example.file:
            path = folder / example.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(example.code, encoding="utf-8")
        elif example.language == "console":
            _quoted_as_printed(example.code, folder)
        elif example.language == "python":
            printed.append(_run([sys.executable, "-c", example.code], folder))
        else:
            printed.append(_run(["bash", "-euo", "pipefail", "-c", example.code], folder))
    return printed


def _quoted_as_printed(code: str, folder: Path) -> None:
    """A block without a command quotes what the one before it has printed."""
    command, *quoted = code.splitlines()
    if command.startswith("$ "):
        printed = _run(["bash", "-c", f"{command[2:]} 2>&1 || true"], folder)
        for part in "\n".join(quoted).split("..."):
            assert part.strip("\n") in printed, f"{command}\n{part}\n{printed}"


def _run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(folder, PATH=path),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout
