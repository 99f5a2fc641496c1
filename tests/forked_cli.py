"""The command in a fork of a process that has imported it before: a third of the time."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import faulty_disk
import pytest
from test_cli import environment

# What `python -m bpframe` does. A fault is one of `faulty_disk`, with the folder below which it is.
FORKED = """
import os, sys
os.chdir(folder)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
os.dup2(os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
sys.argv = ["bpframe", *arguments]
from bpframe import cli
if fault:
    import faulty_disk
    disk = faulty_disk.install(*fault)
try:
    cli.main()
finally:
    if fault:
        with open("writes", "w") as file:
            file.write(str(disk.count))
"""
PRELOADED = [
    *("bpframe.commands.train", "bpframe_plugins.optimisers", "faulty_disk"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg"),
]
Start = Callable[..., BaseProcess]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts the command in a folder; what is killed is not the imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    needed = environment(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - needed.keys():
            patch.delenv(name)
        for name, value in needed.items():
            patch.setenv(name, value)
        forkserver.ensure_running()

    def begin(
        folder: Path, *arguments: str, fault: tuple[Path, str, int] | None = None
    ) -> BaseProcess:
        given = {"folder": str(folder), "arguments": arguments, "fault": fault}
        running = context.Process(target=exec, args=(FORKED, given))
        running.start()
        return running

    return begin


def writes(start: Start, home: Path, command: Sequence[str], folder: Path) -> int:
    """How often a command that succeeds writes below a folder."""
    assert finish(start, home, *command, fault=(folder, faulty_disk.COUNT, 0)) == (0, "")
    return int((home / "writes").read_text())


def fails_as_told(
    start: Start, home: Path, command: Sequence[str], fault: tuple[Path, str, int]
) -> None:
    """A command whose disk fails ends with one line that says so, or has warned and is complete."""
    folder, kind, _ = fault
    status, error = finish(start, home, *command, fault=fault)
    if kind == faulty_disk.KILL:
        assert not error, error
        return
    reason = os.strerror(faulty_disk.ERRORS[kind])
    *warnings, last = error.splitlines() or [""]
    warning = rf"bpframe: warning: .*{reason}.*"
    assert all(re.fullmatch(warning, line) for line in warnings), error
    if status == 0:
        assert not last or re.fullmatch(warning, last), error
    else:
        assert status == 1, error
        assert re.fullmatch(rf"bpframe: {re.escape(str(folder))}\S*: .*{reason}.*", last), error
        assert "Error" not in last


def share(writes: int, stride: int, fault: str) -> range:
    """Every so many of the writes, from another one on for each fault: the faults share them."""
    faults = (faulty_disk.KILL, *faulty_disk.ERRORS)
    return range(1 + faults.index(fault) * stride // len(faults), writes + 1, stride)


def lost_at(
    points: Iterable[int], folder: Path, attempt: Callable[[Path, int], None]
) -> dict[int, str]:
    """The points at which an attempt, in a folder of its own, does not hold, and why."""
    lost = {}
    for point in points:
        home = folder / str(point)
        home.mkdir()
        try:
            attempt(home, point)
        except AssertionError as found:
            lost[point] = str(found)
        shutil.rmtree(home)
    return lost


def told(folder: Path) -> list[Any]:
    """What a run has recorded, but for times."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((folder / "summary.json").read_bytes())
    for found in (*lines, summary):
        for key in ("algorithm", "seconds", "timing", "files", "crc32"):
            found.pop(key, None)
    return [*lines, summary]


def finish(
    start: Start, folder: Path, *arguments: str, fault: tuple[Path, str, int] | None = None
) -> tuple[int | None, str]:
    """The status of a command that has come to its end, and what it wrote to stderr."""
    running = start(folder, *arguments, fault=fault)
    running.join()
    return running.exitcode, (folder / "stderr").read_text()
