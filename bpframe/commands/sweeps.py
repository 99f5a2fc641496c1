"""`bpframe report`: the results of sweeps, written again."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from bpframe.commands import subcommands
from bpframe.errors import ConfigError, OutputError
from bpframe.runs.screen import Screen
from bpframe.sweeps.objective import DIRECTIONS, Objective, implied, suited
from bpframe.sweeps.report import files, saved_rows, tables
from bpframe.sweeps.terminal import say


def report(arguments: list[str]) -> None:
    """Write report.html, results.png and the tables of one sweep or of several."""
    args = parser().parse_args(arguments)
    folders = [path.absolute() for path in args.folders]
    out = (args.out or (folders[0] if len(folders) == 1 else Path())).absolute()
    sweeps = {folder: saved_rows.rows(folder) for folder in folders}
    rows = sweeps[folders[0]]
    first = suited(saved_rows.objective(folders[0], rows[0]), rows)
    name = args.objective or first.name
    direction = first.direction if name == first.name else implied(name)
    objective = Objective(name, args.direction or direction)
    columns = sorted({name for rows in sweeps.values() for row in rows for name in row.metrics})
    if objective.name not in columns:
        raise ConfigError(
            f"--objective: no run has {objective.name!r}; there are {', '.join(columns)}"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        for folder, rows in sweeps.items():
            # Another view of the runs changes no table.
            if out == folder and objective[:2] == first[:2]:
                tables.write(folder, rows, objective)
        files.write(sweeps, out, objective, with_picture=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror}") from error
    n = sum(map(len, sweeps.values()))
    say(Screen(), f"{n} run{'s' * (n != 1)} in {out / files.PAGE} and {out / files.PICTURE}")


def parser() -> ArgumentParser:
    """What reads the words after `bpframe report`."""
    made = subcommands.parser("report", "write report.html, results.png and results.csv again")
    made.add_argument("folders", metavar="SWEEP_DIR", nargs="+", type=Path)
    made.add_argument("--out", metavar="FOLDER", type=Path, help="where to write (several: .)")
    made.add_argument("--objective", metavar="NAME", help="a column of results.csv")
    made.add_argument("--direction", choices=DIRECTIONS)
    return made
