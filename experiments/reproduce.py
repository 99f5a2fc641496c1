"""Nielsen's book, reproduced: every study, its rows judged, and its figure.

    python experiments/reproduce.py [NAME ...] [--quick] [--out FOLDER]
                                    [--runs FOLDER | --read FOLDER | --draw]

Runs the sweeps of the studies (the folders here that have a study.py), all of them or those that
are named, and writes RESULTS.md, GALLERY.md, results.json and the figures, each with what it shows
of the runs beside it (NAME.json). What it does not run stays as it is.
With --read nothing is run: the sweeps are read that stand in FOLDER/NAME or its subfolders, even if
they are only a part of the study, or were interrupted.
With --draw nothing is run or judged: the figures are drawn again of what is beside them.
The exit status is 0 if every row agrees with the book, or disagrees for a reason that its study
states.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from reproduction import catalogue, screen, sweeping
from reproduction.environment import Environment, environment
from reproduction.estimate import book_loop_seconds
from reproduction.output import Output
from reproduction.results import Result
from reproduction.runs import Runs
from reproduction.study import NotRun, Row, Study

from bpframe.errors import BpframeError, described

HERE = Path(__file__).resolve().parent
LAST = 99
"""The place of a study that cannot be read."""


def main(argv: Sequence[str] | None = None, *, root: Path = HERE) -> int:
    """Reproduce what the arguments name, of the studies below `root`; the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return _reproduce(arguments, root)
    except (BpframeError, OSError) as error:
        print(f"reproduce.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("reproduce.py: interrupted; the studies before are written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a study; all if none is named")
    parser.add_argument("--quick", action="store_true", help="short runs, into a folder of its own")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the results go")
    sweeps = parser.add_mutually_exclusive_group()
    sweeps.add_argument("--runs", type=Path, metavar="FOLDER", help="where the sweeps go")
    sweeps.add_argument("--read", type=Path, metavar="FOLDER", help="where the sweeps are already")
    sweeps.add_argument("--draw", action="store_true", help="draw the figures again, run nothing")
    return parser


def _reproduce(arguments: argparse.Namespace, root: Path) -> int:
    known = catalogue.names(root)
    if not known:
        raise BpframeError(f"{root}: holds no study, which is a folder with a study.py")
    names = catalogue.chosen(arguments.names, known)
    default = root / "quick" if arguments.quick else root
    output = Output((arguments.out or default).resolve(), root.resolve())
    if arguments.draw:
        return _drawn_again(root, names, output)
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    sweeps = arguments.read or arguments.runs or Path("outputs") / "reproduce" / now
    output.folder.mkdir(parents=True, exist_ok=True)  # before hours of training
    results = output.read()
    where = environment()
    terminal, ours = screen.console(), []
    for number, (name, study) in enumerate(catalogue.in_order(root, names), start=1):
        blank = _blank(name, study, arguments.quick, where)
        terminal.print(f"{number}/{len(names)}: {name}")
        folder, run = sweeps.absolute() / name, arguments.read is None
        result = _attempted(blank, study, folder, output, run=run)
        screen.show(terminal, result)
        ours.append(result)
        results[name] = result
        output.write(results)
    terminal.print(f"written to {output.page}", soft_wrap=True)
    return 0 if all(result.is_explained for result in ours) else 1


def _drawn_again(root: Path, names: list[str], output: Output) -> int:
    """Draw the figures of studies again, with their words as they are now; the exit status."""
    results, terminal, missing = output.read(), screen.console(), 0
    for name, study in catalogue.in_order(root, names):
        try:
            if isinstance(study, BpframeError):
                raise study
            if name in results:
                words = {"title": study.title, "question": study.question, "place": study.place}
                results[name] = dataclasses.replace(results[name], **words)
            output.draw_again(study)
            terminal.print(f"{name}: drawn")
        except BpframeError as error:
            missing += 1
            terminal.print(f"{name}: {error}", soft_wrap=True)
    output.write(results)
    return 1 if missing else 0


def _blank(name: str, study: Study | BpframeError, quick: bool, where: Environment) -> Result:
    """The result of a study before it is run."""
    known = isinstance(study, Study)
    return Result(
        name=name,
        place=study.place if known else LAST,
        title=study.title if known else name,
        question=study.question if known else "",
        quick=quick,
        date=datetime.date.today().isoformat(),
        machine=where.machine,
        versions=where.versions,
    )


def _attempted(
    blank: Result, study: Study | BpframeError, folder: Path, output: Output, *, run: bool
) -> Result:
    """`blank` filled in, or with the reason why the study failed."""
    try:
        if isinstance(study, BpframeError):
            raise study
        found = sweeping.sweep(study, folder, quick=blank.quick) if run else sweeping.swept(folder)
        return _completed(blank, study, *found, output)
    except BpframeError as error:
        return dataclasses.replace(blank, error=str(error))
    except Exception as error:  # whatever the code of a study raises
        traceback.print_exc()
        return dataclasses.replace(blank, error=described(error))


def _completed(blank: Result, study: Study, runs: Runs, seconds: float, output: Output) -> Result:
    rows = study.rows(runs, blank.quick)
    output.draw(study, runs)
    return dataclasses.replace(
        blank,
        rows=tuple(row for row in rows if isinstance(row, Row)),
        not_run=tuple(row for row in rows if isinstance(row, NotRun)),
        runs=len(runs),
        seconds=seconds,
        book_loop_s=book_loop_seconds(runs, slice_s=0.1 if blank.quick else 0.5),
    )


if __name__ == "__main__":
    sys.exit(main())
