"""What large sweeps take: memory, time a job beyond training, and time until one goes on.

python experiments/benchmarks/large.py [--quick]

sweep.py runs it as a process of its own: a process inherits the peak of memory of the one that
starts it, so a small one does.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

TARGET_MS, TARGET_S = 5.0, 5.0
"""A job beyond training; from `resume` to training."""

# As large as MNIST, so that nobody needs a file for it.
_IMAGES = """
import numpy as np
from bpframe import Data, Dataset, Examples, hookimpl

class Images(Dataset):
    '''70,000 images of 28 times 28 random bytes.'''
    shape, n_out = (784,), 10

    def load(self):
        rng = np.random.default_rng(0)
        def part(n):
            x = rng.integers(256, size=(n, 784), dtype=np.uint8)
            return Examples(x, rng.integers(10, size=n), n_out=10, scale=1 / 256)
        return Data(part(50_000), part(10_000), part(10_000))

@hookimpl
def bpframe_datasets():
    return {"images": Images}
"""


def measure(quick: bool) -> list[dict[str, Any]]:
    """A row for each sweep, with its peak in MB."""
    seeds, least = (10, 40_000) if quick else (2500, 5000)
    widths = range(4, 12)
    sizes = range(least, 50_001, 5000)
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder) / "images.py"
        plugin.write_text(_IMAGES)
        four = [
            "data=xor",
            "training.batch_size=2",
            "network.hidden=[3],[4],[5],[6]",
            f"seed=range({seeds})",
        ]
        ten = [
            f"plugins.path=[{plugin}]",
            "data=images",
            f"data.train_size={','.join(map(str, sizes))}",
        ]
        eight = [
            f"network.hidden={','.join(f'[{width}]' for width in widths)}",
            f"seed=range({seeds // 2})",
        ]
        return [
            {
                "what": f"{4 * seeds} jobs in four groups, XOR",
                "peak_mb": _swept(folder, four).peak_mb,
            },
            {
                "what": f"{len(sizes)} values of data.train_size, MNIST's size",
                "peak_mb": _swept(folder, ten).peak_mb,
            },
            _resumed(folder, eight, quick),
        ]


def _resumed(folder: str, overrides: list[str], quick: bool) -> dict[str, Any]:
    """A sweep of eight groups over the digits, which then goes on with a job of each group."""
    whole = _swept(folder, overrides)
    with (whole.folder / "results.csv").open() as file:
        trained = [float(row["train_s"]) for row in csv.DictReader(file)]
    each = 1e3 * (whole.seconds - sum(trained)) / len(trained)
    for job in range(8):
        shutil.rmtree(whole.folder / str(job))
    begun = _run(["resume", str(whole.folder)], whole.folder.parent).begun_s
    met = None if quick else each <= TARGET_MS and begun <= TARGET_S
    return {
        "what": f"{len(trained)} jobs in eight groups, digits",
        "peak_mb": whole.peak_mb,
        "job_ms": each,
        "resume_s": begun,
        "met": met,
    }


class _Run(NamedTuple):
    """A command that has ended: after how many seconds, and when it said what it trains."""

    folder: Path
    seconds: float
    begun_s: float
    peak_mb: float


def _swept(folder: str, overrides: list[str]) -> _Run:
    place = Path(tempfile.mkdtemp(dir=folder))
    sweep = place / "sweep"
    done = _run(["-m", "training.epochs=1", *overrides, f"hydra.sweep.dir={sweep}"], place)
    return done._replace(folder=sweep)


def _run(words: list[str], place: Path) -> _Run:
    command = [sys.executable, "-u", "-m", "bpframe", *words]
    log, started, begun = [], time.perf_counter(), 0.0
    running = subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert running.stdout
    for line in running.stdout:
        log.append(line)
        if not begun and " jobs in " in line:
            begun = time.perf_counter() - started
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"{' '.join(command)}: {''.join(log)[-2000:]}")
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return _Run(place, time.perf_counter() - started, begun, peak)


if __name__ == "__main__":
    print(json.dumps(measure("--quick" in sys.argv[1:])))
