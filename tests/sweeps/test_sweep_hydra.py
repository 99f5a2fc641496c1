"""Hydra's own suite for launchers, with the tasks of other programs than bpframe."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hydra import version
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite
from hydra.version import VersionBase

from bpframe.sweeps.errors import FailedJobsError

# The suite's programs name no version_base, and Hydra warns of that.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

LAUNCHER = "vmap"


@pytest.fixture(autouse=True)
def as_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of bpframe's use of Hydra is seen here, and nothing from here elsewhere.

    A launcher sets logging up, which closes the stream that pytest captures, and sets JAX up.
    """
    before = VersionBase.instance().version_base
    version.setbase("1.1")  # what programs get that name no version_base
    monkeypatch.setattr(logging, "shutdown", lambda handlers=(): None)
    monkeypatch.setattr("bpframe.training.compilation.use_cache", lambda: None)
    monkeypatch.setattr("bpframe.sweeps.launching.parallel.make_cores_devices", lambda: None)
    yield
    VersionBase.instance().version_base = before


def test_hydra_finds_the_plugins() -> None:
    found = [*Plugins.instance().discover(Launcher), *Plugins.instance().discover(Sweeper)]
    names = {f"{cls.__module__}.{cls.__name__}" for cls in found}
    assert {"hydra_plugins.bpframe.VmapLauncher", "hydra_plugins.bpframe.GridSweeper"} <= names


@pytest.mark.parametrize("launcher_name", [LAUNCHER])
@pytest.mark.parametrize("overrides", [["hydra/sweeper=grid"]], ids=["grid"])
class TestLauncher(LauncherTestSuite):
    """As the launcher of bpframe's own sweeper."""


@pytest.mark.slow
@pytest.mark.parametrize("launcher_name", [LAUNCHER])
@pytest.mark.parametrize("overrides", [[]])
class TestLauncherOfTheBasicSweeper(LauncherTestSuite):
    """Slow, with the others of this file: every sweep is composed anew."""


@pytest.mark.slow
@pytest.mark.parametrize("task_launcher_cfg", [{}])
@pytest.mark.parametrize("extra_flags", [["-m", f"hydra/launcher={LAUNCHER}"]])
class TestIntegration(IntegrationTestSuite):
    """Slow: a process for each program."""


@pytest.mark.parametrize(
    ("sweeper", "error", "text"),
    [
        ("basic", ValueError, "no 0"),
        ("grid", FailedJobsError, r"2 of 2 jobs did not complete \(2 failed\)"),
    ],
)
def test_a_foreign_task_that_fails_is_told_of(
    hydra_restore_singletons: Any,
    hydra_sweep_runner: Any,
    tmpdir: Any,
    sweeper: str,
    error: type[Exception],
    text: str,
) -> None:
    def fail(cfg: Any) -> float:
        raise ValueError(f"no {cfg.a}")

    runner = hydra_sweep_runner(
        calling_file=None,
        calling_module="hydra.test_utils.a_module",
        task_function=fail,
        config_path="configs",
        config_name="compose.yaml",
        overrides=[f"hydra/launcher={LAUNCHER}", f"hydra/sweeper={sweeper}", "+a=0,1"],
        temp_dir=tmpdir,
    )
    with pytest.raises(error, match=text), runner:
        pass
