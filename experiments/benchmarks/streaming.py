"""Rows a second of an epoch: examples that stay in their files against the same in memory.

python experiments/benchmarks/streaming.py [--rounds 5] [--rows 10000000]

Both are trained in one process, an epoch each in turn; the ratio is the median of those of the
rounds. Files have just been written, so they are in the page cache: what is measured is the
reading, ordering and copying, and not a disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import bpframe
from bpframe.tables.streamed import in_memory
from bpframe.training import loading
from bpframe.training.precision import precision
from bpframe.training.programs import Programs
from bpframe.training.streamed_programs import StreamedPrograms

CASES = (
    # name, share of the rows, entries of a row, dtype, hidden, m
    ("8 floats, 8-30-3, m 10", 0.1, 8, "float32", 30, 10),
    ("8 floats, 8-30-3, m 100", 1.0, 8, "float32", 30, 100),
    ("784 bytes, 784-30-10, m 10", 0.02, 784, "uint8", 30, 10),
    ("784 bytes, 784-100-10, m 100", 0.02, 784, "uint8", 100, 100),
)


def write(folder: Path, n: int, width: int, dtype: str) -> None:
    """Four pairs of files with n rows."""
    draw = np.random.default_rng(0)
    for number in range(4):
        x = draw.integers(256, size=(n // 4, width), dtype=np.uint8)
        classes = 10 if dtype == "uint8" else 3
        y = draw.integers(classes, size=n // 4, dtype=np.uint8)
        np.save(folder / f"x_{number}.npy", x if dtype == "uint8" else x.astype(dtype) / 255)
        np.save(folder / f"y_{number}.npy", y)


def epochs(programs: Programs | StreamedPrograms, rounds: int) -> Iterator[float]:
    """The seconds of one epoch after another."""
    state: Any = programs.initial
    for epoch in range(1, rounds + 1):
        began = time.perf_counter()
        state, outcome = programs.turn(state, range(epoch, epoch + 1), evaluated=True)
        jax.block_until_ready((state, outcome))
        yield time.perf_counter() - began


def measure(folder: Path, hidden: int, m: int, rounds: int) -> list[tuple[float, float]]:
    """The seconds of epochs, streamed and in memory; the first pair warms up and is left out."""
    experiment = bpframe.compose(
        [
            *("data=shards", f"data.path={folder}", f"network.hidden=[{hidden}]"),
            *(f"training.batch_size={m}", f"training.epochs={rounds + 1}"),
        ]
    )
    data = loading.loaded(experiment.data)
    with precision(experiment.training.dtype):
        streamed = epochs(StreamedPrograms(experiment, data), rounds + 1)
        whole = epochs(Programs(experiment, in_memory(data)), rounds + 1)
        return list(zip(streamed, whole, strict=True))[1:]


def main() -> None:
    """Measure all cases, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000_000)
    args = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| case | rows | streamed, rows/s | in memory, rows/s | speed, median | range |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, share, width, dtype, hidden, m in CASES:
        n = int(args.rows * share)
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), n, width, dtype)
            pairs = measure(Path(folder), hidden, m, args.rounds)
        speeds = sorted(memory / streamed for streamed, memory in pairs)
        rates = [n / statistics.median(column) for column in zip(*pairs, strict=True)]
        print(
            f"| {name} | {n:,} | {rates[0]:,.0f} | {rates[1]:,.0f} | "
            f"{statistics.median(speeds):.2f} | {speeds[0]:.2f} to {speeds[-1]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
