"""Data given in Python, as a plugin that offers them."""

from __future__ import annotations

from bpframe.contracts import Dataset
from bpframe.plugin_host.hookspecs import API_VERSION, hookimpl
from bpframe.tables.in_memory import GIVEN, InMemory


class GivenData:
    """A plugin with one data set."""

    BPFRAME_API_VERSION = API_VERSION

    def __init__(self, dataset: type[InMemory] = InMemory) -> None:
        self._dataset = dataset

    @hookimpl
    def bpframe_datasets(self) -> dict[str, type[Dataset]]:
        """The data set by its name."""
        return {GIVEN: self._dataset}
