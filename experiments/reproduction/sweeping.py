"""The sweep of a study as a process of its own, as a reader would start it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bpframe.configuration.composition import quoted
from bpframe.errors import BpframeError
from reproduction.runs import Runs
from reproduction.study import Study

PREFIX, WARNING = "bpframe: ", "bpframe: warning:"


def sweep(study: Study, folder: Path, *, quick: bool) -> tuple[Runs, float]:
    """The runs of the sweep of a study, and the seconds it took from start to exit.

    Its output goes to the terminal.

    Raises:
        BpframeError: it failed; with the last message that it gave.

    """
    started = time.perf_counter()
    status, message = _passed_through(command(study, folder, quick=quick))
    seconds = time.perf_counter() - started
    if status and not (folder / "results.jsonl").is_file():
        raise BpframeError(message or f"the sweep ended with status {status}")
    runs = Runs.read(folder)
    # A sweep in which runs diverged has status 1 as well, and may be what a study is about.
    if status and all(run.summary["status"] == "completed" for run in runs):
        raise BpframeError(message or f"the sweep ended with status {status}")
    return runs, seconds


def swept(folder: Path) -> tuple[Runs, float]:
    """The runs of the sweep in a folder, or of those in its subfolders; seconds of their training.

    Raises:
        BpframeError: there is none, or a job failed.

    """
    found = sorted(path.parent for path in folder.glob("*/results.jsonl"))
    sweeps = [folder] if (folder / "results.jsonl").is_file() else found
    if not sweeps:
        raise BpframeError(f"{folder}: holds no sweep that has ended, nor do its subfolders")
    runs = Runs(run for sweep in sweeps for run in Runs.read(sweep, partial=True))
    return runs, sum(sum(run.summary["timing"]["epoch_s"]) for run in runs)


def command(study: Study, folder: Path, *, quick: bool) -> list[str]:
    """The command that sweeps into `folder`."""
    return [
        *(sys.executable, "-m", "bpframe", *study.command, f"+experiment={study.name}"),
        *(study.quick if quick else ()),
        f"hydra.sweep.dir={quoted(str(folder.absolute()))}",
    ]


def _passed_through(command: list[str]) -> tuple[int, str]:
    """Run a command; its exit status, and the last error that it told of."""
    message = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                print(line, end="", file=sys.stderr, flush=True)
                if line.startswith(PREFIX) and not line.startswith(WARNING):
                    message = line.removeprefix(PREFIX).strip()
        except KeyboardInterrupt:
            process.wait()  # it was interrupted as well, and writes its runs as they are
            raise
    return process.returncode, message
