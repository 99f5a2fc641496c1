"""A movie of the network while it learns: frames into a GIF or an MP4."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from matplotlib import animation

from bpframe.errors import ConfigError, OutputError
from bpframe.files import write_whole
from bpframe.runs.network_over_time.drawing import DPI, Movie

FASTEST = {".gif": 50, ".mp4": 60}
"""The most frames a second by ending; browsers show a frame of a GIF for 0.02 s at least."""


def check(out: Path, fps: int) -> None:
    """Raise an error for a movie that cannot be written, before anything is drawn.

    Raises:
        ConfigError: its ending is unknown, it has too many frames a second, or no program is there
            that makes it.
        OutputError: there is such a file, or no such folder.

    """
    ending = out.suffix.lower()
    if ending not in FASTEST:
        raise ConfigError(f"--out: {out}: ends neither in .gif nor in .mp4; give one of these")
    if not 1 <= fps <= FASTEST[ending]:
        raise ConfigError(f"--fps: {fps} is out of range; a {ending} has 1 to {FASTEST[ending]}")
    if ending == ".mp4" and not animation.FFMpegWriter.isAvailable():
        raise ConfigError(
            "--out: an .mp4 needs the program ffmpeg, which is not on the PATH; install it (apt "
            "install ffmpeg, brew install ffmpeg), or let the movie end in .gif"
        )
    if out.exists() or out.is_symlink():
        raise OutputError(f"{out}: exists; remove it, or give another file with --out")
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent}: is no folder; make it first")


def write(movie: Movie, times: int, out: Path, fps: int) -> None:
    """Draw so many times, and write the file whole or not at all.

    Raises:
        OutputError: it cannot be written.

    """
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / f"movie{out.suffix.lower()}"
        try:
            _draw(movie, times, _writer(drawn, fps), drawn)
            write_whole(out, drawn.read_bytes(), durable=False)
        except subprocess.CalledProcessError as error:
            raise OutputError(f"{out}: ffmpeg failed, with status {error.returncode}") from error
        except OSError as error:
            raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error


def _draw(movie: Movie, times: int, writer: Any, out: Path) -> None:
    writer.setup(movie.figure, str(out), DPI)
    try:
        for time in range(times):
            movie.show(time)
            writer.grab_frame()
    except BaseException:
        if isinstance(writer, animation.FFMpegWriter):  # which is a process
            with contextlib.suppress(subprocess.CalledProcessError):
                writer.finish()
        raise
    writer.finish()


def _writer(out: Path, fps: int) -> Any:
    if out.suffix == ".gif":
        return animation.PillowWriter(fps=fps)
    # Browsers show no MP4 whose colours have the full resolution, which ffmpeg would choose.
    return animation.FFMpegWriter(fps=fps, extra_args=["-pix_fmt", "yuv420p"])
