"""What a check of plugins shows: a table of checks, every failure, the reason for every skip."""

from __future__ import annotations

import dataclasses
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bpframe.plugin_host.registry import KINDS
from bpframe.testing.outcome import FAILED, PASSED, SKIPPED, Outcome


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcomes of all checks."""

    outcomes: tuple[Outcome, ...]

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Verdict:
        """The report of some outcomes, in the order of the kinds and of their checks."""
        kinds = {kind: place for place, kind in enumerate(("plugin", *KINDS))}
        return cls(tuple(sorted(outcomes, key=lambda o: (kinds[o.kind], o.place))))

    def with_status(self, status: str) -> tuple[Outcome, ...]:
        """The outcomes that are "passed", "failed" or "skipped"."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == status)

    @property
    def is_good(self) -> bool:
        """Whether nothing failed, every skip has a reason, and anything was checked at all."""
        reasons = all(outcome.detail for outcome in self.with_status(SKIPPED))
        return bool(self.outcomes) and reasons and not self.with_status(FAILED)

    @property
    def counts(self) -> str:
        """N passed, N failed, N skipped."""
        counted = Counter(outcome.status for outcome in self.outcomes)
        return ", ".join(f"{counted[status]} {status}" for status in (PASSED, FAILED, SKIPPED))

    def show(self, console: Console) -> None:
        """Print the table, then every failure and every skip."""
        console.print(self._table())
        for detail, shown in _together(self.with_status(FAILED)):
            console.print(f"\n[red bold]failed[/red bold] {escape(shown)}", highlight=False)
            for line in detail.splitlines():
                console.print(f"    {escape(line)}", highlight=False, soft_wrap=True)
        for reason, shown in _together(self.with_status(SKIPPED)):
            console.print(f"\n[yellow]skipped[/yellow] {escape(shown)}", highlight=False)
            text = reason or "without a reason, which counts as a failure"
            for line in textwrap.wrap(text, max(40, console.width - 5)):
                console.print(f"    {escape(line)}", highlight=False)
        components = {(o.plugin, o.kind, o.component) for o in self.outcomes if o.kind != "plugin"}
        plugins = {o.plugin for o in self.outcomes}
        console.print(
            f"\n{len(plugins)} plugin{'s' * (len(plugins) != 1)}, {len(components)} "
            f"component{'s' * (len(components) != 1)}: {self.counts}",
            highlight=False,
        )

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("kind", "check"):
            table.add_column(column)
        for column in (PASSED, FAILED, SKIPPED):
            table.add_column(column, justify="right")
        rows = dict.fromkeys((outcome.kind, outcome.check) for outcome in self.outcomes)
        before = None
        for kind, check in rows:
            counted = Counter(o.status for o in self.outcomes if (o.kind, o.check) == (kind, check))
            cells = [str(counted[status] or "") for status in (PASSED, FAILED, SKIPPED)]
            style = "red" if counted[FAILED] else None
            table.add_row(kind if kind != before else "", check, *cells, style=style)
            before = kind
        return table


def _together(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str]]:
    """What is said, once, with the title of the first check that says it and how many more do."""
    for detail in dict.fromkeys(outcome.detail for outcome in outcomes):
        titles = [_title(outcome) for outcome in outcomes if outcome.detail == detail]
        yield detail, titles[0] if len(titles) == 1 else f"{titles[0]} and {len(titles) - 1} more"


def _title(outcome: Outcome) -> str:
    return f"{outcome.kind} {outcome.component}: {outcome.check}"
