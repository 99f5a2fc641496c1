"""A sweep in which files of a job are damaged, swapped or lost, and commands that run at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import forked_cli
import pytest
from forked_cli import Start, finish, told

from bpframe.runs.folder import is_whole

start = forked_cli.start

JOBS = 3
QUICK = ("data=xor", "network.hidden=[3]", "training.batch_size=4", "training.epochs=2")
SWEEP = ("-m", *QUICK, "seed=0,1,2", "hydra.sweep.dir=sweep")
PARAMS = "params.safetensors"

pytestmark = pytest.mark.slow


def emptied(sweep: Path) -> None:
    (sweep / "1" / PARAMS).write_bytes(b"")


def halved(sweep: Path) -> None:
    content = (sweep / "1" / PARAMS).read_bytes()
    (sweep / "1" / PARAMS).write_bytes(content[: len(content) // 2])


def flipped(sweep: Path) -> None:
    content = bytearray((sweep / "1" / "best.safetensors").read_bytes())
    content[-3] ^= 1
    (sweep / "1" / "best.safetensors").write_bytes(content)


def half_a_line(sweep: Path) -> None:
    text = (sweep / "1" / "metrics.jsonl").read_text()
    (sweep / "1" / "metrics.jsonl").write_text(text[:-20])


def another_config(sweep: Path) -> None:
    path = sweep / "1" / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("seed: 1", "seed: 7"))


def without_hydra(sweep: Path) -> None:
    shutil.rmtree(sweep / "1" / ".hydra")


def all_empty(sweep: Path) -> None:
    """As after a power cut."""
    for path in (sweep / "1").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def swapped(sweep: Path) -> None:
    (sweep / "1").rename(sweep / "x")
    (sweep / "2").rename(sweep / "1")
    (sweep / "x").rename(sweep / "2")


DAMAGES: list[tuple[Callable[[Path], None], set[int]]] = [
    *((damage, {1}) for damage in (emptied, halved, flipped, half_a_line)),
    *((damage, {1}) for damage in (another_config, without_hydra, all_empty)),
    (swapped, {1, 2}),
]


@pytest.fixture(scope="module")
def undisturbed(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("undisturbed")
    assert finish(start, home, *SWEEP) == (0, "")
    return home / "sweep"


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("damage", "nums"), DAMAGES, ids=lambda case: getattr(case, "__name__", "")
)
def test_damaged_jobs_are_named_and_run_again(
    damage: Callable[[Path], None], nums: set[int], start: Start, undisturbed: Path, tmp_path: Path
) -> None:
    """Slow, with the others here: each case resumes a sweep in a process."""
    shutil.copytree(undisturbed.parent, tmp_path, dirs_exist_ok=True, symlinks=True)
    sweep = tmp_path / "sweep"
    damage(sweep)
    status, error = finish(start, tmp_path, "resume", "sweep")
    assert status == 0, error
    for num in range(JOBS):
        assert (str(sweep / str(num)) in error) == (num in nums), error
        assert is_whole(sweep / str(num))
        assert told(sweep / str(num)) == told(undisturbed / str(num))
        assert (sweep / str(num) / PARAMS).read_bytes() == (
            undisturbed / str(num) / PARAMS
        ).read_bytes()


def test_a_report_names_what_it_cannot_read(
    start: Start, undisturbed: Path, tmp_path: Path
) -> None:
    """The page has all else."""
    shutil.copytree(undisturbed.parent, tmp_path, dirs_exist_ok=True, symlinks=True)
    metrics = tmp_path / "sweep" / "1" / "metrics.jsonl"
    metrics.write_text('{"epoch": 1, "tr')
    (tmp_path / "sweep" / "report.html").unlink()
    status, error = finish(start, tmp_path, "report", "sweep")
    assert status == 0
    (line,) = error.splitlines()
    assert line.startswith(f"bpframe: warning: {metrics}: ")
    assert (tmp_path / "sweep" / "report.html").stat().st_size > 100_000


def test_of_eight_runs_that_begin_at_once_one_has_the_folder(start: Start, tmp_path: Path) -> None:
    """The others say so, and touch nothing."""
    homes = [tmp_path / str(seed) for seed in range(8)]
    for home in homes:
        home.mkdir()
    run = tmp_path / "run"
    command = (*QUICK, f"hydra.run.dir={run}")
    running = [start(home, *command, f"seed={seed}") for seed, home in enumerate(homes)]
    for process in running:
        process.join()
    statuses = [process.exitcode for process in running]
    assert sorted(map(str, statuses)) == ["0", *["1"] * 7]
    for home, status in zip(homes, statuses, strict=True):
        error = (home / "stderr").read_text()
        assert (error == "") if status == 0 else error.startswith(f"bpframe: {run}: "), error
        assert error.count("\n") <= 1
    assert is_whole(run)
    seed = json.loads((run / "summary.json").read_text())["seed"]
    assert seed == statuses.index(0)
    assert f"- seed={seed}\n" in (run / ".hydra" / "overrides.yaml").read_text()


def test_reports_at_once_leave_one_whole_page(
    start: Start, undisturbed: Path, tmp_path: Path
) -> None:
    """None of them fails."""
    shutil.copytree(undisturbed.parent, tmp_path, dirs_exist_ok=True, symlinks=True)
    page = (tmp_path / "sweep" / "report.html").read_bytes()
    running = [start(tmp_path, "report", "sweep") for _ in range(8)]
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * 8
    assert (tmp_path / "sweep" / "report.html").read_bytes() == page
    assert not list((tmp_path / "sweep").glob(".*partial*"))
