"""Checkpoints: all that a run needs to go on, bit for bit.

A checkpoint is one file of arrays, `checkpoint-EPOCH.npz`, written whole or not at all, with a
checksum of all of it at its end.
"""

from __future__ import annotations

import dataclasses
import io
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.errors import ConfigError, OutputError
from bpframe.files import remove_partials, write_whole
from bpframe.runs import provenance
from bpframe.runs.checksums import checksum
from bpframe.runs.records import EpochRecord
from bpframe.training.experiment import RECORD_LIMIT, Experiment

_PREFIX, _END, _META = "checkpoint-", ".npz", "meta"
ACCEPT = "restore that, or go on all the same with --accept-changes, in Python accept_changes=True"
_DIGITS = len(checksum(b""))


class Checkpointing(NamedTuple):
    """When checkpoints are written, and how many are kept: the node `checkpoint` of a config.

    Attributes:
        seconds: after so many since the last one, or since training began; None: not by time.
        epochs: after so many; None: not by epochs.
        keep: how many of the last ones stay.

    """

    seconds: float | None = 60.0
    epochs: int | None = None
    keep: int = 1

    def is_due(self, epochs: int, seconds: float) -> bool:
        """Whether a checkpoint is due so many epochs and seconds after the last one."""
        by_time = self.seconds is not None and seconds >= self.seconds
        return by_time or (self.epochs is not None and epochs >= self.epochs)

    def check(self) -> None:
        """Raise a ConfigError for a setting out of range."""
        for name, value, least in (
            ("seconds", self.seconds, 0),
            ("epochs", self.epochs, 1),
            ("keep", self.keep, 1),
        ):
            if value is not None and not value >= least:
                raise ConfigError(
                    f"checkpoint.{name}: {value} is out of range; allowed: >= {least}"
                )


DEFAULT = Checkpointing()


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A run after an epoch.

    Attributes:
        epoch: how many epochs were trained.
        records: of the epochs so far.
        experiment: what was trained, as text, but for how many epochs; see `told`.
        origin: what the numbers come from besides; see `provenance.origin`.
        changed: how the origin has changed since the run began; None if it has not.
        state: the arrays of the training state, in the order of its leaves.

    """

    epoch: int
    records: tuple[EpochRecord, ...]
    experiment: str
    origin: Mapping[str, str]
    changed: str | None
    state: tuple[np.ndarray, ...]

    def state_like(self, template: Any) -> Any:
        """The training state, of the structure of another one of the same experiment.

        Raises:
            OutputError: it has other arrays.

        """
        leaves, structure = jax.tree.flatten(template)
        expected = [(host(leaf).shape, host(leaf).dtype.itemsize) for leaf in leaves]
        if expected != [(leaf.shape, leaf.dtype.itemsize) for leaf in self.state]:
            raise OutputError(
                "its checkpoint holds other arrays than this experiment has; the plugins that "
                "supply its parts have changed"
            )
        pairs = zip(leaves, self.state, strict=True)
        placed = [jax.device_put(like(own, saved), own.sharding) for own, saved in pairs]
        return jax.tree.unflatten(structure, placed)

    def as_bytes(self) -> bytes:
        """The file."""
        meta = {
            "epoch": self.epoch,
            "experiment": self.experiment,
            "origin": self.origin,
            "changed": self.changed,
            "records": [dataclasses.asdict(record) for record in self.records],
        }
        return packed(meta, {f"state_{number}": leaf for number, leaf in enumerate(self.state)})

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """The checkpoint in a file.

        Raises:
            OutputError: it cannot be read, or is damaged.

        """
        meta, arrays = unpacked(path)
        state = tuple(arrays[f"state_{number}"] for number in range(len(arrays)))
        records = tuple(EpochRecord(**record) for record in meta["records"])
        return cls(**{**meta, "records": records, "state": state})


def packed(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """A file with arrays by name, and with what JSON can hold."""
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, **{**arrays, _META: text})
    content = buffer.getvalue()
    return content + checksum(content).encode()


def unpacked(path: Path) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
    """What was packed into a file.

    Raises:
        OutputError: it cannot be read, or is damaged.

    """
    try:
        content = path.read_bytes()
        end = len(content) - _DIGITS
        if checksum(content[:end]).encode() != content[end:]:
            raise ValueError("it does not fit its checksum")
        with np.load(io.BytesIO(content[:end]), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        return json.loads(arrays.pop(_META).tobytes()), arrays
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a zip with other bytes in it comes to
        raise OutputError(f"{path}: is damaged ({type(error).__name__}: {error})") from error


class Checkpoints:
    """The checkpoints of one run in its folder: when the next is due, and which stay."""

    def __init__(self, folder: Path, settings: Checkpointing, epoch: int = 0) -> None:
        self.folder = folder
        self._settings = settings
        self._epoch = epoch
        self._time = time.monotonic()
        self._is_new = not any(_files(folder))

    def is_due(self, epoch: int) -> bool:
        """Whether a checkpoint is due after this epoch."""
        return self._settings.is_due(epoch - self._epoch, time.monotonic() - self._time)

    def is_kept_at_the_end(self) -> bool:
        """Whether the run has checkpoints, so that its end is one as well: it can be prolonged."""
        return any(_files(self.folder))

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; all but the last few go.

        Raises:
            OSError: it cannot be written; the earlier ones stay.

        """
        remove_partials(self.folder, _PREFIX)
        path = self.folder / f"{_PREFIX}{checkpoint.epoch:08d}{_END}"
        write_whole(path, checkpoint.as_bytes())
        for old in sorted(_files(self.folder))[: -self._settings.keep]:
            old.unlink()
        self._epoch, self._time = checkpoint.epoch, time.monotonic()


def latest(folder: Path) -> Checkpoint | None:
    """The last checkpoint in a run folder; None if there is none.

    Raises:
        OutputError: it is damaged, and there is no earlier one.

    """
    fault: OutputError | None = None
    for path in sorted(_files(folder), reverse=True):
        try:
            return Checkpoint.read(path)
        except OutputError as error:
            fault = fault or error
    if fault:
        raise fault
    return None


def told(experiment: Experiment) -> str:
    """An experiment as text, but for what may change when a run is prolonged."""
    training = dataclasses.replace(experiment.training, epochs=1, devices=1, hosts=1, shard=None)
    return repr(dataclasses.replace(experiment, training=training, record_limit=RECORD_LIMIT))


def check_same(checkpoint: Checkpoint, experiment: Experiment, folder: Path) -> None:
    """Raise an OutputError unless the checkpoint is one of this experiment."""
    if checkpoint.experiment != told(experiment):
        raise OutputError(
            f"{folder}: its checkpoint is of another experiment than its configuration describes; "
            "restore .hydra/config.yaml, or begin another run"
        )


def check_origin(
    checkpoint: Checkpoint, now: Mapping[str, str], folder: Path, *, accepted: bool
) -> str | None:
    """How the origin has changed since the run began; None if it has not.

    A run may always go on with another number of devices.

    Raises:
        OutputError: it has changed since the checkpoint, and that is not accepted.

    """
    found = provenance.changes(checkpoint.origin, now)
    there = now.get(provenance.DEVICES, "")
    others = provenance.changes({**checkpoint.origin, provenance.DEVICES: there}, now)
    if others and not accepted:
        raise OutputError(f"{folder}: {others} since its checkpoint; {ACCEPT}")
    return "; ".join(filter(None, (checkpoint.changed, found))) or None


def _files(folder: Path) -> Iterator[Path]:
    return folder.glob(f"{_PREFIX}*{_END}")


def host(leaf: Any) -> np.ndarray:
    """A leaf as an array that NumPy can write; of a typed key its data."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(jax.device_get(leaf))


def like(own: Any, saved: np.ndarray) -> Any:
    """What was saved, as the leaf that it was."""
    if jnp.issubdtype(own.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(saved), impl=jax.random.key_impl(own))
    # NumPy forgets the name of a dtype that is not its own, such as bfloat16.
    return saved if saved.dtype == own.dtype else saved.view(own.dtype)
