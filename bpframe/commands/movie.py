"""`bpframe movie`: the network while it learns, as a GIF or an MP4."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from pathlib import Path

from bpframe.commands import subcommands
from bpframe.errors import ConfigError
from bpframe.runs.network_over_time import reading
from bpframe.runs.network_over_time.network import Limits, NetworkOverTime
from bpframe.runs.page import columns, words
from bpframe.runs.page.reading import Written, read
from bpframe.runs.screen import Screen

MOST_FRAMES = 120
"""Twelve seconds at the usual ten frames a second, some 10 MB as a GIF."""
_BYTES = 2**27


def movie(argv: list[str]) -> None:
    """Write the movie of a run.

    Raises:
        ConfigError: the command line is wrong, nothing was recorded, or ffmpeg is missing.
        OutputError: there is no run, its recording is damaged, or the file cannot be written.

    """
    args = parser().parse_args(argv)
    # Imported here: matplotlib takes longer to import than to read what is wrong.
    from bpframe.runs.network_over_time import movie as files

    folder = args.folder.absolute()
    written = read(folder)
    out = folder / "movie.gif" if args.out is None else args.out.absolute()
    files.check(out, args.fps)
    network = _network(written, args.example)
    from bpframe.runs.network_over_time.drawing import Movie

    costs = next(iter(columns.learning(written.records)), None)
    last = network.layers[-1]
    names = words.outputs(written, last.number, last.neurons)
    epochs = [record["epoch"] for record in written.records]
    drawn = Movie(network, args.example, names, costs, epochs)
    files.write(drawn, len(network.steps), out, args.fps)
    frames = f"{len(network.steps)} frames"
    if len(network.steps) < network.recorded_times:
        frames += f", evenly chosen of {network.recorded_times} recorded times"
    said = f"written to {out} ({frames})"
    Screen().print(said, highlight=False, soft_wrap=True, markup=False)


def parser() -> ArgumentParser:
    """What reads the words after `bpframe movie`."""
    made = subcommands.parser(
        "movie",
        "a movie of the network while it learns, from what record=[activations,deltas,weights] "
        "kept, beside its learning curve",
    )
    made.add_argument("folder", metavar="RUN", type=Path)
    made.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="a .gif, or an .mp4, which needs ffmpeg; default: movie.gif in the folder of the run",
    )
    made.add_argument(
        "--example", metavar="N", type=int, default=0, help="of the recorded ones; default: 0"
    )
    made.add_argument(
        "--fps", metavar="N", type=int, default=10, help="frames a second; default: 10"
    )
    return made


def _network(written: Written, example: int) -> NetworkOverTime:
    if example < 0:
        raise ConfigError(f"--example: {example} is out of range; they count from 0")
    shape = written.data.get("shape")
    limits = Limits(_BYTES, MOST_FRAMES, example + 1)
    shape = shape if isinstance(shape, list) else ()
    network = reading.read(written.folder, written.summary, shape, limits)
    if network is None:
        override = shlex.quote(reading.to_record(written.summary.get("sizes")))
        again = f"bpframe rerun {shlex.quote(str(written.folder))} {override}"
        raise ConfigError(
            f"{written.folder}: holds no recording of the network; {again} makes a run that does"
        )
    recorded = network.recorded_examples
    if example and example >= recorded:
        there = f"0 to {recorded - 1} of the {network.over} set" if recorded else "no example"
        raise ConfigError(f"--example: {example} was not recorded; recorded: {there}")
    return network
