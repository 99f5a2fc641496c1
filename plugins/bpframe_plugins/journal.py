"""The journal: the log lines of a run."""

from __future__ import annotations

import logging

from bpframe import EpochRecord, RunInfo, RunResult, hookimpl

BPFRAME_API_VERSION = 2
log = logging.getLogger("bpframe")


@hookimpl
def bpframe_run_started(run: RunInfo) -> None:
    """One line with the sizes of the network and the number of epochs."""
    sizes = "-".join(map(str, run.experiment.network.sizes))
    log.info("training %s for %d epochs", sizes, run.experiment.training.epochs)


@hookimpl
def bpframe_epoch_finished(record: EpochRecord) -> None:
    """One line with every number that the epoch gave; matrices stand in metrics.jsonl alone."""
    numbers = {name: value for name, value in record.as_dict().items() if not _is_matrix(value)}
    log.info(" ".join(f"{name}={value:.6g}" for name, value in numbers.items()))


def _is_matrix(value: object) -> bool:
    return not isinstance(value, int | float)


@hookimpl
def bpframe_run_finished(result: RunResult) -> None:
    """One line on how the run ended."""
    summary = result.summary
    if summary.error:
        log.error("%s after %d epochs: %s", summary.status, summary.epochs, summary.error)
    elif summary.stopped:
        log.info("stopped after %d epochs %s", summary.epochs, summary.stopped)
    else:
        log.info("%s after %d epochs", summary.status, summary.epochs)
