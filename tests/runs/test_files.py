"""Files of ours are written whole or not at all, and never through a link."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bpframe import files
from bpframe.errors import OutputError
from bpframe.runs import array_writer
from bpframe.runs.array_files import FOLDER
from bpframe.runs.arrays import InMemory
from bpframe.runs.checkpoint import Checkpoint, Checkpointing, Checkpoints
from bpframe.runs.checksums import sealed_line
from bpframe.runs.folder import RunFolder
from bpframe.runs.layout import METRICS, PARAMS
from bpframe.runs.locks import LOCK
from bpframe.sweeps import ledger
from bpframe.sweeps.lanes import checkpoint as lane_checkpoint


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file of the user, which links lead to."""
    path = tmp_path / "precious"
    path.write_text("precious")
    return path


def test_a_link_is_replaced_and_its_target_stays(tmp_path: Path, target: Path) -> None:
    path = tmp_path / PARAMS
    path.symlink_to(target)
    old = tmp_path / f".{PARAMS}.partial"
    old.symlink_to(target)
    files.write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()
    assert target.read_text() == "precious"


def test_partial_names_cannot_be_guessed_and_nothing_stays_of_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def fsync(number: int) -> None:
        seen.extend(path.name for path in tmp_path.iterdir())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "a"
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            files.write_whole(path, b"new")
    assert len(set(seen)) == 2
    assert all(files.is_partial(Path(name), "a") for name in seen)
    assert not list(tmp_path.iterdir())


def test_arrays_for_which_there_is_no_room_leave_nothing(tmp_path: Path) -> None:
    arrays = {"weights/steps": np.arange(3), "weights/layer_2.w": np.zeros((3, 100_000))}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            array_writer.write(tmp_path, InMemory({}, arrays), durable=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / FOLDER).iterdir())
    name = array_writer.write(tmp_path, InMemory({}, arrays), durable=True)
    assert load_file(tmp_path / name)["weights/layer_2.w"].shape == (3, 100_000)


def test_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    contents = [bytes([number]) * 100_000 for number in range(16)]
    writers = [
        threading.Thread(target=files.write_whole, args=(path, content)) for content in contents
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", ["r+", "a", "ab", "w"])
def test_a_link_or_a_pipe_is_not_opened(tmp_path: Path, target: Path, mode: str) -> None:
    link, pipe, dangling = tmp_path / "link", tmp_path / "pipe", tmp_path / "dangling"
    hard = tmp_path / "hard"
    hard.hardlink_to(target)
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "nothing")
    os.mkfifo(pipe)
    for path, told in (
        (link, "is a symbolic link"),
        (dangling, "is a symbolic link"),
        (pipe, "is no ordinary file"),
        (hard, "has another name"),
    ):
        with pytest.raises(OSError, match=told):
            files.open_own(path, mode)
    assert target.read_text() == "precious"
    assert not (tmp_path / "nothing").exists()


def test_what_is_opened_to_be_read_may_have_other_names(tmp_path: Path, target: Path) -> None:
    (tmp_path / "hard").hardlink_to(target)
    with files.open_own(tmp_path / "hard", "r") as file:
        assert file.read() == "precious"
    with pytest.raises(OSError, match="has another name"):
        files.check_no_link(tmp_path / "hard")


def test_a_file_is_emptied_once_it_is_known_to_be_ours(tmp_path: Path) -> None:
    path = tmp_path / "own"
    path.write_text("long before")
    with files.open_own(path, "w") as file:
        file.write("now")
    assert path.read_text() == "now"


def test_a_run_goes_on_through_no_link(tmp_path: Path, target: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / METRICS).symlink_to(target)
    RunFolder.reopened(run, ()).release()
    assert not (run / METRICS).is_symlink()  # it was replaced
    assert target.read_text() == "precious"


def test_a_new_run_takes_no_folder_with_links_of_that_name(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / PARAMS).symlink_to(tmp_path / "nothing")
    with pytest.raises(OutputError, match=r"holds a run already \(params.safetensors\)"):
        RunFolder(run)


def test_what_a_killed_writer_left_goes_when_the_run_goes_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin()
    left = folder.path / f".{PARAMS}.0123.partial"
    left.write_bytes(b"half")
    (folder.path / "mine.partial").write_bytes(b"")
    folder.release()  # as a kill does
    RunFolder.reopened(folder.path, ()).release()
    assert {path.name for path in folder.path.iterdir()} == {".lock", METRICS, "mine.partial"}


def test_checkpoints_clear_their_own_remains(tmp_path: Path) -> None:
    left = tmp_path / ".checkpoint-00000001.npz.0123.partial"
    left.write_bytes(b"half")
    Checkpoints(tmp_path, Checkpointing()).write(Checkpoint(2, (), "", {}, None, ()))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000002.npz"]


@pytest.mark.parametrize("name", [LOCK, ledger.LEDGER])
def test_a_sweep_goes_on_through_no_link(tmp_path: Path, target: Path, name: str) -> None:
    sweep = tmp_path / "sweep"
    head = sealed_line({"event": "sweep"}) + b'{"half'
    sweep.mkdir()
    (sweep / ledger.LEDGER).write_bytes(head)
    target.write_bytes(head)
    (sweep / name).unlink(missing_ok=True)
    (sweep / name).symlink_to(target)
    with pytest.raises(OutputError, match="is a symbolic link"):
        ledger.Ledger.resume(sweep)
    assert target.read_bytes() == head


def test_checkpoints_of_lanes_are_not_removed_through_a_link(tmp_path: Path) -> None:
    elsewhere, sweep = tmp_path / "elsewhere", tmp_path / "sweep"
    elsewhere.mkdir()
    sweep.mkdir()
    (elsewhere / "mine.npz").write_bytes(b"precious")
    (sweep / lane_checkpoint.FOLDER).symlink_to(elsewhere)
    lane_checkpoint.remove_all(sweep)
    assert (elsewhere / "mine.npz").exists()


def test_paths_are_shown_from_the_working_directory_if_they_lie_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert files.shown(tmp_path / "runs" / "first") == str(Path("runs", "first"))
    assert files.shown(tmp_path.parent) == str(tmp_path.parent)
