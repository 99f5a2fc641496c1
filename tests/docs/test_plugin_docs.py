"""docs/plugins.md: its plugins keep the contract and run, and no hook is left out of anything.

Slow are the tests of its examples: each is compiled anew for nearly each check, and for its run.
"""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import jax
import pytest
from test_cli import process

import bpframe
from bpframe.commands import plugin_package
from bpframe.plugin_host import host
from bpframe.plugin_host.host import load_registry
from bpframe.plugin_host.registry import KINDS, PAIRS
from bpframe.testing import FAILED, check_plugins, components, kit, plugins, running, training

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS, re.S)
SECTIONS = dict(re.findall(r"^### (bpframe_\w+)\n(.*?)(?=^##)", DOCS, re.M | re.S))
USE = {
    "activation": "network.activation={}",
    "layer": "network.layers=[{{name: {}, activation: tanh}},{{n: 1, activation: sigmoid}}]",
    "metric": "metrics=[{}]",
    "recorder": "record=[{}]",
    "data": "data={}",
}


def module(code: str) -> types.ModuleType:
    """The plugin that a block of code is, imported once."""
    name = f"docs_example_{EXAMPLES.index(code)}"
    if name not in sys.modules:
        sys.modules[name] = types.ModuleType(name)  # dataclasses look for their module there
        exec(code, vars(sys.modules[name]))
    return sys.modules[name]


def hooks_of(code: str) -> list[str]:
    return [hook for hook in host.HOOKS if f"def {hook}(" in code]


def test_every_hook_has_a_section_with_an_example() -> None:
    assert set(SECTIONS) == set(host.HOOKS)
    for hook, text in SECTIONS.items():
        own_example = any(
            hook in hooks_of(code) for code in re.findall(r"```python\n(.*?)```", text, re.S)
        )
        assert own_example or "(#bpframe_run_started)" in text, hook
    assert {hook for code in EXAMPLES for hook in hooks_of(code)} == set(host.HOOKS)


def test_every_hook_has_a_user_that_is_shipped() -> None:
    """A built-in plugin, or the template of `bpframe new-plugin`."""
    registry = load_registry()
    used = {
        KINDS[kind].hook for p in registry.plugins for kind, offers in p.offers.items() if offers
    }
    used |= {hook for plugin in registry.plugins for hook in plugin.listeners}
    used |= set(hooks_of((ROOT / "bpframe/templates/kinds/event.template").read_text()))
    assert used == set(host.HOOKS)


@pytest.mark.parametrize("hook", host.HOOKS)
def test_every_hook_has_a_test(hook: str) -> None:
    """Some test file other than this one implements the hook."""
    others = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "test_plugin_docs.py"]
    assert any(re.search(rf"\b{hook}\b", path.read_text(encoding="utf-8")) for path in others)


@pytest.mark.slow
@pytest.mark.share(3)
@pytest.mark.parametrize("code", EXAMPLES, ids=["-".join(hooks_of(code)) for code in EXAMPLES])
def test_examples_keep_the_contract(code: str) -> None:
    report = check_plugins(module(code))
    assert report.is_good, [outcome for outcome in report.outcomes if outcome.status == FAILED]
    assert len(report.outcomes) >= 4


def _uses(code: str) -> list[tuple[str, str]]:
    """(kind, name) of what an example offers to an experiment."""
    registry = load_registry([module(code)])
    offers = registry.plugins[-1].offers
    return [
        (kind, name) for kind in KINDS if kind not in (PAIRS, "tracker") for name in offers[kind]
    ]


@pytest.mark.slow
@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("code", "kind", "name"),
    [(code, kind, name) for code in EXAMPLES for kind, name in _uses(code)],
)
def test_examples_train(code: str, kind: str, name: str) -> None:
    chosen = USE.get(kind, f"{kind}={{}}").format(name)
    overrides = [chosen, "training.epochs=1"]
    if kind != "data":
        overrides += ["data=xor", "training.batch_size=4"]
    if kind not in ("data", "layer"):
        overrides += ["network.hidden=[4,3]"]
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        result = bpframe.run(bpframe.compose(overrides, plugins=[module(code)]))
    assert result.summary.status == "completed"


@pytest.mark.slow
def test_the_tracker_example_writes_its_file(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    (code,) = [code for code in EXAMPLES if "bpframe_trackers" in hooks_of(code)]
    experiment = bpframe.compose(["data=xor", "training.batch_size=4", "training.epochs=2"])
    tracker = {"name": "lines", "file": str(tmp_path / "all.jsonl")}
    bpframe.run(experiment, tmp_path / "run", plugins=[module(code)], trackers=[tracker])
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [(line["run"], line["eta"], line["epoch"]) for line in lines] == [
        ("run", 0.5, 1),
        ("run", 0.5, 2),
    ]
    assert all(line["train_cost"] > 0 for line in lines)


@pytest.mark.slow
def test_the_events_example_writes_its_file(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    (code,) = [code for code in EXAMPLES if "bpframe_run_finished" in hooks_of(code)]
    experiment = bpframe.compose(["data=xor", "training.batch_size=4", "training.epochs=2"])
    bpframe.run(experiment, tmp_path / "run", plugins=[module(code)])
    written = (tmp_path / "run" / "stopwatch.txt").read_text()
    assert re.fullmatch(r"2 epochs, \d+\.\d{3} s, completed\n", written)


@pytest.mark.slow
def test_the_listener_example_keeps_the_runs_of_a_sweep_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: runs whole commands."""
    (code,) = [code for code in EXAMPLES if "bpframe_listener" in hooks_of(code)]
    (tmp_path / "gaps.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    done = process(
        *(tmp_path, "-m", "plugins.path=[gaps.py]", "data=xor", "training.batch_size=4"),
        *("training.epochs=2", "seed=0,1,2", "hydra.sweep.dir=sweep"),
    )
    assert done.returncode == 0, done.stderr
    written = {(tmp_path / "sweep" / str(num) / "gaps.csv").read_text() for num in range(3)}
    assert len(written) == 3
    for text in written:
        assert [line.partition(",")[0] for line in text.splitlines()] == ["epoch", "1", "2"]


@pytest.mark.slow
def test_the_mistake_in_the_tutorial_is_reported_as_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the factor omega left out, the failure is the one that is printed there.

    Slow: compiles a program.
    """
    code = EXAMPLES[0].replace("self.omega * jnp.cos", "jnp.cos")
    assert code != EXAMPLES[0]
    (tmp_path / "sine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    registry = load_registry(paths=["sine.py"])
    chosen = [plugin for plugin in registry.plugins if plugin.name == "sine"]
    (failed,) = [
        outcome
        for outcome in running.run(kit.cases(registry, chosen))
        if outcome.check == "derivative equals autodiff"
    ]
    (quoted,) = re.findall(r"```text\nfailed (.*?)```", DOCS, re.S)
    title, *lines = quoted.splitlines()
    assert title == f"{failed.kind} {failed.component}: {failed.check}"
    assert [line.removeprefix("    ") for line in lines] == failed.detail.splitlines()


def test_the_list_of_checks_is_the_kits() -> None:
    table = DOCS.split("### What is checked")[1].split("## Where plugins come from")[0]
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (.*) \|$", table, re.M))
    every = {check.name for check in (*components.STRUCTURE, *training.CHECKS)}
    every |= {check.name for check in (*components.COMPILED, *components.PURE)}
    expected: dict[str, Any] = {
        kind.replace("_", " "): {c.name for c in checks} - every
        for kind, checks in kit.CHECKS.items()
    }
    expected["data"] = {check.name for check in kit.CHECKS["data"]} - every
    expected["plugin"] = {check.name for check in plugins.CHECKS}
    for kind, names in expected.items():
        assert set(rows[kind].split("; ")) == names, kind


def test_new_plugin_is_described_with_every_kind_and_licence() -> None:
    text = DOCS.split("`bpframe new-plugin NAME --kind KIND` knows")[1].split("\n\n")[0]
    assert set(re.findall(r"`([\w.-]+)`", text)) == {
        *plugin_package.KINDS,
        *plugin_package.LICENCES,
    }
