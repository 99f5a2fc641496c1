"""The ledger of a sweep: whole lines, one writer, and nothing lost that was appended."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bpframe import OutputError
from bpframe.runs.checksums import opened, sealed_line
from bpframe.runs.locks import LOCK
from bpframe.sweeps import ledger
from bpframe.sweeps.ledger import LEDGER, MULTIRUN, Ledger

HEAD = {"command": {"overrides": ["seed=0,1"]}}
FILES = {MULTIRUN: "seed: 0\n"}
JOBS: list[dict[str, Any]] = [
    {"event": "job", "num": num, "error": "δ\n" * num, "metrics": {"cost": 0.1 * num}}
    for num in range(4)
]


def begun(folder: Path, *entries: dict[str, Any]) -> Ledger:
    book = Ledger.new(folder, HEAD, FILES)
    book.append(entries)
    return book


def lines(folder: Path) -> list[Any]:
    content = (folder / LEDGER).read_bytes()
    assert content.endswith(b"\n")
    return [opened(line) for line in content.splitlines()]


def head_and(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"event": "sweep", **HEAD}, *entries]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Whoever writes more gets what fits, and at the next attempt an error, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_nothing_is_written_before_there_is_something_to_note(tmp_path: Path) -> None:
    folder = tmp_path / "of" / "sweep"
    book = Ledger.new(folder, HEAD, FILES)
    assert not list(tmp_path.iterdir())
    book.append(JOBS[:1])
    assert {path.name for path in folder.iterdir()} == {LEDGER, LOCK, MULTIRUN}
    assert (folder / MULTIRUN).read_text() == FILES[MULTIRUN]
    book.append(JOBS[1:])
    book.close()
    assert book.entries == lines(folder) == ledger.read(folder) == head_and(*JOBS)


def test_lines_stay_as_they_were_when_more_come(tmp_path: Path) -> None:
    begun(tmp_path, *JOBS[:2]).close()
    before = (tmp_path / LEDGER).read_bytes()
    book = Ledger.resume(tmp_path)
    assert book.entries == head_and(*JOBS[:2])
    book.append(JOBS[2:])
    book.close()
    assert (tmp_path / LEDGER).read_bytes().startswith(before)
    assert lines(tmp_path) == head_and(*JOBS)


def test_a_torn_last_line_does_not_count_wherever_it_is_torn(tmp_path: Path) -> None:
    begun(tmp_path, *JOBS[:2]).close()
    content = (tmp_path / LEDGER).read_bytes()
    for end in range(content.index(b"\n") + 1, len(content) + 1):
        (tmp_path / LEDGER).write_bytes(content[:end])
        whole = content[:end].count(b"\n")
        expected = head_and(*JOBS[:2])[:whole]
        assert ledger.read(tmp_path) == expected
        assert (tmp_path / LEDGER).read_bytes() == content[:end]  # reading changes nothing
        book = Ledger.resume(tmp_path)
        assert book.entries == expected
        book.append(JOBS[3:])
        book.close()
        assert lines(tmp_path) == [*expected, *JOBS[3:]]


@pytest.mark.parametrize("line", ['{"event": "job", ', '{"event":"job"}', "[]", ""])
def test_a_damaged_line_is_one_error_with_its_place(tmp_path: Path, line: str) -> None:
    begun(tmp_path, *JOBS[:1]).close()
    with (tmp_path / LEDGER).open("ab") as file:
        file.write(line.encode() + b"\n" + sealed_line(JOBS[1]))
    for action in (ledger.read, Ledger.resume):
        with pytest.raises(OutputError, match=rf"{LEDGER}: line 3 is damaged; if") as raised:
            action(tmp_path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["", '{"event": "swe'], ids=["empty", "torn"])
def test_a_ledger_without_its_head_is_no_sweep(tmp_path: Path, content: str) -> None:
    (tmp_path / LEDGER).write_text(content)
    for action in (ledger.read, Ledger.resume):
        with pytest.raises(OutputError, match=re.escape(str(tmp_path))):
            action(tmp_path)


def test_without_a_ledger_there_is_nothing_to_resume_or_to_read(tmp_path: Path) -> None:
    for action in (ledger.read, Ledger.resume):
        for folder in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(OutputError, match="holds no sweep"):
                action(folder)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["0", "notes.txt", LEDGER])
def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="is not empty; choose another") as raised:
        Ledger.new(tmp_path, HEAD, FILES)
    assert ("bpframe resume" in str(raised.value)) == (name == LEDGER)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_was_filled_meanwhile_is_refused(tmp_path: Path) -> None:
    book = Ledger.new(tmp_path, HEAD, FILES)
    (tmp_path / "0").mkdir()
    with pytest.raises(OutputError, match="is not empty"):
        book.append(JOBS)
    assert not (tmp_path / LEDGER).exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is not a folder"):
        Ledger.new(tmp_path / "file", HEAD, FILES)


class Killed(BaseException):
    """The end of a process, at a place that the test chooses."""


@pytest.mark.parametrize("place", ["replace", "open"])
def test_the_folder_of_a_sweep_that_was_killed_at_its_beginning_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def kill(*arguments: Any, **named: Any) -> None:
        raise Killed

    folder = tmp_path / "sweep"
    book = Ledger.new(folder, HEAD, FILES)
    with monkeypatch.context() as patch:
        patch.setattr(Path, place, kill)
        patch.setattr(Path, "unlink", kill)  # what is half written stays
        with pytest.raises(Killed):
            book.append(JOBS)
    book.close()
    assert not (folder / LEDGER).exists()
    begun(folder, *JOBS).close()
    assert lines(folder) == head_and(*JOBS)


def test_two_ledgers_never_share_a_folder(tmp_path: Path) -> None:
    one, other = (Ledger.new(tmp_path, HEAD, FILES) for _ in range(2))
    one.append(JOBS[:1])
    for action in (lambda: other.append(JOBS[1:]), lambda: Ledger.resume(tmp_path)):
        with pytest.raises(OutputError, match="another process is running a sweep there"):
            action()
    one.append(JOBS[1:2])
    one.close()
    assert lines(tmp_path) == head_and(*JOBS[:2])
    Ledger.resume(tmp_path).close()  # it is free now


RACE = """
import sys, time
from pathlib import Path
from bpframe.errors import OutputError
from bpframe.sweeps.ledger import Ledger
folder, start = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
try:
    book = Ledger.new(folder, {"who": start}, {})
    book.append([{"event": "job"}])
except OutputError as error:
    sys.exit(str(error))
print("won", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
def test_of_processes_that_begin_at_once_one_wins(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    folder = tmp_path / "sweep"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(folder), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.stdout.readline() for process in running if process.stdout]
    assert sorted(answers) == ["", "", "won\n"]
    with pytest.raises(OutputError, match="another process"):
        Ledger.resume(folder)
    (winner,) = (number for number, answer in enumerate(answers) if answer)
    running[winner].kill()  # the lock goes with its process
    for number, process in enumerate(running):
        _, error = process.communicate()
        if number != winner:
            assert process.returncode == 1
            assert re.search("is not empty|another process is running a sweep there", error)
    book = Ledger.resume(folder)
    assert book.entries == [{"event": "sweep", "who": str(winner)}, {"event": "job"}]
    book.close()


@pytest.mark.parametrize("room", [0, 1, 50, 100])
def test_what_does_not_fit_the_disk_leaves_no_trace(tmp_path: Path, room: int) -> None:
    book = begun(tmp_path, *JOBS[:2])
    before = (tmp_path / LEDGER).read_bytes()
    with files_of_at_most(len(before) + room):
        for _ in range(2):
            with pytest.raises(OutputError, match=r"cannot be written: .*; fix that") as raised:
                book.append(JOBS[2:])
            assert f"bpframe resume {tmp_path}" in str(raised.value)
    assert (tmp_path / LEDGER).read_bytes() == before
    assert book.entries == head_and(*JOBS[:2])
    book.append(JOBS[2:])
    book.close()
    assert lines(tmp_path) == head_and(*JOBS)


def test_a_disk_that_is_full_at_the_beginning_leaves_no_ledger(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    book = Ledger.new(folder, HEAD, FILES)
    with files_of_at_most(20), pytest.raises(OutputError, match="cannot be written") as raised:
        book.append(JOBS)
    assert "bpframe resume" not in str(raised.value)
    assert not (folder / LEDGER).exists()
    book.close()
    begun(folder, *JOBS).close()
    assert lines(folder) == head_and(*JOBS)


def test_what_a_sweep_left_that_was_killed_before_it_began_goes(tmp_path: Path) -> None:
    for name in (".sweep.jsonl.0123.partial", ".multirun.yaml.4567.partial", ".mine.partial"):
        (tmp_path / name).touch()
    ledger = Ledger.new(tmp_path, {}, {"multirun.yaml": ""})
    ledger.append([])
    ledger.close()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".lock", ".mine.partial", "multirun.yaml", "sweep.jsonl"}
