"""How much memory a sweep takes: the largest resident set of the whole command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

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
        return [
            {"what": f"{4 * seeds} jobs in four groups, XOR", "peak_mb": _peak(folder, four)},
            {
                "what": f"{len(sizes)} values of data.train_size, MNIST's size",
                "peak_mb": _peak(folder, ten),
            },
        ]


def _peak(folder: str, overrides: list[str]) -> float:
    command = [sys.executable, "-m", "bpframe", "-m", "training.epochs=1", *overrides]
    sweep = tempfile.mkdtemp(dir=folder)
    log = Path(sweep) / "log"
    with log.open("w") as file:
        running = subprocess.Popen(
            [*command, f"hydra.sweep.dir={sweep}/sweep"], cwd=sweep, stdout=file, stderr=file
        )
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"{' '.join(command)}: {log.read_text()[-2000:]}")
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
