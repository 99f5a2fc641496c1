"""Sweeps whose driver trains nothing itself: worker processes, and jobs of a cluster.

There is no Slurm here. submitit's local executor and a fake of Slurm's commands stand for it.
"""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import pickle
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest
import test_sweep_lanes
from hydra.types import RunMode
from test_cli import command, environment, wait_for
from test_sweep_driver import events
from test_sweep_lanes import SMALL, Swept, bits, sweep

from bpframe import ConfigError, PluginWarning
from bpframe.configuration import composition, schemas
from bpframe.plugin_host import host
from bpframe.sweeps.backends import cluster, machine, messages, processes, selection
from bpframe.sweeps.backends.backend import WorkerDevice
from bpframe.sweeps.backends.cluster_unit import ClusterUnit
from bpframe.sweeps.backends.messages import WorkerSettings
from bpframe.sweeps.backends.submitit_parameters import Parameters

pytestmark = pytest.mark.optimised

logging_stays = test_sweep_lanes.logging_stays

PROCESSES = ("hydra.launcher.backend=processes",)
LOCAL = ("hydra.launcher.backend=submitit", "hydra.launcher.submitit.cluster=local")
# Two groups, whose jobs are 0, 2, 4, 6 and 1, 3, 5, 7.
JOBS = [
    [f"optimiser.eta={eta}", f"network.activation={activation}"]
    for eta in (0.1, 0.2, 0.5, 1.0)
    for activation in ("sigmoid", "tanh")
]
SITE = WorkerSettings((), (), ".", {}, {})
# It kills its own process after the first epoch of a job with such an eta: once, or always.
KILLER = """
import os, pathlib, signal, warnings
import bpframe

@bpframe.hookimpl
def bpframe_epoch_finished(run, record):
    marker = pathlib.Path({marker!r})
    if run.experiment.optimiser.eta == {eta} and ({always} or not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""
RAISES = """
import bpframe

@bpframe.hookimpl
def bpframe_run_finished(run, result):
    raise ValueError("it is broken")
"""
# It has the scheduler preempt the job once, a moment after its first epoch.
PREEMPTED = """
import os, pathlib, signal, threading
import bpframe

@bpframe.hookimpl
def bpframe_epoch_finished(run, record):
    marker = pathlib.Path({marker!r})
    if not marker.exists():
        marker.touch()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR2)).start()
"""
# What there is of Slurm: jobs start at once, each in the background.
SLURM = {
    "sbatch": """#!/bin/sh
        n=$(ls "$FAKE_SLURM" | wc -l); id=$((n + 100)); touch "$FAKE_SLURM/$id"
        cp "$1" "$FAKE_SLURM/$id"
        range=$(sed -n 's/#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
        for task in $(seq 0 "${range:-0}"); do
            export SLURM_JOB_ID=$id
            [ -n "$range" ] && export SLURM_ARRAY_JOB_ID=$id SLURM_ARRAY_TASK_ID=$task
            bash "$FAKE_SLURM/$id" > /dev/null 2>&1 &
        done
        echo "Submitted batch job $id" """,
    "srun": """#!/bin/bash
        job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
        shift; out=${2//%j/$job}; out=${out//%A_%a/$job}; shift 4
        exec "$@" > "${out//%t/0}" 2>&1""",
    "sacct": "#!/bin/sh\necho 'JobID|State|NodeList'",
}


@pytest.fixture(autouse=True)
def workers_share_what_they_compile(
    compilation_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(compilation_cache))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    """The jobs in this process, on one device, in the chunks that two processes would have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logging.shutdown", lambda handlers=(): None)
        patch.setattr("bpframe.sweeps.lanes.partition.devices_of", lambda _: jax.devices("cpu")[:1])
        patch.setattr("bpframe.sweeps.lanes.group.devices_of", lambda _: jax.devices("cpu")[:1])
        patch.setattr(
            "bpframe.sweeps.backends.in_process.devices_of", lambda _: jax.devices("cpu")[:1]
        )
        yield sweep(tmp_path_factory.mktemp("here") / "sweep", SMALL, *JOBS)


@pytest.fixture
def killer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    def write(eta: float, *, always: bool) -> Path:
        marker = tmp_path / "marker"
        file = tmp_path / "killer.py"
        file.write_text(KILLER.format(marker=str(marker), eta=eta, always=always))
        monkeypatch.setenv("BPFRAME_PLUGINS_PATH", str(file))
        return marker

    return write


def assert_same(swept: Swept, other: Swept) -> None:
    for num in range(len(JOBS)):
        (lines, summary, params), expected = swept.bits(num), other.bits(num)
        summary["versions"] = expected[1]["versions"]
        assert (lines, summary, params) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "procesess"}, "unknown 'procesess'; did you mean 'processes'? known: here"),
        ({"lanes": 0}, "hydra.launcher.lanes: 0 is out of range; allowed: >= 1"),
        ({"submitit": {"cluster": "slum"}}, "cluster: unknown 'slum'; did you mean 'slurm'?"),
        ({"submitit": {"cluster": "local", "foo": 1}}, "Unknown argument 'foo' for executor"),
        ({"submitit": {"cluster": "local", "timeout_min": "x"}}, 'Parameter "timeout_min" expec'),
        ({"submitit": {"cluster": "local", "nodes": 2}}, "nodes: 2 is out of range; allowed: 1"),
        ({"submitit": {}}, 'Could not detect "srun"'),
    ],
)
def test_a_wrong_setting_is_one_line(settings: dict[str, Any], message: str) -> None:
    launcher = {"backend": "submitit" if "submitit" in settings else "here", "lanes": None}
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        selection.check({**launcher, "submitit": {}, **settings})
    assert str(caught.value).startswith("hydra.launcher.")


def launcher_node(*overrides: str) -> Any:
    """The node hydra.launcher of a sweep with these overrides."""
    schemas.store(host.load_registry())
    with composition.initialised():
        return composition.compose_config(overrides, mode=RunMode.MULTIRUN).hydra.launcher


@pytest.mark.parametrize("backend", ["here", "processes"])
@pytest.mark.parametrize("parameter", ["partition=short", "timeout_min=5", "constraint=a100"])
def test_parameters_for_submitit_without_it_are_refused(backend: str, parameter: str) -> None:
    chosen = f"hydra.launcher.backend={backend}"
    selection.check(launcher_node(chosen))
    plus = "+" if parameter.startswith("constraint") else ""
    node = launcher_node(chosen, f"{plus}hydra.launcher.submitit.{parameter}")
    key = parameter.partition("=")[0]
    with pytest.raises(ConfigError, match=f"^hydra.launcher.submitit.{key}: .* has no effect with"):
        selection.check(node)


def test_without_submitit_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"not installed; pip install 'bpframe\[submitit\]'"):
        Parameters({"cluster": "local"})


def slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fake of Slurm, first on the path; the answer is where it keeps what was submitted."""
    jobs = folder / "slurm_jobs"
    for made in (jobs, folder / "bin"):
        made.mkdir()
    for name, text in SLURM.items():
        file = folder / "bin" / name
        file.write_text(text)
        file.chmod(file.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(jobs))
    return jobs


def test_parameters_reach_the_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm(tmp_path, monkeypatch)
    given = {
        "partition": "gpu",
        "account": None,
        "timeout_min": 90,
        "mem_gb": 4,
        "gpus_per_node": 2,
        "slurm_qos": "low",
        "max_num_timeout": 7,
        "array_parallelism": 9,
    }
    parameters = Parameters(given)
    executor = parameters.executor(tmp_path)._executor
    assert executor.parameters == {
        "job_name": "bpframe",
        "partition": "gpu",
        "time": 90,
        "mem": "4GB",
        "gpus_per_node": 2,
        "qos": "low",
        "array_parallelism": 9,
    }
    assert executor.max_num_timeout == 7
    local = Parameters({"cluster": "local", "timeout_min": 3, "partition": "gpu"})
    assert local.executor(tmp_path)._executor.parameters == {"name": "bpframe", "timeout_min": 3}


@pytest.mark.parametrize(
    ("given", "devices"),
    [
        ({}, [WorkerDevice("cpu", 8 * 2**30)]),
        ({"cpus_per_task": 2, "mem_gb": 4}, [WorkerDevice("cpu", 2 * 2**30)] * 2),
        ({"gpus_per_node": 2, "cpus_per_task": 4}, [WorkerDevice("gpu", 2**33)] * 2),
    ],
)
def test_a_cluster_s_units_are_laid_out_for_what_is_asked_for(
    given: dict[str, Any], devices: list[WorkerDevice], tmp_path: Path
) -> None:
    parameters = Parameters({"cluster": "local", **given})
    backend = cluster.Cluster(None, parameters, SITE, tmp_path)
    assert backend.devices(experiment("auto")) == devices


def experiment(device: str) -> Any:
    return SimpleNamespace(training=SimpleNamespace(device=device))


@pytest.mark.parametrize(
    ("devices", "jobs", "of", "lanes", "most"),
    [
        (4, 64, 64, None, 16),
        (4, 64, 64, 10, 10),
        (4, 64, 256, None, 64),
        (4, 65, 256, None, 33),
        (4, 6, 6, None, 4),
        (1, 64, 64, None, 64),
    ],
)
def test_a_group_is_cut_into_its_share_of_the_processes(
    devices: int, jobs: int, of: int, lanes: int | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = machine.Machine("cpu", devices, 2**30)
    monkeypatch.setattr(processes, "machine_for", lambda device: found)
    group: Any = [SimpleNamespace(experiment=experiment("auto"))] * jobs
    assert processes.Processes(lanes, SITE).most(group, of) == most


def test_every_process_sees_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert processes._environment(1, "gpu")["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7, 5")
    assert processes._environment(1, "gpu")["CUDA_VISIBLE_DEVICES"] == "5"
    assert processes._environment(1, "cpu")["CUDA_VISIBLE_DEVICES"] == "GPU-7, 5"


@pytest.mark.parametrize(
    ("found", "device"), [(("cpu", 1, 1), "gpu"), (("tpu", 4, 1), "auto"), (("gpu", 1, 1), "tpu")]
)
def test_a_device_that_processes_cannot_have_is_refused(
    found: tuple[str, int, int], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_machine", lambda: machine.Machine(*found))
    with pytest.raises(ConfigError, match=r"training\.device|hydra\.launcher\.backend"):
        machine.machine_for(device)


def test_a_requeued_unit_is_submitted_as_it_was(tmp_path: Path) -> None:
    from submitit.core.utils import DelayedSubmission

    unit = ClusterUnit(SITE, b"unit", tmp_path / "session", "token")
    again = pickle.loads(pickle.dumps(unit)).checkpoint()
    assert isinstance(again, DelayedSubmission)
    assert vars(again.function) == vars(unit)


def test_a_unit_of_a_driver_that_has_gone_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "session").write_text("another")
    for session in ("session", "no_session"):
        outcome = ClusterUnit(SITE, b"unit", tmp_path / session, "token")()
        assert outcome.kind == messages.FAILED
        assert "the sweep has ended, or goes on elsewhere" in outcome.message


@pytest.mark.slow
def test_processes_give_the_same_numbers(
    here: Swept,
    tmp_path: Path,
    killer: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if a worker is killed in the middle. What workers warn of, the driver does.

    Slow: two sweeps, one of them in processes that start JAX.
    """
    marker = killer(0.5, always=False)
    (tmp_path / "raises.py").write_text(RAISES)
    paths = (os.environ["BPFRAME_PLUGINS_PATH"], str(tmp_path / "raises.py"))
    monkeypatch.setenv("BPFRAME_PLUGINS_PATH", os.pathsep.join(paths))
    with pytest.warns(
        PluginWarning, match=r"plugin raises .* is disabled .*: it is broken"
    ) as told:
        swept = sweep(tmp_path / "sweep", (*SMALL, *PROCESSES), *JOBS)
    assert len(told) == len(JOBS)
    assert marker.exists()
    assert "killed by SIGKILL; its 4 jobs are tried again" in capsys.readouterr().out
    assert [row.status for row in swept.rows] == ["completed"] * 8
    assert_same(swept, here)
    (plan,) = events(swept, "plan")
    assert [chunk["layout"] for group in plan["groups"] for chunk in group] == [[1, 1, 4]] * 2
    assert sorted(entry["num"] for entry in events(swept, "job")) == list(range(8))
    again = sweep(tmp_path / "sweep", (*SMALL, *PROCESSES), *JOBS, resumes=True)
    assert again.rows == swept.rows
    assert again.ledger == swept.ledger


@pytest.mark.slow
def test_jobs_whose_worker_is_always_lost_are_reported(
    here: Swept, tmp_path: Path, killer: Callable[..., Path]
) -> None:
    """Slow, because worker processes start after one another."""
    killer(0.5, always=True)
    texts = [[*JOBS[num], f"seed={seed}"] for num in (0, 4) for seed in (0, 1, 2, 3)]
    swept = sweep(tmp_path / "sweep", (*SMALL, *PROCESSES), *texts)
    statuses = [row.status for row in swept.rows]
    assert statuses == ["completed"] * 4 + ["failed"] * 4
    assert {row.error for row in swept.rows[4:]} == {
        "a worker process was killed by SIGKILL, 2 times"
    }


@pytest.mark.slow
def test_a_cluster_gives_the_same_numbers(
    here: Swept, tmp_path: Path, killer: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Slow, because every job of the cluster is a process of its own."""
    marker = killer(0.5, always=False)
    swept = sweep(tmp_path / "sweep", (*SMALL, *LOCAL), *JOBS)
    assert marker.exists()
    assert re.search(r"cluster job \d+ was lost .*4 jobs are tried again", capsys.readouterr().out)
    assert_same(swept, here)


@pytest.mark.slow
def test_units_are_an_array_of_slurm(
    here: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow, because every job of the cluster is a process of its own."""
    submitted = slurm(tmp_path, monkeypatch)
    monkeypatch.setattr(cluster, "_POLL_ELSEWHERE_S", 0.2)
    settings = ("hydra.launcher.backend=submitit", "hydra.launcher.submitit.partition=short")
    swept = sweep(tmp_path / "sweep", (*SMALL, *settings), *JOBS)
    assert_same(swept, here)
    (script,) = submitted.iterdir()
    assert "#SBATCH --array=0-1%2" in script.read_text()
    assert "#SBATCH --partition=short" in script.read_text()


@pytest.mark.slow
def test_what_the_cluster_finished_without_a_driver_is_taken_up(
    here: Swept, tmp_path: Path
) -> None:
    """Slow, because every job of the cluster is a process of its own."""
    folder = tmp_path / "sweep"
    sweep(folder, (*SMALL, *LOCAL), *JOBS)
    written = (folder / "0" / "params.safetensors").stat().st_mtime_ns
    kept = (folder / "sweep.jsonl").read_text().splitlines()
    plan = [line for line in kept if '"event":"job"' not in line]
    (folder / "sweep.jsonl").write_text("".join(f"{line}\n" for line in plan))
    (folder / "1" / "summary.json").unlink()  # so its unit is trained again
    resumed = sweep(folder, (*SMALL, *LOCAL), *JOBS, resumes=True)
    assert_same(resumed, here)
    assert (folder / "0" / "params.safetensors").stat().st_mtime_ns == written
    assert len(list((folder / ".submitit").glob("*_submitted.pkl"))) == 3


@pytest.mark.slow
def test_a_requeued_job_of_the_cluster_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow, because every job of the cluster is a process of its own."""
    static = (*SMALL[:2], "training.epochs=1000")
    undisturbed = sweep(tmp_path / "undisturbed", (*static, *LOCAL), *JOBS[:1])
    file, marker = tmp_path / "preempted.py", tmp_path / "marker"
    file.write_text(PREEMPTED.format(marker=str(marker)))
    monkeypatch.setenv("BPFRAME_PLUGINS_PATH", str(file))
    swept = sweep(tmp_path / "sweep", (*static, *LOCAL), *JOBS[:1])
    assert marker.exists()
    (log,) = (tmp_path / "sweep" / ".submitit").glob("*_log.err")
    assert "Caught signal SIGUSR2" in log.read_text()
    lines, summary, params = swept.bits(0)
    assert (summary["status"], summary["epochs"]) == ("completed", 1000)
    assert (lines, params) == undisturbed.bits(0)[::2]


TRAINS = """
import os, pathlib
import bpframe

@bpframe.hookimpl
def bpframe_epoch_finished(run, record):
    if record.epoch == 2:
        pathlib.Path(f"trains_{os.getpid()}").touch()
"""
LONG = ("data.train_size=500", "network.hidden=[4]", "training.epochs=20000")
SWEEP = ("-m", *LONG, "seed=0,1,2,3,4,5,6,7", "hydra.sweep.dir=sweep")


def started(folder: Path, *settings: str, workers: int) -> subprocess.Popen[str]:
    """A sweep as a process of which all workers have begun to train."""
    (folder / "trains.py").write_text(TRAINS)
    process = subprocess.Popen(
        command(*SWEEP, *settings),
        cwd=folder,
        env=environment(folder, BPFRAME_PLUGINS_PATH="trains.py"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: len(list(folder.glob("trains_*"))) == workers)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_processes_with_what_is_done_written(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Slow, because it is a process that has others."""
    process = started(tmp_path, *PROCESSES, workers=min(2, len(machine.cores())))
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert "go on with bpframe resume" in said
    for num in range(8):
        lines, summary, _ = bits(tmp_path / "sweep" / str(num))
        assert summary["status"] == "interrupted"
        assert len(lines) == summary["epochs"] > 0


@pytest.mark.slow
def test_the_workers_of_a_killed_driver_write_nothing_more(tmp_path: Path) -> None:
    """Slow, because it is a process that has others."""
    process = started(tmp_path, *PROCESSES, workers=min(2, len(machine.cores())))
    pids = children(process.pid)
    assert len(pids) == min(2, len(machine.cores()))
    process.kill()
    process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert not list((tmp_path / "sweep").glob("*/summary.json"))


@pytest.mark.slow
def test_a_signal_cancels_the_jobs_of_the_cluster(tmp_path: Path) -> None:
    """Slow, because it is a process that has others."""
    process = started(tmp_path, *LOCAL, workers=1)
    pids = children(process.pid)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "cancelled jobs of the cluster: 1" in said
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]
