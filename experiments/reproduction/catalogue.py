"""The studies there are: folders with a study.py that has a STUDY."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

from bpframe.errors import BpframeError, described, unknown
from reproduction.study import Study

SHARED = "reproduction"
"""This package, which is no study although it has a study.py."""


def names(root: Path) -> list[str]:
    """The names of all studies below `root`, in alphabetical order."""
    found = root.glob("*/study.py")
    return sorted(path.parent.name for path in found if path.parent.name != SHARED)


def chosen(wanted: list[str], known: list[str]) -> list[str]:
    """The names that are wanted, each once; all there are if none is.

    Raises:
        BpframeError: one of them is not known.

    """
    for name in wanted:
        if name not in known:
            raise unknown("NAME", name, known)
    return list(dict.fromkeys(wanted)) or known


def in_order(root: Path, names: list[str]) -> list[tuple[str, Study | BpframeError]]:
    """The studies by their places, and last those that cannot be loaded, with the reason."""
    found: list[tuple[str, Study | BpframeError]] = []
    for name in names:
        try:
            found.append((name, load(root, name)))
        except BpframeError as error:
            found.append((name, error))
    return sorted(found, key=lambda pair: _place(pair[1]))


def _place(study: Study | BpframeError) -> float:
    return study.place if isinstance(study, Study) else math.inf


def load(root: Path, name: str) -> Study:
    """The study of a folder of `root`, which is on the path.

    Raises:
        BpframeError: its module cannot be imported, or has no proper STUDY.

    """
    file = root / name / "study.py"
    importlib.invalidate_caches()  # the folder may have been made just now
    try:
        module = importlib.import_module(f"{name}.study")
    except Exception as error:  # whatever the code of a study raises
        raise BpframeError(f"{file}: cannot be imported: {described(error)}") from error
    if Path(str(module.__file__)).resolve() != file.resolve():
        raise BpframeError(f"{file}: is hidden by {module.__file__}; rename the folder")
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise BpframeError(f"{file}: has no STUDY, a reproduction.study.Study")
    if study.name != name:
        raise BpframeError(f"{file}: STUDY.name is {study.name!r}, and the folder is {name!r}")
    return study
