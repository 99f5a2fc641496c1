"""What a sweep shows on the terminal while it runs: live, or plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bpframe.sweeps.rows import COMPLETED, PRUNED, Row
from bpframe.sweeps.terminal import say

T = TypeVar("T")

_COLUMNS = (TextColumn("{task.description}"), BarColumn(None))

SILENCE_S = 30.0
"""Seconds after which a line is printed where there is no live progress."""


class SweepProgress:
    """Jobs done, groups, and the time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._said = 0.0
        self._jobs = self._done = self._failed = self._pruned = 0

    @property
    def _is_live(self) -> bool:
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def say(self, text: str) -> None:
        """Print a line."""
        say(self._console, text)

    def checking(self, groups: Sequence[T]) -> Iterator[T]:
        """The groups, which are traced one after another, with a line that says which."""
        if not groups or not self._is_live:
            said = time.monotonic()
            for number, group in enumerate(groups, start=1):
                if time.monotonic() - said > SILENCE_S:
                    said = time.monotonic()
                    self.say(f"checking group {number} of {len(groups)}")
                yield group
            return
        with Progress(*_COLUMNS, console=self._console, expand=True, transient=True) as bar:
            task = bar.add_task("", total=len(groups))
            for number, group in enumerate(groups, start=1):
                text = f"checking group {number} of {len(groups)}"
                bar.update(task, completed=number - 1, description=text)
                yield group

    @contextmanager
    def training(self, jobs: int, groups: int, epochs: int) -> Iterator[None]:
        """Show how far the training of `jobs` jobs has come, of `epochs` epochs in total."""
        self._jobs = jobs
        self._done = self._failed = self._pruned = 0
        self._said = time.monotonic()
        if not jobs:
            self.say("nothing is missing: all jobs are done already")
        else:
            kinds = "one group, one compiled program"
            if groups != 1:
                kinds = f"{groups} groups, one compiled program each"
            self.say(f"{jobs} job{'s' * (jobs != 1)} in {kinds}")
        if not jobs or not self._is_live:
            yield
            return
        columns = (*_COLUMNS, TimeRemainingColumn(compact=True))
        with Progress(*columns, console=self._console, expand=True) as bar:
            self._bar, self._task = bar, bar.add_task(self._text("compiling"), total=epochs)
            try:
                yield
            finally:
                self._bar = None

    def epoch(self, jobs: int, epoch: int) -> None:
        """So many jobs have made an epoch together."""
        if self._bar:
            self._bar.update(self._task, advance=jobs, description=self._text(f"epoch {epoch}"))
        elif time.monotonic() - self._said > SILENCE_S:
            self._said = time.monotonic()
            self.say(self._text(f"epoch {epoch}"))

    def done(self, rows: Sequence[Row]) -> None:
        """Jobs have ended."""
        self._done += len(rows)
        self._pruned += sum(row.status == PRUNED for row in rows)
        self._failed += sum(row.status not in (COMPLETED, PRUNED) for row in rows)
        if self._bar:
            self._bar.update(self._task, description=self._text("compiling"))
        else:
            self.say(self._text(""))

    def _text(self, doing: str) -> str:
        pruned = f", {self._pruned} given up" if self._pruned else ""
        failed = f", {self._failed} not completed" if self._failed else ""
        return f"jobs {self._done}/{self._jobs}{pruned}{failed}" + (f"  {doing}" if doing else "")
