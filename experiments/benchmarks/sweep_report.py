"""The results of sweep.py as tables in the terminal, as SWEEP.md, and as a figure.

python experiments/benchmarks/sweep_report.py FILE      makes the files again from a JSON file
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import large
import report
from matplotlib.figure import Figure

Row = dict[str, Any]
COMMANDS = ("what", "lanes, s", "theirs, s", "ms a job", "times as fast", "target", "met")
EPOCHS = ("network", "lanes", "order", "us/step/lane", "single run", "ratio", "target", "met")
LARGE = ("sweep", "peak, MB", "ms a job beyond training", "resume to training, s", "met")
ORDERS = {"shared": "shared", "own": "own", "one": "own"}
EXPLANATION = """\
Whole commands from shell to exit, digits, 64-30-10, m 10, 5 epochs; medians over interleaved
rounds, in brackets the smallest and the largest. Everything was compiled before and is taken from
the cache, on both sides. The slow ways are measured with 32 jobs and with the fewest they can be
run with, and scaled by the difference. *ms a job* is theirs, or ours in the row that has no
other."""
LANES = """\
An epoch with its evaluation, compiling excluded, against the epoch of a single run in the same
process. The ratio says how many times as fast the lanes are; for one lane, how much slower."""

SHARE = """\
Steps of mini-batches of 10 in lanes of 784-*width*-10, each with its own order: the floating-point
operations of their products a second, in per cent of the machine's best matrix product"""
BEYOND = """\
The largest resident set of the whole command, with Python, JAX and what they load; its time without
that of training, one epoch each, divided by the jobs; and the time from `bpframe resume` to
training, where a job of each group is missing."""


def show(results: dict[str, Any]) -> None:
    """Print the tables, and the targets that are missed."""
    for header, lines in (
        (COMMANDS, map(_command, results["commands"])),
        (EPOCHS, map(_epoch, results["epochs"])),
        (LARGE, map(_large, results["large"])),
    ):
        print("\n".join("  ".join(line) for line in [header, *lines]) + "\n")
    for verdict in _verdict(results):
        print(verdict)


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """SWEEP.md, sweep.png and lanes.png in `folder`."""
    paths = [folder / "SWEEP.md", folder / "sweep.png", folder / "lanes.png"]
    paths[0].write_text(_markdown(results))
    _figure(results).savefig(paths[1], dpi=120)
    _share(results["share"]["points"]).savefig(paths[2], dpi=120)
    return paths


def _command(row: Row) -> list[str]:
    spread = row.get("spread")
    ratio = row.get("ratio")
    around = f" ({spread[0]:.1f} to {spread[1]:.1f})" if spread else ""
    target = f">= {row['target']:g}" if row.get("target") else ""
    target = f"<= {row['target_ms']:g} ms" if row.get("target_ms") else target
    per_job = row.get("per_job_ms")
    return [
        row["what"],
        f"{row['ours_s']:.2f}",
        f"{row['theirs_s']:.1f}" if "theirs_s" in row else "",
        "" if per_job is None else f"{per_job:.1f}" + (around if ratio is None else ""),
        "" if ratio is None else f"{ratio:.1f}{around}",
        target,
        _met(row),
    ]


def _epoch(row: Row) -> list[str]:
    bound = "<=" if row["lanes"] == 1 else ">="
    return [
        row["work"],
        str(row["lanes"]),
        ORDERS[row["way"]],
        f"{row['us_per_step']:.2f}",
        f"{row['single_us_per_step']:.2f}",
        f"{row['ratio']:.2f} ({row['spread'][0]:.2f} to {row['spread'][1]:.2f})",
        f"{bound} {row['target']:g}" if row["target"] else "",
        _met(row),
    ]


def _large(row: Row) -> list[str]:
    measured = "job_ms" in row
    return [
        row["what"],
        f"{row['peak_mb']:.0f}",
        f"{row['job_ms']:.1f} (target {large.TARGET_MS:g})" if measured else "",
        f"{row['resume_s']:.1f} (target {large.TARGET_S:g})" if measured else "",
        _met(row) if measured else "",
    ]


def _met(row: Row) -> str:
    return {True: "yes", False: "MISSED", None: ""}[row["met"]]


def _verdict(results: dict[str, Any]) -> list[str]:
    rows = [*results["commands"], *results["epochs"], *results["large"]]
    judged = [row for row in rows if row.get("met") is not None]
    missed = [row for row in judged if not row["met"]]
    lines = [f"{len(judged) - len(missed)} of {len(judged)} targets are met."]
    names = [row.get("what") or f"{row['work']}, order {row['way']}" for row in missed]
    return [*lines, *(f"Missed: {name}." for name in names)]


def _markdown(results: dict[str, Any]) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    quick = (
        " This was a quick run: one round, with programs to compile; its ratios mean little."
        * results["quick"]
    )
    measured = (
        f"Measured on {results['date']} with `python experiments/benchmarks/sweep.py --json "
        f"experiments/benchmarks/sweep.json`: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}, computing on {machine['device']}; Python {machine['python']}, "
        f"{versions}.{quick}"
    )
    parts = [
        "# What a sweep costs",
        measured,
        EXPLANATION,
        report.table(COMMANDS, map(_command, results["commands"])),
        "![Seconds of a sweep of 256 jobs](sweep.png)",
        "## Epochs",
        LANES,
        report.table(EPOCHS, map(_epoch, results["epochs"])),
        "## How much of the machine lanes use",
        f"{SHARE}, {results['share']['limit_gflops']:.0f} GFLOP/s.",
        "![Share of the best matrix product over the number of lanes](lanes.png)",
        "## Large sweeps",
        BEYOND,
        report.table(LARGE, map(_large, results["large"])),
        "## Targets",
        "\n".join(f"- {line}" for line in _verdict(results)),
        "What was tried to get here, with what it brought, is in [README.md](README.md).",
    ]
    return "\n\n".join(parts) + "\n"


def _figure(results: dict[str, Any]) -> Figure:
    """Seconds of the whole command for each way of running the jobs."""
    rows = [row for row in results["commands"] if "theirs_s" in row]
    bars = [("as lanes", rows[0]["ours_s"])]
    bars += [(row["what"].partition(" against ")[2], row["theirs_s"]) for row in rows]
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axes = figure.subplots()
    places = range(len(bars), 0, -1)
    colours = ["#4477aa", *["#bbccdd"] * len(rows)]
    axes.barh(list(places), [seconds for _, seconds in bars], color=colours)
    for place, (_, seconds) in zip(places, bars, strict=True):
        axes.text(seconds, place, f" {seconds:.1f} s", va="center", fontsize=9)
    axes.set_yticks(list(places), [name for name, _ in bars], fontsize=9)
    axes.set_xlabel("seconds from shell to exit, 256 jobs: 32 values of eta, 8 seeds, 5 epochs")
    axes.set_xlim(0, 1.12 * max(seconds for _, seconds in bars))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _share(points: list[Row]) -> Figure:
    """A line for each width, over the number of lanes."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    marks = itertools.cycle("os^D")
    for width in dict.fromkeys(point["width"] for point in points):
        own = [point for point in points if point["width"] == width]
        numbers, shares = (
            [point["lanes"] for point in own],
            [100 * point["share"] for point in own],
        )
        axes.plot(numbers, shares, f"{next(marks)}-", label=f"width {width}")
    axes.set_xscale("log")
    numbers = sorted({point["lanes"] for point in points})
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("lanes")
    axes.set_ylabel("% of the best matrix product")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))  # nowhere is it off all points
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    source = Path(sys.argv[1])
    write(json.loads(source.read_text()), source.absolute().parent)
