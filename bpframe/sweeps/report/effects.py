"""What a swept setting does to the objective, for the page and the picture alike."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Sequence

from bpframe.sweeps.report.runs import ReportRun, SweptSetting
from bpframe.sweeps.rows import COMPLETED


@dataclasses.dataclass(frozen=True)
class Effect:
    """The objective of the completed runs with one value of a setting.

    Attributes:
        place: the index of the value in the setting.
        mean: the mean over the combinations of the other settings, or over the seeds.
        deviation: their standard deviation, with n - 1; None for a single one.
        of: how many there are.
        left: how many further runs with the value did not complete.

    """

    place: int
    mean: float
    deviation: float | None
    of: int
    left: int


@dataclasses.dataclass(frozen=True)
class SettingEffects:
    """The effects of the values of a setting.

    Attributes:
        key: of the setting.
        points: in the order of the values, without those that no completed run has.
        over: what mean and deviation are taken over: "combinations", "seeds" or "runs".

    """

    key: str
    points: tuple[Effect, ...]
    over: str


def effects(
    setting: SweptSetting,
    settings: Sequence[SweptSetting],
    runs: Sequence[ReportRun],
    objective: str,
) -> SettingEffects:
    """The effect of each value of a setting.

    Runs that differ in nothing but `seed` are averaged first, so that the deviation is over the
    combinations of the other settings; where no value has two of them, it is over the seeds.
    """
    others = [each for each in settings if each.varies and each.key not in (setting.key, "seed")]
    groups: dict[int, dict[tuple[int | None, ...], list[float]]] = {}
    left: Counter[int] = Counter()
    for index, run in enumerate(runs):
        place, value = setting.places[index], run.value(objective)
        if place is None:
            continue
        if value is None or run.row.status != COMPLETED:
            left[place] += 1
        else:
            combination = tuple(each.places[index] for each in others)
            groups.setdefault(place, {}).setdefault(combination, []).append(value)
    combined = any(len(group) > 1 for group in groups.values())
    found = []
    for place, group in sorted(groups.items()):
        means = [statistics.fmean(values) for values in group.values()]
        sample = means if combined else next(iter(group.values()))
        deviation = statistics.stdev(sample) if len(sample) > 1 else None
        mean = statistics.fmean(sample)
        found.append(Effect(place, mean, deviation, len(sample), left[place]))
    seeded = any(each.key == "seed" and each.varies for each in settings)
    over = "combinations" if combined else "seeds" if seeded else "runs"
    return SettingEffects(setting.key, tuple(found), over)
