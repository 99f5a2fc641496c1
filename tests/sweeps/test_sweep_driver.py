"""The course of a sweep: what does not fit, what fails, what is interrupted, what is resumed."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
import test_sweep_lanes
from test_sweep_lanes import SMALL, Swept, sweep

from bpframe import ConfigError, OutputError, PluginWarning, hookimpl
from bpframe.errors import OutputWarning
from bpframe.runs.interruption import InterruptionError
from bpframe.sweeps.lanes import partition
from bpframe.sweeps.lanes.chunk import Chunk
from bpframe.sweeps.lanes.programs import LanePrograms
from bpframe.sweeps.ledger import Ledger

logging_stays = test_sweep_lanes.logging_stays

JOBS = [[f"optimiser.eta={eta}", f"seed={seed}"] for eta in (0.1, 0.5) for seed in (0, 1)]
EXHAUSTED = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")


def events(swept: Swept, name: str) -> list[dict[str, Any]]:
    return [entry for entry in swept.ledger if entry["event"] == name]


def at(folder: Path) -> Swept:
    """A sweep that did not come to its end."""
    return Swept([], folder, [[*SMALL, *job] for job in JOBS])


def times(folder: Path) -> dict[Path, int]:
    files = (path for path in folder.glob("[0-9]*/**/*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    """Four jobs in chunks of two; another sweep that is cut in halves has the same numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logging.shutdown", lambda handlers=(): None)
        yield sweep(tmp_path_factory.mktemp("undisturbed") / "sweep", SMALL, *JOBS, most=2)


def refusing(
    monkeypatch: pytest.MonkeyPatch, cls: type, method: str, most: int, error: Exception
) -> Callable[[], None]:
    """Let a method fail with so many lanes; the answer undoes it."""
    original = getattr(cls, method)

    def refuse(self: Any, *arguments: Any, **more: Any) -> Any:
        programs = self if isinstance(self, LanePrograms) else self._programs
        if programs.layout.lanes > most:
            raise error
        return original(self, *arguments, **more)

    monkeypatch.setattr(cls, method, refuse)
    return lambda: monkeypatch.setattr(cls, method, original)


@pytest.mark.parametrize(
    ("cls", "method", "error"),
    [
        (LanePrograms, "compile", MemoryError("no more")),
        pytest.param(LanePrograms, "initial", EXHAUSTED, marks=pytest.mark.slow),
        pytest.param(LanePrograms, "turn", EXHAUSTED, marks=pytest.mark.slow),
        pytest.param(LanePrograms, "test", EXHAUSTED, marks=pytest.mark.slow),
        pytest.param(Chunk, "start", MemoryError("no more"), marks=pytest.mark.slow),
    ],
    ids=["compile", "initial", "epoch", "test", "start"],
)
def test_what_does_not_fit_the_memory_is_halved(
    undisturbed: Swept,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cls: type,
    method: str,
    error: Exception,
) -> None:
    """Slow: all but the one that is the likeliest."""
    refusing(monkeypatch, cls, method, 2, error)
    folder = tmp_path / "sweep"
    swept = sweep(folder, SMALL, *JOBS)
    assert "4 jobs do not fit the memory; trained in halves" in capsys.readouterr().out
    assert [row.status for row in swept.rows] == ["completed"] * 4
    (cut,) = events(swept, "chunks")
    assert cut["chunks"] == [{"jobs": nums, "layout": [1, 1, 2]} for nums in ([0, 1], [2, 3])]
    assert [swept.bits(num) for num in range(4)] == [undisturbed.bits(num) for num in range(4)]
    shutil.rmtree(folder / "1")
    before = times(folder)
    resumed = sweep(folder, SMALL, *JOBS, resumes=True)
    assert events(resumed, "chunks") == [cut]
    assert resumed.bits(1) == undisturbed.bits(1)
    assert {path: at for path, at in times(folder).items() if path in before} == before


@pytest.mark.slow
def test_a_job_that_does_not_fit_alone_fails_and_a_resume_tries_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: it compiles many layouts."""
    enough_again = refusing(monkeypatch, LanePrograms, "compile", 0, MemoryError("no more"))
    folder = tmp_path / "sweep"
    swept = sweep(folder, SMALL, *JOBS)
    assert [row.status for row in swept.rows] == ["failed"] * 4
    assert all("out of memory" in str(row.error) for row in swept.rows)
    enough_again()
    resumed = sweep(folder, SMALL, *JOBS, resumes=True)
    assert [row.status for row in resumed.rows] == ["completed"] * 4
    assert len(events(resumed, "job")) == 8


@pytest.mark.slow
def test_a_sweep_that_goes_on_is_traced_as_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless its code may be another. Slow: compiles programs of two groups three times."""
    done: list[str] = []
    made, initial = LanePrograms.__init__, LanePrograms.initial

    def noted(word: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: (done.append(word), call(*given))[1]

    monkeypatch.setattr(LanePrograms, "__init__", noted("traced", made))
    monkeypatch.setattr(LanePrograms, "initial", noted("trained", initial))
    folder, jobs = tmp_path / "sweep", [["network.hidden=[4]"], ["network.hidden=[5]"]]
    at_once = ["traced", "traced", "trained", "trained"]
    one_by_one = ["traced", "trained"] * 2
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, at_once),
        ({"resumes": True}, one_by_one),
        ({"resumes": True, "accepts_changes": True}, at_once),
    ]
    for more, expected in cases:
        done.clear()
        swept = sweep(folder, SMALL, *jobs, **more)
        assert [row.status for row in swept.rows] == ["completed"] * 2
        assert done == expected
        for job in range(2):
            shutil.rmtree(folder / str(job))


SLOW_AT_THE_ENDS = [
    pytest.param(0, marks=pytest.mark.slow),
    1,
    pytest.param(2, marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize("bad", SLOW_AT_THE_ENDS)
def test_an_error_of_one_chunk_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    """Slow: the first and the last chunk, which take as long as the one between them.

    Slow: compiles a program.
    """
    original, calls = LanePrograms.initial, iter(range(9))

    def initial(self: LanePrograms, experiments: Any, exact: Any) -> Any:
        if next(calls) == bad:
            raise RuntimeError("of the device")
        return original(self, experiments, exact)

    monkeypatch.setattr(LanePrograms, "initial", initial)
    folder = tmp_path / "sweep"
    swept = sweep(folder, SMALL, *JOBS[:3], most=1)
    expected = ["failed" if num == bad else "completed" for num in range(3)]
    assert [row.status for row in swept.rows] == expected
    assert swept.rows[bad].error == "RuntimeError: of the device"
    before = times(folder)
    resumed = sweep(folder, SMALL, *JOBS[:3], most=1, resumes=True)
    assert [row.status for row in resumed.rows] == ["completed"] * 3
    after = times(folder)
    others = {path: time for path, time in before.items() if path.parts[-2] != str(bad)}
    assert {path: after[path] for path in others if ".hydra" not in path.parts} == {
        path: time for path, time in others.items() if ".hydra" not in path.parts
    }


class Signals:
    """Sends this process a signal in the second epoch of the job with seed 1."""

    def __init__(self, number: int) -> None:
        self.number = number

    @hookimpl
    def bpframe_epoch_finished(self, run: Any, record: Any) -> None:
        if record.epoch == 2 and run.experiment.seed == 1:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_writes_what_is_done_and_a_resume_does_the_rest(
    tmp_path: Path, number: int
) -> None:
    """Slow: the second signal, which goes the same way."""
    folder = tmp_path / "sweep"
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    jobs = [["seed=0"], ["seed=1"], ["seed=2"]]
    with pytest.raises(InterruptionError) as raised:
        sweep(folder, SMALL, *jobs, most=1, plugins=[Signals(number)])
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert raised.value.status == 128 + number
    name = "ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert str(raised.value) == (
        f"interrupted by {name}: 1 jobs are done; go on with bpframe resume {folder}"
    )
    swept = Swept([], folder, jobs)
    assert [job["status"] for job in events(swept, "job")] == ["completed", "interrupted"]
    assert swept.summary(1)["status"] == "interrupted"
    assert len(swept.lines(1)) == swept.summary(1)["epochs"] == 2
    assert not (folder / "2").exists()
    before = times(folder / "0")
    resumed = sweep(folder, SMALL, *jobs, most=1, resumes=True)
    assert [row.status for row in resumed.rows] == ["completed"] * 3
    assert times(folder / "0") == before
    whole = sweep(tmp_path / "whole", SMALL, *jobs, most=1)
    assert [resumed.bits(num) for num in range(3)] == [whole.bits(num) for num in range(3)]


class Fails:
    """A plugin that fails with seed 1, and ends the others after their first epoch."""

    @hookimpl
    def bpframe_should_stop(self, run: Any, record: Any) -> str:
        if run.experiment.seed == 1:
            raise RuntimeError("not for me")
        return "enough"


@pytest.mark.slow
def test_a_plugin_that_fails_in_one_job_goes_on_in_the_others(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    jobs = [["seed=1"], ["seed=2"], ["seed=1", "optimiser.eta=0.1"], ["seed=3"]]
    with pytest.warns(PluginWarning, match="not for me"):
        swept = sweep(tmp_path / "sweep", SMALL, *jobs, most=1, plugins=[Fails()])
    assert [row.epochs for row in swept.rows] == [3, 1, 3, 1]


@pytest.mark.slow
def test_equal_jobs_run_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Slow, with the others of this file; the command line has one that is not."""
    jobs = [["seed=1"], ["seed=1", "optimiser.eta=0.5"], ["seed=2"], ["++seed=1"]]
    swept = sweep(tmp_path / "sweep", SMALL, *jobs, most=1)
    assert "2 of 4 jobs are like others and are run once" in capsys.readouterr().out
    assert [row.num for row in swept.rows] == [0, 0, 2, 0]
    assert sorted(path.name for path in swept.folder.glob("[0-9]*")) == ["0", "2"]
    results = (swept.folder / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["num"] for line in results] == [0, 2]


@pytest.mark.slow
def test_a_resume_repeats_no_finished_job_and_makes_what_was_deleted(
    undisturbed: Swept, tmp_path: Path
) -> None:
    """Slow, with the others of this file; the command line has one that is not."""
    folder = tmp_path / "sweep"
    shutil.copytree(undisturbed.folder, folder)
    shutil.rmtree(folder / "2")
    (folder / "1" / "summary.json").write_text("{")
    before = times(folder)
    with pytest.warns(OutputWarning, match=r"1/summary\.json: is damaged; .*; job 1 is run again"):
        resumed = sweep(folder, SMALL, *JOBS, most=2, resumes=True)
    after = times(folder)
    changed = {
        path.relative_to(folder).parts[0] for path in after if before.get(path) != after[path]
    }
    assert changed == {"1", "2"}
    assert [resumed.bits(num) for num in range(4)] == [undisturbed.bits(num) for num in range(4)]
    before = times(folder)
    again = sweep(folder, SMALL, *JOBS, most=2, resumes=True)
    assert times(folder) == before
    assert again.rows == resumed.rows


@pytest.mark.slow
def test_a_sweep_that_is_cut_off_while_it_notes_its_plan_goes_on(
    undisturbed: Swept, tmp_path: Path
) -> None:
    """Slow, as its neighbours. The plan is noted, and not the code and data of its groups."""
    folder = tmp_path / "sweep"
    shutil.copytree(undisturbed.folder, folder)
    for num in range(4):
        shutil.rmtree(folder / str(num))
    lines = (folder / "sweep.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "sweep.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:20])
    resumed = sweep(folder, SMALL, *JOBS, resumes=True)
    assert [entry["event"] for entry in map(json.loads, lines[:3])] == ["sweep", "plan", "origin"]
    assert len(events(resumed, "origin")) == 1
    assert [resumed.bits(num) for num in range(4)] == [undisturbed.bits(num) for num in range(4)]


@pytest.mark.slow
def test_a_resume_with_another_configuration_is_refused(undisturbed: Swept, tmp_path: Path) -> None:
    """Slow, with the others of this file; the command line has one that is not."""
    folder = tmp_path / "sweep"
    shutil.copytree(undisturbed.folder, folder)
    shutil.rmtree(folder / "2")
    ledger = (folder / "sweep.jsonl").read_bytes()
    for jobs in ([*JOBS[:3], ["seed=9"]], JOBS[:3], [*JOBS[:2], *JOBS[:1:-1]]):
        before = times(folder)
        with pytest.raises(ConfigError, match="is not configured as it was when the sweep began"):
            sweep(folder, SMALL, *jobs, most=2, resumes=True)
        assert times(folder) == before
        assert (folder / "sweep.jsonl").read_bytes() == ledger


@pytest.mark.slow
def test_the_ledger_decides_the_chunks_of_a_resume_whatever_lanes_says(
    undisturbed: Swept, tmp_path: Path
) -> None:
    """Slow: compiles a program."""
    folder = tmp_path / "sweep"
    shutil.copytree(undisturbed.folder, folder)
    shutil.rmtree(folder / "0")
    resumed = sweep(folder, SMALL, *JOBS, most=1, resumes=True)
    assert resumed.bits(0) == undisturbed.bits(0)
    assert events(resumed, "plan") == events(undisturbed, "plan")


def test_a_sweep_that_begins_there_meanwhile_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folders are not said to be what is wrong with the jobs."""
    folder, original = tmp_path / "sweep", partition.chunks

    def chunks(*arguments: Any) -> Any:
        other = Ledger.new(folder, {}, {})
        other.append([])
        (folder / "1").mkdir()
        other.close()
        monkeypatch.setattr(partition, "chunks", original)
        return original(*arguments)

    monkeypatch.setattr(partition, "chunks", chunks)
    groups = [["seed=0"], ["seed=0", "network.hidden=[5]"]]
    with pytest.raises(OutputError, match=r"is not empty; .*, or finish it with bpframe resume"):
        sweep(folder, SMALL, *groups)


def test_a_folder_with_a_sweep_is_refused_for_another(undisturbed: Swept) -> None:
    before = times(undisturbed.folder)
    with pytest.raises(OutputError, match="is not empty; choose another"):
        sweep(undisturbed.folder, SMALL, *JOBS)
    assert times(undisturbed.folder) == before


@pytest.mark.parametrize(
    ("num", "at_opening"),
    [
        (0, True),
        (1, False),
        pytest.param(0, False, marks=pytest.mark.slow),
        pytest.param(1, True, marks=pytest.mark.slow),
    ],
)
def test_a_log_that_cannot_be_written_ends_the_sweep(
    undisturbed: Swept,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    num: int,
    at_opening: bool,
) -> None:
    """Slow: two of the four ways, as each trains a sweep and resumes it."""
    original, folder = logging.FileHandler._open, tmp_path / "sweep"

    def full(self: logging.FileHandler) -> Any:
        if Path(self.baseFilename).parent != folder / str(num):
            return original(self)
        if at_opening:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return Path("/dev/full").open("w")

    with monkeypatch.context() as patch:
        patch.setattr(logging.FileHandler, "_open", full)
        with pytest.raises(OutputError, match="cannot be written: No space left on device"):
            sweep(folder, SMALL, *JOBS, most=2)
    assert capsys.readouterr().err == ""
    resumed = sweep(folder, SMALL, *JOBS, most=2, resumes=True)
    assert [resumed.bits(num) for num in range(4)] == [undisturbed.bits(num) for num in range(4)]
    for num in range(4):
        log = (folder / str(num) / "bpframe.log").read_text()
        assert log.count("training 64-4-10") == log.count("completed after 3 epochs") == 1
