"""How a sweep fails: before anything is trained, or with some of its jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bpframe.errors import BpframeError

TABLE = "results.csv"
MOST_NAMED = 12
"""How many numbers of jobs, or rows of them, a line names."""


class BadJobsError(BpframeError):
    """Jobs that cannot be run; nothing was trained. The message has a line for each error."""

    def __init__(
        self, errors: Mapping[int, str], jobs: Sequence[Sequence[str]], first: int
    ) -> None:
        super().__init__("")
        same: dict[str, list[int]] = {}
        for num, message in errors.items():
            same.setdefault(message, []).append(num)
        lines = [
            f"{_counted(len(errors), len(jobs))} cannot be run, and nothing was trained:",
            *(
                f"  {_named(nums)} ({_overrides(jobs[nums[0] - first])}): {message}"
                for message, nums in same.items()
            ),
        ]
        self.args = ("\n".join(lines),)


class FailedJobsError(BpframeError):
    """Jobs that did not complete, while the others did.

    Attributes:
        folder: the folder of the sweep; None where the launcher keeps none.

    """

    def __init__(self, statuses: Sequence[str], n_jobs: int, folder: Path | None = None) -> None:
        self.folder = folder
        counts = ", ".join(
            f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses)
        )
        where = "" if folder is None else f"; see {folder / TABLE}"
        super().__init__(f"{_counted(len(statuses), n_jobs)} did not complete ({counts}){where}")


def _counted(n: int, of: int) -> str:
    return f"{n} of {of} job{'s' * (of != 1)}"


def _named(nums: Sequence[int]) -> str:
    """The numbers, with "to" for those in a row, and not more than a line can hold."""
    rows: list[list[int]] = []
    for num in nums:
        if rows and num == rows[-1][-1] + 1:
            rows[-1].append(num)
        else:
            rows.append([num])
    texts = [
        ", ".join(map(str, row)) if len(row) < 3 else f"{row[0]} to {row[-1]}"
        for row in rows[:MOST_NAMED]
    ]
    left = sum(len(row) for row in rows[MOST_NAMED:])
    more = f" and {left} more" if left else ""
    return f"job{'s' * (len(nums) > 1)} {', '.join(texts)}{more}"


def _overrides(overrides: Iterable[str]) -> str:
    return " ".join(overrides) or "no overrides"
