"""`bpframe check`: what it takes for a plugin, what it prints, and how it ends."""

from __future__ import annotations

import importlib.metadata
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import test_cli
from test_cli import Main
from test_discovery import activation, write

from bpframe.plugin_host.host import BLOCK

main = test_cli.main

WRONG = activation("wrong").replace(
    "jnp.full_like(z, self.slope)", "2 * jnp.full_like(z, self.slope)"
)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write(tmp_path / "sound.py", activation("sound"))


@pytest.mark.slow
def test_a_sound_file_passes(main: Main, sound: Path) -> None:
    """Slow: compiles a program."""
    ended = main("check", "sound.py")
    assert (ended.status, ended.err) == (0, "")
    assert "1 plugin, 1 component: " in ended.out
    assert " 0 failed, 0 skipped" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    kinds = [line.split("  ")[0] for line in ended.out.splitlines() if line[:1].strip()]
    assert kinds[:3] == ["kind", "plugin", "activation"]


def test_a_broken_plugin_in_a_folder_fails_and_the_others_are_checked(
    main: Main, sound: Path
) -> None:
    write(sound.parent / "broken.py", "import no_such_module_at_all\n")
    ended = main("check", ".")
    assert ended.status == 1
    assert "failed plugin broken: loads" in ended.out
    assert "No module named 'no_such_module_at_all'" in ended.out
    assert "2 plugins, 1 component" in ended.out


@pytest.mark.slow
def test_a_failure_shows_what_to_look_at(main: Main, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    assert activation("wrong") != WRONG
    write(tmp_path / "wrong.py", WRONG)
    ended = main("check", "wrong.py")
    assert ended.status == 1
    title = "failed activation wrong: derivative equals autodiff"
    (after,) = ended.out.split(title)[1:]
    labels = [line.split(":")[0].strip() for line in after.splitlines()[2:6]]
    assert labels == ["input", "value", "expected", "look at"]
    assert "wrong.py, line " in after.splitlines()[5]


@pytest.mark.slow
@pytest.mark.parametrize(
    "word", ["bpframe:regularisers", "regularisers", "bpframe_plugins.regularisers", "l2"]
)
def test_plugins_are_named_like_everywhere_and_by_their_components(main: Main, word: str) -> None:
    """Slow: compiles a program."""
    ended = main("check", word)
    assert ended.status == 0
    assert "1 plugin, 3 components" in ended.out


def test_a_blocked_plugin_is_a_skip_with_its_reason(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BLOCK, "regularisers")
    ended = main("check", "regularisers")
    assert ended.status == 0
    assert "skipped plugin bpframe:regularisers: loads" in ended.out
    assert f"is blocked: {BLOCK} names it" in ended.out
    assert "0 passed, 0 failed, 1 skipped" in ended.out


def test_the_file_of_an_installed_plugin_is_checked_as_installed(
    main: Main, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not a second time beside itself, as a rival for its own names."""
    points = [*importlib.metadata.entry_points(group="bpframe")]
    points.append(EntryPoint("sound", "sound", "bpframe"))
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda **keys: EntryPoints(points).select(**keys)
    )
    monkeypatch.syspath_prepend(sound.parent)
    try:
        ended = main("check", "sound.py")
    finally:
        sys.modules.pop("sound", None)
    assert ended.status == 0
    assert "1 plugin, 1 component" in ended.out


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bpframe:regulariser", "check: unknown 'bpframe:regulariser'; did you mean 'bpframe:regu"),
        ("no/such/file.py", "file.py does not exist"),
        ("gone.py", "gone.py does not exist"),
        ("notes.txt", "check: notes.txt is not a Python file (NAME.py)"),
        ("empty", "check: empty holds no plugin (NAME.py or NAME/__init__.py)\n"),
        ("package", "; it is a package: pip install -e package, then bpframe check with its name"),
        ("training.epochs=3", "training.epochs=3 has no meaning here"),
    ],
)
def test_bad_input_is_one_line(main: Main, tmp_path: Path, word: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "package" / "pyproject.toml", "[project]\n")
    write(tmp_path / "notes.txt", "no plugin\n")
    ended = main("check", word)
    assert ended.status == 1
    assert ended.out == ""
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.slow
def test_what_looks_like_a_setting_and_is_none_is_told(main: Main, tmp_path: Path) -> None:
    """Slow: checks a plugin."""
    (tmp_path / "scaled.py").write_text(
        "from bpframe import ElementwiseActivation, hookimpl\n"
        "class Scaled(ElementwiseActivation):\n"
        '    """sigma(z) = s z. Source: none."""\n'
        "    s = 2.0\n"
        "    def __call__(self, z):\n        return self.s * z\n"
        "    def prime(self, z):\n        return self.s + 0 * z\n"
        "@hookimpl\ndef bpframe_activations():\n    return {'scaled_by': Scaled}\n"
    )
    ended = main("check", "scaled.py")
    said = "advice: activation scaled_by: s = 2.0 has no annotation, so it is no setting; write"
    assert said in ended.out
