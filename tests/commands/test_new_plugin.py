"""bpframe new-plugin: every kind of package that it writes is whole, and keeps the contract.

Slow is the whole kit over each of the twelve kinds; two of them CI also installs and tests.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from bpframe import ConfigError, OutputError
from bpframe.commands import plugin_package
from bpframe.commands.plugin_package import NewPackage
from bpframe.plugin_host.host import load_registry
from bpframe.plugin_host.registry import KINDS, Registry
from bpframe.testing import FAILED, check_plugins


def written(folder: Path, registry: Registry, **fields: str) -> Path:
    package = NewPackage(**{"name": "my-part", **fields})
    plugin_package.write(package, folder, registry)
    return folder / package.name


def test_every_kind_of_component_can_be_begun() -> None:
    assert set(plugin_package.KINDS) == {*KINDS, "event"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", plugin_package.KINDS)
def test_package_is_whole_and_keeps_the_contract(
    kind: str, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"my-{kind.replace('_', '-')}-part"
    module = name.replace("-", "_")
    folder = written(tmp_path, registry, name=name, kind=kind)
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["name"] == name
    (entry,) = project["project"]["entry-points"]["bpframe"].values()
    monkeypatch.syspath_prepend(folder / "src")
    plugin = importlib.import_module(module)
    for part in entry.split(":")[1:]:
        plugin = getattr(plugin, part)
    report = check_plugins(plugin)
    assert report.is_good, [outcome for outcome in report.outcomes if outcome.status == FAILED]
    assert f"import {module}" in (folder / "tests" / f"test_{module}.py").read_text()
    workflow = yaml.safe_load((folder / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step.get("run") for step in workflow["jobs"]["tests"]["steps"]]
    assert steps[-3:] == ["pip install -e '.[test]'", "pytest", f"bpframe check {name}"]
    assert name in (folder / "README.md").read_text()
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "ci.yml":  # which has ${{ ... }} of its own
            assert "$" not in path.read_text(), path
    del sys.modules[module]


@pytest.mark.parametrize("licence", plugin_package.LICENCES)
def test_licence(licence: str, tmp_path: Path, registry: Registry) -> None:
    folder = written(tmp_path, registry, licence=licence, author="Ada Example")
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project.get("license") == (None if licence == "none" else licence)
    assert (folder / "LICENSE").exists() == (licence != "none")
    if licence != "none":
        assert re.search(r"Copyright .*20\d\d Ada Example", (folder / "LICENSE").read_text())


def test_names_are_made_from_the_name_of_the_package() -> None:
    package = NewPackage("Bpframe-Log.Cosh_2")
    assert (package.module, package.component) == ("bpframe_log_cosh_2", "log_cosh_2")
    assert package.class_name == "LogCosh2"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "2fast"}, r"NAME: '2fast' cannot be the name of a package; allowed: letters"),
        ({"name": "../up"}, r"NAME: '../up' cannot be the name"),
        ({"name": "bpframe-class"}, r"cannot be the name"),
        ({"name": "jax"}, r"NAME: 'jax' would shadow the module 'jax', which is installed"),
        ({"name": "bpframe-relu"}, r"'relu' is activation of plugin bpframe:activations already"),
        ({"kind": "activations"}, r"--kind: unknown 'activations'; did you mean 'activation'"),
        ({"licence": "GPL"}, r"--licence: unknown 'GPL'; known: Apache-2.0, BSD-3-Clause, MIT"),
    ],
)
def test_bad_requests_are_one_line_and_write_nothing(
    fields: dict[str, str], message: str, tmp_path: Path, registry: Registry
) -> None:
    with pytest.raises(ConfigError, match=message):
        written(tmp_path, registry, **fields)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, registry: Registry) -> None:
    folder = written(tmp_path, registry)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="my-part: is there already"):
        written(tmp_path, registry, kind="cost")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_kind_may_have_a_name_that_is_taken(tmp_path: Path) -> None:
    folder = written(tmp_path, load_registry(), name="bpframe-relu", kind="cost")
    assert 'return {"relu": Relu}' in (folder / "src/bpframe_relu/__init__.py").read_text()
