"""One row a job: how each run of a sweep ended, in host values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpframe.runs.records import EpochRecord, Summary
    from bpframe.sweeps.hydra.jobs import Job

COMPLETED, DIVERGED, FAILED, INTERRUPTED, PRUNED = (
    "completed",
    "diverged",
    "failed",
    "interrupted",
    "pruned",
)
FINISHED = (COMPLETED, DIVERGED, PRUNED)
"""The statuses of jobs that `bpframe resume` does not run again."""

_OF_THE_SUMMARY = (
    *("best_validation_accuracy", "best_validation_cost", "best_epoch"),
    *("test_accuracy", "test_cost"),
)
_OF_AN_EPOCH = ("train_cost", "train_accuracy", "validation_cost", "validation_accuracy")
OBJECTIVES = tuple(name for name in (*_OF_THE_SUMMARY, *_OF_AN_EPOCH) if name != "best_epoch")
"""The metrics that every completed job has, but for the accuracies in regression."""
_NOT_METRICS = ("epoch", "seconds")


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
        metrics: the scalars it reached, by name: `best_validation_accuracy`,
            `best_validation_cost`, `best_epoch`, `test_accuracy`, `test_cost`, and the last epoch's
            columns of metrics.jsonl that are numbers. None where there is no finite value. In
            regression there are no accuracies.
        timing: seconds: `compile_s` of its group, `train_s` of all its epochs; an epoch that
            several lanes share counts as the wall time divided by their number.
        stopped: why training ended before its last epoch; None if it did not.
        error: what ended a run that was not completed; None otherwise.
        checksum: that of its summary.json; None if it has none.
        changed: how code, data or versions had changed since the sweep began when it was trained;
            None if they had not.

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
    checksum: str | None = None
    changed: str | None = None

    @classmethod
    def of(
        cls, job: Job, summary: Summary, records: Sequence[EpochRecord], checksum: str | None
    ) -> Row:
        """The row of a job that has a run folder."""
        last = records[-1].as_dict() if records else {}
        found = cls.read(job.num, job.subdir, job.settings, summary.as_dict(), last)
        return dataclasses.replace(found, checksum=checksum)

    @classmethod
    def read(
        cls,
        num: int,
        folder: str,
        settings: Mapping[str, Any],
        summary: Mapping[str, Any],
        last: Mapping[str, Any],
    ) -> Row:
        """The row of a job from its summary.json and the last line of its metrics.jsonl."""
        timing = summary["timing"]
        return cls(
            num=num,
            folder=folder,
            settings=settings,
            status=summary["status"],
            epochs=summary["epochs"],
            metrics=scalars(summary, last),
            timing={
                "compile_s": round(timing["compile_s"], 6),
                "train_s": round(sum(timing["epoch_s"]), 6),
            },
            stopped=summary["stopped"],
            error=summary["error"],
        )

    @classmethod
    def without_run(cls, job: Job, status: str, error: str) -> Row:
        """The row of a job that has no run folder."""
        return cls(job.num, job.subdir, job.settings, status, 0, {}, {}, error=error)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Row:
        """What `as_dict` gave, with or without more."""
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def scalars(summary: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, float | int | None]:
    """The numbers that a run has reached, by name; an objective is one of them.

    Args:
        summary: of the run, or as much of it as is known before its end.
        last: the last line of its metrics.jsonl.

    """
    found = {name: summary[name] for name in _OF_THE_SUMMARY if name in summary}
    return found | {
        name: value
        for name, value in last.items()
        if name not in _NOT_METRICS and (value is None or isinstance(value, int | float))
    }
