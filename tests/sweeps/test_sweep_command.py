"""Sweeps from the command line: what they write, what they print, and how they end."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import test_cli
import test_sweep_jobs
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from test_cli import RUN_FILES, Main, command, environment, names, process, wait_for
from test_sweep_driver import times
from test_sweep_lanes import bits

import bpframe
from bpframe import ConfigError
from bpframe.configuration import assembly, composition, schemas
from bpframe.plugin_host import host
from bpframe.runs.checksums import opened, sealed_line
from bpframe.sweeps import objective
from bpframe.sweeps.report import tables
from bpframe.sweeps.rows import Row
from bpframe.sweeps.sweepers import grid

outer = test_cli.main
main = test_sweep_jobs.main

JOB_FILES = RUN_FILES - {"learning_curves.png", ".lock"}
SMALL = ("data.train_size=25", "network.hidden=[4]", "training.epochs=2")
SWEPT = (
    *(*SMALL, "optimiser.eta=0.01,1e30,0.1,0.10", "cost=quadratic", "network.activation=relu"),
    *("network.output_activation=linear", "seed=3,4", "metrics=[accuracy]"),
    *("hydra.sweep.dir=of/sweep", "+hydra.callbacks.told._target_=told.Told"),
)
# Jobs 0 to 7: eta 0.01, 0.01, 1e30, 1e30, 0.1, 0.1, and the last two are as those before.
RUN, DIVERGED = (0, 1, 2, 3, 4, 5), (2, 3)
TOLD = """
import json, pathlib
from hydra.experimental.callback import Callback

class Told(Callback):
    def _note(self, event):
        with pathlib.Path("told.txt").open("a") as file:
            print(event, file=file)

    def on_multirun_start(self, config, **kwargs):
        self._note("multirun start")

    def on_multirun_end(self, config, **kwargs):
        self._note("multirun end")

    def on_job_start(self, config, **kwargs):
        self._note(f"job start {config.hydra.job.num}")

    def on_job_end(self, config, job_return, **kwargs):
        self._note(f"job end {config.hydra.job.num} {job_return.status.name}")
"""
STUDY = "defaults: [config, _self_]\nregulariser: {name: none}\ntraining: {batch_size: 7}\n"


class Ended(NamedTuple):
    """A sweep that has ended as a process."""

    home: Path
    folder: Path
    done: subprocess.CompletedProcess[str]

    def rows(self) -> list[dict[str, Any]]:
        lines = (self.folder / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "sweep.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A sweep of a user's own config in which some jobs are equal and some diverge."""
    home = tmp_path_factory.mktemp("command")
    (home / "told.py").write_text(TOLD)
    (home / "mine").mkdir()
    (home / "mine" / "study.yaml").write_text("defaults: [config, _self_]\nplots: false\n")
    study = ("-cd", "mine", "-cn", "study")
    done = process(home, "-m", *study, *SWEPT, PYTHONPATH=str(home))
    return Ended(home, home / "of" / "sweep", done)


@pytest.mark.slow
def test_the_status_tells_of_failures_and_a_table_names_them(ended: Ended) -> None:
    """Slow: a sweep as a process of its own."""
    assert ended.done.returncode == 1
    assert ended.done.stderr.splitlines() == [
        f"bpframe: 2 of 6 jobs did not complete (2 diverged); see {ended.folder / 'results.csv'}"
    ]
    out = ended.done.stdout
    assert "2 of 8 jobs are like others and are run once" in out
    assert "6 jobs in one group" in out
    table = out[out.index("jobs that did not complete") :]
    assert "training diverged in" in " ".join(table.split())
    best = max(
        (row for row in ended.rows() if row["status"] == "completed"),
        key=lambda row: row["metrics"]["best_validation_accuracy"],
    )
    assert f": job {best['num']}, " in out.splitlines()[-2]
    assert out.splitlines()[-1] == f"written to {ended.folder} (report.html, results.csv)"
    assert len(re.findall(r"^  job \d diverged: data\.train_size=25 ", table, re.M)) == 2


@pytest.mark.slow
def test_a_job_has_the_folder_of_a_single_run(ended: Ended) -> None:
    """Slow: a sweep as a process of its own."""
    assert names(ended.folder) == {
        *map(str, RUN),
        *(".lock", "best.yaml", "multirun.yaml", "report.html", "results.csv", "results.jsonl"),
        "sweep.jsonl",
    }
    for num in RUN:
        folder = ended.folder / str(num)
        assert names(folder) == JOB_FILES
        assert names(folder / ".hydra") == {"config.yaml", "hydra.yaml", "overrides.yaml"}
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["status"] == ("diverged" if num in DIVERGED else "completed")
        assert summary["seed"] == 3 + num % 2
        overrides = list(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))
        assert f"seed={3 + num % 2}" in overrides
        hydra = OmegaConf.load(folder / ".hydra" / "hydra.yaml").hydra
        assert (hydra.job.num, hydra.runtime.output_dir) == (num, str(folder))


@pytest.mark.slow
def test_the_log_of_a_job_has_its_own_lines_and_no_others(ended: Ended) -> None:
    """Slow: a sweep as a process of its own."""
    for num in RUN:
        folder = ended.folder / str(num)
        log = (folder / "bpframe.log").read_text().splitlines()
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        costs = [re.search(r"train_cost=(\S+)", line) for line in log]
        assert [float(cost[1]) for cost in costs if cost] == pytest.approx(
            [line["train_cost"] for line in lines], rel=1e-5
        )
        assert len(log) == len(lines) + 2
        assert "training 64-4-10 for 2 epochs" in log[0]
        assert ("diverged" if num in DIVERGED else "completed") in log[-1]


@pytest.mark.slow
def test_the_results_say_what_the_run_folders_say(ended: Ended) -> None:
    """Slow: a sweep as a process of its own."""
    rows = ended.rows()
    assert [row["num"] for row in rows] == list(RUN)
    noted = [entry for entry in ended.ledger() if entry["event"] == "job"]
    for row, entry in zip(rows, noted, strict=True):
        told = {name: entry[name] for name in ("event", "hash", "crc32")}
        assert {**row, **told} == entry
        folder = ended.folder / row["folder"]
        summary = json.loads((folder / "summary.json").read_text())
        for name in ("status", "epochs", "stopped", "error"):
            assert row[name] == summary[name]
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        last = lines[-1] if lines else {}
        for name, value in row["metrics"].items():
            assert value == {**summary, **last}[name]
        assert row["settings"]["optimiser.eta"] == [0.01, 1e30, 0.1][row["num"] // 2]
        assert row["timing"]["train_s"] == pytest.approx(
            sum(line["seconds"] for line in lines), abs=1e-5
        )
    with (ended.folder / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(line["num"]) for line in table] == list(RUN)
    for line, row in zip(table, rows, strict=True):
        assert line["status"] == row["status"]
        assert float(line["optimiser.eta"]) == row["settings"]["optimiser.eta"]
        assert line["error"] == (row["error"] or "")
        for name in ("test_cost", "accuracy.validation", "best_validation_accuracy"):
            value = row["metrics"].get(name)
            assert line[name] == ("" if value is None else str(value))


@pytest.mark.slow
def test_lanes_are_spread_over_the_cores(ended: Ended) -> None:
    """Slow: a sweep as a process of its own."""
    (plan,) = (entry for entry in ended.ledger() if entry["event"] == "plan")
    ((chunk,),) = plan["groups"]
    assert chunk["jobs"] == list(RUN)
    devices = chunk["layout"][0]
    used = {
        json.loads((ended.folder / str(num) / "summary.json").read_text())["device"] for num in RUN
    }
    assert len(used) == devices


@pytest.mark.slow
def test_the_callbacks_of_hydra_are_told_of_a_sweep_and_of_its_jobs(ended: Ended) -> None:
    """Slow: a sweep as a process of its own."""
    told = (ended.home / "told.txt").read_text().splitlines()
    assert told[0] == "multirun start"
    starts = [line for line in told if line.startswith("job start")]
    assert sorted(starts) == [f"job start {num}" for num in RUN]
    ends = [line for line in told if line.startswith("job end")]
    assert sorted(ends) == [
        f"job end {num} {'FAILED' if num in DIVERGED else 'COMPLETED'}" for num in RUN
    ]
    assert told.count("multirun start") == 1


@pytest.mark.slow
def test_best_yaml_is_a_config_of_the_best_job(ended: Ended) -> None:
    """Slow: a sweep as a process of its own."""
    rows = [row for row in ended.rows() if row["status"] == "completed"]
    best = max(rows, key=lambda row: row["metrics"]["best_validation_accuracy"])
    registry = schemas.store(host.load_registry())
    with composition.initialised(config_dir=str(ended.folder)):
        cfg = composition.compose_config([], name="best")
        found = assembly.assemble(cfg, registry)
    overrides = [text for text in SWEPT if "," not in text and "hydra" not in text]
    eta, seed = best["settings"]["optimiser.eta"], best["settings"]["seed"]
    assert found == bpframe.compose([*overrides, f"optimiser.eta={eta}", f"seed={seed}"])
    assert cfg.plots is False  # of the user's config


BEST = [
    ["optimiser=adam", "regulariser=l2", "regulariser.strength=${optimiser.eta}", "seed=3"],
    ["network.activation={name: leaky_relu, slope: 0.1}", "stopping=no_improvement", "seed=1"],
    ["network.layers=[{n: 4, activation: tanh}, {n: 10, activation: softmax}]", "seed=2"],
    ["metrics=[{name: accuracy, over: train}]", "cost=huber", "cost.threshold=0.5", "seed=5"],
]


@pytest.mark.parametrize("overrides", BEST, ids=lambda overrides: overrides[0])
def test_best_yaml_holds_whatever_a_job_can(tmp_path: Path, overrides: list[str]) -> None:
    job = tmp_path / "0"
    (job / ".hydra").mkdir(parents=True)
    registry = schemas.store(host.load_registry())
    with composition.initialised():
        cfg = composition.compose_config(overrides)
        OmegaConf.save(schemas_only(cfg), job / ".hydra" / "config.yaml")
    row = Row(0, "0", {}, "completed", 1, {"test_cost": 0.5}, {})
    tables.write(tmp_path, [row], objective.Objective("test_cost", "minimise"))
    with composition.initialised(config_dir=str(tmp_path)):
        best = assembly.assemble(composition.compose_config([], name="best"), registry)
    assert best == bpframe.compose(overrides)


def schemas_only(cfg: Any) -> Any:
    return OmegaConf.create({key: value for key, value in cfg.items() if key != "hydra"})


@pytest.mark.slow
def test_best_yaml_runs(ended: Ended, tmp_path: Path) -> None:
    """Slow: a process that compiles a single run."""
    rows = [row for row in ended.rows() if row["status"] == "completed"]
    best = max(rows, key=lambda row: row["metrics"]["best_validation_accuracy"])
    done = process(tmp_path, "-cd", str(ended.folder), "--config-name", "best", "hydra.run.dir=run")
    assert (done.returncode, done.stderr) == (0, "")
    alone, lane = bits(tmp_path / "run")[0], bits(ended.folder / best["folder"])[0]
    for one, other in zip(alone, lane, strict=True):
        np.testing.assert_allclose(one["train_cost"], other["train_cost"], rtol=1e-5)
        assert one["validation_accuracy"] == other["validation_accuracy"]


@pytest.mark.slow
def test_resume_makes_what_is_missing_from_wherever_it_is_called(
    ended: Ended, main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: a process that compiles."""
    home = tmp_path / "home"
    shutil.copytree(ended.home, home, copy_function=shutil.copy2)
    folder = home / "of" / "sweep"
    head, *entries = (folder / "sweep.jsonl").read_text().splitlines()
    moved = opened(head.encode())
    moved["command"]["cwd"] = str(home)
    rest = "\n".join([*entries, '{"event"']).encode()
    (folder / "sweep.jsonl").write_bytes(sealed_line(moved) + rest)
    expected = {num: bits(folder / str(num)) for num in RUN}
    for name in ("1", "2", "results.csv", "report.html", "best.yaml"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = times(folder)
    done = process(tmp_path, "resume", "home/of/sweep", "--trust", PYTHONPATH=str(home))
    assert done.returncode == 1
    assert "2 of 6 jobs did not complete (2 diverged)" in done.stderr
    assert "2 jobs in one group" in done.stdout
    assert {path: time for path, time in times(folder).items() if path in before} == before
    assert {num: bits(folder / str(num)) for num in RUN} == expected
    assert names(folder) == names(ended.folder)
    assert (folder / "results.jsonl").read_text().count("\n") == len(RUN)
    (home / "mine" / "study.yaml").write_text(STUDY.replace("regulariser: {name: none}\n", ""))
    shutil.rmtree(folder / "1")
    before = times(folder)
    monkeypatch.syspath_prepend(str(home))
    again = main("resume", "home/of/sweep", "--trust")
    assert again.status == 1
    (line,) = again.err.splitlines()
    assert "job 0 is not configured as it was when the sweep began" in line
    assert times(folder) == before


@pytest.mark.slow
def test_report_makes_the_files_again(ended: Ended, main: Main, tmp_path: Path) -> None:
    """Slow: a sweep as a process of its own."""
    folder = tmp_path / "sweep"
    shutil.copytree(ended.folder, folder)
    kept = {name: (folder / name).read_bytes() for name in ("results.csv", "report.html")}
    for name in (*kept, "results.jsonl", "best.yaml"):
        (folder / name).unlink()
    done = main("report", "sweep")
    assert (done.status, done.err) == (0, "")
    assert done.out == f"6 runs in {folder / 'report.html'} and {folder / 'results.png'}\n"
    assert (folder / "results.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "results.csv").read_bytes() == kept["results.csv"]
    assert names(folder) == names(ended.folder) | {"results.png"}
    shutil.copytree(folder, tmp_path / "other")
    done = main("report", "sweep", "other", "--out", "both", "--objective", "test_cost")
    assert (done.status, done.err) == (0, "")
    assert names(tmp_path / "both") == {"report.html", "results.png"}
    page = (tmp_path / "both" / "report.html").read_text()
    assert all(f"{name}/{num}" in page for name in ("sweep", "other") for num in RUN)
    for arguments, text in (
        (("sweep", "--objective", "nothing"), "--objective: no run has 'nothing'; there are"),
        (("sweep", "--direction", "up"), "--direction"),
        (("nowhere",), "nowhere: holds no runs"),
        ((), "command line: "),
    ):
        done = main("report", *arguments)
        assert (done.status, done.out) == (1, "")
        assert len(done.err.splitlines()) == 1
        assert text in done.err


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_resume_of_no_sweep_is_one_line(main: Main, tmp_path: Path, folder: str) -> None:
    done = main("resume", folder)
    assert (done.status, done.out) == (1, "")
    assert re.fullmatch(r"bpframe: .*: holds neither a run .* nor a sweep .*\n", done.err)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A sweep with Hydra's own launcher, in which the middle job diverges."""
    home = tmp_path_factory.mktemp("basic")
    jobs = ["optimiser.eta=0.01,1e30,0.1" if "eta" in text else text for text in SWEPT[:-2]]
    jobs[jobs.index("seed=3,4")] = "seed=3"
    done = process(home, "-m", "hydra/launcher=basic", *jobs, "hydra.sweep.dir=sweep")
    return Ended(home, home / "sweep", done)


@pytest.mark.slow
def test_another_launcher_ends_with_a_table_of_its_failures(basic: Ended) -> None:
    """Slow, as the next: a process that trains job after job."""
    assert basic.done.returncode == 1
    assert basic.done.stderr.splitlines()[-1] == (
        "bpframe: 1 of 3 jobs did not complete (1 failed)"
    )
    assert "jobs that did not complete" in basic.done.stdout
    assert "training diverged in epoch 1" in " ".join(basic.done.stdout.split())
    statuses = [
        json.loads((basic.folder / str(num) / "summary.json").read_text())["status"]
        for num in range(3)
    ]
    assert statuses == ["completed", "diverged", "completed"]


@pytest.mark.slow
def test_report_of_a_sweep_without_a_ledger(basic: Ended, main: Main, ended: Ended) -> None:
    """Slow: see above."""
    done = main("report", str(basic.folder))
    assert (done.status, done.err) == (0, "")
    rows, lanes = basic.rows(), {row["num"]: row for row in ended.rows()}
    assert [row["num"] for row in rows] == [0, 1, 2]
    for row in rows:
        lane = lanes[2 * row["num"]]  # with seed 3
        settings = {k: v for k, v in lane["settings"].items() if not k.startswith("+hydra")}
        assert row["settings"] == settings
        assert (row["status"], row["epochs"]) == (lane["status"], lane["epochs"])
        assert list(row["metrics"]) == list(lane["metrics"])
        for name, value in row["metrics"].items():
            expected = lane["metrics"][name]
            assert value == (expected and pytest.approx(expected, rel=1e-4))


# What is swept, and the values that the jobs get, in order.
COMBINATIONS: list[tuple[list[str], list[list[str]]]] = [
    (["a=1,2", "b=x,y"], [["1", "x"], ["1", "y"], ["2", "x"], ["2", "y"]]),
    (["a=zip(1,2)", "b=zip(x,y)"], [["1", "x"], ["2", "y"]]),
    (["a=zip(1,2)", "c=0", "b=zip(x,y)"], [["1", "0", "x"], ["2", "0", "y"]]),
    (["a=zip(range(1,4))", "b=zip(x,y,z)"], [["1", "x"], ["2", "y"], ["3", "z"]]),
    (["a=zip(1,2)", "b=zip(x,y)", "c=3,4"], [
        *(["1", "x", "3"], ["1", "x", "4"], ["2", "y", "3"], ["2", "y", "4"]),
    ]),
    (["a=tag(p,zip(1,2))", "b=tag(p,zip(x,y))", "c=tag(q,zip(3,4))", "d=tag(q,zip(u,v))"], [
        *(["1", "x", "3", "u"], ["1", "x", "4", "v"], ["2", "y", "3", "u"], ["2", "y", "4", "v"]),
    ]),
    (["a=zip([1,2],[3])", "b=zip({k: 1},{k: 2})"], [["[1,2]", "{k:1}"], ["[3]", "{k:2}"]]),
    (["a='zip(1,2)'"], [["'zip(1,2)'"]]),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "expected"), COMBINATIONS, ids=str)
def test_combinations(overrides: list[str], expected: list[list[str]]) -> None:
    parsed = OverridesParser.create().parse_overrides(grid.in_step(overrides))
    found = grid.combinations(parsed)
    keys = [text.partition("=")[0] for text in overrides]
    assert found == [
        [f"{key}={value}" for key, value in zip(keys, values, strict=True)] for values in expected
    ]


@pytest.mark.parametrize(
    "overrides",
    [
        ["a=zip(1,2)", "b=zip(1,2,3)"],
        ["a=zip(1,2)", "b=zip(1)"],
        ["a=tag(p,zip(1,2))", "b=zip(1,2)", "c=zip(1,2,3)"],
    ],
)
def test_unequal_pairings_are_refused(overrides: list[str]) -> None:
    parsed = OverridesParser.create().parse_overrides(grid.in_step(overrides))
    with pytest.raises(ConfigError, match=r"zip has \d values, and that of \w has \d; give"):
        grid.combinations(parsed)


@pytest.mark.parametrize(
    ("overrides", "culprit"),
    [
        (["seed=range(1000000000)"], "seed=range(1000000000): has 1,000,000,000 values"),
        (["seed=shuffle(range(1000000000))"], "seed=shuffle(range(1000000000)): has 1,000,000,000"),
        (["a=range(0,1,0.0000001)"], "a=range(0,1,0.0000001): has 10,000,000 values"),
        (["a=zip(range(10000000))", "b=zip(range(10000000))"], "a=tag(zip,range(10000000)): has"),
        (["a=range(2000)", "b=range(2000)"], "the sweep has 4,000,000 jobs; allowed: at most"),
    ],
)
def test_sweeps_without_measure_are_refused(overrides: list[str], culprit: str) -> None:
    parsed = OverridesParser.create().parse_overrides(grid.in_step(overrides))
    with pytest.raises(ConfigError) as caught:
        grid.combinations(parsed)
    assert str(caught.value).startswith(culprit)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_signals_end_the_process_with_their_status(tmp_path: Path, number: int) -> None:
    """Slow: processes that train for a while."""
    folder = tmp_path / "sweep"
    running = subprocess.Popen(
        command(
            *("-m", *SMALL[:2], "training.epochs=2500", "seed=0,1,2", "hydra.launcher.lanes=1"),
            "hydra.sweep.dir=sweep",
        ),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        wait_for(lambda: (folder / "0" / "summary.json").exists())
        running.send_signal(number)
        _, error = running.communicate(timeout=60)
    name = "ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert running.returncode == 128 + number
    assert error == (
        f"bpframe: interrupted by {name}: 1 jobs are done; go on with bpframe resume {folder}\n"
    )
    assert {"results.csv", "report.html", "best.yaml"} <= names(folder)
    first = bits(folder / "0")
    before = times(folder / "0")
    assert json.loads((folder / "1" / "summary.json").read_text())["status"] == "interrupted"
    done = process(tmp_path, "resume", "sweep")
    assert (done.returncode, done.stderr) == (0, "")
    assert times(folder / "0") == before
    assert bits(folder / "0") == first
    assert len((folder / "results.jsonl").read_text().splitlines()) == 3


TRACED = """
from bpframe import MeanMetric, hookimpl, hyperparameter
BPFRAME_API_VERSION = 2

class Picky(MeanMetric):
    mood: str = hyperparameter(default="good", choices=("good", "fine", "bad"))

    def measure(self, seen):
        if self.mood == "bad":
            raise RuntimeError("not in this mood")
        return seen.y[:, 0]

@hookimpl
def bpframe_metrics():
    return {"picky": Picky}
"""


@pytest.mark.parametrize("bad", [0, 1, 2])
@pytest.mark.slow
def test_what_fails_when_it_is_traced_is_found_before_training(
    main: Main, tmp_path: Path, bad: int
) -> None:
    """Slow: the jobs of other structures are traced as well."""
    (tmp_path / "picky.py").write_text(TRACED)
    moods = ["good", "fine"]
    moods.insert(bad, "bad")
    swept = ",".join(f"[{{name: picky, mood: {mood}}}]" for mood in moods)
    done = main("-m", *SMALL, "plugins.path=[picky.py]", f"metrics={swept}", "seed=0,1")
    assert (done.status, done.out) == (1, "")
    head, *lines = done.err.splitlines()
    assert head == "bpframe: 2 of 6 jobs cannot be run, and nothing was trained:"
    assert all("not in this mood" in line for line in lines)
    assert f"jobs {2 * bad}, {2 * bad + 1}" in lines[0]
    assert not (tmp_path / "multirun").exists()


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("-m", *SMALL, "seed=0,1", *arguments),
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_sweeps_that_begin_in_the_same_second_never_share_a_folder(tmp_path: Path) -> None:
    """Slow: six processes."""
    running = [start(tmp_path) for _ in range(3)]
    assert [process.communicate()[1] for process in running] == [""] * 3
    assert [process.returncode for process in running] == [0] * 3
    folders = list(tmp_path.glob("multirun/*/*"))
    assert len(folders) == 3
    assert all((folder / "1" / "summary.json").exists() for folder in folders)
    running = [start(tmp_path, "hydra.sweep.dir=same") for _ in range(3)]
    errors = [process.communicate()[1] for process in running]
    assert sorted(process.returncode for process in running) == [0, 1, 1]
    for process_, error in zip(running, errors, strict=True):
        if process_.returncode == 0:
            assert error == ""
        else:
            assert len(error.splitlines()) == 1
            assert re.search("is not empty|another process is running a sweep there", error)
    assert len((tmp_path / "same" / "results.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_progress_is_live_on_a_terminal(tmp_path: Path) -> None:
    """Slow: another process, on a terminal of its own."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        command("-m", *SMALL[:2], "training.epochs=1000", "seed=0,1,2", "hydra.sweep.dir=sweep"),
        cwd=tmp_path,
        env=environment(tmp_path, TERM="xterm-256color", COLUMNS="100", LINES="40"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    with running:
        output = test_cli.read_all(ours, running)
    os.close(ours)
    assert running.returncode == 0, output
    assert "3 jobs in one group, one compiled program" in output
    assert "jobs 0/3" in output
    assert re.search(r"jobs 0/3  epoch \d+", output)
    assert test_cli.ANSI + "2K" in output  # a line is drawn again


def test_paths_in_best_yaml_are_good_from_any_folder(tmp_path: Path) -> None:
    """Those that were relative began where the sweep did; others stay as they are."""
    job = tmp_path / "sweep" / "0" / ".hydra"
    job.mkdir(parents=True)
    paths = {"path": "own.csv", "test_path": "/abs/t.csv", "validation_path": "${oc.env:V}"}
    schemas.store(host.load_registry())
    with composition.initialised():
        config = OmegaConf.to_container(schemas_only(composition.compose_config([])))
    assert isinstance(config, dict)
    own = {"data": {"name": "csv", **paths}, "plugins": {"path": ["mine.py"], "prefer": []}}
    (job / "config.yaml").write_text(yaml.safe_dump({**config, **own}))
    (job / "hydra.yaml").write_text("hydra: {runtime: {cwd: /began}}")
    row = Row(0, "0", {}, "completed", 1, {"best_validation_accuracy": 0.5}, {})
    tables.write(tmp_path / "sweep", [row], objective.DEFAULT)
    best = yaml.safe_load((tmp_path / "sweep" / "best.yaml").read_text())
    found = {name: best["data"][name] for name in paths}
    assert found == {**paths, "path": "/began/own.csv"}
    assert best["plugins"]["path"] == ["/began/mine.py"]
