"""A run that is killed at any of its writes, or whose disk fails there, ends as if undisturbed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import faulty_disk
import forked_cli
import pytest
from faulty_disk import KILL
from forked_cli import Start, fails_as_told, finish, lost_at, share, told, writes

# CI has a share: every so many writes, others for each fault. For all of them set it to 1.
STRIDE = int(os.environ.get("BPFRAME_TEST_WRITES", "24"))
RUN = (
    *("data.train_size=20", "network.hidden=[3]", "training.epochs=4", "checkpoint.epochs=1"),
    *("optimiser=momentum", "hydra.run.dir=run"),
)
FILES = {
    *(".hydra", ".lock", "bpframe.log", "checkpoint-00000004.npz", "learning_curves.png"),
    *("best.safetensors", "metrics.jsonl", "params.safetensors", "summary.json"),
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
    return Undisturbed(home / "run", writes(start, home, RUN, home / "run"))


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

    def fails(home: Path, at: int) -> None:
        fails_as_told(start, home, RUN, (home / "run", fault, at))
        goes_on(start, home)
        # A run that was complete is neither drawn again, nor has it another checkpoint.
        assert_whole(home / "run", undisturbed.folder, FILES - LAST)

    assert not lost_at(share(undisturbed.writes, STRIDE, fault), tmp_path, fails)


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, 5))  # each with one of the faults, unless all are asked for
def test_a_fault_while_a_run_begins_or_goes_on_is_one_line(
    at: int, start: Start, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Slow: four processes. The log is opened by Hydra, in a single run and in one of a sweep."""
    errors = list(faulty_disk.ERRORS)
    for number, error in enumerate(errors if STRIDE == 1 else errors[at % len(errors) :][:1]):
        home = tmp_path / str(number)
        home.mkdir()
        fails_as_told(start, home, RUN, (home / "run", error, at))
        goes_on(start, home)
        for cut in ("best", "params"):
            (home / "run" / f"{cut}.safetensors").unlink()
        (home / "run" / "summary.json").unlink()
        fails_as_told(start, home, ("resume", "run"), (home / "run", error, at))
        goes_on(start, home)
        assert_whole(home / "run", undisturbed.folder, FILES - LAST)
        one_by_one = ("-m", *RUN[:-1], "hydra/launcher=basic", "hydra.sweep.dir=sweep", "seed=0,1")
        fails_as_told(start, home, one_by_one, (home / "sweep", error, at))
