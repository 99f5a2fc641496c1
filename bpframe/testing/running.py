"""Running the checks: components at the same time, in threads or in processes."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed

import jax

from bpframe.configuration import schemas
from bpframe.configuration.plugin_settings import PluginSettings
from bpframe.plugin_host import host
from bpframe.testing.kit import Case, ComponentKey, cases
from bpframe.testing.outcome import FAILED, Outcome
from bpframe.testing.search import QUICK, Effort
from bpframe.training import compilation

MANY = 16
"""Components from which on processes of their own, which first have to load all, save time."""

_here: dict[ComponentKey, list[Case]] = {}
"""In a process that checks for another one: its cases by component."""


def run(
    cases: Sequence[Case], plugins: PluginSettings | None = None, effort: Effort = QUICK
) -> Iterator[Outcome]:
    """The outcomes of some checks, as they end.

    Most of the time goes into tracing and compiling; since nearly all programs run once and
    briefly, without optimisation. What fails is tried again with it: without, XLA has been seen to
    multiply wrongly. A component's checks share programs, so they stay together. Many components
    are checked in processes, if the cases are those of the plugins that `plugins` says, with this
    effort; else in threads.
    """
    failed: list[Case] = []
    together = [case for case in cases if not case.check.is_alone]
    groups = {key: list(group) for key, group in itertools.groupby(together, Case.component_key)}
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        for group, outcomes in _run_groups(groups, plugins, effort):
            for case, outcome in zip(group, outcomes, strict=True):
                if outcome.status == FAILED:
                    failed.append(case)
                else:
                    yield outcome
        yield from (case.run() for case in cases if case.check.is_alone)
        if failed:
            jax.config.update("jax_disable_most_optimizations", False)
            jax.clear_caches()
            yield from (case.run() for case in failed)
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def _run_groups(
    groups: Mapping[ComponentKey, Sequence[Case]], plugins: PluginSettings | None, effort: Effort
) -> Iterator[tuple[Sequence[Case], Sequence[Outcome]]]:
    """The groups with their outcomes, as they end."""
    if plugins is None or len(groups) < MANY:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            begun = {threads.submit(_run_all, group): group for group in groups.values()}
            for done in as_completed(begun):
                yield begun[done], done.result()
        return
    spawn = multiprocessing.get_context("spawn")  # JAX has threads, which a fork would lose
    with ProcessPoolExecutor(os.cpu_count(), spawn, _enter, (plugins, effort)) as processes:
        begun = {processes.submit(_run_component, key): group for key, group in groups.items()}
        for done in as_completed(begun):
            yield begun[done], done.result()


def _enter(plugins: PluginSettings, effort: Effort) -> None:
    """In a process of its own: load what is checked, and compile as `run` does."""
    gc.set_threshold(1_000_000)  # what is traced is collected for longer than it is traced
    jax.config.update("jax_disable_most_optimizations", True)
    compilation.use_cache()
    registry = schemas.store(host.load_registry(paths=plugins.paths, prefer=plugins.prefer))
    together = (case for case in cases(registry, effort=effort) if not case.check.is_alone)
    _here.update(
        (key, list(group)) for key, group in itertools.groupby(together, Case.component_key)
    )


def _run_component(key: ComponentKey) -> list[Outcome]:
    return _run_all(_here[key])


def _run_all(cases: Sequence[Case]) -> list[Outcome]:
    return [case.run() for case in cases]
