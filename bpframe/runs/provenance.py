"""What a run's numbers depend on besides its configuration: versions, code, data."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from bpframe.component import Component
from bpframe.runs.checksums import of_arrays
from bpframe.training import hosts, initial_state, parallel
from bpframe.training.experiment import Experiment

_PACKAGES = ("bpframe", "hydra-core", "jax", "jaxlib", "numpy", "optax", "pluggy")
_OWN = ("bpframe", "bpframe_plugins")
DEVICES = "the number of devices"


def versions(experiment: Experiment) -> dict[str, str]:
    """The versions of bpframe, of what it runs on, and of the plugins that supply a part.

    A plugin that is a file stands with its path and the SHA-256 of its code.
    """
    found = {package: importlib.metadata.version(package) for package in _PACKAGES}
    found["python"] = platform.python_version()
    modules = {type(component).__module__ for component in components(experiment)}
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


def plugin_code(experiment: Experiment) -> dict[str, str]:
    """The code of the plugins that supply a part, by name; see `origin`.

    Of files as they are now: to be called before they may have changed.
    """
    modules = {type(component).__module__ for component in components(experiment)}
    names = sorted({name.partition(".")[0] for name in modules} - {"bpframe"})
    return {f"the code of {name}": _code(name) for name in names}


def origin(experiment: Experiment, data: str | None, plugins: Mapping[str, str]) -> dict[str, str]:
    """What a run's numbers come from but for its configuration, by name; values to be compared.

    Versions, the code of bpframe and that of `plugins`, the examples by their checksum `data`, of
    `data_info.data_checksum`, the exact parameters that training starts from, and how many devices
    share a mini-batch.
    """
    found = {package: importlib.metadata.version(package) for package in _PACKAGES}
    found[DEVICES] = str(hosts.count() * parallel.count(experiment.training))
    found |= {"the code of bpframe": _code("bpframe"), **plugins}
    found["the data"] = str(data)
    if exact := initial_state.exact(experiment):
        arrays = (np.asarray(array) for layer in exact for array in layer)
        found["the initial parameters"] = of_arrays(arrays)
    return found


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """How two origins differ, as a phrase; nothing if they do not."""
    return "; ".join(
        f"{name} has changed"
        if name.startswith("the ") and name != DEVICES
        else f"{name} was {before.get(name, 'missing')} and is {now.get(name, 'missing')}"
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name)
    )


def _code(name: str) -> str:
    """The SHA-256 of a module, with all modules in it if it is a package."""
    module = sys.modules.get(name)
    roots = [Path(root) for root in getattr(module, "__path__", ())]
    files = sorted(path for root in roots for path in root.rglob("*.py"))
    if not roots and (file := getattr(module, "__file__", None)):
        files = [Path(file)]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def components(component: Component) -> Iterator[Component]:
    """A component and all that it holds."""
    yield component
    for field in dataclasses.fields(component):
        value = getattr(component, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Component):
                yield from components(part)
