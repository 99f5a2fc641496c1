"""Writing the package of a new plugin: one that works, is tested, and can be published."""

from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import json
import keyword
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import NamedTuple

from bpframe.errors import ConfigError, OutputError, unknown
from bpframe.plugin_host.registry import Registry, normalised

# How each kind is used: the line that the README of the package shows.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "activation": "bpframe network.activation=$component",
        "layer": (
            "bpframe 'network.layers=[{name: $component, activation: sigmoid},"
            "{n: 10, activation: sigmoid}]'"
        ),
        "cost": "bpframe cost=$component",
        "output_pair": "bpframe cost=$component",
        "optimiser": "bpframe optimiser=$component",
        "initialiser": "bpframe initialiser=$component",
        "regulariser": "bpframe regulariser=$component",
        "data": "bpframe data=$component",
        "learning_rule": "bpframe learning_rule=$component",
        "aggregation": "bpframe aggregation=$component",
        "metric": "bpframe 'metrics=[$component]'",
        "recorder": "bpframe 'record=[$component]'",
        "schedule": "bpframe schedule=$component",
        "stopping": "bpframe stopping=$component",
        "tracker": "bpframe 'trackers=[$component]'",
        "event": "bpframe",
    }
)
KNOWN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "activation": ("$Class()(jnp.array(2.0))", "1.7615942"),
        "cost": ("$Class()(jnp.array([1.0]), jnp.array([0.0]))", "0.43378083"),
        "optimiser": (
            "$Class().update(jnp.array(1.0), jnp.array(0.0), jnp.array(1.0), None)[0]",
            "0.95",
        ),
        "initialiser": ("$Class().variance(12, 5)", "1 / 36"),
        "regulariser": (
            "$Class().cost((Params(jnp.array([[3.0]]), jnp.array([1.0])),))",
            "0.2990017",
        ),
        "schedule": ("$Class().factor((), Progress(jnp.array(10.0), 20.0, 0.1))", "0.60653066"),
        "aggregation": ("$Class().weights(lambda: jnp.array([1.0]))[0]", "1 / 1.01"),
        "output_pair": ("$Class()(jnp.array([0.5]), jnp.array([1.0]))", "1.3862944"),
    }
)
"""A value that is known of what the package has, as an expression and a number."""
LICENCES = ("MIT", "BSD-3-Clause", "Apache-2.0", "none")


class NewPackage(NamedTuple):
    """What a user asks for.

    Attributes:
        name: the name of the distribution, such as "my-sine".
        kind: what its example component is.
        licence: one of LICENCES.
        author: who holds the copyright; by default "the authors of NAME".

    """

    name: str
    kind: str = "activation"
    licence: str = "MIT"
    author: str | None = None

    @property
    def module(self) -> str:
        """The name of the module."""
        return normalised(self.name).replace("-", "_")

    @property
    def component(self) -> str:
        """The name that users write in a config."""
        return self.module.removeprefix("bpframe_")

    @property
    def class_name(self) -> str:
        """The name of the component's class."""
        return "".join(part.capitalize() for part in self.component.split("_"))


def write(package: NewPackage, into: Path, registry: Registry) -> list[Path]:
    """Write the package into a new folder below `into`, and return its files.

    Raises:
        ConfigError: the name, the kind or the licence cannot be used.
        OutputError: the folder is there already, or cannot be written.

    """
    _check(package, registry)
    folder = into / package.name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: is there already; choose another NAME, or another --into")
    files = _files(package)
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from error
    return [folder / name for name in files]


def _check(package: NewPackage, registry: Registry) -> None:
    if package.kind not in KINDS:
        raise unknown("--kind", package.kind, KINDS)
    if package.licence not in LICENCES:
        raise unknown("--licence", package.licence, LICENCES)
    module, component = package.module, package.component
    is_name = re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]", package.name)
    words = (module, component)
    if not is_name or not all(w.isidentifier() and not keyword.iskeyword(w) for w in words):
        raise ConfigError(
            f"NAME: {package.name!r} cannot be the name of a package; allowed: letters, digits and "
            "hyphens, beginning with a letter, such as my-sine"
        )
    if importlib.util.find_spec(module) is not None:
        raise ConfigError(
            f"NAME: {package.name!r} would shadow the module {module!r}, which is installed; "
            "choose another name"
        )
    for kind, offers in registry.offers.items():
        if kind == package.kind and component in offers:
            raise ConfigError(
                f"NAME: {component!r} is {kind} of plugin {offers[component].plugin} already; "
                "choose another name"
            )


def _files(package: NewPackage) -> dict[str, str]:
    """The content of every file, by its path in the package."""
    author = package.author or f"the authors of {package.name}"
    names = {
        "distribution": package.name,
        "module": package.module,
        "component": package.component,
        "Class": package.class_name,
        "Title": f"The {package.kind.replace('_', ' ')} {package.component}",
        "entry_point": package.module,
        "bpframe_version": importlib.metadata.version("bpframe"),
        "licence_lines": _licence_lines(package),
        "author": author,
        "year": str(datetime.date.today().year),
    }
    names["use"] = Template(KINDS[package.kind]).substitute(names)
    expression, names["expected"] = KNOWN.get(package.kind, ("", ""))
    names["value"] = Template(expression).substitute(names)
    used = [name for name in ("Params", "Progress") if f"{name}(" in expression]
    names["imports"] = f"from bpframe import {', '.join(used)}\n" if used else ""
    test = "package/test_of_values.py" if expression else "package/test.py"
    templates = {
        "pyproject.toml": "package/pyproject.toml",
        "README.md": "package/README.md",
        ".gitignore": "package/gitignore",
        ".github/workflows/ci.yml": "package/ci.yml",
        f"src/{package.module}/__init__.py": f"kinds/{package.kind}",
        f"tests/test_{package.module}.py": test,
    }
    if package.licence != "none":
        templates["LICENSE"] = f"licences/{package.licence}"
    return {path: _template(name).substitute(names) for path, name in templates.items()} | {
        f"src/{package.module}/py.typed": ""
    }


def _licence_lines(package: NewPackage) -> str:
    """The lines of pyproject.toml on licence and author; JSON's texts are TOML's as well."""
    lines = [f'license = "{package.licence}"', 'license-files = ["LICENSE"]']
    if package.licence == "none":
        lines = ['classifiers = ["Private :: Do Not Upload"]']
    if package.author:
        lines.append(f"authors = [{{ name = {json.dumps(package.author)} }}]")
    return "\n".join(lines)


def _template(name: str) -> Template:
    file = resources.files("bpframe") / "templates" / f"{name}.template"
    return Template(file.read_text(encoding="utf-8"))
