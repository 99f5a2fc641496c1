"""The run folder: claimed once, written line by line or by atomic replacement."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from filelock import FileLock
from safetensors.numpy import save as to_safetensors

from bpframe.contracts import LayerParams
from bpframe.errors import OutputError
from bpframe.files import open_own, remove_partials, write_whole
from bpframe.network import named_params
from bpframe.runs import array_files, array_writer
from bpframe.runs.arrays import InMemory, Recording
from bpframe.runs.checksums import CHECKSUM, checksum, sealed
from bpframe.runs.layout import BEST, CONFIG, METRICS, PARAMS, SUMMARY, read_sealed_summary
from bpframe.runs.locks import LOCK, locked
from bpframe.runs.records import EpochRecord, RunResult

_ANOTHER = "choose another output folder, with hydra.run.dir=FOLDER, in Python output_dir"


def check_unused(path: Path) -> None:
    """Raise an OutputError if `path` holds a run already, or cannot become a folder."""
    check_can_be_made(path)
    _refuse(path, METRICS, SUMMARY, PARAMS, BEST)
    if not (path / LOCK).exists():  # of a run that was cut off before it began; it is taken over
        _refuse(path, ".hydra")


def check_can_be_made(path: Path) -> None:
    """Raise an OutputError if `path` is no folder and cannot become one."""
    parent = next(folder for folder in (path, *path.parents) if folder.exists())
    if parent != path and not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise OutputError(
            f"{path}: cannot be made in {parent}; set hydra.run.dir, or hydra.sweep.dir of a "
            "sweep, to a folder that can be written"
        )
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: is not a folder; {_ANOTHER}")


def _refuse(path: Path, *names: str) -> None:
    held = [name for name in names if os.path.lexists(path / name)]
    if held:
        raise OutputError(f"{path}: holds a run already ({held[0]}); {_ANOTHER}")


class RunFolder:
    """A folder that belongs to one run, from now on until the process ends.

    Files are durable, see `write_whole`. For a run that is `one_of_many` that is left to the
    system, which saves four waits for the disk, and there is no lock, since the sweep has one.

    Attributes:
        path: the folder.
        checksum: that of summary.json, once it is written.
        has_begun: whether there was a run in it before, which goes on.

    Raises:
        OutputError: it belongs to another run, or cannot be written.

    """

    def __init__(self, path: Path, *, one_of_many: bool = False) -> None:
        self.path = path
        self.checksum: str | None = None
        self._metrics = checksum(b"")
        self._arrays: list[str] = []
        self.has_begun = False
        self._one_of_many = one_of_many
        held = (METRICS, SUMMARY, PARAMS, BEST, *(() if one_of_many else (array_files.FOLDER,)))
        _refuse(path, *held)
        self._lock = None if one_of_many else _locked(path)
        try:  # again, for a run that has had the folder meanwhile
            _refuse(path, *held)
        except OutputError:
            self.release()
            raise

    @classmethod
    def reopened(cls, path: Path, records: Sequence[EpochRecord], last_step: int = -1) -> RunFolder:
        """The folder of a run that goes on after a step, with these records in its metrics.jsonl.

        Raises:
            OutputError: there is no run, it is still running, what it recorded is damaged, or it
                cannot be written.

        """
        self = cls.__new__(cls)
        self.path, self._one_of_many = path, False
        self._lock = _locked(path, "wait for its end")
        self._arrays = []
        self.checksum, self._metrics, self.has_begun = None, checksum(_lines(records)), True
        with writing(path):
            remove_partials(path)
            (path / SUMMARY).unlink(missing_ok=True)  # from now on it is no longer true
            self.write(METRICS, _lines(records))
            self.reopen_arrays(last_step)
        return self

    def reopen_arrays(self, last_step: int) -> None:
        """Go on with what was recorded up to a step; what was recorded after it goes.

        Raises:
            OutputError: a file is damaged, or cannot be removed.

        """
        with writing(self.path):
            self._arrays = array_writer.reopen(self.path, last_step)

    def begin(self, config: Mapping[str, str] = MappingProxyType({})) -> None:
        """Make metrics.jsonl, unless the run goes on: from now on there is a run in the folder.

        Before that `config`, the files in .hydra by name, unless Hydra has written them; of a run
        that goes on, those that change.

        Raises:
            OutputError: it cannot be written.

        """
        with writing(self.path):
            if config:
                (self.path / CONFIG).parent.mkdir(exist_ok=self.has_begun)
            for name, text in config.items():
                write_whole((self.path / CONFIG).with_name(name), text.encode())
            (self.path / METRICS).touch(exist_ok=self.has_begun)

    def release(self) -> None:
        """Let other processes have the folder."""
        if self._lock:
            self._lock.release()

    def add(self, *records: EpochRecord) -> None:
        """Append a line for each record to metrics.jsonl.

        Raises:
            OutputError: it cannot be written.

        """
        lines = _lines(records)
        with writing(self.path), open_own(self.path / METRICS, "ab") as metrics:
            metrics.write(lines)
        self._metrics = checksum(lines, self._metrics)

    def add_arrays(self, part: InMemory) -> None:
        """Write a file of what recorders kept.

        Raises:
            OutputError: it cannot be written.

        """
        with writing(self.path):
            durable = not self._one_of_many
            self._arrays.append(array_writer.write(self.path, part, durable=durable))

    def recording(self) -> Recording:
        """What is recorded in the folder."""
        return array_files.read(self.path, self._arrays)

    def finish(self, result: RunResult, algorithm: Sequence[Mapping[str, str]] = ()) -> None:
        """Write the parameters, then the summary, with the checksums of all; then it is complete.

        The summary has `algorithm`, if it is given, for who shows the run without JAX.

        Raises:
            OutputError: they cannot be written.

        """
        with writing(self.path):
            files = {METRICS: self._metrics}
            for name, params in ((PARAMS, result.params), (BEST, result.best_params)):
                content = to_safetensors(_arrays(params), {"format": "bpframe"})
                self.write(name, content)
                files[name] = checksum(content)
            for name in self._arrays:
                files[name] = checksum((self.path / name).read_bytes())
            if (self.path / CONFIG).is_file():
                files[CONFIG] = checksum((self.path / CONFIG).read_bytes())
            kept = {"algorithm": algorithm} if algorithm else {}
            summary = sealed({**result.summary.as_dict(), **kept, "files": files})
            self.write(SUMMARY, (json.dumps(summary, indent=2) + "\n").encode())
        self.checksum = summary[CHECKSUM]

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all.

        Raises:
            OSError: it cannot be written.

        """
        write_whole(self.path / name, content, durable=not self._one_of_many)


def _locked(path: Path, remedy: str = _ANOTHER) -> FileLock:
    with writing(path):
        return locked(path, f"is in use: its run is still going on; {remedy}")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError met in the folder of a run into an OutputError, which says how to go on.

    Where logging is set up, the OSError is the cause of a ValueError.
    """
    try:
        yield
    except (OSError, ValueError) as raised:
        error = raised.__cause__ if isinstance(raised, ValueError) else raised
        if not isinstance(error, OSError):
            raise
        begun = (path / METRICS).exists()
        again = f"run bpframe resume {path}" if begun else "give the command of the run again"
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}; fix that, then {again}"
        ) from error


def _lines(records: Sequence[EpochRecord]) -> bytes:
    return b"".join(
        json.dumps(record.as_dict(), allow_nan=False).encode() + b"\n" for record in records
    )


def last_epoch(path: Path) -> int:
    """The last epoch in the metrics.jsonl of a run; 0 if it has none."""
    try:
        lines = (path / METRICS).read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise OutputError(f"{path / METRICS}: cannot be read: {error.strerror}") from error
    for line in reversed(lines):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return int(json.loads(line)["epoch"])
    return 0


def is_whole(path: Path, summary_checksum: str | None = None) -> bool:
    """Whether there is a run that has ended, which then holds what was written.

    Raises:
        OutputError: a file but the summary is missing, or one is damaged, or the summary is not the
            one with the given checksum.

    """
    found = read_sealed_summary(path)
    if found is None:
        return False
    summary, own = found
    if summary_checksum not in (None, own):
        raise OutputError(f"{path / SUMMARY}: is that of another run")
    for name, expected in summary["files"].items():
        check_file(path / name, expected)
    return True


def check_file(path: Path, expected: str | None) -> bytes:
    """The content of a file.

    Raises:
        OutputError: it is missing, cannot be read, or has another checksum than it should have.

    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
    if expected not in (None, checksum(content)):
        raise OutputError(f"{path}: is damaged, or of another run: it does not fit {SUMMARY}")
    return content


def _arrays(params: tuple[LayerParams, ...]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(array) for name, array in named_params(params).items()}
