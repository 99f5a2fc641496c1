"""One row a job: what a sweep reports of each of its runs, in host values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

COMPLETED, DIVERGED, FAILED, INTERRUPTED, PRUNED = (
    "completed",
    "diverged",
    "failed",
    "interrupted",
    "pruned",
)
FINISHED = (COMPLETED, DIVERGED, FAILED, PRUNED)
"""The statuses of jobs that `bpframe resume` does not run again."""


@dataclasses.dataclass(frozen=True)
class Row:
    """How a job of a sweep ended.

    Attributes:
        num: the number of the job in its sweep, counted from 0.
        folder: its run folder, relative to the folder of the sweep.
        settings: what its overrides set, by key: numbers, texts, booleans, None, or lists and
            mappings of them.
        status: "completed", "diverged", "failed", "interrupted" or "pruned" (given up by
            successive halving).
        epochs: how many epochs were finished.
        metrics: the scalars it reached, by name: `best_validation_accuracy`, `best_epoch`,
            `test_accuracy`, `test_cost`, and the last epoch's columns of metrics.jsonl that are
            numbers. None where there is no finite value.
        timing: seconds: `compile_s` of its group, `train_s` of all its epochs; an epoch that
            several lanes share counts as the wall time divided by their number.
        stopped: why training ended before its last epoch; None if it did not.
        error: what ended a run that was not completed; None otherwise.

    """

    num: int
    folder: str
    settings: Mapping[str, Any]
    status: str
    epochs: int
    metrics: Mapping[str, float | int | None]
    timing: Mapping[str, float]
    stopped: str | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
