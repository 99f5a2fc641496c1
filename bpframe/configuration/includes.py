"""Configs that include each other by their defaults lists, looked through before Hydra does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra

from bpframe.configuration import hydra_internals, schemas
from bpframe.errors import ConfigError

_NO_ENTRY = re.compile(r"Unsupported type in defaults : \w+")


def check(name: str, overrides: Sequence[str]) -> None:
    """Refuse a config of a user that includes itself, or has no defaults list where one should be.

    Hydra follows such a circle until Python's stack is full, and does not say where it was.
    `name` is the primary config; overrides may choose others.

    Raises:
        ConfigError: with the way round the circle.

    """
    if not _has_configs_of_a_user():
        return
    done: set[str] = set()
    chosen = [text.lstrip("+").partition("=") for text in overrides]
    for start in (name, *(f"{group}/{choice}" for group, _, choice in chosen if choice)):
        _follow([start], done)


def _has_configs_of_a_user() -> bool:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return any(
        source.scheme() == "file" and Path(source.path) != schemas.directory()
        for source in hydra.config_loader.get_sources()
    )


def _follow(path: list[str], done: set[str]) -> None:
    """Go through what the last config of a path includes."""
    last = path[-1]
    if last in path[:-1]:
        raise ConfigError(
            f"config {last!r} includes itself: {' > '.join(path[path.index(last) :])}; take it out "
            "of one of these defaults lists"
        )
    if last in done:
        return
    try:
        parts = hydra_internals.included(last)
    except UnicodeDecodeError:
        raise
    except (ValueError, TypeError, AssertionError) as error:
        reason = _NO_ENTRY.sub("an entry is neither a name nor {group: name}", str(error))
        reason = reason.replace("NoneType", "null")
        raise ConfigError(f"config {last!r}: its defaults list cannot be read: {reason}") from error
    for part in parts:
        _follow([*path, part], done)
    done.add(last)
