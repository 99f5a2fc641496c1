"""What it costs to share a run among devices, which are cores of this CPU or GPUs, and among hosts.

    python experiments/benchmarks/devices.py [--rounds N] [--json FILE]

The first table has 784-1024-1024-10 with m 128 on one device, which computes with all cores, and on
two, whole or with their parameters split; and what sharing adds, alone. The second has 64 examples
for each device on 1, 2, 4 and 8 of them; of a CPU those beyond its cores are simulated, so that
with perfect sharing an example costs as much on 8 as on 2. The third has 64 examples for each host,
processes that meet on the loopback and have a core each: with perfect sharing a step of two takes
as long as one of one. Ways are interleaved; figures are medians over rounds. `--json` also writes
DEVICES.md and devices.png beside FILE.
"""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import report
from jax.sharding import PartitionSpec
from machine import described
from matplotlib.figure import Figure
from timing import Samples, interleaved

import bpframe
from bpframe.training import hosts, parallel
from bpframe.training.precision import precision
from bpframe.training.programs import Programs

MOST = 8
STEPS = 16
EACH = 64
"""Examples of a mini-batch for each device or host, where their number grows."""
SETTINGS = ("data=mnist", "network.hidden=[1024,1024]")
SHAPES = ((1024, 784), (1024, 1024), (10, 1024))
HOST = "BPFRAME_BENCHMARK_HOST"
TARGET = 1.05
WHOLE, SCALING, HOSTS = "784-1024-1024-10, m 128", "devices", "hosts"
HEADER = ("way", "a step, ms (least)", "against the first")
EXPLANATIONS = {
    WHOLE: f"""\
Times of a step of 784-1024-1024-10 with m 128. On one device it computes with all cores; on two, a
core each. The target for two devices is {TARGET:.2f} of the first row. The last rows are done
alone, and are part of what two devices do besides the products: the sum over them of two gradients,
and the update of the parameters on each.""",
    SCALING: f"""\
{EACH} examples for each device, the time of an example in units of one device's. Devices beyond the
cores are simulated: they have no more to compute with, and each adds its copy of the sum and of the
update.""",
    HOSTS: f"""\
{EACH} examples for each host, a process with one core; the time of a step in units of one host's.
Two hosts send each other the gradient, over the loopback by gloo.""",
}


def epoch(m: int, *overrides: str) -> Callable[[], None]:
    """An epoch of `STEPS` mini-batches, compiled, with the evaluation of one example after it."""
    experiment = bpframe.compose([*SETTINGS, f"training.batch_size={m}", *overrides])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * m, 784)).astype(np.float32)
    y = rng.integers(0, 10, STEPS * m)
    train = bpframe.Examples(x, y, 10)
    data = bpframe.Data(train, train.first(1), train.first(1))
    hosts.join(experiment.training)
    with precision("float32"), parallel.on_devices(experiment.training):
        programs = Programs(experiment, data)

    def run() -> None:
        with precision("float32"), parallel.on_devices(experiment.training):
            last = range(experiment.training.epochs, experiment.training.epochs + 1)
            jax.block_until_ready(programs.turn(programs.initial, last, evaluated=True))

    return run


def added() -> dict[str, Callable[[], None]]:
    """What two devices do besides the products, `STEPS` times: the sum, and the update on each."""
    mesh = jax.make_mesh((2,), ("d",), devices=jax.devices()[:2])
    each, rng = PartitionSpec("d"), np.random.default_rng(0)
    of_each = jax.NamedSharding(mesh, each)
    params, gradients = (
        [jax.device_put(rng.normal(size=(2, *s)).astype(np.float32), of_each) for s in SHAPES]
        for _ in range(2)
    )

    @jax.jit
    @jax.shard_map(mesh=mesh, in_specs=each, out_specs=each)
    def summed(gradients: list[jax.Array]) -> list[jax.Array]:
        return jax.lax.psum(gradients, "d")

    @jax.jit
    @jax.shard_map(mesh=mesh, in_specs=(each, each), out_specs=each)
    def updated(params: list[jax.Array], gradients: list[jax.Array]) -> list[jax.Array]:
        return [w - 0.1 * nabla_w for w, nabla_w in zip(params, gradients, strict=True)]

    def sums() -> None:
        for _ in range(STEPS):
            jax.block_until_ready(summed(gradients))

    def updates() -> None:
        for _ in range(STEPS):
            jax.block_until_ready(updated(params, gradients))

    return {"the sum of two gradients": sums, "the update on both": updates}


def rows(samples: Samples, sizes: dict[str, int]) -> list[dict[str, Any]]:
    """The steps of the ways, and the time for an example in units of that of the first way."""
    first, found = next(iter(samples)), []
    for name, seconds in samples.items():
        pairs = zip(seconds, samples[first], strict=True)
        ratio = statistics.median(a / b for a, b in pairs) * sizes[first] / sizes[name]
        step, least = (1e3 * of(seconds) / STEPS for of in (statistics.median, min))
        found.append({"way": name, "ms": step, "least_ms": least, "ratio": ratio})
    return found


def of_devices(rounds: int) -> dict[str, list[dict[str, Any]]]:
    """The first two tables."""
    wanted = {
        "1 device": (),
        "2 devices": ("training.devices=2",),
        "2 devices, shard=params": ("training.devices=2", "training.shard=params"),
    }
    ways = {name: epoch(128, *overrides) for name, overrides in wanted.items()} | added()
    whole = rows(interleaved(ways, rounds), dict.fromkeys(ways, 128))
    counts = {f"{n}, m {EACH * n}": n for n in (1, 2, 4, 8) if n <= len(jax.devices())}
    ways = {name: epoch(EACH * n, f"training.devices={n}") for name, n in counts.items()}
    sizes = {name: EACH * n for name, n in counts.items()}
    return {WHOLE: whole, SCALING: rows(interleaved(ways, rounds), sizes)}


def of_hosts(rounds: int) -> list[dict[str, Any]]:
    """The third table: groups of processes in turn, each of which times some epochs."""
    samples: Samples = {"1": [], "2": []}
    for _ in range(-(-rounds // 3)):
        for name, found in samples.items():
            found += _group(int(name))
    return rows(samples, dict.fromkeys(samples, EACH))


def _group(number: int) -> list[float]:
    """The seconds of three epochs that so many hosts share, by the first of them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    own = {HOST: str(number), hosts.COORDINATOR: f"localhost:{port}"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, **own, hosts.HOST: str(host)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for host in range(number)
    ]
    told = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f"a group of {number} hosts ended with an error")
    return json.loads(told[0].splitlines()[-1])  # after what gloo says


def as_host(number: int) -> None:
    """Time three epochs on one of so many hosts, on a core of its own."""
    place = int(os.environ[hosts.HOST])
    if number == 1:
        del os.environ[hosts.HOST], os.environ[hosts.COORDINATOR]
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[place % len(cores)]})
    run, seconds = epoch(EACH * number, f"training.hosts={number}"), []
    run()
    for _ in range(3):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    print(json.dumps(seconds))


def markdown(results: dict[str, Any]) -> str:
    """All tables, with what they say."""
    machine = results["machine"]
    measured = (
        f"Measured on {results['date']} with `python experiments/benchmarks/devices.py --json "
        f"experiments/benchmarks/devices.json`: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}, computing on {machine['device']}, jax {jax.__version__}; medians of "
        f"{results['rounds']} interleaved rounds."
    )
    parts = ["# What sharing a run costs", measured]
    for name, found in results["tables"].items():
        lines = [
            [row["way"], f"{row['ms']:.1f} ({row['least_ms']:.1f})", f"{row['ratio']:.2f}"]
            for row in found
        ]
        table = report.table(HEADER, lines)
        parts += [f"## {name[0].upper()}{name[1:]}", EXPLANATIONS[name], table]
    return "\n\n".join([*parts, "![Time over devices and hosts](devices.png)"]) + "\n"


def figure(tables: dict[str, list[dict[str, Any]]]) -> Figure:
    """The time of an example over devices, and that of a step over hosts."""
    found = Figure(figsize=(8, 3.2), layout="constrained")
    labels = {
        SCALING: (f"devices, {EACH} examples each", "an example's time / one device's"),
        HOSTS: (f"hosts of a core, {EACH} examples each", "a step's time / one host's"),
    }
    for axes, (name, (below, beside)) in zip(found.subplots(1, 2), labels.items(), strict=True):
        numbers = [int(row["way"].partition(",")[0]) for row in tables[name]]
        axes.plot(numbers, [row["ratio"] for row in tables[name]], "o-", label="measured")
        axes.axhline(1, color="black", linestyle="--", label="sharing costs nothing")
        axes.set_xscale("log", base=2)
        axes.set_xticks(numbers, [str(number) for number in numbers])
        axes.set_ylim(0, 1.15 * max(row["ratio"] for row in tables[name]))
        axes.set(xlabel=below, ylabel=beside)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    found.axes[0].legend()
    return found


def main() -> None:
    """Measure, print and, where asked, write all tables and the figure."""
    if number := os.environ.get(HOST):
        as_host(int(number))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", MOST)
    tables = {**of_devices(args.rounds), HOSTS: of_hosts(args.rounds)}
    results = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": described(),
        "rounds": args.rounds,
        "tables": tables,
    }
    text = markdown(results)
    print(text)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
        args.json.with_name("DEVICES.md").write_text(text)
        figure(tables).savefig(args.json.with_name("devices.png"), dpi=120)


if __name__ == "__main__":
    main()
