"""The benchmark compares like with like, and says what is missing or missed."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

SMALL: dict[str, tuple[list[str], int]] = {
    "recorders": (["--rounds", "1"], 10),
    "streaming": (["--rounds", "1", "--rows", "1500000"], 8),
    "tables": (["--rows", "2000"], 6),
    "checkpoint": ([], 2),
}
"""The options with which a script has little to measure, and how many lines it prints."""
FOLDER = Path(__file__).parents[2] / "experiments" / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> Iterator[Any]:
    """The benchmark's modules, imported as its own scripts import them."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("BPFRAME_DATA_DIR", str(data_dir))
    import comparisons
    import report
    import timing
    import ways

    # The peers are written for JAX as it is by default.
    with (
        jax.enable_x64(False),
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
    ):
        yield comparisons, report, timing, ways


def entry(**changes: Any) -> dict[str, Any]:
    row = {
        "work": "784-30-10, m 10",
        "against": "NumPy",
        "target": 0.5,
        "us_per_step": 30.0,
        "compile_s": 0.5,
        "peer_us_per_step": 60.0,
        "peer_compile_s": 0.0,
        "ratio": 0.4,
        "note": "",
    }
    return row | changes


def results(*steps: dict[str, Any]) -> dict[str, Any]:
    point = {"value": 30, "us_per_step": 20.0, "limit_us": 5.0, "compile_s": 0.4}
    return {
        "date": "2026-01-01",
        "quick": True,
        "machine": {
            "processor": "P",
            "cores": 2,
            "system": "Linux",
            "device": "cpu",
            "python": "3.11",
            "threads": "threads: openblas (2)",
        },
        "versions": {"jax": "0.10.2"},
        "steps": list(steps),
        "scaling": {
            "limit_gflops": 100.0,
            "panels": {axis: [point] for axis in ("width", "depth", "m", "repeat")},
        },
        "processes": [
            {"what": "start", "unit": "s", "value": 0.2, "target": 0.6, "met": True},
        ],
    }


@pytest.mark.slow
def test_ways_compute_the_same_gradient(modules: Any) -> None:
    """Slow: every way compiles an epoch of its own."""
    comparisons, _, _, ways = modules
    small = dataclasses.replace(comparisons.FIRST, images=200)
    penalised = dataclasses.replace(comparisons.MIDDLE, images=200)
    for task in (penalised, small):
        ours = ways.prepare("bpframe", task).gradient()
        comparisons._check_gradient("scan", ways.prepare(comparisons.SCAN, task).gradient(), ours)
    names = [name for name in ways.WAYS if name.startswith("bpframe,")]
    assert len(names) == 3
    for name in ("NumPy over the mini-batch", "optax step in a loop", *names):
        way = ways.prepare(name, small)
        comparisons._check_gradient(name, way.gradient(), ours)
        way.epoch()


@pytest.mark.slow
def test_ways_compute_the_same_gradient_of_convolutions(modules: Any) -> None:
    """Slow: every way compiles an epoch of its own."""
    comparisons, _, _, ways = modules
    task = dataclasses.replace(comparisons.CONVOLUTIONS, images=20)
    ours = ways.prepare("bpframe", task).gradient()
    assert [leaf.shape for leaf in ours[:3]] == [(20, 5, 5, 1), (20,), (40, 5, 5, 20)]
    peers = ["scan over grad, NCHW", "scan over grad, NHWC"]
    if importlib.util.find_spec("torch"):
        peers += ["PyTorch eager", "PyTorch, channels last"]
    for name in peers:
        way = ways.prepare(name, task)
        comparisons._check_gradient(name, way.gradient(), ours)
        way.epoch()


@pytest.mark.slow
def test_repeated_layers_are_timed_against_the_same_written_out(modules: Any) -> None:
    """Slow: compiles both."""
    comparisons, report, _, _ = modules
    written = dataclasses.replace(comparisons.MANY, hidden=(20,) * 3, images=64)
    repeated = dataclasses.replace(written, repeated=True)
    assert (written.name, repeated.name) == (
        "784-20-20-20-10, m 32",
        "784-20-repeat(20, 2)-10, m 32",
    )
    sides = [comparisons.Side("bpframe", task) for task in (repeated, written)]
    row = comparisons.Row(repeated.name, "written out", *sides, 1.1)
    (step,) = comparisons.measure(comparisons.Group((row,), 1), quick=True)
    (compiled,) = comparisons.measure(comparisons.Group((row,), 1, compiling=True), quick=True)
    assert step["ratio"] > 0
    assert compiled["us_per_step"] is None
    assert compiled["ratio"] == compiled["compile_s"] / compiled["peer_compile_s"]
    assert report._step(compiled)[2:4] == ["", ""]


def test_another_gradient_stops_the_benchmark(modules: Any) -> None:
    comparisons, _, _, _ = modules
    right, wrong = [np.ones((2, 3))], [np.full((2, 3), 1.001)]
    with pytest.raises(AssertionError, match="peer: tensor 0 of its gradient differs"):
        comparisons._check_gradient("peer", wrong, right)


@pytest.mark.slow
def test_a_missing_peer_is_a_row_that_says_so(modules: Any, monkeypatch, capsys) -> None:
    """Slow: runs whole commands."""
    comparisons, report, _, _ = modules
    monkeypatch.setitem(sys.modules, "torch", None)
    task = dataclasses.replace(comparisons.FIRST, images=100)
    row = comparisons.Row(
        task.name,
        "PyTorch eager",
        comparisons.Side("bpframe", task),
        comparisons.Side("PyTorch eager", task),
        0.1,
    )
    (found,) = comparisons.measure(comparisons.Group((row,), 3), quick=True)
    assert found["ratio"] is None
    assert found["met"] is None
    assert "not installed (torch)" in found["note"]
    report.show(results(found))
    printed = capsys.readouterr().out
    assert "Not measured: PyTorch eager: not installed (torch); pip install" in printed
    assert "1 of 1 targets are met." in printed


def test_missed_targets_are_named_in_80_columns(modules: Any, tmp_path: Path, capsys) -> None:
    comparisons, report, _, _ = modules
    rows = [
        entry(),
        entry(ratio=0.6),
        entry(share_of_limit=0.7, ratio=None, target=0.75, limit=9.0),
    ]
    rows = [row | {"met": comparisons.met(row)} for row in rows]
    assert [row["met"] for row in rows] == [True, False, False]
    found = results(*rows)
    report.show(found)
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= 80
    assert "2 of 4 targets are met." in printed
    assert printed.count("Missed: 784-30-10, m 10 against NumPy.") == 2
    paths = report.write(found, tmp_path)
    assert all(path.stat().st_size > 500 for path in paths)
    assert "quick run" in paths[0].read_text()


def test_ratios_are_medians_over_rounds(modules: Any) -> None:
    _, _, timing, _ = modules
    samples = {"ours": [1.0, 2.0, 9.0], "theirs": [2.0, 2.0, 3.0]}
    assert timing.median_ratio(samples, "ours", "theirs") == 1.0
    calls: list[str] = []
    found = timing.interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, 3)
    assert {name: len(times) for name, times in found.items()} == {"a": 3, "b": 3}
    assert all(sorted(calls[start : start + 2]) == ["a", "b"] for start in range(0, 8, 2))


def test_the_results_of_sweeps_name_what_is_missed(modules: Any, tmp_path: Path, capsys) -> None:
    import sweep_report

    command = {
        "what": "256 jobs against one after another",
        "ours_s": 3.0,
        "theirs_s": 90.0,
        "per_job_ms": 350.0,
        "ratio": 30.0,
        "spread": [29.0, 31.0],
        "target": 50.0,
        "met": False,
    }
    epoch = {
        "work": "784-30-10",
        "way": "own",
        "lanes": 64,
        "us_per_step": 11.0,
        "single_us_per_step": 24.0,
        "ratio": 2.2,
        "spread": [2.0, 2.3],
        "target": 2.0,
        "met": True,
    }
    machine = {"processor": "P", "cores": 2, "system": "S", "device": "cpu", "python": "3"}
    found = {
        "date": "2026-01-01",
        "quick": True,
        "machine": machine,
        "versions": {"bpframe": "0"},
        "commands": [command],
        "epochs": [epoch],
        "share": {
            "limit_gflops": 200.0,
            "points": [{"lanes": n, "width": 30, "share": 0.1 * n} for n in (1, 2)],
        },
        "large": [
            {"what": "10 sizes", "peak_mb": 501.3},
            {"what": "100 jobs", "peak_mb": 502, "job_ms": 5.61, "resume_s": 3.14, "met": False},
        ],
    }
    sweep_report.show(found)
    printed = capsys.readouterr().out.splitlines()
    assert "1 of 3 targets are met." in printed
    assert "Missed: 256 jobs against one after another." in printed
    paths = sweep_report.write(found, tmp_path)
    assert "30.0 (29.0 to 31.0) | >= 50 | MISSED" in paths[0].read_text()
    assert "| 10 sizes | 501 |" in paths[0].read_text()
    assert "| 100 jobs | 502 | 5.6 (target 5) | 3.1 (target 5) | MISSED |" in paths[0].read_text()
    assert paths[1].stat().st_size > 500


@pytest.mark.usefixtures("modules")
def test_the_command_for_all_runs_every_benchmark_and_finds_its_options() -> None:
    """All scripts of the folder that are commands, but those that others run."""
    import all as everything

    parts = {"report", "sweep_report", "sweep_commands", "large", "all"}
    scripts = {
        path.stem
        for path in FOLDER.glob("*.py")
        if '\nif __name__ == "__main__":' in path.read_text()
    }
    assert scripts - parts == {*everything.WRITING, *everything.PRINTING}
    assert set(SMALL) == set(everything.PRINTING)
    for name in everything.WRITING:
        assert '"--json"' in (FOLDER / f"{name}.py").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_smaller_benchmarks_print_what_they_measure(name: str, data_dir: Path) -> None:
    """Slow: whole commands, with little to measure."""
    words, lines = SMALL[name]
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", *words],
        env={**os.environ, "BPFRAME_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.strip().splitlines()) == lines
