"""Files of runs and sweeps that are cut short, or have a bit flipped: it is noticed, or harmless.

Harmless is: of a ledger and of a search's journal the last line is gone, as after a kill, and what
it told of is done again; of a JSON file the spaces between its values are others.

A file is read with every truncation, and with every flipped bit or a random share of them: CI takes
3,000 at most, which is all of a file below 375 bytes; BPFRAME_TEST_FLIPS sets another number. Slow
are the tests that read a file thousands of times.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bpframe
from bpframe.errors import BpframeError, DataError, OutputError
from bpframe.runs import folder, layout, loop
from bpframe.runs.checkpoint import Checkpoint, Checkpointing
from bpframe.sweeps import ledger
from bpframe.sweeps.sweepers.study_file import StudyFile

FLIPS = int(os.environ.get("BPFRAME_TEST_FLIPS", "3000"))
SHORT = ("training.batch_size=4", "training.epochs=2")
ROWS = [
    {"event": "job", "num": num, "metrics": {"test_cost": 0.1 + num, "test_accuracy": None}}
    for num in range(4)
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corruption") / "run"
    experiment = bpframe.compose(["data=xor", "network.hidden=[3]", *SHORT])
    loop.run(experiment, path, checkpointing=Checkpointing(epochs=1), plots=False)
    return path


def damaged(content: bytes, rng: random.Random) -> Iterator[bytes]:
    """Every truncation of a file, then copies with a flipped bit, each bit once at most."""
    for end in range(len(content)):
        yield content[:end]
    bits = 8 * len(content)
    for bit in rng.sample(range(bits), min(FLIPS, bits)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def readings(path: Path, read: Callable[[], Any]) -> Iterator[Any]:
    """What is read of a file in all its damaged forms; None where the damage is noticed."""
    content = path.read_bytes()
    try:
        for damage in damaged(content, random.Random(0)):
            path.write_bytes(damage)
            try:
                yield read()
            except BpframeError as error:
                named = re.search(f"{re.escape(path.name)}: .*(damaged|whole line)", str(error))
                yield None if named else error
    finally:
        path.write_bytes(content)


@pytest.mark.slow
def test_checkpoint(run: Path) -> None:
    (path,) = run.glob("checkpoint-*.npz")
    assert Checkpoint.read(path).epoch == 2
    assert not any(readings(path, lambda: Checkpoint.read(path)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [folder.PARAMS, folder.METRICS])
def test_what_the_summary_has_a_checksum_of(run: Path, name: str) -> None:
    assert folder.is_whole(run)
    assert not any(readings(run / name, lambda: folder.is_whole(run)))


@pytest.mark.slow
def test_parameters_that_are_read_again(run: Path) -> None:
    path = run / folder.PARAMS
    assert [w.shape for w, _ in bpframe.read_params(path)] == [(3, 2), (1, 3)]
    assert not any(readings(path, lambda: bpframe.read_params(path)))
    with pytest.raises(DataError, match="nowhere: cannot be read: No such file"):
        bpframe.read_params(run / "nowhere")


@pytest.mark.slow
def test_summary(run: Path) -> None:
    expected = layout.read_summary(run)
    found = list(readings(run / folder.SUMMARY, lambda: layout.read_summary(run)))
    assert all(each in (None, expected) for each in found)
    assert sum(each is None for each in found) > 0.7 * len(found)


@pytest.mark.parametrize("name", [folder.METRICS, folder.PARAMS])
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    (run / name).unlink()
    with pytest.raises(OutputError, match=f"{name}: cannot be read"):
        folder.is_whole(run)
    (run / name).write_bytes(content)


def test_without_a_summary_no_run_has_ended(run: Path) -> None:
    content = (run / folder.SUMMARY).read_bytes()
    (run / folder.SUMMARY).unlink()
    assert not folder.is_whole(run)
    (run / folder.SUMMARY).write_bytes(content)


def test_the_summary_of_another_run_is_named(run: Path) -> None:
    with pytest.raises(OutputError, match=r"summary\.json: is that of another run"):
        folder.is_whole(run, "00000000")


@pytest.mark.slow
def test_ledger(tmp_path: Path) -> None:
    book = ledger.Ledger.new(tmp_path, {"command": {"overrides": ["seed=0,1"]}}, {})
    book.append(ROWS)
    book.close()
    expected = ledger.read(tmp_path)
    for found in readings(tmp_path / ledger.LEDGER, lambda: ledger.read(tmp_path)):
        assert found is None or found == expected[: len(found)]


@pytest.mark.slow
def test_journal_of_a_search(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    study = StudyFile(path)
    for row in ROWS:
        study.append_logs([row, {**row, "more": 1}])
        study.write()
    expected = list(StudyFile(path).read_logs(0))
    assert len(expected) == 2 * len(ROWS)
    for found in readings(path, lambda: list(StudyFile(path).read_logs(0))):
        assert found is None or (found == expected[: len(found)] and len(found) % 2 == 0)
