"""The stop file: a run ends after the current epoch once its folder holds a file named STOP."""

from __future__ import annotations

from bpframe import RunInfo, hookimpl

BPFRAME_API_VERSION = 2
STOP = "STOP"


@hookimpl
def bpframe_should_stop(run: RunInfo) -> str | None:
    """The reason, if the file is there; it is left for the user to delete."""
    if run.output_dir is not None and (run.output_dir / STOP).exists():
        return f"because {run.output_dir / STOP} exists"
    return None
