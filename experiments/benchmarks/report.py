"""The results as tables in the terminal, as RESULTS.md, and as figures.

python experiments/benchmarks/report.py FILE      makes the files again from a JSON file
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

Row = dict[str, Any]
STEPS = ("work", "against", "us/step", "theirs", "compile s", "ratio", "target", "met")
EXPLANATION = """\
Times are medians of interleaved rounds in one process, in microseconds a step. A ratio is the
median over rounds of our time in units of theirs: smaller is better. *compile s* is ours / theirs.
All start from the same parameters, and every peer was checked to compute the gradient that one step
of bpframe's timed program takes."""
GROWTH = """\
One step of 784-n-n-10 (m 128) over n, of 784-256-...-256-10 (m 32) over the number of hidden
layers, and of 784-256-10 over m. The dashed line is the time that the products of a step would take
at the machine's best matrix product"""
PROCESSES = ("what", "measured", "target", "met")


def show(results: dict[str, Any]) -> None:
    """Print both tables at 80 columns, and the targets that are missed."""
    columns = "{:<25}{:>8}{:>12}{:>10}{:>6}  {:<8}{}"
    work = None
    for row in results["steps"]:
        if row["work"] != work:
            work = row["work"]
            print(f"\n{work}")
            print("  " + columns.format(*STEPS[1:]).rstrip())
        print("  " + columns.format(*_step(row)[1:]).rstrip())
    print()
    for line in (PROCESSES, *map(_process, results["processes"])):
        print("{:<42}{:>12}  {:<12}{}".format(*line).rstrip())
    print()
    for verdict in _verdict(results):
        print(verdict)


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """RESULTS.md, step.png and scaling.png in `folder`."""
    paths = [folder / "RESULTS.md", folder / "step.png", folder / "scaling.png"]
    paths[0].write_text(_markdown(results))
    _ratios(results).savefig(paths[1], dpi=120)
    _growth(results["scaling"]).savefig(paths[2], dpi=120)
    return paths


def _step(row: Row) -> list[str]:
    share = row.get("share_of_limit")
    ratio = f"{share:.0%}" if share is not None else _number(row["ratio"], ".2f")
    if share is not None:
        theirs = f"{row['limit']:.0f} GFLOP/s"
        target = f">= {row['target']:.0%}" if row["target"] else ""
    else:
        theirs = "missing" if row["note"] else _time(row["peer_us_per_step"])
        digits = 2 if (row["target"] or 0) < 10 else 0
        target = f"<= {row['target']:.{digits}f}" if row["target"] else ""
    compiling = [_number(row[key] or None, ".1f") for key in ("compile_s", "peer_compile_s")]
    times = " / ".join(compiling) if any(compiling) else ""
    return [
        row["work"],
        row["against"],
        _time(row["us_per_step"]),
        theirs,
        times.strip(" /"),
        ratio,
        target,
        _met(row),
    ]


def _process(row: Row) -> list[str]:
    digits = ".0f" if row["unit"] == "MB" else ".2f"
    target = f"<= {row['target']:.3g} {row['unit']}" if row["target"] else ""
    return [row["what"], f"{row['value']:{digits}} {row['unit']}", target, _met(row)]


def _met(row: Row) -> str:
    return {True: "yes", False: "MISSED", None: ""}[row["met"]]


def _number(value: float | None, spec: str) -> str:
    return "" if value is None else format(value, spec)


def _time(us: float | None) -> str:
    return "" if us is None else f"{us:,.0f}" if us >= 100 else f"{us:.1f}"


def _verdict(results: dict[str, Any]) -> list[str]:
    rows = [*results["steps"], *results["processes"]]
    judged = [row for row in rows if row["met"] is not None]
    missed = [row for row in judged if not row["met"]]
    absent = [f"{row['against']}: {row['note']}" for row in results["steps"] if row["note"]]
    lines = [f"{len(judged) - len(missed)} of {len(judged)} targets are met."]
    for row in missed:
        name = row.get("what") or f"{row['work']} against {row['against']}"
        lines.append(f"Missed: {name}.")
    lines += [f"Not measured: {reason}." for reason in dict.fromkeys(absent)]
    return lines


def _markdown(results: dict[str, Any]) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    quick = " This was a quick run: few rounds, so the ratios are rough." * results["quick"]
    limit = results["scaling"]["limit_gflops"]
    command = "python experiments/benchmarks/step.py --json experiments/benchmarks/results.json"
    measured = (
        f"Measured on {results['date']} with `{command}`: {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}, computing on {machine['device']}; "
        f"Python {machine['python']}, {versions}; {machine['threads']}.{quick}"
    )
    parts = [
        "# What a training step costs",
        measured,
        EXPLANATION,
        table(STEPS, map(_step, results["steps"])),
        "![Time of bpframe in units of the peers'](step.png)",
        "## Whole processes",
        "From shell to exit: medians, and the largest peak of memory.",
        table(PROCESSES, map(_process, results["processes"])),
        "## Targets",
        "\n".join(f"- {line}" for line in _verdict(results)),
        "What was tried to get here, with what it brought, is in [README.md](README.md).",
        "## How the cost grows",
        f"{GROWTH}, {limit:.0f} GFLOP/s.",
        "![Time of a step over width, depth and m](scaling.png)",
        _repeated(results["scaling"]["panels"]["repeat"]),
    ]
    return "\n\n".join(parts) + "\n"


def _repeated(points: list[dict[str, float]]) -> str:
    """What becomes of a step and of compiling as a network grows by `repeat`."""
    rows = [
        [f"{each['value']:.0f}", f"{each['us_per_step']:.0f}", f"{each['compile_s']:.2f}"]
        for each in points
    ]
    return table(("hidden layers in one `repeat`", "us a step", "compiling, s"), rows)


def table(header: tuple[str, ...], lines: Iterable[list[str]]) -> str:
    rows = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    rows += ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(rows)


def _ratios(results: dict[str, Any]) -> Figure:
    """Our time in units of the peer's, a point a comparison, with its target."""
    rows = [row for row in results["steps"] if row["ratio"] is not None and row["target"]]
    figure = Figure(figsize=(9, 0.3 * len(rows) + 1.3), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows), 0, -1)
    for place, row in zip(places, rows, strict=True):
        axes.plot([row["target"]] * 2, [place - 0.35, place + 0.35], color="#cc3311", linewidth=2)
        axes.hlines(place, 0.04, row["ratio"], color="#bbccdd", linewidth=2)
        axes.plot(row["ratio"], place, "o", color="#4477aa", markersize=8)
        beside = axes.get_yaxis_transform()
        axes.text(1.01, place, f"{row['ratio']:.2f}", va="center", fontsize=9, transform=beside)
    axes.plot([], [], "o", color="#4477aa", markersize=8, label="measured")
    axes.plot([], [], color="#cc3311", linewidth=2, label="target: no more than this")
    axes.axvline(1, color="#888888", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlim(0.04, 1.1 * max([2, *(row["ratio"] for row in rows)]))
    axes.set_ylim(0.3, len(rows) + 0.7)
    axes.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2], ["0.05", "0.1", "0.2", "0.5", "1", "2"])
    axes.minorticks_off()
    labels = [f"{row['work']}\nagainst {row['against']}" for row in rows]
    axes.set_yticks(list(places), labels, fontsize=7)
    axes.set_xlabel("time of bpframe in units of the peer's (smaller: bpframe is faster)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _growth(growth: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(14, 3.6), layout="constrained")
    names = {
        "width": "neurons in each of two hidden layers (m 128)",
        "depth": "hidden layers of 256 (m 32)",
        "m": "examples in a mini-batch, m (784-256-10)",
        "repeat": "hidden layers of 30, one `repeat` (m 10)",
    }
    for axes, (axis, points) in zip(
        figure.subplots(1, len(growth["panels"]), sharey=True),
        growth["panels"].items(),
        strict=True,
    ):
        values = [point["value"] for point in points]
        axes.plot(values, [point["us_per_step"] for point in points], "o-", label="bpframe")
        axes.plot(values, [point["limit_us"] for point in points], "k--", label="limit")
        axes.set_xscale("log", base=2)
        axes.set_xticks(values, [str(value) for value in values], fontsize=7)
        axes.minorticks_off()
        axes.set_yscale("log")
        axes.set_xlabel(names[axis])
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("microseconds a step")
    figure.axes[0].legend()
    return figure


if __name__ == "__main__":
    source = Path(sys.argv[1])
    write(json.loads(source.read_text()), source.absolute().parent)
