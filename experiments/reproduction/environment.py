"""On what, and with which versions, something was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PACKAGES = ("bpframe", "hydra-core", "jax", "jaxlib", "numpy", "matplotlib")
_DESCRIBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import machine
print(json.dumps([machine.described(), machine.versions(sys.argv[2:])]))
"""


class Environment(NamedTuple):
    """The machine and the versions, as experiments/benchmarks/machine.py describes them."""

    machine: dict[str, Any]
    versions: dict[str, str]


def environment() -> Environment:
    """What this is run on.

    It is asked for in another process: JAX would hold on to a GPU in this one, which the sweeps
    need.
    """
    done = subprocess.run(
        [sys.executable, "-c", _DESCRIBE, str(BENCHMARKS), *PACKAGES],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Environment(*json.loads(done.stdout.splitlines()[-1]))
