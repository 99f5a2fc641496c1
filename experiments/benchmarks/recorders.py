"""What recorders cost: an epoch of 784-30-10, m 10, with each of them and with none.

python experiments/benchmarks/recorders.py [--rounds 31]

Each keeps what it keeps of 32 validation examples every 10 steps. All are trained in one process,
an epoch each in turn; the ratio is the median over rounds of its time in units of the epoch with
none. The files of a run are not written, which is measured after it, once for each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
from timing import interleaved, median_ratio

import bpframe
from bpframe.training import loading
from bpframe.training.precision import precision
from bpframe.training.programs import Programs

NONE, EPOCHS = "none", 5
KINDS = ("deltas", "activations", "weighted_inputs", "weights", "gradients")


def composed(kind: str) -> bpframe.Experiment:
    """The experiment with a recorder, or with none."""
    record = f"record=[{{name: {kind}, by: steps, every: 10, first: 32}}]"
    words = [] if kind == NONE else [record, "record_limit=500"]
    return bpframe.compose(["data=mnist", f"training.epochs={EPOCHS}", *words])


def epoch(kind: str) -> Callable[[], None]:
    """An epoch, compiled, with its evaluation."""
    experiment = composed(kind)
    data = loading.load(experiment)
    with precision("float32"):
        programs = Programs(experiment, data)

    def run() -> None:
        with precision("float32"):
            last = range(EPOCHS, EPOCHS + 1)
            jax.block_until_ready(programs.turn(programs.initial, last, evaluated=True))

    return run


def whole(kind: str) -> tuple[float, float]:
    """Seconds of a run of `EPOCHS` with its folder, and the MB of what it recorded."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        began = time.perf_counter()
        bpframe.run(composed(kind), run, plots=False)
        seconds = time.perf_counter() - began
        return seconds, sum(file.stat().st_size for file in run.glob("recording/*")) / 1e6


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    rounds = parser.parse_args().rounds
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {rounds} rounds\n")
    samples = interleaved({kind: epoch(kind) for kind in (NONE, *KINDS)}, rounds)
    print(f"| recorder | an epoch, ms (least) | of none | a run of {EPOCHS} epochs, s | MB |")
    print("| --- | --- | --- | --- | --- |")
    for kind, seconds in samples.items():
        median, least = (1e3 * of(seconds) for of in (statistics.median, min))
        ratio = median_ratio(samples, kind, NONE)
        total, size = whole(kind)
        print(f"| {kind} | {median:.0f} ({least:.0f}) | {ratio:.2f} | {total:.1f} | {size:.0f} |")


if __name__ == "__main__":
    main()
