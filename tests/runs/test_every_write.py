"""A run that is killed at any of its writes, or whose disk fails there, ends as if undisturbed."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import faulty_disk
import forked_cli
import pytest
from faulty_disk import KILL
from forked_cli import Start, finish

# CI has a share: every so many writes. For all of them set it to 1.
STRIDE = int(os.environ.get("BPFRAME_TEST_WRITES", "6"))
RUN = (
    *("data.train_size=20", "network.hidden=[3]", "training.epochs=4", "checkpoint.epochs=1"),
    *("optimiser=momentum", "hydra.run.dir=run"),
)
FILES = {
    *(".hydra", ".lock", "bpframe.log", "checkpoint-00000004.npz", "learning_curves.png"),
    *("metrics.jsonl", "params.safetensors", "summary.json"),
}
LAST = {"checkpoint-00000004.npz", "learning_curves.png"}
BEGIN_AGAIN = "was cut off before it began"

start = forked_cli.start


class Undisturbed(NamedTuple):
    """A run that nothing happened to, and the number of its writes."""

    folder: Path
    writes: int


@pytest.fixture(scope="module")
def undisturbed(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    home = tmp_path_factory.mktemp("undisturbed")
    assert finish(start, home, *RUN) == (0, "")
    shutil.rmtree(home / "run")
    fault = (home / "run", faulty_disk.COUNT, 0)
    assert finish(start, home, *RUN, fault=fault) == (0, "")
    return Undisturbed(home / "run", int((home / "writes").read_text()))


def told(folder: Path) -> list[Any]:
    """What a run has recorded, but for times."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((folder / "summary.json").read_bytes())
    for found in (*lines, summary):
        for key in ("seconds", "timing", "files", "checksum"):
            found.pop(key, None)
    return [*lines, summary]


def goes_on(start: Start, home: Path) -> None:
    """Go on with a run on a good disk, or begin it again if it says so."""
    if (home / "run" / ".lock").exists():
        status, error = finish(start, home, "resume", "run")
        if status == 0 or "run: is complete" in error:
            return
        assert re.fullmatch(f"bpframe: .*{BEGIN_AGAIN}.*\n", error), error
    assert finish(start, home, *RUN) == (0, "")


def assert_whole(folder: Path, undisturbed: Path, needed: set[str] = FILES) -> None:
    assert {path.name for path in folder.iterdir()} >= needed
    assert told(folder) == told(undisturbed)
    assert (folder / "params.safetensors").read_bytes() == (
        undisturbed / "params.safetensors"
    ).read_bytes()
    for name in ("config.yaml", "overrides.yaml"):
        assert (folder / ".hydra" / name).read_text() == (undisturbed / ".hydra" / name).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [KILL, *faulty_disk.ERRORS])
def test_a_fault_at_any_write_loses_nothing(
    fault: str, start: Start, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Slow: two processes for each write."""
    lost = {}
    for at in range(1, undisturbed.writes + 1, STRIDE):
        home = tmp_path / str(at)
        home.mkdir()
        status, error = finish(start, home, *RUN, fault=(home / "run", fault, at))
        try:
            if fault != KILL:
                assert_told(status, error, faulty_disk.ERRORS[fault])
            goes_on(start, home)
            # A run that was complete is neither drawn again, nor has it another checkpoint.
            assert_whole(home / "run", undisturbed.folder, FILES - LAST)
        except AssertionError as found:
            lost[at] = f"{status} {error} {found}"
        shutil.rmtree(home)
    assert not lost, "\n\n".join(f"{at}: {text}" for at, text in lost.items())


def assert_told(status: int | None, error: str, number: int) -> None:
    """A run whose disk fails ends with one line that says so, or has warned and is complete."""
    *warnings, last = error.splitlines() or [""]
    warning = rf"bpframe: warning: .*{os.strerror(number)}.*"
    assert all(re.fullmatch(warning, line) for line in warnings), error
    if status == 0:
        assert not last or re.fullmatch(warning, last), error
    else:
        assert status == 1
        assert re.fullmatch(rf"bpframe: .*/run\S*: .*{os.strerror(number)}.*", last), error
        assert "Error" not in last
