"""What Python programs give in place of words on a command line: overrides, and data in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bpframe.contracts import Dataset
from bpframe.errors import ConfigError
from bpframe.plugin_host.hookspecs import API_VERSION, hookimpl
from bpframe.tables.in_memory import GIVEN, InMemory, in_memory


class GivenData:
    """A plugin with one data set."""

    BPFRAME_API_VERSION = API_VERSION

    def __init__(self, dataset: type[InMemory] = InMemory) -> None:
        self._dataset = dataset

    @hookimpl
    def bpframe_datasets(self) -> dict[str, type[Dataset]]:
        """The data set by its name."""
        return {GIVEN: self._dataset}


def given_overrides(overrides: Any) -> list[str]:
    """Overrides as a list.

    Raises:
        ConfigError: they are no list of texts.

    """
    if isinstance(overrides, str):
        raise ConfigError(f"overrides: is one text; give a list, [{overrides!r}]")
    try:
        found = list(overrides)
    except TypeError as error:
        raise ConfigError(
            f"overrides: is {type(overrides).__name__}; give a list of texts, such as "
            '["optimiser.eta=0.1"]'
        ) from error
    if others := [text for text in found if not isinstance(text, str)]:
        raise ConfigError(f"overrides: {others[0]!r} is no text, such as 'optimiser.eta=0.1'")
    if option := next((text for text in found if text.startswith("-")), None):
        raise ConfigError(
            f"overrides: {option!r} is an option of the command; give settings alone, and those "
            "with several values to bpframe.sweep"
        )
    return found


def given_folder(folder: Any, name: str) -> Path:
    """A folder as a path.

    Raises:
        ConfigError: it is no path.

    """
    if not isinstance(folder, str | os.PathLike) or not isinstance(os.fspath(folder), str):
        raise ConfigError(f"{name}: is {type(folder).__name__}; give the path of a folder")
    return Path(folder)


def with_data(
    plugins: Iterable[object], overrides: list[str], data: Any, target: Any
) -> tuple[list[object], list[str]]:
    """Plugins and overrides with data in memory among them, if there are any.

    Raises:
        ConfigError: other data are chosen as well, or a target without data.
        DataError: they are nothing that can be trained on.

    """
    if data is None:
        if target is not None:
            raise ConfigError("target: is that of a frame; give it as data=..., or leave it out")
        return [*plugins], overrides
    if chosen := next((text for text in overrides if text.lstrip("+").startswith("data=")), None):
        raise ConfigError(f"{chosen}: data is given already; leave one of them out")
    return [*plugins, GivenData(in_memory(data, target))], [f"data={GIVEN}", *overrides]
