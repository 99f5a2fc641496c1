"""The recording of a run: read in parts, whole after any kill, and never taken when damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import faulty_disk
import forked_cli
import numpy as np
import pytest
import written_runs
from forked_cli import Start, fails_as_told, finish, lost_at, writes
from test_checkpoints import killed

import bpframe
from bpframe.errors import BpframeError, ConfigError, OutputError
from bpframe.runs import bookkeeping, checkpoint, layout, loop
from bpframe.runs.array_files import FOLDER
from bpframe.runs.arrays import Recording

pytestmark = [
    # A process that is killed closes nothing either.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SMALL = ("data.train_size=40", "network.hidden=[5]")
RECORD = "record=[{name: deltas, first: 3, by: steps, every: 3},{name: weights, layers: [3]}]"
EACH = checkpoint.Checkpointing(epochs=1)

start = forked_cli.start


def composed(*overrides: str, epochs: int = 6) -> bpframe.Experiment:
    return bpframe.compose([*SMALL, RECORD, f"training.epochs={epochs}", *overrides])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six epochs of four steps that nothing has disturbed, in files of one epoch each."""
    path = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bookkeeping, "ALONE_BYTES", 1)
        bpframe.run(composed(), path)
    return path


def files(run: Path) -> list[Path]:
    return sorted((run / FOLDER).iterdir())


def assert_same(found: Recording, expected: Recording) -> None:
    assert list(found) == list(expected)
    for name in expected:
        assert found[name].keys() == expected[name].keys()
        for key, array in expected[name].items():
            assert found[name][key].steps.tolist() == array.steps.tolist()
            assert np.asarray(found[name][key]).tobytes() == np.asarray(array).tobytes()


@pytest.mark.slow
def test_a_recording_is_read_with_names_and_in_parts(whole: Path) -> None:
    """Slow: compiles a program."""
    recording = bpframe.load(whole).recording
    assert len(files(whole)) == 6
    assert repr(recording) == "Recording(deltas, weights)"
    assert "deltas" in recording
    assert "activations" not in recording
    deltas = recording["deltas"]["layer_2"]
    assert deltas.axes == ("step", "example", "neuron")
    assert deltas.shape == (9, 3, 5) == np.asarray(deltas).shape
    assert deltas.dtype == np.float32
    assert deltas.steps.tolist() == list(range(0, 25, 3))
    assert deltas.epochs.tolist() == [step / 4 for step in range(0, 25, 3)]
    assert deltas.examples is not None
    assert deltas.examples.tolist() == [0, 1, 2]
    assert (deltas.over, deltas.layer, deltas.name, deltas.key) == (
        *("validation", 2, "deltas", "layer_2"),
    )
    weights = recording["weights"]
    assert set(weights) == {"layer_3.w", "layer_3.b"}
    assert weights["layer_3.w"].axes == ("step", "neuron", "input")
    assert weights["layer_3.w"].examples is None
    array = np.asarray(deltas)
    for index in (
        *(0, -1, 4, (2, 1), (slice(None), 0), slice(2, 7), slice(7, 2, -2), slice(None, None, 3)),
        *(slice(5, 5), ..., [0, 3], (slice(1, 4), slice(None), 2)),
    ):
        np.testing.assert_array_equal(deltas[index], array[index], err_msg=str(index))
    np.testing.assert_array_equal(deltas.at(12), array[4])
    with pytest.raises(IndexError, match=r"is out of range; \d+ times were recorded, of which 0"):
        deltas[9]
    with pytest.raises(
        ConfigError, match="step: 13 of deltas was not recorded; the nearest are 12, 15"
    ):
        deltas.at(13)
    with pytest.raises(ConfigError, match="recording: unknown 'delta'; did you mean 'deltas'"):
        recording["delta"]


@pytest.mark.slow
def test_a_run_that_recorded_nothing_says_so(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    bpframe.run(bpframe.compose([*SMALL, "training.epochs=1"]), tmp_path / "run")
    recording = bpframe.load(tmp_path / "run").recording
    assert not len(recording)
    assert not (tmp_path / "run" / FOLDER).exists()
    with pytest.raises(ConfigError, match=r"nothing was recorded; .* record=\[deltas\]"):
        recording["deltas"]


@pytest.mark.slow
def test_only_the_rows_that_are_asked_for_are_read(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: compiles a program."""
    from bpframe.runs import arrays

    deltas = bpframe.load(whole).recording["deltas"]["layer_2"]
    assert deltas.shape
    opened: list[str] = []
    plain = arrays.safe_open
    monkeypatch.setattr(
        arrays, "safe_open", lambda path, kind: opened.append(path.name) or plain(path, kind)
    )
    assert deltas[3:5].shape == (2, 3, 5)
    assert opened == [files(whole)[2].name]


@pytest.mark.slow
def test_one_file_holds_a_short_run_and_memory_one_without_a_folder(
    whole: Path, tmp_path: Path
) -> None:
    """Slow: compiles a program."""
    result = bpframe.run(composed(), tmp_path / "run")
    assert [path.name for path in files(tmp_path / "run")] == ["000000000024.safetensors"]
    assert_same(result.recording, bpframe.load(whole).recording)
    assert_same(bpframe.run(composed()).recording, result.recording)


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2])
def test_a_run_that_is_killed_again_and_again_has_each_step_once(
    every: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: compiles programs."""
    monkeypatch.setattr(bookkeeping, "ALONE_BYTES", 1)
    experiment = composed(f"training.evaluate_every={every}")
    for epoch in (2, 4):
        killed(experiment, tmp_path / "run", epoch)
    result = loop.resume(experiment, tmp_path / "run", checkpointing=EACH)
    assert_same(result.recording, bpframe.load(whole).recording)


@pytest.mark.slow
def test_without_a_checkpoint_the_recording_begins_again(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: compiles a program."""
    monkeypatch.setattr(bookkeeping, "ALONE_BYTES", 1)
    killed(composed(), tmp_path / "run", 1)
    assert files(tmp_path / "run")
    result = loop.resume(composed(), tmp_path / "run")
    assert_same(result.recording, bpframe.load(whole).recording)


@pytest.mark.slow
def test_a_run_that_is_prolonged_goes_on_recording(whole: Path, tmp_path: Path) -> None:
    """Slow: compiles programs."""
    bpframe.run(composed(epochs=4), tmp_path / "run", checkpointing=EACH)
    longer = composed("record_limit=300")  # which may be another one then
    result = loop.resume(longer, tmp_path / "run", checkpointing=EACH)
    assert_same(result.recording, bpframe.load(whole).recording)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def replaced(path: Path) -> None:
    shutil.copy(path.with_name("000000000004.safetensors"), path)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flipped, halved, emptied, replaced, Path.unlink])
def test_a_damaged_file_is_never_taken(damage, whole: Path, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    damage(files(run)[3])
    with pytest.raises(OutputError) as found:
        np.asarray(bpframe.load(run).recording["deltas"]["layer_2"])
    assert f"{FOLDER}/000000000016.safetensors: is " in str(found.value) or damage is replaced


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flipped, halved, emptied])
def test_a_damaged_file_ends_a_resume(damage, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    killed(composed(), tmp_path / "run", 3)
    damage(files(tmp_path / "run")[0])
    with pytest.raises(OutputError, match=r"recording/\d+.safetensors: is damaged"):
        loop.resume(composed(), tmp_path / "run")


@pytest.mark.slow
def test_what_a_killed_writer_left_is_no_part_of_the_recording(whole: Path, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / FOLDER / ".000000000028.safetensors.0123456789abcdef.partial").write_bytes(b"half")
    (run / FOLDER / "notes.txt").write_text("mine")
    (run / FOLDER / "000000000028.safetensors").write_bytes(b"of another run")
    assert_same(bpframe.load(run).recording, bpframe.load(whole).recording)


def test_a_folder_with_a_recording_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    with pytest.raises(OutputError, match=r"holds a run already \(recording\)"):
        bpframe.run(composed(), tmp_path)


@pytest.mark.slow
def test_a_link_in_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    (tmp_path / "elsewhere").mkdir()
    killed(composed(), tmp_path / "run", 3)
    shutil.rmtree(tmp_path / "run" / FOLDER)
    (tmp_path / "run" / FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BpframeError, match="is a symbolic link"):
        loop.resume(composed(), tmp_path / "run")
    assert not list((tmp_path / "elsewhere").iterdir())


COMMAND = (
    *SMALL,
    *(RECORD, "training.epochs=2", "checkpoint.epochs=1", "plots=false", "hydra.run.dir=run"),
)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [faulty_disk.KILL, *faulty_disk.ERRORS])
def test_a_run_that_is_killed_at_any_write_has_each_step_once(
    fault: str, start: Start, tmp_path: Path
) -> None:
    """Slow: some dozens of processes; every third write for each way to go wrong."""
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    count = writes(start, undisturbed, COMMAND, undisturbed / "run")
    expected = bpframe.load(undisturbed / "run").recording

    def attempt(home: Path, point: int) -> None:
        run = home / "run"
        fails_as_told(start, home, COMMAND, (run, fault, point))
        if not (run / "metrics.jsonl").exists():
            return
        summary = layout.read_summary(run)
        if summary is None or summary["status"] != "completed":
            assert finish(start, home, "resume", "run") == (0, "")
        assert_same(bpframe.load(run).recording, expected)

    points = forked_cli.share(count, 12, fault)
    assert lost_at(points, tmp_path, attempt) == {}


def test_an_array_that_was_not_recorded_is_told_of(tmp_path: Path) -> None:
    part = written_runs.recorded()
    found = Recording([part])["deltas"]
    assert "RecordedArray(deltas/layer_2: step 6, example" in repr(found["layer_2"])
    with pytest.raises(ConfigError, match=r"unknown 'layer2'; did you mean 'layer_2'\?"):
        found["layer2"]
