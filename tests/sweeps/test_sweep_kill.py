"""Sweeps that are killed, or whose disk is full, end with all results once they are resumed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import forked_cli
import pytest
from forked_cli import Start, finish
from test_cli import process
from test_sweep_driver import times
from test_sweep_lanes import bits

from bpframe.runs.checksums import opened, sealed_line
from bpframe.sweeps import ledger

JOBS = 16
# CI has a share of them. For an hour of kills set it to 1000, and run this file with -m slow.
KILLS = int(os.environ.get("BPFRAME_TEST_KILLS", "6"))
SWEPT = (
    *("-m", "data.train_size=20", "network.hidden=[3]", "training.epochs=2"),
    *("network.activation=sigmoid,tanh", "seed=0,1,2,3", "optimiser.eta=0.1,0.2"),
    *("hydra.launcher.lanes=2", "checkpoint.epochs=1", "hydra.sweep.dir=sweep"),
)  # two groups of four chunks
JOB_FILES = {
    *(".hydra", "best.safetensors", "bpframe.log", "metrics.jsonl", "params.safetensors"),
    "summary.json",
}
SWEEP_FILES = {
    *(".lock", "best.yaml", "multirun.yaml", "report.html", "results.csv", "results.jsonl"),
    *("sweep.jsonl", *map(str, range(JOBS))),
}

start = forked_cli.start


class Undisturbed(NamedTuple):
    """A sweep that no one killed, and how long it took with its programs compiled before."""

    folder: Path
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    home, again = (tmp_path_factory.mktemp("undisturbed") for _ in range(2))
    done = process(home, *SWEPT)
    assert (done.returncode, done.stderr) == (0, "")
    started = time.perf_counter()
    assert finish(start, again, *SWEPT) == (0, "")
    return Undisturbed(home / "sweep", time.perf_counter() - started)


def assert_whole(folder: Path, undisturbed: Path) -> None:
    """All results are there, and bit for bit those of an undisturbed sweep."""
    assert {path.name for path in folder.iterdir()} == SWEEP_FILES
    for num in range(JOBS):
        job, other = folder / str(num), undisturbed / str(num)
        assert {path.name for path in job.iterdir()} == JOB_FILES
        assert bits(job) == bits(other), num
        for name in ("config.yaml", "overrides.yaml", "hydra.yaml"):
            assert without_folders(job / ".hydra" / name) == without_folders(
                other / ".hydra" / name
            )
    entries = ledger.read(folder)
    jobs = [entry for entry in entries if entry["event"] == "job"]
    assert {entry["num"] for entry in jobs} == set(range(JOBS))
    assert {entry["status"] for entry in jobs if entry["status"] != "interrupted"} == {"completed"}
    (plan,) = (entry for entry in entries if entry["event"] == "plan")
    assert [len(group) for group in plan["groups"]] == [4, 4]
    rows, expected_rows = (
        [json.loads(line) for line in (sweep / "results.jsonl").read_text().splitlines()]
        for sweep in (folder, undisturbed)
    )
    assert [without_time(row) for row in rows] == [without_time(row) for row in expected_rows]
    assert (folder / "best.yaml").read_bytes() == (undisturbed / "best.yaml").read_bytes()


def without_folders(path: Path) -> list[str]:
    """The lines of a file that name no folder: a resumed sweep names its own from the root."""
    text = path.read_text().replace(str(path.parents[3]), "")
    return [line for line in text.splitlines() if "dir" not in line]


def without_time(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("timing", "checksum")}


def finished(folder: Path) -> dict[Path, int]:
    """The files of the jobs that the ledger knows as done, with the times of their last change."""
    if not ledger.holds(folder):
        return {}
    nums = {str(entry["num"]) for entry in ledger.read(folder) if entry["event"] == "job"}
    return {
        path: changed
        for path, changed in times(folder).items()
        if path.relative_to(folder).parts[0] in nums
    }


def lines(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return (folder / "sweep.jsonl").read_bytes().count(b"\n")
    return 0


def killed(start: Start, home: Path, seconds: float, rng: random.Random) -> bool:
    """Begin or resume a sweep, and kill it at a random moment; whether that came before its end.

    One moment in three is shortly after a job has been noted, where files are being written.
    """
    folder = home / "sweep"
    arguments = ("resume", "sweep") if ledger.holds(folder) else SWEPT
    before, more = lines(folder), rng.choice([0, 0, rng.randint(1, 5)])
    running = start(home, *arguments)
    if more:
        while running.is_alive() and lines(folder) < before + more:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
    else:
        running.join(rng.uniform(0, seconds))
    running.kill()
    running.join()
    assert running.exitcode in (0, -signal.SIGKILL), (home / "stderr").read_text()
    return running.exitcode != 0


@pytest.mark.slow
def test_a_sweep_killed_at_random_moments_ends_with_the_results_of_an_undisturbed_one(
    start: Start, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Slow: some ten processes. A sweep that ends between two kills is followed by another one."""
    rng = random.Random(5)
    kills = sweeps = 0
    while kills < KILLS:
        home = tmp_path / str(sweeps)
        home.mkdir()
        done: dict[Path, int] = {}
        is_killed = True
        while is_killed and kills < KILLS:
            is_killed = killed(start, home, undisturbed.seconds, rng)
            kills += is_killed
            now = finished(home / "sweep")
            assert {path: now[path] for path in done} == done  # no finished job is repeated
            done = now
        if is_killed:
            arguments = ("resume", "sweep") if ledger.holds(home / "sweep") else SWEPT
            ended = process(home, *arguments)
            assert (ended.returncode, ended.stderr) == (0, "")
            now = finished(home / "sweep")
            assert {path: now[path] for path in done} == done
        assert_whole(home / "sweep", undisturbed.folder)
        sweeps += 1
    print(f"{kills} kills in {sweeps} sweeps of {undisturbed.seconds:.1f} s")


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(
            f"a full disk needs a file system to mount, which is not permitted: {done.stderr}"
        )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder for a disk of the test's own; the test mounts it."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("a full disk needs a file system to mount, which only root may do")
    folder = tmp_path / "disk"
    folder.mkdir()
    yield folder
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def error_of(start: Start, folder: Path, *arguments: str) -> str:
    """The one line of a command that fails, after those of checkpoints that found no room."""
    status, error = finish(start, folder, *arguments)
    assert status == 1, error
    *warnings, line = error.splitlines()
    for warning in warnings:
        assert re.fullmatch(
            r"bpframe: warning: .*: no checkpoint after epoch \d: No space.*", warning
        )
    return line


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    ["size=200k", "size=400k", "size=64m,nr_inodes=55"],
)
def test_a_full_disk_ends_a_sweep_and_more_room_finishes_it(
    start: Start, undisturbed: Undisturbed, tmp_path: Path, disk: Path, options: str
) -> None:
    """Slow: a sweep that ends early, and its second part."""
    mount("-t", "tmpfs", "-o", options, "tmpfs", str(disk))
    swept = [*SWEPT[:-1], f"hydra.sweep.dir={disk}/sweep"]
    line = error_of(start, tmp_path, *swept)
    folder = disk / "sweep"
    assert re.fullmatch(
        rf"bpframe: {re.escape(str(folder))}: cannot be written: No space left on device; "
        rf"fix that, then run bpframe resume {re.escape(str(folder))}",
        line,
    )
    line = error_of(start, tmp_path, "resume", str(folder))  # nothing has changed
    assert "No space left on device" in line
    entries = ledger.read(folder)
    done = finished(folder)
    assert len(entries) < 2 + JOBS or not (folder / "report.html").exists()
    mount("-o", "remount,size=64m,nr_inodes=10000", str(disk))
    assert finish(start, tmp_path, "resume", str(folder)) == (0, "")
    assert {path: changed for path, changed in finished(folder).items() if path in done} == done
    assert_whole_elsewhere(folder, undisturbed.folder)


def assert_whole_elsewhere(folder: Path, undisturbed: Path) -> None:
    """As `assert_whole`, of a sweep with another folder in its command."""
    leftovers = {path.name for path in folder.rglob("*.partial")}
    assert not leftovers
    assert {path.name for path in folder.iterdir()} == SWEEP_FILES
    for num in range(JOBS):
        assert {path.name for path in (folder / str(num)).iterdir()} == JOB_FILES
        assert bits(folder / str(num)) == bits(undisturbed / str(num))
        log = (folder / str(num) / "bpframe.log").read_text()
        assert log.endswith("completed after 2 epochs\n")
    assert len((folder / "results.jsonl").read_text().splitlines()) == JOBS


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_one_line(
    start: Start, undisturbed: Undisturbed, tmp_path: Path, disk: Path
) -> None:
    """Slow: processes that begin a sweep and go on with one."""
    mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk))
    folder = disk / "sweep"
    shutil.copytree(undisturbed.folder, folder)
    shutil.rmtree(folder / "5")
    mount("-o", "remount,ro", str(disk))
    for arguments, about in (
        ([*SWEPT[:-1], f"hydra.sweep.dir={disk}/other"], disk / "other"),
        (["resume", str(folder)], folder),
        (["report", str(folder)], folder),
    ):
        line = error_of(start, tmp_path, *arguments)
        assert line.startswith(f"bpframe: {about}: cannot be ")
    mount("-o", "remount,rw", str(disk))
    head, *rest = (folder / "sweep.jsonl").read_text().splitlines(keepends=True)
    moved = opened(head.encode())
    moved["command"]["cwd"] = str(tmp_path)
    (folder / "sweep.jsonl").write_bytes(sealed_line(moved) + "".join(rest).encode())
    assert finish(start, tmp_path, "resume", str(folder)) == (0, "")
    assert bits(folder / "5") == bits(undisturbed.folder / "5")
