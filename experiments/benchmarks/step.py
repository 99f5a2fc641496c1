"""What a training step costs in bpframe and in what people would write instead of it.

    python experiments/benchmarks/step.py [--quick] [--only TEXT] [--json FILE]

Runs every comparison whose libraries are installed (`pip install -e '.[bench]'`), prints the
tables, and says which targets are missed. With --json it writes FILE, and beside it RESULTS.md and
the figures. --quick measures one comparison of each kind, one round, with fewer points and images.
--only measures the comparisons of which TEXT is a part of the name, prints them, and leaves the
rest out.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import Any

import comparisons
import jax
import machine
import processes
import report
import scaling

from bpframe import BpframeError

MATMUL = "jax_default_matmul_precision"
PACKAGES = ("bpframe", "jax", "jaxlib", "numpy", "optax", "torch", "scikit-learn")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round, fewer points and images")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--only", metavar="TEXT", help="comparisons with TEXT in their name")
    arguments = parser.parse_args()
    if arguments.only is not None and arguments.json:
        parser.error("--only prints what it measures; leave --json out, which writes all results")
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        parser.error(f"--json: the folder of {arguments.json} does not exist; make it first")
    # As runs of bpframe have it: by default JAX rounds the factors of float32 products on GPUs.
    jax.config.update(MATMUL, getattr(jax.config, MATMUL) or "highest")
    try:
        results = measure(arguments.quick, arguments.only)
    except BpframeError as error:
        print(f"step.py: {error}", file=sys.stderr)
        return 1
    report.show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
        for path in report.write(results, arguments.json.absolute().parent):
            print(f"written to {path}")
    return 0


def measure(quick: bool, only: str | None = None) -> dict[str, Any]:
    """All results, as the JSON file holds them; or some comparisons, and nothing else.

    Raises:
        BpframeError: `only` is in no name.

    """
    device = jax.devices()[0]
    rows: list[dict[str, Any]] = []
    groups = comparisons.groups(gpu=device.platform == "gpu")
    if only is None and quick:
        groups = [group for group in groups if group.quick]
    if only is not None:
        names = [group.rows[0].work for group in groups]
        groups = [group for group in groups if any(only in row.work for row in group.rows)]
        if not groups:
            raise BpframeError(f"--only: {only!r} is in none of the names: {'; '.join(names)}")
    for number, group in enumerate(groups, start=1):
        print(f"{number}/{len(groups)}: {group.rows[0].work}", file=sys.stderr)
        rows += comparisons.measure(group, quick)
    if only is not None:
        return {"steps": rows, "processes": []}
    print("how the cost grows", file=sys.stderr)
    growth = scaling.measure(quick)
    print("whole processes", file=sys.stderr)
    return {
        "date": datetime.date.today().isoformat(),
        "quick": quick,
        "machine": {**machine.described(), "threads": _threads()},
        "versions": machine.versions(PACKAGES),
        "steps": rows,
        "scaling": growth,
        "processes": processes.measure(quick),
    }


def _threads() -> str:
    """The thread pools of the libraries that are loaded, which decide how fast the peers are."""
    try:
        import threadpoolctl  # pyright: ignore[reportMissingImports]  (an extra)
    except ImportError:
        return "thread pools unknown without threadpoolctl"
    pools = {
        f"{pool['internal_api']} {pool['version'] or ''}".strip() + f" ({pool['num_threads']})"
        for pool in threadpoolctl.threadpool_info()
    }
    return "threads: " + ", ".join(sorted(pools))


if __name__ == "__main__":
    sys.exit(main())
