"""The versions of everything that a run's numbers depend on."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from bpframe.component import Component
from bpframe.training.experiment import Experiment

_PACKAGES = ("bpframe", "hydra-core", "jax", "jaxlib", "numpy", "optax", "pluggy")
_OWN = ("bpframe", "bpframe_plugins")


def versions(experiment: Experiment) -> dict[str, str]:
    """The versions of bpframe, of what it runs on, and of the plugins that supply a part.

    A plugin that is a file stands with its path and the SHA-256 of its code.
    """
    found = {package: importlib.metadata.version(package) for package in _PACKAGES}
    found["python"] = platform.python_version()
    modules = {type(component).__module__ for component in _components(experiment)}
    others = sorted(name for name in modules if name.partition(".")[0] not in _OWN)
    if others:
        distributions = importlib.metadata.packages_distributions()
        for name in others:
            owners = distributions.get(name.partition(".")[0], ())
            found.update({owner: importlib.metadata.version(owner) for owner in owners})
            file = getattr(sys.modules.get(name), "__file__", None)
            if not owners and file and Path(file).is_file():
                found[file] = f"sha256:{hashlib.sha256(Path(file).read_bytes()).hexdigest()}"
    return found


def _components(component: Component) -> Iterator[Component]:
    """A component and all that it holds."""
    yield component
    for field in dataclasses.fields(component):
        value = getattr(component, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Component):
                yield from _components(part)
