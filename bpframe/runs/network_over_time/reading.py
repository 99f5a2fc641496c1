"""The network over time of a run, from its folder alone and without JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bpframe.errors import OutputError
from bpframe.runs import array_files
from bpframe.runs.arrays import Recording
from bpframe.runs.network_over_time.network import Limits, NetworkOverTime, network_over_time

KINDS = ("activations", "deltas", "weights")
"""The recorders whose arrays are drawn."""


def has_recording(folder: Path, summary: Mapping[str, Any]) -> bool:
    """Whether a run has kept arrays, be they damaged."""
    return bool(_names(folder, summary))


def read(
    folder: Path, summary: Mapping[str, Any], shape: Sequence[object], limits: Limits
) -> NetworkOverTime | None:
    """What can be drawn of the recording of a run; None where it holds nothing to draw.

    Args:
        folder: of the run.
        summary: what its summary.json holds; without one the files count that are there.
        shape: of an input, if it is known.
        limits: how much is kept of it.

    Raises:
        OutputError: it is missing or damaged, or does not fit together.

    """
    try:
        return network_over_time(_recording(folder, summary), shape, limits)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        # What somebody else has written may have any form.
        what = f"{type(error).__name__}: {error}"
        raise OutputError(f"{folder / array_files.FOLDER}: cannot be read ({what})") from error


def to_record(sizes: object) -> str:
    """The override that records all that is drawn, of a network with these sizes."""
    last = len(sizes) if isinstance(sizes, list) and 2 <= len(sizes) <= 30 else None
    if last is None:
        return "record=[activations,deltas,weights]"
    layers = ",".join(str(number) for number in range(1, last + 1))
    return f"record=[{{name: activations, layers: [{layers}]}},deltas,weights]"


def _recording(folder: Path, summary: Mapping[str, Any]) -> Recording:
    return array_files.read(folder, _names(folder, summary))


def _names(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """The files of the recording: those that the summary names, if there is one."""
    known = summary.get("files")
    if isinstance(known, Mapping):
        return [str(name) for name in known if str(name).startswith(f"{array_files.FOLDER}/")]
    return [f"{array_files.FOLDER}/{path.name}" for path in array_files.files(folder)]
