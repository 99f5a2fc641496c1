"""What a table of a million rows costs: seconds and peak memory, of CSV and of Parquet.

python experiments/benchmarks/tables.py [--rows 1000000]

Each figure is of a process of its own: one that reads a table, divides and encodes it, and one that
is a whole command with an epoch. Eight columns of numbers, one of text that becomes five inputs,
and a target of three classes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET, TEXT = "species", "island"


def make(kind: str, path: str, rows: int) -> None:
    """Write the table; not here, since processes begin with the peak of whoever starts them."""
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(rows, 8)).round(4), columns=list("abcdefgh"))
    species = np.array(["Adelie", "Chinstrap", "Gentoo"])[np.digitize(frame["a"], [-0.5, 0.5])]
    frame[TEXT] = draw.choice(["Biscoe", "Dream", "Torgersen", "Cormorant", "Joubin"], rows)
    frame[TARGET] = species
    {"csv": frame.to_csv, "parquet": frame.to_parquet}[kind](path, index=False)


def read(kind: str, path: str) -> None:
    """Print seconds of reading, and of dividing and encoding, and the peak of memory in MB."""
    import pandas  # noqa: F401  # imports are no part of reading

    import bpframe

    if kind == "parquet":
        import pyarrow.parquet  # noqa: F401

    reader = {"csv": bpframe.read_csv, "parquet": bpframe.read_parquet}[kind]
    divide, columns = bpframe.data_of_table, bpframe.Columns((TARGET,), one_hot=(TEXT,))
    before = _peak(resource.RUSAGE_SELF)
    began = time.perf_counter()
    table = reader(path)
    between = time.perf_counter()
    divide(table, columns, bpframe.Shares())
    ended = time.perf_counter()
    figures = between - began, ended - between, before, _peak(resource.RUSAGE_SELF)
    print(json.dumps(figures))


def command(kind: str, path: str) -> None:
    """Print the seconds of a whole command, and its peak of memory in MB."""
    words = [f"data={kind}", f"data.path={path}", f"data.target={TARGET}", f"data.one_hot=[{TEXT}]"]
    uncached = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "bpframe", *words, "training.epochs=1"],
        check=True,
        stdout=subprocess.DEVNULL,
        env=uncached,
    )
    print(json.dumps((time.perf_counter() - began, _peak(resource.RUSAGE_CHILDREN))))


def _peak(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024  # KB on Linux


def main() -> None:
    """Measure both kinds, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)  # a process of its own
    args = parser.parse_args()
    if args.part:
        what, kind, path = args.part
        if what == "make":
            make(kind, path, args.rows)
        else:
            {"read": read, "command": command}[what](kind, path)
        return
    print(f"{args.rows} rows, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| file | MB | reading | dividing, encoding | its memory | a command | its memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("csv", "parquet"):
            path = Path(folder) / f"table.{kind}"
            _own_process("make", kind, path, args.rows)
            reading, dividing, before, peak = json.loads(_own_process("read", kind, path))
            seconds, whole = json.loads(_own_process("command", kind, path))
            print(
                f"| {kind} | {path.stat().st_size / 1e6:.0f} | {reading:.2f} s | {dividing:.2f} s "
                f"| {before:.0f} to {peak:.0f} MB | {seconds:.1f} s | {whole:.0f} MB |"
            )


def _own_process(what: str, kind: str, path: Path, rows: int = 0) -> str:
    done = subprocess.run(
        [
            *(sys.executable, Path(__file__).resolve(), "--rows", str(rows)),
            *("--part", what, kind, path),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=path.parent,
    )
    return done.stdout


if __name__ == "__main__":
    main()
