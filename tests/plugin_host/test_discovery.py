"""Where plugins are looked for, and a broken one among good ones."""

from __future__ import annotations

import hashlib
import os
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import bpframe
from bpframe import ConfigError, PluginError, hookimpl
from bpframe.errors import PluginWarning
from bpframe.plugin_host.discovery import PATH_VARIABLE, in_files
from bpframe.plugin_host.hookspecs import API_VERSION
from bpframe.plugin_host.host import BLOCK, LOAD, load_registry, warn_of_faults
from bpframe.plugin_host.registry import ACTIVE, BLOCKED, DISABLED, KINDS, Plugin, Registry

HEADER = "import jax.numpy as jnp\nimport bpframe\nBPFRAME_API_VERSION = 2\n"
ACTIVATION = '''
class {title}(bpframe.ElementwiseActivation):
    """sigma(z) = slope z."""

    slope: float = bpframe.hyperparameter(default={slope}, gt=0)

    def __call__(self, z):
        return self.slope * z

    def prime(self, z):
        return jnp.full_like(z, self.slope)


@bpframe.hookimpl
def bpframe_activations():
    return {{"{name}": {title}}}
'''
TINY = ("data=xor", "network.hidden=[2]", "training.batch_size=4", "training.epochs=1")


def activation(name: str, slope: float = 1.0) -> str:
    """The source of a plugin that offers one activation."""
    return HEADER + ACTIVATION.format(name=name, title=name.title(), slope=slope)


def write(path: Path, source: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    return path


def written(folder: Path, *names: str) -> Path:
    """A folder with a plugin for each name, NAME.py with the activation NAME."""
    for name in names:
        write(folder / f"{name}.py", activation(name))
    return folder


def loaded(*paths: Path, **settings: Any) -> Registry:
    return load_registry(paths=[str(path) for path in paths], **settings)


def found(*paths: Path) -> list[str]:
    return [plugin.name for plugin in in_files([str(path) for path in paths])]


def called(registry: Registry, name: str) -> Plugin:
    """The one plugin of that name."""
    (plugin,) = [plugin for plugin in registry.plugins if plugin.name == name]
    return plugin


def get(registry: Registry, name: str) -> type[Any]:
    return registry.get("activation", name, "network.activation")


def refusal(registry: Registry, name: str, kind: str = "activation") -> str:
    """The message of the error for a name that cannot be chosen; it is one line."""
    with pytest.raises(ConfigError) as caught:
        registry.get(kind, name, "here")
    message = str(caught.value)
    assert message == message.splitlines()[0]
    assert message.startswith("here: ")
    return message


def in_path_variable(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    monkeypatch.setenv(PATH_VARIABLE, os.pathsep.join(map(str, paths)))


def test_a_file_and_a_folder_are_plugins(tmp_path: Path) -> None:
    written(tmp_path / "folder", "two", "one")
    write(tmp_path / "three.py", activation("three"))
    registry = loaded(tmp_path / "folder", tmp_path / "three.py")
    assert found(tmp_path / "folder", tmp_path / "three.py") == ["one", "two", "three"]
    for name in ("one", "two", "three"):
        plugin = called(registry, name)
        assert (plugin.status, plugin.distribution, plugin.version) == (ACTIVE, None, None)
        assert plugin.api_version == API_VERSION
        assert Path(plugin.origin).name == f"{name}.py"
        assert get(registry, name)().slope == 1.0
    assert "sigmoid" in registry.names("activation")


def test_packages_in_folders_and_a_folder_that_is_one(tmp_path: Path) -> None:
    source = "from .inside import *\nfrom .inside import bpframe_activations\n"
    for place in (tmp_path / "folder" / "packed", tmp_path / "alone"):
        write(place / "__init__.py", '"""Packed."""\n' + source)
        write(place / "inside.py", activation(place.name))
    write(tmp_path / "folder" / "no_package" / "inner.py", activation("inner"))
    registry = loaded(tmp_path / "folder", tmp_path / "alone")
    assert found(tmp_path / "folder", tmp_path / "alone") == ["packed", "alone"]
    for name in ("packed", "alone"):
        assert called(registry, name).status == ACTIVE
        assert called(registry, name).doc == "Packed."
        assert get(registry, name).__module__.endswith(f"_{name}.inside")


def test_what_a_folder_leaves_out(tmp_path: Path) -> None:
    written(tmp_path, "_private", "test_mine", "conftest", "mine")
    write(tmp_path / ".hidden.py", activation("hidden"))
    write(tmp_path / "_package" / "__init__.py", activation("package"))
    write(tmp_path / "notes.txt", "no plugin\n")
    assert found(tmp_path) == ["mine"]
    assert found(tmp_path / "_private.py", tmp_path / "test_mine.py") == ["_private", "test_mine"]


def test_a_file_that_is_given_twice_is_one_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "folder", "mine")
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    in_path_variable(monkeypatch, folder, Path("folder/mine.py"))
    registry = loaded(folder / "mine.py", tmp_path / "link", Path("folder"))
    assert called(registry, "mine").origin == str(folder / "mine.py")
    assert not registry.conflicts


def test_the_variable_takes_several_paths_and_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "home", "first")
    written(tmp_path / "other", "second")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(PATH_VARIABLE, f"~/first.py{os.pathsep}{os.pathsep}{tmp_path / 'other'}")
    assert found(tmp_path / "other", tmp_path / "home") == ["first", "second"]
    monkeypatch.setenv(PATH_VARIABLE, "")
    assert found() == []


@pytest.mark.parametrize("name", ["jax", "numpy", "bpframe", "not_imported_yet"])
def test_a_file_shadows_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write(tmp_path / "real" / "not_imported_yet.py", "IS_REAL = True\n")
    monkeypatch.syspath_prepend(tmp_path / "real")
    before = sys.modules.get(name)
    folder = written(tmp_path / "plugins", name)
    write(folder / "user.py", f"import {name} as real\n" + activation("user"))
    path = list(sys.path)
    registry = loaded(folder)
    assert called(registry, name).status == ACTIVE
    assert get(registry, name)().slope == 1.0
    module: Any = sys.modules[get(registry, "user").__module__].real  # pyright: ignore
    assert module is sys.modules[name]
    assert before is None or module is before
    assert Path(module.__file__).parent != folder
    assert sys.path == path
    monkeypatch.delitem(sys.modules, "not_imported_yet", raising=False)


def test_nothing_is_loaded_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "mine")
    written(tmp_path / "plugins", "others")
    monkeypatch.chdir(tmp_path)
    before = load_registry()
    assert not {"mine", "others"} & {plugin.name for plugin in before.plugins}
    assert "mine" not in before.names("activation")
    assert "mine" in loaded(Path()).names("activation")


@pytest.mark.parametrize("setting", ["plugins.path", PATH_VARIABLE])
@pytest.mark.parametrize(
    ("name", "text"),
    [("nowhere", "does not exist; give Python files, or folders"), ("a.txt", "not a Python file")],
)
def test_a_path_that_is_no_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, name: str, text: str
) -> None:
    (tmp_path / "a.txt").write_text("no plugin")
    path = tmp_path / name
    if setting == PATH_VARIABLE:
        in_path_variable(monkeypatch, path)
    with pytest.raises(ConfigError) as caught:
        load_registry(paths=[] if setting == PATH_VARIABLE else [str(path)])
    message = str(caught.value)
    assert message.startswith(f"{setting}: {path} ")
    assert text in message
    assert len(message.splitlines()) == 1


def test_an_edited_file_is_loaded_again_and_no_other(tmp_path: Path) -> None:
    edited = write(tmp_path / "edited.py", activation("edited", slope=1))
    kept = write(tmp_path / "kept.py", activation("kept"))
    before = loaded(tmp_path)
    # The same size and the same second, so that Python's own bytecode would count as current.
    edited.write_text(activation("edited", slope=2))
    os.utime(edited, (0, 0))
    kept.touch()
    again = loaded(tmp_path)
    assert get(again, "kept") is get(before, "kept")
    assert get(again, "edited") is not get(before, "edited")
    assert (get(before, "edited")().slope, get(again, "edited")().slope) == (1.0, 2.0)
    edited.write_text(activation("edited", slope=3))
    os.utime(edited, (0, 0))
    assert get(loaded(tmp_path), "edited")().slope == 3.0


def test_an_edited_module_of_a_package_is_loaded_again(tmp_path: Path) -> None:
    package = tmp_path / "packed"
    write(package / "__init__.py", "from .inside import bpframe_activations\n")
    inside = write(package / "inside.py", activation("packed", slope=1))
    os.utime(inside, (0, 0))
    before = get(loaded(package), "packed")
    assert get(loaded(package), "packed") is before
    inside.write_text(activation("packed", slope=2))
    os.utime(inside, (0, 0))
    assert get(loaded(package), "packed")().slope == 2.0
    write(package / "__init__.py", "from .more import bpframe_activations\n")
    write(package / "more.py", activation("packed", slope=3))
    assert get(loaded(package), "packed")().slope == 3.0


def test_a_file_that_is_mended_is_loaded(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", "raise ValueError(1)\n" + activation("mine"))
    os.utime(file, (0, 0))
    assert called(loaded(file), "mine").status == DISABLED
    file.write_text("pass # (ValueError)\n" + activation("mine"))
    os.utime(file, (0, 0))
    assert called(loaded(file), "mine").status == ACTIVE


@pytest.mark.parametrize("words", ["mine", "{folder}/mine.py", " other , MINE ,"])
def test_plugins_that_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    written(tmp_path, "mine", "other")
    write(tmp_path / "trap.py", "raise AssertionError('it was imported')\n")
    monkeypatch.setenv(LOAD, words.format(folder=tmp_path))
    registry = loaded(tmp_path)
    expected = {"mine", "other"} if "other" in words else {"mine"}
    assert {p.name for p in registry.plugins if p.status == ACTIVE} == expected
    assert {p.status for p in registry.plugins if p.name not in expected} == {BLOCKED}
    assert called(registry, "trap").reason == f"{LOAD} does not name it"
    assert set(registry.names("activation")) == expected
    assert not any(registry.offers[kind] for kind in KINDS if kind != "activation")


@pytest.mark.parametrize("word", ["bpframe:costs", "costs", "bpframe_plugins.costs"])
def test_built_ins_can_be_blocked_one_by_one(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv(BLOCK, word)
    registry = load_registry()
    blocked = called(registry, "bpframe:costs")
    assert (blocked.status, blocked.reason) == (BLOCKED, f"{BLOCK} names it")
    assert not registry.names("cost")
    assert not registry.offers["output_pair"]
    assert "sigmoid" in registry.names("activation")
    none = r"^cost: unknown 'cross_entropy'; no cost can be chosen; .* blocked are bpframe:costs$"
    with pytest.raises(ConfigError, match=none):
        bpframe.compose()
    with pytest.raises(ConfigError, match=r"^here: unknown 'huber'.* blocked are bpframe:costs$"):
        registry.get("cost", "huber", "here")


def test_a_distribution_is_blocked_or_allowed_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path, "mine")
    monkeypatch.setenv(BLOCK, "bpframe")
    assert [p.name for p in loaded(folder).plugins if p.status == ACTIVE] == ["mine"]
    monkeypatch.delenv(BLOCK)
    monkeypatch.setenv(LOAD, "bpframe")
    registry = loaded(folder)
    assert {p.distribution for p in registry.plugins if p.status == ACTIVE} == {"bpframe"}
    assert called(registry, "mine").status == BLOCKED
    monkeypatch.setenv(LOAD, "")
    assert {p.status for p in loaded(folder).plugins} == {BLOCKED}


def test_unknown_names_in_the_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "mine")
    monkeypatch.setenv(BLOCK, "no_such_plugin")
    assert called(loaded(tmp_path), "mine").status == ACTIVE
    monkeypatch.setenv(LOAD, "bpframe,mime")
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path)
    assert str(caught.value).startswith(f"{LOAD}: unknown plugin 'mime'; did you mean 'mine'?")
    assert "known: bpframe:activations, " in str(caught.value)


def test_asking_for_something_of_a_blocked_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was never imported, so that no one knows what it offers."""
    monkeypatch.setenv(BLOCK, "mine")
    message = refusal(loaded(written(tmp_path, "mine")), "mine")
    assert message.startswith("here: unknown 'mine'")
    assert message.endswith("; plugins that may offer it are not active: blocked are mine")


# Ten plugins in a folder.

COMPONENTS = {
    "act": activation("act"),
    "cost": """
        class Halved(bpframe.Cost):
            def __call__(self, a, y):
                return jnp.sum((a - y) ** 2) / 4

            def prime(self, a, y):
                return (a - y) / 2

        @bpframe.hookimpl
        def bpframe_costs():
            return {"halved": Halved}
    """,
    "opt": """
        class Plain(bpframe.Optimiser):
            eta: float = 0.25

            def init(self, params):
                return ()

            def update(self, gradient, state, params, step):
                return bpframe.gradient_descent_step(params, gradient, self.eta), state

        @bpframe.hookimpl
        def bpframe_optimisers():
            return {"plain": Plain}
    """,
    "init": """
        class Ones(bpframe.Initialiser):
            def __call__(self, key, shape, n_in, n_out):
                return bpframe.Params(jnp.ones(shape), jnp.ones(n_out))

            def variance(self, n_in, n_out):
                return 0.0

        @bpframe.hookimpl
        def bpframe_initialisers():
            return {"ones": Ones}
    """,
    "reg": """
        class Free(bpframe.Regulariser):
            def cost(self, params):
                return jnp.zeros((), params[0].w.dtype)

            def gradient(self, params):
                return tuple(bpframe.Params(0 * w, 0 * b) for w, b in params)

        @bpframe.hookimpl
        def bpframe_regularisers():
            return {"free": Free}
    """,
    "rule": """
        class Mute(bpframe.LearningRule):
            def init(self, key, params, shapes):
                return (None,) * (len(params) - 1)

            def carry(self, state, step):
                return jnp.zeros_like(step.a)

        @bpframe.hookimpl
        def bpframe_learning_rules():
            return {"mute": Mute}
    """,
    "met": """
        class Seven(bpframe.MeanMetric):
            def measure(self, seen):
                return jnp.full(seen.y.shape[0], 7, seen.y.dtype)

        @bpframe.hookimpl
        def bpframe_metrics():
            return {"seven": Seven}
    """,
    "sched": """
        class Tenth(bpframe.Schedule):
            def init(self, dtype):
                return ()

            def factor(self, state, progress):
                return jnp.full_like(progress.epoch, 0.1)

            def update(self, state, result):
                return state

        @bpframe.hookimpl
        def bpframe_schedules():
            return {"tenth": Tenth}
    """,
    "stop": """
        class AtOnce(bpframe.Stopping):
            def init(self, dtype):
                return ()

            def update(self, state, result):
                return state, jnp.ones((), bool)

        @bpframe.hookimpl
        def bpframe_stopping():
            return {"at_once": AtOnce}
    """,
}
OFFERED = {
    "act": ("activation", "act"),
    "cost": ("cost", "halved"),
    "opt": ("optimiser", "plain"),
    "init": ("initialiser", "ones"),
    "reg": ("regulariser", "free"),
    "rule": ("learning_rule", "mute"),
    "met": ("metric", "seven"),
    "sched": ("schedule", "tenth"),
    "stop": ("stopping", "at_once"),
}
ALL_NINE = (
    *("network.activation=act", "cost=halved", "optimiser=plain", "initialiser=ones"),
    *("regulariser=free", "learning_rule=mute", "metrics=[seven]", "schedule=tenth"),
    *("stopping=at_once", "data=xor", "network.hidden=[2]", "training.batch_size=4"),
    *("training.epochs=3", "training.dtype=float64"),
)


class Broken(NamedTuple):
    """A plugin with a fault: its source, what is said of it, and what a run may ask of it."""

    source: str
    reason: str
    asked: str = "tenth_of_ten"


BROKEN: Mapping[str, Broken] = {
    "import error": Broken(
        "import no_such_module_at_all\n",
        "cannot be imported: ModuleNotFoundError: No module named 'no_such_module_at_all' "
        "({file}, line 1)",
    ),
    "syntax error": Broken(
        "def (:\n", "cannot be imported: SyntaxError: invalid syntax ({file}, line 1)"
    ),
    "exit": Broken(
        "import sys\nsys.exit('enough')\n",
        "cannot be imported: SystemExit: enough ({file}, line 2)",
    ),
    "raising hook": Broken(
        HEADER + "@bpframe.hookimpl\ndef bpframe_activations():\n    raise KeyError('lost')\n",
        "hook bpframe_activations raised KeyError: 'lost' ({file}, line 6)",
    ),
    "wrong type": Broken(
        activation("tenth_of_ten").replace('"tenth_of_ten": ', '"tenth_of_ten": 3 or '),
        "hook bpframe_activations: 'tenth_of_ten' is 3; expected a subclass of Activation",
    ),
    "misspelt hook": Broken(
        activation("tenth_of_ten").replace("bpframe_activations", "bpframe_activation"),
        "unknown hook 'bpframe_activation'; did you mean 'bpframe_activations'?",
    ),
    "future": Broken(
        activation("tenth_of_ten").replace("VERSION = 2", f"VERSION = {API_VERSION + 1}"),
        f"was written for version {API_VERSION + 1} of the plugin API, and this bpframe has "
        f"version {API_VERSION}; upgrade bpframe",
    ),
}


def nine(folder: Path) -> Path:
    for name, source in COMPONENTS.items():
        text = textwrap.dedent(source)
        write(folder / f"{name}.py", text if text.startswith(HEADER) else HEADER + text)
    return folder


def check_nine(registry: Registry, folder: Path) -> None:
    for name, (kind, component) in OFFERED.items():
        plugin = called(registry, name)
        assert (plugin.status, plugin.origin) == (ACTIVE, str(folder / f"{name}.py"))
        cls = registry.get(kind, component, kind)
        assert issubclass(cls, KINDS[kind].contract)
        assert cls() == cls()


@pytest.mark.share(3)
@pytest.mark.parametrize("fault", BROKEN)
def test_nine_plugins_work_beside_a_broken_one(tmp_path: Path, fault: str) -> None:
    broken = BROKEN[fault]
    file = write(nine(tmp_path) / "tenth.py", broken.source)
    reason = broken.reason.format(file=file)
    registry = loaded(tmp_path)
    check_nine(registry, tmp_path)
    (tenth,) = registry.disabled
    assert (tenth.name, tenth.status) == ("tenth", DISABLED)
    assert (tenth.origin, tenth.reason) == (str(file), reason)
    with pytest.warns(PluginWarning) as warned:
        warn_of_faults(registry)
    assert [str(warning.message) for warning in warned] == [
        f"plugin tenth ({file}) is disabled: {reason}"
    ]
    message = refusal(registry, broken.asked)
    assert f"tenth ({file})" in message
    assert reason in message
    with (
        pytest.warns(PluginWarning, match="plugin tenth .* is disabled"),
        pytest.raises(ConfigError) as caught,
    ):
        bpframe.compose([f"plugins.path=[{tmp_path}]", f"network.activation={broken.asked}"])
    assert str(caught.value).startswith("network.activation: ")
    assert f"tenth ({file})" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.slow
def test_nine_plugins_train_beside_a_broken_one(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    write(nine(tmp_path) / "tenth.py", BROKEN["exit"].source)
    with pytest.warns(PluginWarning, match="tenth"):
        experiment = bpframe.compose([f"plugins.path=[{tmp_path}]", *ALL_NINE])
    result = bpframe.run(experiment)
    summary = result.summary
    assert (summary.status, summary.epochs) == ("completed", 1)
    assert summary.stopped == "by stopping rule AtOnce()"
    assert summary.metrics == {"seven.steps": 7.0}
    # All ones at the start; the hidden layer hears nothing; eta is 0.25 times 0.1; y is XOR.
    x, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [1], [1], [0]])
    hidden = x @ np.ones((2, 2)) + 1
    a = 1 / (1 + np.exp(-(hidden @ np.ones((2, 1)) + 1)))
    delta = (a - y) / 2 * a * (1 - a)
    (w2, b2), (w3, b3) = (jax.tree.map(np.asarray, layer) for layer in result.params)
    np.testing.assert_array_equal(w2, np.ones((2, 2)))
    np.testing.assert_array_equal(b2, np.ones(2))
    np.testing.assert_allclose(w3, 1 - 0.025 * delta.T @ hidden / 4, rtol=1e-12)
    np.testing.assert_allclose(b3, 1 - 0.025 * delta.mean(axis=0), rtol=1e-12)


@pytest.mark.slow
def test_a_duplicate_name_among_ten(tmp_path: Path) -> None:
    """The eighth way: the name cannot be chosen until one of the two is preferred.

    Slow: runs whole commands.
    """
    file = write(nine(tmp_path) / "tenth.py", activation("act", slope=4))
    registry = loaded(tmp_path)
    assert not registry.disabled
    assert "act" not in registry.names("activation")
    for kind, component in OFFERED.values():
        assert kind == "activation" or registry.get(kind, component, kind)
    both = f"act ({tmp_path / 'act.py'}) and tenth ({file})"
    with pytest.warns(PluginWarning) as warned:
        warn_of_faults(registry)
    assert [str(warning.message) for warning in warned] == [
        f"activation 'act' cannot be chosen, as it is offered by {both}; see plugins.prefer"
    ]
    message = refusal(registry, "act")
    assert f"activation 'act' is offered by several plugins: {both}" in message
    assert "plugins.prefer=[act]" in message
    check_nine(loaded(tmp_path, prefer=["act"]), tmp_path)
    assert get(loaded(tmp_path, prefer=["act"]), "act")().slope == 1.0
    assert get(loaded(tmp_path, prefer=["tenth", "act"]), "act")().slope == 4.0


def test_prefer_in_a_config(tmp_path: Path) -> None:
    for folder, slope in (("a", 1), ("b", 2)):
        write(tmp_path / folder / f"from_{folder}.py", activation("twice", slope))
    overrides = [f"plugins.path=[{tmp_path}/a,{tmp_path}/b]", "network.activation=twice"]
    with (
        pytest.warns(PluginWarning, match="'twice' cannot be chosen"),
        pytest.raises(ConfigError, match=r"network.activation: activation 'twice' is offered by"),
    ):
        bpframe.compose(overrides)
    chosen = bpframe.compose([*overrides, "plugins.prefer=[from_b]"]).network.layers[0].activation
    assert chosen == type(chosen)(slope=2.0)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ConfigError, match=r"plugins.prefer: unknown plugin 'from_c'; did you mean"):
        bpframe.compose([*overrides, "plugins.prefer=[from_c]"])


def test_two_files_of_one_name(tmp_path: Path) -> None:
    """The second is disabled, as nothing could tell the two apart."""
    written(tmp_path / "a", "mine")
    write(tmp_path / "b" / "mine.py", activation("another"))
    registry = loaded(tmp_path / "a", tmp_path / "b")
    first, second = (plugin for plugin in registry.plugins if plugin.name == "mine")
    assert (first.status, second.status) == (ACTIVE, DISABLED)
    assert second.reason == "another plugin has its name; rename one of them"
    refused = registry.without("mine", "of something else")
    assert [p.reason for p in refused.disabled] == ["of something else", second.reason]


def test_a_fault_in_a_field_disables_a_file_alone(tmp_path: Path) -> None:
    written(tmp_path, "good")
    source = activation("bad").replace(
        "slope: float = ", "other: complex = 1j\n    slope: float = "
    )
    write(tmp_path / "bad.py", source)
    overrides = [f"plugins.path=[{tmp_path}]", *TINY]
    with pytest.warns(PluginWarning, match=r"plugin bad .* a field that a config cannot hold"):
        bpframe.compose([*overrides, "network.activation=good"])
    with (
        pytest.warns(PluginWarning, match="bad"),
        pytest.raises(ConfigError, match=r"'bad' is offered by plugin bad .* disabled: .*cannot"),
    ):
        bpframe.compose([*overrides, "network.activation=bad"])


def test_a_module_that_fails_when_it_is_looked_at(tmp_path: Path) -> None:
    source = "def __getattr__(name):\n    raise RuntimeError(f'no {name}')\n"
    file = write(written(tmp_path, "good") / "lazy.py", source)
    registry = loaded(tmp_path)
    assert called(registry, "good").status == ACTIVE
    assert called(registry, "lazy").reason == (
        f"cannot be read: RuntimeError: no BPFRAME_API_VERSION ({file}, line 2)"
    )


def test_a_mapping_that_fails() -> None:
    class Offers(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("no items")

    class Faulty:
        @hookimpl
        def bpframe_activations(self) -> Any:
            return Offers()

    with pytest.raises(PluginError, match=r"plugin .*Faulty: cannot be read: RuntimeError: no it"):
        load_registry([Faulty()])


@pytest.mark.parametrize("version", ["0", "'1'", "True", "1.0"])
def test_an_api_version_that_is_none(tmp_path: Path, version: str) -> None:
    source = activation("mine").replace("VERSION = 2", f"VERSION = {version}")
    plugin = called(loaded(write(tmp_path / "mine.py", source)), "mine")
    assert plugin.reason == f"BPFRAME_API_VERSION is {version}; expected a number such as 2"


def test_a_plugin_need_not_declare_a_version(tmp_path: Path) -> None:
    source = activation("mine").replace("BPFRAME_API_VERSION = 2\n", "")
    plugin = called(loaded(write(tmp_path / "mine.py", source)), "mine")
    assert (plugin.status, plugin.api_version) == (ACTIVE, None)


def test_a_plugin_without_hooks_offers_nothing(tmp_path: Path) -> None:
    plugin = called(loaded(write(tmp_path / "empty.py", "x = 1\n")), "empty")
    assert plugin.status == DISABLED
    assert str(plugin.reason).startswith("has no hook, so it offers nothing")


def test_a_script_that_loads_plugins_itself_does_not_go_in_circles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is imported once, finds itself disabled, and offers nothing in the end."""
    monkeypatch.setenv("BPFRAME_PLUGINS_PATH", str(tmp_path))
    source = """
        import bpframe, warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            experiment = bpframe.compose(["data=xor", "training.batch_size=4"])
        """
    write(tmp_path / "script.py", source)
    registry = load_registry()
    assert called(registry, "script").reason == (
        "has no hook, so it offers nothing; see `bpframe plugins --hooks`"
    )


@pytest.mark.slow
def test_summary_tells_the_versions_of_plugins(tmp_path: Path) -> None:
    """A file by its path and the hash of the code that ran; the built-ins are bpframe's own.

    Slow: compiles a program.
    """
    file = write(tmp_path / "mine.py", activation("mine"))
    common = ["data=xor", "training.batch_size=4", "training.epochs=1"]
    mine = [f"plugins.path=[{file}]", "network.activation=mine"]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()

    def edit(record: bpframe.EpochRecord) -> None:
        write(file, activation("mine", slope=2.0))

    composed = bpframe.compose([*common, *mine])
    versions = bpframe.run(composed, on_epoch=edit).summary.versions
    assert versions[str(file)] == f"sha256:{digest}"
    plain = bpframe.run(bpframe.compose(common)).summary.versions
    assert set(versions) - set(plain) == {str(file)}
