"""What it costs to know of single examples and of curvature, in every step, here and elsewhere.

    python experiments/benchmarks/deltas.py [--quick] [--json FILE]

Each row is an epoch with a quantity over the same epoch without it. The peers of
deltas_peers.py compute the same (checked), each over its own plain step, interleaved in the same
run. With --json it writes FILE, and beside it DELTAS.md and deltas.png.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import statistics
from pathlib import Path
from typing import Any

import deltas_peers as peers
import jax
import machine
import numpy as np
import timing
import ways
from deltas_peers import KFAC, WIDE
from tasks import Task

PACKAGES = ("bpframe", "jax", "jaxlib", "numpy", "torch", "backpack-for-pytorch", "opacus")
MLP = dataclasses.replace(WIDE, hidden=(1000, 500, 100))
MAPS = dataclasses.replace(WIDE, hidden=(100,), maps=(20,), m=64, images=64 * 20)
LARGE = dataclasses.replace(WIDE, m=1024, images=1024 * 8)
LINEAR_COST = "gradient_norms,gradient_variance,signal_to_noise,noise_scale,gradient_tests"

ROWS: list[tuple[str, Task, tuple[str, ...], float]] = [
    ("norms of single gradients", WIDE, ("metrics=[gradient_norms]",), 1.05),
    ("noise scale and gradient tests", MLP, ("metrics=[noise_scale,gradient_tests]",), 1.10),
    ("variance and signal to noise", MLP, ("metrics=[gradient_variance,signal_to_noise]",), 1.6),
    ("all of these", MLP, (f"metrics=[{LINEAR_COST}]",), 2.0),
    ("clipped gradients", WIDE, ("aggregation=clipped",), 1.3),
    ("private step: clipped, with noise", WIDE, ("aggregation=private",), 1.3),
    ("private step, large mini-batches", LARGE, ("aggregation=private",), 1.3),
    ("norms in a convolutional network", MAPS, ("metrics=[gradient_norms]",), 1.3),
    ("K-FAC, inverses every 10 steps", KFAC, ("optimiser=kfac",), 2.0),
    ("K-FAC, factors too", KFAC,
     ("optimiser=kfac", "optimiser.factors_every=10"), 2.0),
]  # fmt: skip
"""What is known, of which network, how one asks for it, and the most that it may cost."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two rounds of few images")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    arguments = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    rounds = 2 if arguments.quick else 9
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine.described(),
        "versions": machine.versions(PACKAGES),
        "rows": [row(*each, rounds, arguments.quick) for each in ROWS],
        "peers": [compare(each, rounds, arguments.quick) for each in peers.COMPARISONS],
    }
    for text in table(results):
        print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
        write(results, arguments.json.absolute().parent)


def row(
    work: str, task: Task, more: tuple[str, ...], target: float, rounds: int, quick: bool
) -> dict[str, Any]:
    """The ratio of an epoch with and one without."""
    if quick:
        task = dataclasses.replace(task, images=task.m * 3)
    both = {
        "with": ways.bpframe_way(dataclasses.replace(task, more=more)).epoch,
        "without": ways.bpframe_way(task).epoch,
    }
    samples = timing.interleaved(both, rounds)
    step_ms = 1e3 * statistics.median(samples["without"]) / task.steps
    ratio = timing.median_ratio(samples, "with", "without")
    return {"work": work, "network": task.name, "ratio": ratio, "target": target, "ms": step_ms}


def compare(comparison: peers.Comparison, rounds: int, quick: bool) -> dict[str, Any]:
    """Seconds of an epoch of each way with and without the quantity, and whether they agree."""
    task = comparison.task
    task = dataclasses.replace(task, images=task.m * (2 if quick else 10))
    ours = dataclasses.replace(task, more=comparison.more)
    epochs = {
        "bpframe": ways.bpframe_way(ours).epoch,
        "bpframe, plain": ways.bpframe_way(task).epoch,
    }
    expected, missing = comparison.expected(task), {}
    errors = {"bpframe": 0.0}
    for name, make in comparison.ways.items():
        try:
            made = make(task)
        except ImportError as error:
            missing[name] = str(error)
            continue
        epochs |= {name: made.epoch, f"{name}, plain": made.plain}
        errors[name] = float(np.abs(made.found - expected).max() / np.abs(expected).max())
    samples = timing.interleaved(epochs, rounds)
    found = []
    for name in ["bpframe", *comparison.ways]:
        if name in missing:
            found.append({"way": name, "missing": missing[name]})
            continue
        found.append(
            {
                "way": name,
                "ms": 1e3 * statistics.median(samples[name]) / task.steps,
                "ratio": timing.median_ratio(samples, name, f"{name}, plain"),
                "ours": timing.median_ratio(samples, "bpframe", name),
                "error": errors[name],
            }
        )
    title = f"{comparison.work}, {task.name}"
    return {"title": title, "same": comparison.same, "target": comparison.target, "ways": found}


def table(results: dict[str, Any]) -> list[str]:
    """The results as Markdown."""
    lines = [
        "| every step | network | the plain step | with it | at most | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in results["rows"]:
        met = "met" if row["ratio"] <= row["target"] else "**missed**"
        lines.append(
            f"| {row['work']} | {row['network']} | {row['ms']:.2f} ms | {row['ratio']:.2f} | "
            f"{row['target']:.2f} | {met} |"
        )
    for comparison in results["peers"]:
        title, target = comparison["title"], comparison["target"]
        lines += [
            "",
            (
                f"{title[0].upper()}{title[1:]}; bpframe is to take at most {target:g} of the "
                "time of each:"
            ),
            "",
            (
                "| way | a step | over its own plain step | bpframe's time over its | "
                f"{comparison['same']} |"
            ),
            "| --- | --- | --- | --- | --- |",
        ]
        for peer in comparison["ways"]:
            if "missing" in peer:
                lines.append(f"| {peer['way']} | not installed | | | |")
                continue
            is_met = peer["way"] == "bpframe" or peer["ours"] <= target
            lines.append(
                f"| {peer['way']} | {peer['ms']:.2f} ms | {peer['ratio']:.2f} | "
                f"{peer['ours']:.3f}{'' if is_met else ', **missed**'} | {peer['error']:.0e} |"
            )
    return lines


def write(results: dict[str, Any], folder: Path) -> None:
    """DELTAS.md and deltas.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    here = [(peer["way"], peer["ratio"]) for peer in results["peers"][0]["ways"] if "ratio" in peer]
    figure, axes = pyplot.subplots(figsize=(7, 2.6), layout="constrained")
    names, ratios = zip(*reversed(here), strict=True)
    bars = axes.barh(names, ratios, color="#4477aa")
    axes.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], padding=3)
    axes.axvline(1, color="#888888", linewidth=1)
    axes.set(xscale="log", xlabel="a step with the norms of all examples, over a plain step")
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "deltas.png", dpi=150)
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    on = ", ".join(map(str, results["machine"].values()))
    measured = (
        f"Measured on {results['date']} with `python experiments/benchmarks/deltas.py --json "
        f"experiments/benchmarks/deltas.json`: {on}; {versions}."
    )
    text = [
        "# What it costs to know of single examples, and of curvature",
        "",
        measured,
        "",
        *table(results),
        "",
        "![A step with norms over a plain step](deltas.png)",
    ]
    (folder / "DELTAS.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
