"""A folder that is resumed runs what this user's own commands have run, and no more."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

import pytest
import test_cli
from test_cli import QUICK, Main

from bpframe.configuration import trust
from bpframe.configuration.primary import primary
from bpframe.errors import ConfigError

main = test_cli.main

PLUGIN = """
import pathlib
from bpframe import RunInfo, hookimpl

pathlib.Path("ran").touch()


@hookimpl
def bpframe_run_started(run: RunInfo) -> None:
    pass
"""
RUN = (*QUICK, "training.epochs=2", "plots=false", "checkpoint.epochs=1")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "bpframe" / "code_run_before"


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_a_strangers_folder_runs_no_plugin_unless_it_is_trusted(
    tmp_path: Path, main: Main, plugin: Path, state: Path, kind: str
) -> None:
    """Slow: compiles a program."""
    to = f"hydra.run.dir={tmp_path}/r" if kind == "run" else f"hydra.sweep.dir={tmp_path}/r"
    words = [*RUN, "plugins.path=[mine.py]", to]
    assert main(*(["-m", *words, "seed=0,1"] if kind == "sweep" else words)).status == 0
    assert stat.S_IMODE(state.parent.stat().st_mode) == 0o700
    folder, marker = tmp_path / "r", tmp_path / "ran"
    more = ["training.epochs=3"] if kind == "run" else []
    shutil.copytree(folder, tmp_path / "copy")

    state.unlink()  # another user, to whom the folder was given
    marker.unlink()
    ended = main("resume", str(folder), *more)
    assert ended.status == 1
    assert re.fullmatch(
        rf"bpframe: {folder}: it names code .*: plugins in {plugin}; .* --trust "
        r"\(in Python, trusted=True\)\n",
        ended.err,
    )
    assert not marker.exists()

    ended = main("resume", "--trust", str(folder), *more)
    assert (ended.status, ended.err) == (0, "")
    marker.unlink(missing_ok=True)
    assert main("resume", str(tmp_path / "copy"), *more).status == 0  # it is known from now on


@pytest.mark.slow
def test_ones_own_folder_is_resumed_as_ever(tmp_path: Path, main: Main, plugin: Path) -> None:
    """Slow: runs whole commands."""
    words = [*RUN, "plugins.path=[mine.py]", f"hydra.run.dir={tmp_path}/r"]
    assert main(*words).status == 0
    assert main("resume", "r", "training.epochs=3").status == 0


@pytest.mark.parametrize(
    "setting",
    [
        "hydra.callbacks.own._target_=os.system",
        "+hydra.job.env_set.XLA_FLAGS=x",
        "++hydra.job_logging.handlers.own.class=os.system",
        "hydra.launcher.submitit.python=/tmp/evil",
        "hydra.searchpath=[file:///tmp]",
        "hydra/callbacks@hydra.launcher=evil",
        "hydra={callbacks:{}}",
    ],
)
def test_settings_of_hydra_that_can_run_code_are_asked_for(setting: str) -> None:
    (code,) = trust.code_of(
        (), (), [setting, *RUN, "hydra.sweep.dir=x", "hydra.sweeper.n_trials=3"]
    )
    with pytest.raises(ConfigError, match="--trust"):
        trust.check([code], Path("sweep"))
    trust.note([code])
    trust.check([code], Path("sweep"))


@pytest.mark.slow
def test_a_sweep_with_configs_of_a_stranger_is_not_resumed(
    tmp_path: Path, main: Main, state: Path
) -> None:
    """Slow: runs whole commands."""
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "mine.yaml").write_text("defaults: [config, _self_]\n")
    words = ("--config-dir", str(configs), "--config-name", "mine", "-m", *RUN, "seed=0,1")
    assert main(*words, f"hydra.sweep.dir={tmp_path}/s").status == 0
    assert main("resume", "s").status == 0
    state.unlink()
    ended = main("resume", "s")
    assert ended.status == 1
    assert f"no command of yours has run: configs in {configs}; " in ended.err


def test_the_working_directory_and_links_decide_what_a_path_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    found = set()
    for name in ("one", "other"):
        monkeypatch.chdir(tmp_path / name)
        found |= set(trust.code_of(["p.py"], [], ["hydra.callbacks.x=1"]))
    assert len(found) == 4
    (tmp_path / "one" / "p.py").symlink_to(tmp_path / "real.py")
    monkeypatch.chdir(tmp_path / "one")
    assert trust.code_of(["p.py"]) == [f"plugins in {tmp_path}/real.py"]


@pytest.mark.parametrize("key", ["hydra: {callbacks: {}}", "defaults: [evil]"])
def test_the_config_of_a_run_composes_nothing_else(tmp_path: Path, main: Main, key: str) -> None:
    assert main(*RUN, f"hydra.run.dir={tmp_path}/r").status == 0
    path = tmp_path / "r" / ".hydra" / "config.yaml"
    primary(path)
    path.write_text(f"{path.read_text()}{key}\n")
    with pytest.raises(ConfigError, match="is no configuration of a run"):
        primary(path)


def test_without_a_state_folder_one_is_asked(state: Path) -> None:
    state.parent.parent.write_text("a file where the folder should be")
    trust.note(["plugins in x"])
    with pytest.raises(ConfigError, match="--trust"):
        trust.check(["plugins in x"], Path("run"))
