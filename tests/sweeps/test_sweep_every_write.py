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
STRIDE = int(os.environ.get("BPFRAME_TEST_WRITES", "120"))
JOBS = 4
SWEEP = (
    *("-m", "data.train_size=20", "network.hidden=[3]", "training.epochs=2", "checkpoint.epochs=1"),
    *("seed=0,1,2,3", "hydra.launcher.lanes=2", "plots=true", "hydra.sweep.dir=sweep"),
)  # two chunks
SEARCH = (
    *("-m", "hydra/sweeper=search", "data.train_size=20", "network.hidden=[3]"),
    *("training.epochs=4", "checkpoint.epochs=1", "optimiser.eta=interval(0.1,1)"),
    *("hydra.sweeper.n_trials=4", "hydra.sweeper.batch=4", "hydra.sweeper.halving.first=1"),
    *("hydra.sweeper.halving.factor=2", "hydra.sweep.dir=sweep"),
)
start = forked_cli.start


class Undisturbed(NamedTuple):
    """A sweep that nothing happened to, the command of it, and the number of its writes."""

    folder: Path
    command: tuple[str, ...]
    writes: int


@pytest.fixture(scope="module", params=[SWEEP, SEARCH], ids=["grid", "search with halving"])
def undisturbed(
    request: pytest.FixtureRequest, start: Start, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    home, command = tmp_path_factory.mktemp("undisturbed"), request.param
    assert finish(start, home, *command) == (0, "")
    shutil.rmtree(home / "sweep")
    folder = home / "sweep"
    return Undisturbed(folder, command, writes(start, home, command, folder))


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "results.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [{key: row[key] for key in row if key not in ("timing", "checksum")} for row in found]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def assert_whole(folder: Path, undisturbed: Path) -> None:
    assert names(folder) == names(undisturbed)
    assert rows(folder) == rows(undisturbed)
    assert (folder / "best.yaml").read_bytes() == (undisturbed / "best.yaml").read_bytes()
    for num in range(JOBS):
        job, other = folder / str(num), undisturbed / str(num)
        assert names(job) == names(other)
        assert told(job) == told(other)
        for params in ("params.safetensors", "best.safetensors"):
            assert (job / params).read_bytes() == (other / params).read_bytes()


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize("fault", [KILL, *faulty_disk.ERRORS])
def test_a_fault_at_any_write_loses_nothing(
    fault: str, start: Start, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Slow: two processes for each write."""

    def fails(home: Path, at: int) -> None:
        folder = home / "sweep"
        fails_as_told(start, home, undisturbed.command, (folder, fault, at))
        again = ("resume", "sweep") if ledger.holds(folder) else undisturbed.command
        assert finish(start, home, *again) == (0, "")
        assert_whole(folder, undisturbed.folder)

    assert not lost_at(share(undisturbed.writes, STRIDE, fault), tmp_path, fails)
