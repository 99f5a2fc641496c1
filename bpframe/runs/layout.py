"""What the files of a run are called, and its summary, for who reads them without JAX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bpframe.errors import OutputError
from bpframe.runs.checksums import opened_with_checksum

METRICS, SUMMARY, PARAMS, BEST, CURVES = (
    "metrics.jsonl",
    "summary.json",
    "params.safetensors",
    "best.safetensors",
    "learning_curves.png",
)
CONFIG = ".hydra/config.yaml"
PAGE = "report.html"


def read_summary(path: Path) -> dict[str, Any] | None:
    """The summary of the run in a folder; None if it has none.

    Raises:
        OutputError: it cannot be read, or is damaged.

    """
    found = read_sealed_summary(path)
    return found and found[0]


def read_sealed_summary(path: Path) -> tuple[dict[str, Any], str] | None:
    """The same, and its checksum; see `read_summary`."""
    try:
        return opened_with_checksum((path / SUMMARY).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{path / SUMMARY}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise OutputError(
            f"{path / SUMMARY}: is damaged; delete it, and what it told of is lost"
        ) from error
