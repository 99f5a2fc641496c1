"""The command in a fork of a process that has imported it before: a third of the time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

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
Start = Callable[..., BaseProcess]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts the command in a folder; what is killed is not the imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bpframe.commands.train", "matplotlib.figure", "faulty_disk"])
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


def finish(
    start: Start, folder: Path, *arguments: str, fault: tuple[Path, str, int] | None = None
) -> tuple[int | None, str]:
    """The status of a command that has come to its end, and what it wrote to stderr."""
    running = start(folder, *arguments, fault=fault)
    running.join()
    return running.exitcode, (folder / "stderr").read_text()
