"""What a driver and its workers send each other; light to import, see worker.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bpframe.sweeps.rows import Row

WRITTEN, TOO_LARGE, FAILED, UNWRITABLE = "written", "too large", "failed", "unwritable"
EPOCH, OUTCOME = "epoch", "outcome"
SETTINGS, UNIT, STOP = "settings", "unit", "stop"


class WorkerSettings(NamedTuple):
    """What a worker is told, so that it trains as the driver would.

    Attributes:
        paths: plugin files and folders, and `prefer`, as `host.load_registry` takes them.
        folder: the working directory.
        environment: variables to be set.
        logging: Hydra's `job_logging`.
        platform: that of the devices the units are laid out for, "cpu" or "gpu".
        devices: how many there are of them.

    """

    paths: tuple[str, ...]
    prefer: tuple[str, ...]
    folder: str
    environment: Mapping[str, str]
    logging: Mapping[str, Any]
    platform: str = "cpu"
    devices: int = 1


class UnitResult(NamedTuple):
    """The result of training a unit.

    Attributes:
        kind: `WRITTEN`, with the rows of all jobs whose run folders are; `TOO_LARGE` for the
            memory; `FAILED`, for a reason that another unit need not have; `UNWRITABLE`, the disk
            being full or the like.
        rows: of the jobs that have ended.
        message: what was wrong.
        warnings: of plugins, for the driver to give.
        hashes: of the unit's jobs.

    """

    kind: str
    rows: tuple[Row, ...] = ()
    message: str = ""
    warnings: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
