"""hydra/sweeper=grid: every combination of the values that are swept.

`key=zip(a,b,c)` on several keys takes their values in step instead; see `in_step`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

from bpframe.configuration import composition
from bpframe.configuration.hydra_internals import returned
from bpframe.errors import BpframeError, ConfigError
from bpframe.runs.screen import Screen
from bpframe.sweeps.errors import BadJobsError, FailedJobsError
from bpframe.sweeps.ledger import MULTIRUN
from bpframe.sweeps.terminal import show_failures

MOST_JOBS = 1_000_000
"""The most jobs of a batch: their folders alone take half an hour to write."""

STEP = "zip"
_NULL = "__null__"
"""What stands for null in a choice that Hydra has tagged, where null itself cannot."""
_ZIP = re.compile(r"zip\((?P<values>.*)\)", re.DOTALL)
_NAMED_ZIP = re.compile(r"tag\((?P<names>[\w,\s]+),\s*zip\((?P<values>.*)\)\)", re.DOTALL)
_FUNCTION = re.compile(r"(choice|range|glob|sort|shuffle)\(.*\)", re.DOTALL)


def in_step(overrides: Iterable[str]) -> list[str]:
    """`key=zip(a,b)` in Hydra's own grammar, which has tags for such things.

    It becomes `key=tag(zip,choice(a,b))`; `zip(range(1,4))` becomes `tag(zip,range(1,4))`, and
    `tag(first,zip(a,b))`, by which several pairings are told apart, `tag(first,zip,choice(a,b))`.
    """
    return [_in_step(text) for text in overrides]


def _in_step(text: str) -> str:
    key, equals, value = text.partition("=")
    match = _ZIP.fullmatch(value.strip()) or _NAMED_ZIP.fullmatch(value.strip())
    if match is None:
        return text
    values = match["values"].strip()
    choices = values if _FUNCTION.fullmatch(values) else f"choice({_nulls_marked(values)})"
    names = [*match.groupdict().get("names", "").split(","), STEP]
    tags = ",".join(name.strip() for name in names if name.strip())
    return f"{key}{equals}tag({tags},{choices})"


def _nulls_marked(values: str) -> str:
    """Elements `a, null, [b, null]` with a mark for each null that is an element itself."""
    return ",".join(_NULL if part.strip() == "null" else part for part in _elements(values))


def _elements(values: str) -> list[str]:
    """The parts between the commas that stand in no bracket and no quotes."""
    parts, depth, quote = [""], 0, ""
    for character in values:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "[{(") - (character in "]})")
        if character == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Every combination of what is swept, as overrides in the order in which they were given.

    Raises:
        ConfigError: a sweep without an end or of too many jobs, or keys in step with unequal
            numbers of values.

    """
    for override in overrides:
        _check_length(override)
    axes: dict[Any, list[tuple[str, list[str]]]] = {}
    for place, override in enumerate(overrides):
        key = override.get_key_element()
        if not override.is_sweep_override() and "${" in str(override.input_line):
            values = [str(override.input_line)]  # otherwise escaped, which no one wants to read
        elif not override.is_sweep_override():
            values = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values = [
                f"{key}={'null' if value == _NULL else value}"
                for value in override.sweep_string_iterator()
            ]
        else:
            raise ConfigError(
                f"{override.input_line}: has no end of values; give a list of them, or search with "
                "hydra/sweeper=search"
            )
        if not values:
            raise ConfigError(f"{override.input_line}: has no value; give at least one")
        tags = getattr(override.value(), "tags", set())
        axis = frozenset(tags) if STEP in tags else place
        axes.setdefault(axis, []).append((key, values))
    for members in axes.values():
        (first, expected), *others = members
        for key, values in others:
            if len(values) != len(expected):
                raise ConfigError(
                    f"{key}: zip has {len(values)} values, and that of {first} has "
                    f"{len(expected)}; give as many for each, or name pairings that are apart: "
                    "tag(name,zip(...))"
                )
    jobs = math.prod(len(members[0][1]) for members in axes.values())
    if jobs > MOST_JOBS:
        raise ConfigError(
            f"the sweep has {jobs:,} jobs; allowed: at most {MOST_JOBS:,}; sweep over fewer values"
        )
    steps = [zip(*(values for _, values in members), strict=True) for members in axes.values()]
    order = [override.get_key_element() for override in overrides]
    found = []
    for combination in itertools.product(*steps):
        texts = [text for step in combination for text in step]
        found.append(sorted(texts, key=lambda text: order.index(text.partition("=")[0])))
    return found


def _check_length(override: Override) -> None:
    """Refuse a range of more values than a sweep may have jobs, before they are written down."""
    value = override.value()
    if isinstance(value, RangeSweep) and value.start is not None and value.stop is not None:
        count = (value.stop - value.start) / value.step if value.step else 0
        if count > MOST_JOBS:
            raise ConfigError(
                f"{override.input_line}: has {math.ceil(count):,} values; a sweep has at most "
                f"{MOST_JOBS:,} jobs; give a shorter range"
            )


def sweep(sweeper: Sweeper, arguments: Sequence[str], params: Mapping[str, str]) -> Any:
    """Launch all combinations as one batch.

    Raises:
        BpframeError: see the launcher; with another one than vmap, that jobs failed.

    """
    assert sweeper.hydra_context
    assert sweeper.config
    assert sweeper.launcher
    texts = in_step([*(f"{key}={value}" for key, value in params.items()), *arguments])
    parser = OverridesParser.create(sweeper.hydra_context.config_loader)
    last = {o.get_key_element(): o for o in parser.parse_overrides(texts)}
    batch = combinations(list(last.values()))
    if getattr(sweeper.launcher, "checks_jobs", False):
        return [sweeper.launcher.launch(batch, initial_job_idx=0)]
    check_composed(sweeper, batch, 0)
    folder = Path(str(sweeper.config.hydra.sweep.dir))
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(sweeper.config, folder / MULTIRUN)
    jobs = sweeper.launcher.launch(batch, initial_job_idx=0)
    _check(jobs)
    return [jobs]


def check_composed(sweeper: Sweeper, batch: Sequence[Sequence[str]], first: int) -> None:
    """Raise a BadJobsError if jobs numbered from `first` cannot be composed, each with why.

    For launchers that compose a job only when its turn has come.
    """
    assert sweeper.hydra_context
    assert sweeper.config
    errors: dict[int, str] = {}
    for num, overrides in enumerate(batch, start=first):
        try:
            with composition.composing(overrides):
                sweeper.hydra_context.config_loader.load_sweep_config(
                    sweeper.config, list(overrides)
                )
        except BpframeError as error:
            errors[num] = str(error)
    if errors:
        raise BadJobsError(errors, batch, first)


def _check(jobs: Sequence[JobReturn]) -> None:
    failures = [
        (num, " ".join(job.overrides or ()), "failed", str(returned(job)))
        for num, job in enumerate(jobs)
        if job.status is JobStatus.FAILED
    ]
    if failures:
        show_failures(Screen(), failures)
        raise FailedJobsError(["failed"] * len(failures), len(jobs))
