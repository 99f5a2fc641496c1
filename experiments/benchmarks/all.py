"""All benchmarks, one after another, each in a process of its own: some forty minutes.

    BPFRAME_DATA_DIR=FOLDER python experiments/benchmarks/all.py

Results and figures are written beside the scripts, and what the smaller ones print to PRINTED.txt.
Nothing else should run on the machine.
"""

from __future__ import annotations

import subprocess
import sys
import time
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
    """Run them; the first that fails ends it."""
    for name, file in WRITING.items():
        print(f"{name}.py", flush=True)
        subprocess.run([sys.executable, HERE / f"{name}.py", "--json", HERE / file], check=True)
    parts = [f"# What the smaller benchmarks print\n\n{time.strftime('%Y-%m-%d')}"]
    for name in PRINTING:
        print(f"{name}.py", flush=True)
        command = [sys.executable, HERE / f"{name}.py"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        parts.append(f"## {name}.py\n\n{done.stdout.strip()}")
    (HERE / "PRINTED.txt").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
