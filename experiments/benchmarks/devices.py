"""What it costs to share a run among devices: cores of this CPU, or GPUs where JAX finds them.

    python experiments/benchmarks/devices.py [--rounds N] [--only whole|scaling]

The first table has 784-1024-1024-10 with m 128 on one device, which computes with all cores, and on
two, whole or with their parameters split. The second has as many examples for each device, 64, on
1, 2, 4 and 8 of them; of a CPU those beyond its cores are simulated, so that with perfect sharing
an example costs as much on 8 as on 2. Ways are interleaved; figures are medians over rounds.
"""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable

import jax
import numpy as np
from timing import Samples, interleaved

import bpframe
from bpframe.training import parallel
from bpframe.training.precision import precision
from bpframe.training.programs import Programs

MOST = 8
STEPS = 16
SETTINGS = ("data=mnist", "network.hidden=[1024,1024]")


def epoch(m: int, *overrides: str) -> Callable[[], None]:
    """An epoch of `STEPS` mini-batches, compiled, with the evaluation of one example after it."""
    experiment = bpframe.compose([*SETTINGS, f"training.batch_size={m}", *overrides])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * m, 784)).astype(np.float32)
    y = rng.integers(0, 10, STEPS * m)
    train = bpframe.Examples(x, y, 10)
    data = bpframe.Data(train, train.first(1), train.first(1))
    with precision("float32"), parallel.on_devices(experiment.training):
        programs = Programs(experiment, data)

    def run() -> None:
        with precision("float32"), parallel.on_devices(experiment.training):
            last = range(experiment.training.epochs, experiment.training.epochs + 1)
            jax.block_until_ready(programs.turn(programs.initial, last, evaluated=True))

    return run


def report(samples: Samples, sizes: dict[str, int]) -> None:
    """A row a way: its step, and its time for an example in units of the first way's."""
    first = next(iter(samples))
    print("| way | step, ms (least) | an example's time / that of the first way |")
    print("| --- | --- | --- |")
    for name, seconds in samples.items():
        pairs = zip(seconds, samples[first], strict=True)
        ratio = statistics.median(a / b for a, b in pairs) * sizes[first] / sizes[name]
        step, least = (1e3 * of(seconds) / STEPS for of in (statistics.median, min))
        print(f"| {name} | {step:.1f} ({least:.1f}) | {ratio:.2f} |")


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=("whole", "scaling"))
    args = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", MOST)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {args.rounds} rounds\n")
    if args.only != "scaling":
        wanted = {
            "1 device": (),
            "2 devices": ("training.devices=2",),
            "2 devices, shard=params": ("training.devices=2", "training.shard=params"),
        }
        ways = {name: epoch(128, *overrides) for name, overrides in wanted.items()}
        report(interleaved(ways, args.rounds), dict.fromkeys(ways, 128))
        print()
    if args.only != "whole":
        counts = {f"{n}, m {64 * n}": n for n in (1, 2, 4, 8) if n <= len(jax.devices())}
        ways = {name: epoch(64 * n, f"training.devices={n}") for name, n in counts.items()}
        report(interleaved(ways, args.rounds), {name: 64 * n for name, n in counts.items()})


if __name__ == "__main__":
    main()
