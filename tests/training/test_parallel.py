"""One run on several devices: what is refused here, and the rest in a process that has 8."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from test_cli import command, environment

import bpframe
from bpframe.errors import ConfigError
from bpframe.training import parallel

HERE = Path(__file__).parent
QUICK = "clipped and null or step_sends"


def run_on_devices(tmp_path: Path, *options: str) -> None:
    """Run the tests of `several_devices` where there are 8 devices."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"),
            *(str(HERE / "several_devices.py"), *options),
        ],
        env=environment(
            tmp_path,
            PYTHONPATH=os.pathsep.join(sys.path),
            XLA_FLAGS="--xla_force_host_platform_device_count=8",
            BPFRAME_TEST_COMPILATION_CACHE=os.environ["BPFRAME_TEST_COMPILATION_CACHE"],
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.slow
@pytest.mark.share(1)
def test_several_devices_do_what_one_does(tmp_path: Path) -> None:
    """Slow: a process, which compiles for several devices."""
    run_on_devices(tmp_path, "-k", QUICK)


@pytest.mark.slow
def test_several_devices_do_all_that_one_does(tmp_path: Path) -> None:
    """Slow: some forty pairs of runs are compiled."""
    run_on_devices(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.devices=some"], r"training\.devices: 'some' is no number of devices; set a"),
        (["training.devices=0"], r"training\.devices: 0 is out of range; allowed: >= 1"),
        (["training.shard=params"], r"training\.shard: params needs several devices; set train"),
        (["training.devices=2", "training.shard=all"], r"training\.shard: unknown 'all'; known: "),
    ],
)
def test_settings_out_of_range_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bpframe.compose(overrides)


def test_more_devices_than_there_are_are_refused() -> None:
    there = len(jax.devices())
    experiment = bpframe.compose([f"training.devices={there + 300}"])
    told = rf"training\.devices: {there + 300} is out of range; there are {there} of the platform"
    with pytest.raises(ConfigError, match=told):
        bpframe.run(experiment)


def test_a_program_that_has_computed_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    there = len(jax.devices())
    monkeypatch.setattr(parallel, "cores", lambda: there + 1)
    with pytest.raises(ConfigError, match=r"JAX computed before: call jax\.config\.update"):
        bpframe.run(bpframe.compose([f"training.devices={there + 1}"]))


@pytest.mark.slow
def test_the_command_makes_cores_devices_and_sweeps_refuse_them(tmp_path: Path) -> None:
    """Slow: whole commands."""
    words = ["training.epochs=1", "data.train_size=50", "training.devices=all"]
    run = subprocess.run(
        command(*words, "hydra.run.dir=r"),
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    cores = parallel.cores()
    device = f"{cores} x cpu" if cores > 1 else "cpu:0"
    assert f'"device": "{device}"' in (tmp_path / "r" / "summary.json").read_text()
    sweep = subprocess.run(
        command("-m", *words, "seed=0,1", "hydra.sweep.dir=s"),
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert sweep.returncode == 1
    assert "training.devices: all is for a single run; a sweep has a job on one device" in (
        sweep.stderr
    )
    assert not (tmp_path / "s").exists()
