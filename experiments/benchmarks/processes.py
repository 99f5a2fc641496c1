"""Whole runs from shell to exit: time, peak memory, and the seconds spent compiling."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# A process inherits the peak of the one that starts it, so a small one does.
_LAUNCH = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - started
print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
IMPORTS = "import jax, hydra"
FIRST_NETWORK = ["data=mnist", "cost=quadratic", "optimiser.eta=3.0", "initialiser=large"]


def measure(quick: bool) -> list[dict[str, Any]]:
    """What a user waits for, in a folder and with a compilation cache of its own."""
    repeats = 1 if quick else 7
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        version = [_process(scratch, ["--version"])[0] for _ in range(repeats)]
        cold = [_process(scratch, [], cache=f"cold{i}")[0] for i in range(repeats)]
        ready = _beside_imports(scratch, repeats)
        compiling: dict[int, list[float]] = {1: [], 10: []}
        memory = []
        for repeat in range(repeats):
            for epochs, found in compiling.items():
                name = f"mnist-{epochs}-{repeat}"
                overrides = [*FIRST_NETWORK, f"training.epochs={epochs}"]
                _, megabytes = _process(scratch, overrides, cache=name, output=name)
                summary = json.loads((scratch / name / "summary.json").read_text())
                found.append(summary["timing"]["compile_s"])
                memory.append(megabytes)
    one, ten = (statistics.median(compiling[epochs]) for epochs in (1, 10))
    return [
        _row("bpframe --version", "s", statistics.median(version), 0.6),
        *(_row(what, "s", *found) for what, found in ready.items()),
        _row("bpframe (digits), nothing compiled", "s", statistics.median(cold), None),
        _row("compiling all of 784-30-10, 1 epoch", "s", one, 1.5),
        _row("compiling all of 784-30-10, 10 epochs", "s", ten, 1.5),
        _row("peak memory of 784-30-10 on MNIST", "MB", max(memory), 700.0),
    ]


def _beside_imports(scratch: Path, repeats: int) -> dict[str, tuple[float, float | None]]:
    """Seconds of commands that find everything compiled; as a target 1.7 times the imports'."""
    eight = ["-m", "seed=range(8)"]
    commands = {
        "bpframe (digits)": ["bpframe"],
        "bpframe plots=false": ["bpframe", "plots=false"],
        "bpframe -m, eight seeds": ["bpframe", *eight],
        "bpframe explain": ["bpframe", "explain"],
    }
    samples: dict[str, list[float]] = {what: [] for what in [IMPORTS, *commands]}
    for _ in range(repeats + 1):  # the first compiles
        samples[IMPORTS].append(_timed(scratch, ["-c", "import jax, hydra"], "cold0")[0])
        for what, (module, *words) in commands.items():
            samples[what].append(_timed(scratch, ["-m", module, *words], "cold0")[0])
    least = statistics.median(samples[IMPORTS][1:])
    return {
        what: (statistics.median(found[1:]), None if what == IMPORTS else 1.7 * least)
        for what, found in samples.items()
    }


def _row(what: str, unit: str, value: float, target: float | None) -> dict[str, Any]:
    met = None if target is None else value <= target
    return {"what": what, "unit": unit, "value": value, "target": target, "met": met}


def _process(
    scratch: Path, overrides: list[str], cache: str = "none", output: str | None = None
) -> tuple[float, float]:
    """Seconds and peak megabytes of one `bpframe` process."""
    folder = [f"hydra.run.dir={scratch / output}"] if output else []
    return _timed(scratch, ["-m", "bpframe", *overrides, *folder], cache)


def _timed(scratch: Path, words: list[str], cache: str) -> tuple[float, float]:
    """Seconds and peak megabytes of one process of Python."""
    command = [sys.executable, "-c", _LAUNCH, sys.executable, *words]
    env = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(scratch / "cache" / cache)}
    done = subprocess.run(command, cwd=scratch, env=env, capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stdout.splitlines()[-1].split())
    # Kilobytes on Linux, bytes on macOS.
    return seconds, peak / (1024 if sys.platform != "darwin" else 1024**2)
