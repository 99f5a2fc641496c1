"""`bpframe movie`: a GIF or an MP4 of a recording, whole or not at all."""

from __future__ import annotations

import itertools
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import written_runs
from PIL import Image, ImageSequence

from bpframe.commands import movie
from bpframe.errors import ConfigError, OutputError

FAKE = """#!/bin/sh
for last; do :; done
cat > "$last.frames"
{then}
"""
"""An ffmpeg that takes the frames."""


def recorded(folder: Path, times: int = 4) -> Path:
    return written_runs.write(folder, recording=written_runs.recorded(times))


def fake_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    """Put a program ffmpeg, and no other, on the path."""
    folder.mkdir()
    (folder / "ffmpeg").write_text(FAKE.format(then=then))
    (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.slow
def test_a_gif_has_a_frame_for_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slow: imports matplotlib, and draws."""
    run = recorded(tmp_path / "run")
    movie.movie([str(run), "--fps", "5"])
    out = run / "movie.gif"
    assert capsys.readouterr().out == f"written to {out} (4 frames)\n"
    with Image.open(out) as image:
        frames = [np.asarray(frame.convert("RGB"), int) for frame in ImageSequence.Iterator(image)]
        assert image.info["duration"] == 200
    assert len(frames) == 4
    assert all(np.abs(a - b).max() > 100 for a, b in itertools.pairwise(frames))
    assert not [path for path in run.iterdir() if path.suffix == ".partial"]


@pytest.mark.slow
def test_of_many_times_evenly_chosen_ones_are_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: imports matplotlib, and draws."""
    monkeypatch.setattr(movie, "MOST_FRAMES", 3)
    run = recorded(tmp_path / "run", 9)
    movie.movie([str(run), "--out", str(tmp_path / "x.GIF")])
    assert "(3 frames, evenly chosen of 9 recorded times)" in capsys.readouterr().out
    with Image.open(tmp_path / "x.GIF") as image:
        assert sum(1 for _ in ImageSequence.Iterator(image)) == 3


@pytest.mark.slow
def test_what_is_drawn_are_the_numbers_of_the_example(tmp_path: Path) -> None:
    """Slow: imports matplotlib, and draws."""
    from matplotlib.collections import PathCollection

    from bpframe.runs.network_over_time import drawing, reading
    from bpframe.runs.network_over_time.network import Limits
    from bpframe.runs.page import columns

    run = recorded(tmp_path / "run")
    network = reading.read(run, {}, (), Limits(10**9, 100, 100))
    assert network is not None
    records = [written_runs.record(epoch) for epoch in range(1, 6)]
    costs = columns.learning(records)[0]
    names = ["cat", "$x$", "owl"]
    drawn = drawing.Movie(network, 2, names, costs, [1, 2, 3, 4, 5])
    drawn.show(3)
    network_axes, cost_axes = drawn.figure.axes
    deltas = written_runs.network_arrays(times=4)["deltas/layer_3"]
    others = written_runs.network_arrays(times=4)["deltas/layer_2"]
    largest = max(np.abs(deltas[:, 2]).max(), np.abs(others[:, 2]).max())
    discs = network_axes.collections[-1]
    assert isinstance(discs, PathCollection)
    np.testing.assert_allclose(discs.get_sizes(), 130 * np.abs(deltas[3, 2]) / largest, rtol=1e-5)
    ends = [line for line in cost_axes.lines if line.get_label() == "validation"]
    assert np.asarray(ends[0].get_xdata()).tolist() == [1, 2, 3]
    np.testing.assert_allclose(np.asarray(ends[0].get_ydata()), [2.5, 1.25, 2.5 / 3])
    assert drawn.figure.get_suptitle() == "epoch 3, step 30, example 2 of the validation set"
    assert r"\$x\$" in {text.get_text() for text in network_axes.texts}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["activations", "deltas", "weights"])
def test_what_was_not_recorded_is_left_out(tmp_path: Path, kind: str) -> None:
    """Slow: imports matplotlib, and draws."""
    arrays = {k: v for k, v in written_runs.network_arrays().items() if k.startswith(kind)}
    arrays[next(iter(arrays))][2] = np.nan
    part = written_runs.recording(arrays, {kind: [0, 1, 2, 3, 4, 5]})
    run = written_runs.write(tmp_path / "run", records=[], recording=part)
    movie.movie([str(run)])
    assert (run / "movie.gif").stat().st_size > 10_000


@pytest.mark.slow
def test_an_mp4_is_what_ffmpeg_makes_of_the_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: imports matplotlib, and draws."""
    fake_ffmpeg(tmp_path / "bin", monkeypatch, 'stat -c %s "$last.frames" > "$last"')
    out = tmp_path / "x.mp4"
    movie.movie([str(recorded(tmp_path / "run")), "--out", str(out)])
    width, height = 768, 384
    assert int(out.read_text()) == 4 * width * height * 4, "four bytes a pixel"


@pytest.mark.slow
def test_an_ffmpeg_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: imports matplotlib, and draws."""
    fake_ffmpeg(tmp_path / "bin", monkeypatch, "exit 3")
    with pytest.raises(OutputError, match=r"x\.mp4: ffmpeg failed, with status 3"):
        movie.movie([str(recorded(tmp_path / "run")), "--out", str(tmp_path / "x.mp4")])
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "run"}


@pytest.mark.slow
def test_a_movie_that_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: imports matplotlib, and draws."""
    from bpframe.runs.network_over_time import drawing

    def interrupted(self: drawing.Movie, time: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(drawing.Movie, "show", interrupted)
    run = recorded(tmp_path / "run")
    before = set(run.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        movie.movie([str(run)])
    assert set(run.rglob("*")) == before


@pytest.mark.slow
def test_what_cannot_be_made_is_said_in_a_line_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: imports matplotlib."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    run = recorded(tmp_path / "run")
    (tmp_path / "there.gif").write_text("precious")
    (tmp_path / "link.gif").symlink_to(tmp_path / "nowhere")
    for words, error, said in (
        (["--out", "x.mp4"], ConfigError, "needs the program ffmpeg, .* or let .* end in .gif"),
        (["--out", "x.avi"], ConfigError, "x.avi: ends neither in .gif nor in .mp4"),
        (["--out", "x"], ConfigError, "x: ends neither in .gif nor in .mp4"),
        (["--out", f"{tmp_path}/there.gif"], OutputError, "there.gif: exists; remove it"),
        (["--out", f"{tmp_path}/link.gif"], OutputError, "link.gif: exists; remove it"),
        (["--out", f"{tmp_path}/no/x.gif"], OutputError, "no: is no folder"),
        (["--fps", "0"], ConfigError, "--fps: 0 is out of range; a .gif has 1 to 50"),
        (["--fps", "51"], ConfigError, "--fps: 51 is out of range"),
        (["--fps", "x"], ConfigError, "invalid int value"),
        (["--example", "5"], ConfigError, "5 was not recorded; recorded: 0 to 4 of the valid"),
        (["--example", "-1"], ConfigError, "--example: -1 is out of range"),
    ):
        with pytest.raises(error, match=said):
            movie.movie([str(run), *words])
    assert (tmp_path / "there.gif").read_text() == "precious"
    assert not (run / "movie.gif").exists()


@pytest.mark.slow
def test_a_run_without_a_recording_is_told_how_to_get_one(tmp_path: Path) -> None:
    """Slow: imports matplotlib."""
    run = written_runs.write(tmp_path / "a run")
    override = "record=[{name: activations, layers: [1,2,3]},deltas,weights]"
    with pytest.raises(ConfigError) as caught:
        movie.movie([str(run)])
    command = str(caught.value).partition("network; ")[2].partition(" makes")[0]
    assert shlex.split(command) == ["bpframe", "rerun", str(run), override]
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputError, match="holds no run"):
        movie.movie([str(tmp_path / "empty")])


@pytest.mark.slow
def test_a_damaged_recording_is_an_error_in_a_line(tmp_path: Path) -> None:
    """Slow: imports matplotlib."""
    run = recorded(tmp_path / "run")
    (file,) = (run / "recording").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(OutputError, match=f"{file.name}: is damaged"):
        movie.movie([str(run)])


@pytest.mark.slow
def test_a_movie_takes_no_jax(tmp_path: Path) -> None:
    """Slow: starts a process, which draws."""
    run = recorded(tmp_path / "run", 2)
    code = (
        f"import sys; from bpframe.cli import main; sys.argv[1:] = ['movie', {str(run)!r}]; "
        "main(); print({'jax', 'hydra', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.endswith("set()\n"), found.stdout
