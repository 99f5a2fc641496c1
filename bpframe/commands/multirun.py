"""A sweep from the shell."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from bpframe.commands import run
from bpframe.configuration import trust
from bpframe.plugin_host.events import events_of
from bpframe.plugin_host.registry import Registry
from bpframe.sweeps.multirun import multirun
from bpframe.sweeps.session import Command


def launch(
    args: Namespace,
    registry: Registry,
    *,
    trusting: Callable[[list[str]], None] = trust.note,
    resumes: bool = False,
    accepts_changes: bool = False,
) -> None:
    """Run the jobs of a command line, or those that are missing; see `multirun`."""
    path = str(args.config_path) if args.config_path else None
    events = events_of(registry)
    multirun(
        Command(tuple(args.overrides), args.config_name, path, args.config_dir),
        registry,
        lambda cfg: run.job(cfg, registry, events),
        trusting=trusting,
        resumes=resumes,
        accepts_changes=accepts_changes,
    )
