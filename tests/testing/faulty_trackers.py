"""Trackers with one defect each; see faulty_plugins.py."""

from __future__ import annotations

import threading
from typing import Any

from sound_plugins import Silent


class ConnectedWhenMade(Silent):
    """Holds a lock from the start, with which it is sent to no other process."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_lock", threading.Lock())


class ForgetsItsFolder(Silent):
    """Is sent without its fields."""

    def __reduce__(self) -> Any:
        return ForgetsItsFolder, ("elsewhere",)


class LibraryWithoutPackage(Silent):
    """Does not say what installs its library."""

    library = ("json", "")


class FalseWhereItCannotWork(Silent):
    """Answers where it should raise."""

    def check(self) -> None:
        return False  # pyright: ignore[reportReturnType]


COMPONENTS: dict[type[Any], str] = {
    ConnectedWhenMade: "can be sent to other processes",
    ForgetsItsFolder: "can be sent to other processes",
    LibraryWithoutPackage: "names its library",
    FalseWhereItCannotWork: "works or says why",
}
