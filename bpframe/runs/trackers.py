"""The contract of trackers, which show runs elsewhere than in their folders."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from bpframe.component import Component, hyperparameter
from bpframe.runs.listeners import Listener
from bpframe.runs.records import RunInfo


class Tracker(Component, ABC):
    """Shows runs elsewhere than in their folders, and changes no number.

    Its fields say where, such as a folder, a server or a project. `timeout` is how many seconds a
    call may take: a tracker that takes longer is left alone from then on, and one that raises is
    told nothing more of that run; the run goes on. The calls of one run come one after another,
    each in a thread of its own. Instances are pickled, to be sent to other processes.
    """

    timeout: float = hyperparameter(default=60.0, gt=0)

    library: ClassVar[tuple[str, str] | None] = None
    """The module that it imports when it is used, not before, and what pip installs it with, such
    as ("tensorboardX", "bpframe[tensorboard]")."""

    @classmethod
    def missing(cls) -> str | None:
        """What says that its library is not installed, and how it is; None if it is."""
        if cls.library is None or importlib.util.find_spec(cls.library[0].partition(".")[0]):
            return None
        module, package = cls.library
        return f"{module}, which is not installed; pip install '{package}'"

    def check(self) -> None:
        """Raise a ConfigError if it is known, without asking any server, that it cannot work.

        It is called before anything is trained.
        """

    @abstractmethod
    def listener(self, run: RunInfo) -> Listener:
        """What is told of this run; its `should_stop` is not asked.

        A run that is tracked has a folder. `run.settings`, `run.sweep` and `run.earlier` are meant
        for trackers.
        """


class Tracking(NamedTuple):
    """What follows a run, and what it is told of the run.

    Attributes:
        trackers: with their names in the configuration.
        settings: as RunInfo has them.
        sweep: the folder of the sweep that the run is a job of.

    """

    trackers: tuple[tuple[str, Tracker], ...] = ()
    settings: Mapping[str, Any] = MappingProxyType({})
    sweep: Path | None = None


NO_TRACKING = Tracking()
