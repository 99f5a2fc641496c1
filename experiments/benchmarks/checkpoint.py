"""What a checkpoint costs: its size, and how long training waits for it.

    python experiments/benchmarks/checkpoint.py [OVERRIDE ...]

The network is 784-1024-1024-10 on random inputs unless overrides say otherwise. By default a run
writes one a minute, so that it takes 1 + s / 60 times as long, s the seconds of one.
"""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import bpframe
from bpframe.runs import loop
from bpframe.runs.checkpoint import Checkpointing

SETTINGS = ("data=mnist", "network.hidden=[1024,1024]", "training.batch_size=128")
EPOCHS = 9


def main(overrides: list[str]) -> None:
    """Train epochs of one thousand examples, with a checkpoint after each."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1024, 28, 28, 1)).astype(np.float32), rng.integers(0, 10, 1024)
    data = bpframe.Data(*[bpframe.Examples(x, y, 10)] * 3)
    seconds: list[float] = []
    write = loop._Run._checkpoint

    def timed(self: Any) -> None:
        started = time.perf_counter()
        write(self)
        seconds.append(time.perf_counter() - started)

    loop._Run._checkpoint = timed
    for optimiser in ("sgd", "adam"):
        seconds.clear()
        given = [*SETTINGS, f"training.epochs={EPOCHS}", f"optimiser={optimiser}", *overrides]
        experiment = bpframe.compose(given)
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            loop.run(experiment, run, data=data, checkpointing=Checkpointing(epochs=1))
            (file,) = run.glob("checkpoint-*")
            size = file.stat().st_size
        first, *later = seconds  # the first looks at the code and the data as well
        middle = statistics.median(later)
        sizes = "-".join(map(str, experiment.network.sizes))
        print(
            f"{sizes}, {optimiser}: {size / 1e6:.1f} MB, {middle:.3f} s ({min(later):.3f} to "
            f"{max(later):.3f}), the first {first:.3f} s; a run of minutes takes "
            f"{1 + middle / 60:.4f} of its time"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
