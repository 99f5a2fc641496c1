"""A sweep that is killed at any of its writes, or whose disk fails there, loses nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import faulty_disk
import forked_cli
import pytest
from faulty_disk import KILL
from forked_cli import Start, fails_as_told, finish, lost_at, share, told, writes

from bpframe.sweeps import ledger

# CI has a share: every so many writes, others for each fault. For all of them set it to 1.
STRIDE = int(os.environ.get("BPFRAME_TEST_WRITES", "60"))
JOBS = 4
SWEEP = (
    *("-m", "data.train_size=20", "network.hidden=[3]", "training.epochs=2", "checkpoint.epochs=1"),
    *("seed=0,1,2,3", "hydra.launcher.lanes=2", "plots=true", "hydra.sweep.dir=sweep"),
)  # two chunks
SEARCH = (
    *("-m", "hydra/sweeper=search", "data.train_size=20", "network.hidden=[3]", "seed=tag(any,0)"),
    *("training.epochs=4", "checkpoint.epochs=1", "optimiser.eta=interval(0.1,1)"),
    *("hydra.sweeper.n_trials=4", "hydra.sweeper.batch=4", "hydra.sweeper.halving.first=1"),
    *("hydra.sweeper.halving.factor=2", "hydra.sweep.dir=sweep"),
)
FILES = {
    *("best.yaml", "multirun.yaml", "report.html", "results.csv", "results.jsonl", "results.png"),
    *(".lock", "sweep.jsonl"),
}
JOB_FILES = {
    *(".hydra", "bpframe.log", "learning_curves.png", "metrics.jsonl", "params.safetensors"),
    *("best.safetensors", "summary.json"),
}

start = forked_cli.start


class Undisturbed(NamedTuple):
    """A sweep that nothing happened to, and the number of its writes."""

    folder: Path
    writes: int


@pytest.fixture(scope="module")
def undisturbed(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    home = tmp_path_factory.mktemp("undisturbed")
    assert finish(start, home, *SWEEP) == (0, "")
    shutil.rmtree(home / "sweep")
    return Undisturbed(home / "sweep", writes(start, home, SWEEP, home / "sweep"))


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "results.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [{key: row[key] for key in row if key not in ("timing", "checksum")} for row in found]


def assert_whole(folder: Path, undisturbed: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == FILES | {str(num) for num in range(JOBS)}
    assert rows(folder) == rows(undisturbed)
    assert (folder / "best.yaml").read_bytes() == (undisturbed / "best.yaml").read_bytes()
    for num in range(JOBS):
        job, other = folder / str(num), undisturbed / str(num)
        assert {path.name for path in job.iterdir()} == JOB_FILES
        assert told(job) == told(other)
        params = "params.safetensors"
        assert (job / params).read_bytes() == (other / params).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [KILL, *faulty_disk.ERRORS])
def test_a_fault_at_any_write_loses_nothing(
    fault: str, start: Start, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Slow: two processes for each write."""

    def fails(home: Path, at: int) -> None:
        folder = home / "sweep"
        fails_as_told(start, home, SWEEP, (folder, fault, at))
        again = ("resume", "sweep") if ledger.holds(folder) else SWEEP
        assert finish(start, home, *again) == (0, "")
        assert_whole(folder, undisturbed.folder)

    assert not lost_at(share(undisturbed.writes, STRIDE, fault), tmp_path, fails)
