"""`bpframe plugins`: what it lists, shows in full and traces."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

import pytest
import test_cli
from test_cli import Main
from test_discovery import HEADER, activation, write

from bpframe.commands.listing import Field, fields
from bpframe.component import Component, hyperparameter
from bpframe.plugin_host import hookspecs
from bpframe.plugin_host.host import API_ATTRIBUTE, BLOCK, HOOKS, TRACE
from bpframe.plugin_host.registry import EVENTS, KINDS, PAIRS, Registry

main = test_cli.main

LISTENER = (
    HEADER
    + '''
@bpframe.hookimpl
def bpframe_run_started(run):
    """Nothing."""


@bpframe.hookimpl
def bpframe_should_stop(run, record):
    return "because [all] is well"
'''
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good plugin, a broken one, a blocked one, a listener, and two rivals."""
    place = tmp_path / "plugins"
    write(place / "good.py", '"""What [good] is for.\n\nAnd more.\n"""\n' + activation("good"))
    write(place / "broken.py", "import no_such_module_at_all  # [oops]\n")
    write(place / "blocked.py", "raise AssertionError('imported')\n")
    write(place / "listener.py", LISTENER)
    write(place / "rival_a.py", activation("contested"))
    write(place / "rival_b.py", activation("contested", slope=2.0))
    monkeypatch.setenv(BLOCK, "blocked")
    return place


def listed(main: Main, *arguments: str) -> Any:
    """What `bpframe plugins --json` prints."""
    ended = main("plugins", *arguments, "--json")
    assert (ended.status, ended.err) == (0, "")
    return json.loads(ended.out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))


def shown(main: Main, *arguments: str) -> str:
    """What `bpframe plugins` prints into a pipe; only plugin heads are wider than 80."""
    ended = main("plugins", *arguments)
    assert (ended.status, ended.err) == (0, "")
    assert "\x1b" not in ended.out
    lines = [line.rstrip() for line in ended.out.splitlines()]
    heads = re.compile(r"\S+(  \S+ \S+)?  (active|disabled|blocked)  from \S+")
    long = [line for line in lines if len(line) > 80]
    assert all(heads.fullmatch(line) for line in long), long
    return "\n".join([*lines, ""])


def words(text: str) -> str:
    """Text without its line breaks."""
    return " ".join(text.split())


def path(folder: Path) -> str:
    return f"plugins.path=[{folder}]"


def test_json_has_every_plugin(main: Main, folder: Path) -> None:
    found = listed(main, path(folder))
    assert found["api_version"] == hookspecs.API_VERSION
    plugins = {plugin["name"]: plugin for plugin in found["plugins"]}
    keys = ["name", "distribution", "version", "origin", "status", "reason", "api_version", "doc"]
    assert all(list(plugin) == [*keys, "hooks", "components"] for plugin in plugins.values())
    points = importlib.metadata.distribution("bpframe").entry_points.select(group="bpframe")
    mine = {"good", "broken", "blocked", "listener", "rival_a", "rival_b"}
    assert set(plugins) == {f"bpframe:{point.name}" for point in points} | mine
    for point in points:
        plugin = plugins[f"bpframe:{point.name}"]
        assert plugin["distribution"] == "bpframe"
        assert plugin["version"] == importlib.metadata.version("bpframe")
        assert (plugin["origin"], plugin["status"], plugin["reason"]) == (
            *(point.value, "active", None),
        )
        assert plugin["api_version"] == hookspecs.API_VERSION
        assert plugin["doc"] == (point.load().__doc__ or "").strip()
    for name in mine:
        assert plugins[name]["origin"] == str(folder / f"{name}.py")
        assert plugins[name]["distribution"] is plugins[name]["version"] is None
    assert plugins["good"]["doc"] == "What [good] is for.\n\nAnd more."
    assert plugins["broken"]["status"] == "disabled"
    assert "no_such_module_at_all" in plugins["broken"]["reason"]
    assert plugins["blocked"]["status"] == "blocked"
    assert plugins["blocked"]["reason"] == f"{BLOCK} names it"
    assert plugins["listener"]["hooks"] == ["bpframe_run_started", "bpframe_should_stop"]
    assert found["conflicts"] == [
        {"kind": "activation", "name": "contested", "plugins": ["rival_a", "rival_b"]}
    ]


def test_json_has_every_component_with_its_fields(main: Main, registry: Registry) -> None:
    found = listed(main)
    components = {
        (component["kind"], component["name"]): (plugin["name"], component)
        for plugin in found["plugins"]
        for component in plugin["components"]
    }
    expected = {
        (kind, " with ".join(name) if kind == PAIRS else name): offer
        for kind in KINDS
        for name, offer in registry.offers[kind].items()
    }
    assert set(components) == set(expected)
    for key, offer in expected.items():
        owner, component = components[key]
        cls = offer.component
        assert owner == offer.plugin
        assert component["class"] == f"{cls.__module__}.{cls.__qualname__}"
        assert component["doc"].startswith((cls.__doc__ or "?").splitlines()[0])
        assert [field["name"] for field in component["fields"]] == [
            field.name for field in dataclasses.fields(cls)
        ]
        for field, described in zip(dataclasses.fields(cls), component["fields"], strict=True):
            required = field.default is dataclasses.MISSING
            assert described["is_required"] == required
            default = field.metadata.get("named") or (None if required else field.default)
            assert described["default"] == json.loads(json.dumps(default))
            assert described["type"]
            bounds, choices = field.metadata.get("bounds", {}), field.metadata.get("choices", ())
            numbers = re.findall(r"(>=|<=|>|<) (\S+)", described["allowed"])
            signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
            assert numbers == [(signs[name], str(bound)) for name, bound in bounds.items()]
            assert not choices or described["allowed"].split(", ") == list(choices)


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (("optimiser", "momentum"), ["mu", "float", 0.9, False, ">= 0 and < 1"]),
        (("schedule", "halve"), ["patience", "int", 10, False, ">= 1"]),
        (("data", "xor"), ["train_size", "int | None", None, False, ">= 1"]),
        (
            ("metric", "confusion_matrix"),
            ["over", "str", "validation", False, "steps, train, validation, test"],
        ),
        (
            ("output_pair", "cross_entropy with sigmoid"),
            ["activation", "Activation", None, True, ""],
        ),
    ],
)
def test_fields_as_users_set_them(main: Main, key: tuple[str, str], field: list[Any]) -> None:
    (component,) = [
        component
        for plugin in listed(main)["plugins"]
        for component in plugin["components"]
        if (component["kind"], component["name"]) == key
    ]
    assert field in [list(described.values()) for described in component["fields"]]


class Odd(Component):
    """Fields with types and defaults of every sort."""

    needed: float = hyperparameter(gt=0, le=1)
    sizes: tuple[int, ...] = (1, 2)
    made: tuple[str, ...] = dataclasses.field(default_factory=lambda: ("a",))
    either: int | None = None


def test_a_default_that_is_made_is_no_missing_one() -> None:
    assert fields(Odd) == [
        Field("needed", "float", None, True, "> 0 and <= 1"),
        Field("sizes", "tuple[int, ...]", (1, 2), False, ""),
        Field("made", "tuple[str, ...]", ("a",), False, ""),
        Field("either", "int | None", None, False, ""),
    ]
    assert [str(field) for field in fields(Odd)] == [
        "needed: float",
        "sizes: tuple[int, ...] = (1, 2)",
        "made: tuple[str, ...] = ('a',)",
        "either: int | None = None",
    ]


def test_text_names_everything(main: Main, registry: Registry) -> None:
    text = shown(main)
    rows = {tuple(line.split()[:2]) for line in text.splitlines() if line.startswith("  ")}
    for kind in KINDS:
        for name in registry.names(kind):
            assert (kind, name[0] if kind == PAIRS else name) in rows
    for plugin in registry.plugins:
        version = importlib.metadata.version("bpframe")
        assert f"{plugin.name}  bpframe {version}  active  from {plugin.origin}\n" in text
    assert "eta: float = 0.1, mu: float = 0.9" in words(text)
    assert "event bpframe_should_stop" in words(text)
    total = sum(len(registry.offers[kind]) for kind in KINDS)
    last = text.splitlines()[-1]
    assert last == f"{total} components; plugins: {len(registry.plugins)} active"


def test_text_tells_of_every_fault(main: Main, folder: Path) -> None:
    text = shown(main, path(folder))
    assert f"broken  disabled  from {folder / 'broken.py'}\n" in text
    reason = "cannot be imported: ModuleNotFoundError: No module named 'no_such_module_at_all'"
    assert reason in words(text)
    assert f"blocked  blocked  from {folder / 'blocked.py'}\n  {BLOCK} names it\n" in text
    assert "conflict activation contested is offered by rival_a and rival_b; choose with " in words(
        text
    )
    assert re.search(r"plugins: \d+ active, 1 disabled, 1 blocked$", text.rstrip())
    preferred = shown(main, path(folder), "plugins.prefer=[rival_b]")
    assert "conflict" not in preferred


def test_hooks_are_documented_and_used_by_a_built_in(main: Main, folder: Path) -> None:
    hooks = {hook["name"]: hook for hook in listed(main, "--hooks", path(folder))}
    assert set(hooks) == set(HOOKS) == {*(kind.hook for kind in KINDS.values()), *EVENTS}
    for name, hook in hooks.items():
        assert hook["doc"] == (getattr(hookspecs, name).__doc__ or "").strip() != ""
        used = any(plugin.startswith("bpframe:") for plugin in hook["plugins"])
        assert used or name == "bpframe_listener"  # which the template of an event uses
        assert hook["signature"].startswith(f"{name}(")
        assert " -> " in hook["signature"]
    assert "listener" in hooks["bpframe_should_stop"]["plugins"]
    assert "good" in hooks["bpframe_activations"]["plugins"]
    text = words(shown(main, "--hooks", path(folder)))
    for name, hook in hooks.items():
        described = f"{name} {words(hook['doc'])} implemented by {', '.join(hook['plugins'])}"
        assert described in text


def test_hooks_that_no_plugin_has(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BLOCK, "costs")
    costs = next(hook for hook in listed(main, "--hooks") if hook["name"] == "bpframe_costs")
    assert costs["plugins"] == []
    assert "implemented by no plugin" in shown(main, "--hooks")


def test_one_plugin_in_full(main: Main, folder: Path) -> None:
    text = shown(main, "good", path(folder))
    assert text.startswith(f"good  active  from {folder / 'good.py'}\n")
    assert "plugin API version: 2" in text
    assert "What [good] is for." in text
    assert "And more." in text
    assert "activation good\n    sigma(z) = slope z.\n" in text
    assert "slope: float = 1.0   allowed: > 0" in text
    assert "bpframe:" not in text
    assert shown(main, str(folder / "good.py"), path(folder)) == text


def test_a_listener_and_a_broken_plugin_in_full(main: Main, folder: Path) -> None:
    text = shown(main, "listener", path(folder))
    assert "event bpframe_run_started" in text
    assert "event bpframe_should_stop" in text
    text = shown(main, "broken", path(folder))
    assert "plugin API version: not declared" in text
    assert "no_such_module_at_all" in text


@pytest.mark.parametrize("word", ["bpframe:optimisers", "optimisers", "bpframe_plugins.optimisers"])
def test_a_built_in_in_full(main: Main, registry: Registry, word: str) -> None:
    text = shown(main, word)
    for name in registry.names("optimiser"):
        assert f"optimiser {name}\n" in text
        doc = registry.offers["optimiser"][name].component.__doc__ or ""
        assert words(doc) in words(text)
    assert "beta1: float = 0.9   allowed: >= 0 and < 1" in text


def test_a_distribution_in_full(main: Main, registry: Registry) -> None:
    text = shown(main, "bpframe")
    heads = re.findall(r"^(bpframe:\S+)  bpframe ", text, re.MULTILINE)
    assert heads == [plugin.name for plugin in registry.plugins]
    assert "(no docstring)" not in text


def test_one_component_in_full(main: Main) -> None:
    text = shown(main, "halve")
    assert text.startswith("bpframe:schedules  bpframe ")
    assert "schedule halve" in text
    assert "patience: int = 10   allowed: >= 1" in text
    assert "chapter 3, exercise on the learning schedule" in words(text)
    assert "cosine" not in text
    assert "output_pair cross_entropy with sigmoid" in shown(main, "cross_entropy with sigmoid")


def test_a_contested_component_is_shown_twice(main: Main, folder: Path) -> None:
    text = shown(main, "contested", path(folder))
    assert re.findall(r"slope: float = (\S+)", text) == ["1.0", "2.0"]
    assert "rival_a  active" in text
    assert "rival_b  active" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["momentun"], "plugins: unknown 'momentun'; did you mean 'momentum'? known: "),
        (["bpframe:cost"], "did you mean 'bpframe:costs'?"),
        (["sgd", "--json"], "command line: NAME and --json or --hooks exclude each other"),
        (
            ["--jason"],
            "unrecognized arguments: --jason; did you mean '--json'? see bpframe plugins --help",
        ),
        (["optimiser.eta=1"], "command line: optimiser.eta=1 has no meaning here; allowed: plug"),
        (["plugins.path=[nowhere]"], "does not exist"),
    ],
)
def test_wrong_arguments_are_one_line(main: Main, arguments: list[str], text: str) -> None:
    ended = main("plugins", *arguments)
    assert (ended.status, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    assert text in ended.err


def test_trace_shows_every_hook_call(
    main: Main, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        folder / "raising.py",
        HEADER + "@bpframe.hookimpl\ndef bpframe_costs():\n    raise RuntimeError('no\\ncosts')\n",
    )
    monkeypatch.setenv(TRACE, "1")
    ended = main("plugins", "--json", path(folder))
    assert ended.status == 0
    lines = ended.err.splitlines()
    assert all(line.startswith("bpframe: ") for line in lines)
    assert "bpframe: good: bpframe_activations returned 1 names: good" in lines
    assert "bpframe: bpframe:regularisers: bpframe_regularisers returned 3 names: none, l2, l1" in (
        lines
    )
    (failure,) = [line for line in lines if line.startswith("bpframe: raising: ")]
    assert "bpframe_costs raised RuntimeError: no costs" in failure
    assert f"({folder / 'raising.py'}, line 6)" in failure
    assert not any("blocked" in line or "broken" in line for line in lines)
    listed_hooks = {
        (plugin["name"], hook)
        for plugin in json.loads(ended.out)["plugins"]
        for hook in plugin["hooks"]
        if hook not in EVENTS
    }
    traced = {tuple(line.split(": ", 2)[1:]) for line in lines}
    assert listed_hooks <= {(name, rest.split()[0]) for name, rest in traced}


@pytest.mark.parametrize("value", ["", "0", None])
def test_no_trace_without_the_variable(
    main: Main, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv(TRACE, value)
    assert main("plugins").err == ""


def test_every_built_in_declares_its_api_version(registry: Registry) -> None:
    assert API_ATTRIBUTE == "BPFRAME_API_VERSION"
    assert {plugin.api_version for plugin in registry.plugins} == {hookspecs.API_VERSION}
