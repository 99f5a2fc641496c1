"""What a sweep costs as one program, and one job after another.

    python experiments/benchmarks/sweep.py [--quick] [--only TEXT] [--json FILE]

Times whole commands from shell to exit, and epochs of lanes against epochs of single runs; and
measures what large sweeps take. With --json it writes FILE, and beside it SWEEP.md and
the figures. --quick measures one round, with fewer jobs and networks, and nothing compiled before.
--only measures the epochs of networks of which TEXT is a part of the name, prints them, and leaves
the rest out.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import lanes
import large
import machine
import share
import sweep_commands
import sweep_report

PACKAGES = ("bpframe", "hydra-core", "jax", "jaxlib", "numpy")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round, fewer jobs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--only", metavar="TEXT", help="epochs of networks with TEXT in their name")
    arguments = parser.parse_args()
    if arguments.only is not None and arguments.json:
        parser.error("--only prints what it measures; leave --json out, which writes all results")
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        parser.error(f"--json: the folder of {arguments.json} does not exist; make it first")
    results = measure(arguments.quick, arguments.only)
    sweep_report.show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
        for path in sweep_report.write(results, arguments.json.absolute().parent):
            print(f"written to {path}")
    return 0


def measure(quick: bool, only: str | None = None) -> dict[str, Any]:
    """All results, as the JSON file holds them; or some epochs, and nothing else."""
    lanes.make_cores_devices()
    if only is not None:
        return {"commands": [], "epochs": lanes.measure(quick, only), "large": []}
    return {
        "date": datetime.date.today().isoformat(),
        "quick": quick,
        "machine": machine.described(),
        "versions": machine.versions(PACKAGES),
        "commands": sweep_commands.measure(quick),
        "epochs": lanes.measure(quick),
        "share": share.measure(quick),
        "large": _large(quick),
    }


def _large(quick: bool) -> list[dict[str, Any]]:
    """The rows of large.py; see there."""
    command = [sys.executable, large.__file__, *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
