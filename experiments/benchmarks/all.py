"""All benchmarks, one after another, each in a process of its own: forty to seventy minutes.

    pip install -e '.[bench]'
    pip install torch==2.13.0 backpack-for-pytorch opacus
    BPFRAME_DATA_DIR=FOLDER python experiments/benchmarks/all.py

Results and figures are written beside the scripts, and what the smaller ones print to PRINTED.md.
Nothing else should run on the machine.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
WRITING = {
    "step": "results.json",
    "sweep": "sweep.json",
    "devices": "devices.json",
    "deltas": "deltas.json",
}
PRINTING = ("recorders", "streaming", "tables", "checkpoint")


def main() -> None:
    """Run them; the first that fails ends it, and what was measured until then is kept."""
    for name, file in WRITING.items():
        print(f"{name}.py", flush=True)
        subprocess.run([sys.executable, HERE / f"{name}.py", "--json", HERE / file], check=True)
    keep_what_is_printed()


def keep_what_is_printed() -> None:
    """Run those that print, and write PRINTED.md after each."""
    parts = [
        "# What the smaller benchmarks print",
        "By `python experiments/benchmarks/all.py`, on the machine of [RESULTS.md](RESULTS.md).",
    ]
    for name in PRINTING:
        print(f"{name}.py", flush=True)
        command = [sys.executable, HERE / f"{name}.py"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        parts += [f"## {name}.py", f"{datetime.date.today()}, {done.stdout.strip()}"]
        (HERE / "PRINTED.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
