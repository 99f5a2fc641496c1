"""Whole sweeps from shell to exit: as lanes, with Hydra's basic launcher, in two processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

EPOCHS = "training.epochs=5"
FEW = 8


class Jobs(NamedTuple):
    """How many jobs the sweeps have: as lanes, of those that are timed per job, one by one."""

    lanes: int
    many: int
    basic: int


FULL, QUICK = Jobs(256, 1000, 32), Jobs(16, 16, 3)

# What someone would write with two processes: each takes the next job when it is done with one.
_TWO_PROCESSES = """
import itertools, multiprocessing, sys
def run(job):
    import bpframe
    number, overrides = job
    bpframe.run(bpframe.compose(overrides), f"{sys.argv[1]}/{number}")
if __name__ == "__main__":
    etas, seeds = (word.split(",") for word in sys.argv[2:4])
    jobs = [[f"optimiser.eta={eta}", f"seed={seed}", *sys.argv[4:]]
            for eta, seed in itertools.product(etas, seeds)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(run, enumerate(jobs), chunksize=1)
"""


def measure(quick: bool) -> list[dict[str, Any]]:
    """The commands, in interleaved rounds; the slow ones with a part of the jobs, and scaled."""
    jobs = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        script = scratch / "two_processes.py"
        script.write_text(_TWO_PROCESSES)
        bpframe = [sys.executable, "-m", "bpframe", "-m", EPOCHS]
        basic = [*bpframe, "hydra/launcher=basic", "hydra/sweeper=basic"]
        two = [sys.executable, str(script), "FOLDER"]
        commands = {
            "lanes": [*bpframe, *_swept(jobs.lanes)],
            "lanes, shared order": [*bpframe, *_swept(jobs.lanes), "sweep.shared_order=true"],
            "basic": [*basic, *_swept(jobs.basic)],
            "basic, with pictures": [*basic, *_swept(jobs.basic), "plots=true"],
            "basic, one job": [*basic, *_swept(1)],
            "basic, one job with pictures": [*basic, *_swept(1), "plots=true"],
            "two processes": [*two, *_values(jobs.basic), EPOCHS],
            "two processes, two jobs": [*two, *_values(2), EPOCHS],
            "many": [*bpframe, *_swept(jobs.many)],
            "few": [*bpframe, *_swept(FEW)],
        }
        for command in () if quick else commands.values():
            if command not in (commands["basic"], commands["basic, with pictures"]):
                _seconds(scratch, command)  # compiles; what a basic job needs is then there, too
        rounds = [
            {name: _seconds(scratch, command) for name, command in commands.items()}
            for _ in range(1 if quick else 3)
        ]
    return _rows(rounds, jobs)


def _rows(rounds: list[dict[str, float]], jobs: Jobs) -> list[dict[str, Any]]:
    def row(what: str, name: str, part: str, one: str, target: float | None) -> dict[str, Any]:
        n_one = 2 if name == "two processes" else 1
        per_job = [(r[part] - r[one]) / (jobs.basic - n_one) for r in rounds]
        scaled = [
            r[one] + (jobs.lanes - n_one) * job for r, job in zip(rounds, per_job, strict=True)
        ]
        ratios = [all_ / r["lanes"] for all_, r in zip(scaled, rounds, strict=True)]
        ratio = statistics.median(ratios)
        return {
            "what": f"{jobs.lanes} jobs against {what}",
            "ours_s": statistics.median(r["lanes"] for r in rounds),
            "theirs_s": statistics.median(scaled),
            "per_job_ms": 1e3 * statistics.median(per_job),
            "ratio": ratio,
            "spread": [min(ratios), max(ratios)],
            "target": target,
            "met": None if target is None else ratio >= target,
        }

    costs = [1e3 * (r["many"] - r["few"]) / (jobs.many - FEW) for r in rounds]
    cost = statistics.median(costs)
    return [
        row(
            "Hydra's basic launcher, pictures drawn",
            "basic",
            "basic, with pictures",
            "basic, one job with pictures",
            50.0,
        ),
        row("Hydra's basic launcher, no pictures", "basic", "basic", "basic, one job", 50.0),
        row(
            "two processes, a job each at a time",
            "two processes",
            "two processes",
            "two processes, two jobs",
            30.0,
        ),
        {
            "what": f"{jobs.many} jobs: composing, training and writing, per job",
            "ours_s": statistics.median(r["many"] for r in rounds),
            "per_job_ms": cost,
            "spread": [min(costs), max(costs)],
            "target_ms": 15.0,
            "met": cost <= 15.0,
        },
        {
            "what": f"{jobs.lanes} jobs with a shared order",
            "ours_s": statistics.median(r["lanes, shared order"] for r in rounds),
            "met": None,
        },
    ]


def _values(jobs: int) -> list[str]:
    """Values of eta, 8 seeds each where there are enough jobs, and the seeds."""
    seeds = 8 if jobs >= 8 else jobs
    etas = [f"{0.01 * 10 ** (3 * i / max(1, jobs // seeds)):.4g}" for i in range(jobs // seeds)]
    return [",".join(etas), ",".join(map(str, range(seeds)))]


def _swept(jobs: int) -> list[str]:
    etas, seeds = _values(jobs)
    return [f"optimiser.eta={etas}", f"seed={seeds}"]


def _seconds(scratch: Path, command: list[str]) -> float:
    """Wall time of a command in a new folder, with a compilation cache of the benchmark's own."""
    folder = tempfile.mkdtemp(dir=scratch)
    out = [f"hydra.sweep.dir={folder}/sweep"] if "-m" in command[2:] else []
    words = [folder if word == "FOLDER" else word for word in command]
    env = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(scratch / "cache")}
    env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    started = time.perf_counter()
    done = subprocess.run([*words, *out], cwd=scratch, env=env, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
    return seconds
