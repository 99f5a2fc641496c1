"""Whether a run can go on, and from where."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bpframe.data import Data
from bpframe.errors import ConfigError, OutputError
from bpframe.runs import checkpoint, provenance
from bpframe.runs.bookkeeping import BY_RULE
from bpframe.runs.checkpoint import Checkpoint
from bpframe.runs.data_info import data_checksum
from bpframe.runs.folder import last_epoch
from bpframe.runs.layout import read_summary
from bpframe.training.experiment import Experiment


def start(
    experiment: Experiment, data: Data, folder: Path, *, accept_changes: bool
) -> Checkpoint | None:
    """The checkpoint from which a run goes on; None if it begins again, since it has none.

    Raises:
        ConfigError: it is to end before the epoch that it has reached.
        OutputError: it is complete, its checkpoint is damaged or of another experiment, or code or
            data have changed, and that is not accepted.

    """
    found = checkpoint.latest(folder)
    ended = read_summary(folder)
    check_incomplete(ended, experiment, folder)
    if found is None:
        _check_again(ended or {}, experiment, data, folder, accept_changes=accept_changes)
        return None
    _check_same(found, experiment, data, folder)
    plugins = provenance.plugin_code(experiment)
    now = provenance.origin(experiment, data_checksum(data), plugins)
    changed = checkpoint.check_origin(found, now, folder, accepted=accept_changes)
    if found.epoch > experiment.training.epochs:
        raise ConfigError(
            f"training.epochs: {experiment.training.epochs} is out of range; the checkpoint of "
            f"{folder} is of epoch {found.epoch}"
        )
    return dataclasses.replace(found, origin=now, changed=changed)


def check_incomplete(ended: Mapping[str, Any] | None, experiment: Experiment, folder: Path) -> None:
    """Raise an OutputError if a run that ended so has nothing left to train.

    What a stopping rule has ended is complete; what a plugin has, such as by a file, may go on.
    """
    if not ended:
        return
    stopped = ended["stopped"] if (ended["stopped"] or "").startswith(BY_RULE) else None
    if ended["status"] == "completed" and (
        stopped or ended["epochs"] >= experiment.training.epochs
    ):
        if experiment.training.epochs < ended["epochs"] and not stopped:
            raise ConfigError(
                f"training.epochs: {experiment.training.epochs} is out of range; {folder} is "
                f"complete after epoch {ended['epochs']}"
            )
        how = f", stopped {stopped}" if stopped else ""
        longer = "" if stopped else "; set training.epochs to more to prolong it"
        raise OutputError(f"{folder}: is complete after epoch {ended['epochs']}{how}{longer}")


def _check_again(
    ended: Mapping[str, Any],
    experiment: Experiment,
    data: Data,
    folder: Path,
    *,
    accept_changes: bool,
) -> None:
    """Raise an error if a run without a checkpoint cannot begin again."""
    before = (ended.get("data") or {}).get("checksum")
    if before not in (None, data_checksum(data)) and not accept_changes:
        raise OutputError(
            f"{folder}: the data have changed since it was trained, and it has no checkpoint, so "
            f"that it begins again; {checkpoint.ACCEPT}"
        )
    if (recorded := last_epoch(folder)) > experiment.training.epochs:
        raise ConfigError(
            f"training.epochs: {experiment.training.epochs} is out of range; {folder} has no "
            f"checkpoint, and its records of {recorded} epochs would be lost"
        )


def _check_same(found: Checkpoint, experiment: Experiment, data: Data, folder: Path) -> None:
    """Raise an OutputError unless a checkpoint is one of this experiment."""
    fitted = experiment.fitted(len(data.train))
    is_other = found.experiment != checkpoint.told(fitted)
    if is_other and fitted.aggregation != experiment.aggregation:
        raise OutputError(
            f"{folder}: its aggregation is fitted to another number of epochs, such as noise to "
            "aggregation.target_epsilon, so it cannot be prolonged; begin another run"
        )
    checkpoint.check_same(found, fitted, folder)
