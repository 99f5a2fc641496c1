"""One run on several hosts, which are processes here that meet on the loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from test_cli import command, environment

import bpframe
from bpframe.errors import ConfigError
from bpframe.training import hosts

RUN = ["training.dtype=float64", "data.train_size=73", "hydra.run.dir=r"]


def variables(folder: Path, **more: str) -> dict[str, str]:
    return environment(folder, PYTHONPATH=os.pathsep.join(sys.path), **more)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


@contextmanager
def begun(
    folder: Path,
    number: int,
    *words: str,
    program: list[str] | None = None,
    own: Sequence[Sequence[str]] = ((),) * 4,
) -> Iterator[list[subprocess.Popen[str]]]:
    """The same command, of bpframe or a program, on so many hosts; none is left when this ends.

    Each has words of its `own` besides.
    """
    folder.mkdir(exist_ok=True)
    port = free_port()
    given: dict[str, Any] = {"cwd": folder, "text": True, "stderr": subprocess.PIPE}
    processes = [
        subprocess.Popen(
            [*(program or command()), *words, f"training.hosts={number}", *own[host]],
            env=variables(folder, BPFRAME_COORDINATOR=f"localhost:{port}", BPFRAME_HOST=str(host)),
            stdout=subprocess.PIPE if program else subprocess.DEVNULL,
            **given,
        )
        for host in range(number)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def on_hosts(folder: Path, number: int, *words: str) -> dict[str, Any]:
    """The summary of a run, or of one that goes on, that ended well on all hosts."""
    with begun(folder, number, *words) as processes:
        for process in processes:
            told = process.communicate(timeout=240)[1]
            assert process.returncode == 0, told
    return json.loads((folder / "r" / "summary.json").read_text())


def alone(folder: Path, *words: str) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=variables(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "r" / "summary.json").read_text())


def params(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "r" / "params.safetensors")


def lines(folder: Path) -> int:
    file = folder / "r" / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 4])
def test_hosts_agree_with_one_and_go_on_as_another_number(tmp_path: Path, number: int) -> None:
    """Slow: whole commands, some at the same time."""
    more = ["optimiser=adam", "aggregation=clipped", "aggregation.norm=0.1", "checkpoint.epochs=1"]
    words = [*RUN, *more, "metrics=[delta_norm]"]
    one, many = tmp_path / "one", tmp_path / "many"
    alone(one, *words, "training.epochs=2")
    summary = on_hosts(many, number, *words, "training.epochs=2")
    assert summary["device"] == f"{number} x cpu"
    for name, array in params(one).items():
        np.testing.assert_allclose(params(many)[name], array, rtol=1e-9, atol=1e-12)
    assert lines(many) == 2  # one host writes

    alone(one, "resume", "r", "training.epochs=4")
    on_hosts(many, number, "resume", "r", "training.epochs=3")
    last = alone(many, "resume", "r", "training.epochs=4", "training.hosts=1")
    assert last["changed"] == f"the number of devices was {number} and is 1"
    for name, array in params(one).items():
        np.testing.assert_allclose(params(many)[name], array, rtol=1e-9, atol=1e-12)


COUNTED = """
import sys, threading
import bpframe
from bpframe.tables.streamed import StreamedExamples
from bpframe.training import streaming

read, take = [0], StreamedExamples.take
streaming.PORTION_BYTES = 1

def counted(self, numbers):
    if threading.current_thread().name.startswith("bpframe-stream"):
        read[0] += len(numbers)
    return take(self, numbers)

StreamedExamples.take = counted
bpframe.run(bpframe.compose(sys.argv[1:]), "r", plots=False)
print(read[0])
"""


@pytest.mark.slow
def test_each_host_reads_its_share_of_examples_in_files(tmp_path: Path) -> None:
    """Slow: runs of several processes."""
    n, m, epochs = 20_020, 50, 1
    x = np.random.default_rng(0).normal(size=(n + 200, 16))
    np.savez(tmp_path / "all.npz", x=x, y=np.digitize(x[:, 0], [-0.5, 0.5]))
    words = ["data=shards", f"data.path={tmp_path / 'all.npz'}", "training.dtype=float64"]
    words += ["data.validation_rows=100", "data.test_rows=100", f"training.epochs={epochs}"]
    words += [f"training.batch_size={m}"]
    one, many = tmp_path / "one", tmp_path / "many"
    alone(one, *words, "hydra.run.dir=r")
    with begun(many, 4, *words, program=[sys.executable, "-c", COUNTED]) as processes:
        for process in processes:
            read, told = process.communicate(timeout=240)
            assert process.returncode == 0, told
            # Of a mini-batch of 50 each of 4 hosts has 13 rows, two of which fill up the last, and
            # of the last one of 20 each has 5.
            assert int(read.split()[-1]) == (13 * (n // m) + 5) * epochs
    for name, array in params(one).items():
        np.testing.assert_allclose(params(many)[name], array, rtol=1e-9, atol=1e-12)


OTHER = "training.hosts: host 1 has other settings, versions, code or data than host 0"


@pytest.mark.slow
@pytest.mark.parametrize("own", ["optimiser.eta=0.01", "seed=5", "training.epochs=3"])
def test_hosts_with_other_settings_do_not_train(tmp_path: Path, own: str) -> None:
    """Slow: two processes."""
    with begun(tmp_path, 2, *RUN, "training.epochs=2", own=[[], [own]]) as two:
        told = [process.communicate(timeout=120)[1] for process in two]
    assert [process.returncode for process in two] == [1, 1]
    assert all(each.strip().splitlines()[-1].startswith(f"bpframe: {OTHER}") for each in told)
    assert not lines(tmp_path)


ALONE = """
import bpframe
from bpframe.training import hosts

hosts.SILENT_S, hosts.MEETING_S = 0.1, 3
bpframe.run(bpframe.compose(["training.hosts=2"]))
"""


@pytest.mark.slow
def test_a_host_that_waits_says_so_and_not_for_ever(tmp_path: Path) -> None:
    """Slow: a process, which waits."""
    with begun(tmp_path, 1, program=[sys.executable, "-c", ALONE]) as (one,):
        told = one.communicate(timeout=60)[1]
    assert told.startswith("bpframe: waits for the others of 2 hosts, 3 seconds at most\n")
    assert one.returncode != 0
    assert told.splitlines()[-1].startswith("bpframe: training.hosts: 2 hosts did not meet; begin")


@pytest.mark.slow
def test_a_folder_that_is_taken_ends_all_hosts(tmp_path: Path) -> None:
    """Slow: whole commands."""
    alone(tmp_path, *RUN, "training.epochs=1")
    with begun(tmp_path, 2, *RUN, "training.epochs=1") as two:
        told = [process.communicate(timeout=120)[1].strip().splitlines()[-1] for process in two]
    assert [process.returncode for process in two] == [1, 1]
    assert "holds a run already" in told[0]
    assert told[1] == "bpframe: training.hosts: host 0 has refused the run, and says why"


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_host_that_ends_ends_the_run_with_a_checkpoint(tmp_path: Path, sent: int) -> None:
    """Slow: whole commands, and one has to come far enough to be killed."""
    with begun(tmp_path, 2, *RUN, "training.epochs=100000", "checkpoint.seconds=null") as two:
        until = time.monotonic() + 240
        while lines(tmp_path) < 3 and two[0].poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        os.kill(two[1].pid, sent)
        told = two[0].communicate(timeout=60)[1].strip().splitlines()[-1]
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    epochs = lines(tmp_path)
    if sent == signal.SIGKILL:
        assert two[0].returncode == 1
        assert told.startswith("bpframe: another of the 2 hosts is gone, or cannot be reached (")
        assert told.endswith(
            f"; ended after epoch {epochs}: bpframe resume {tmp_path}/r training.hosts=N goes on "
            "with N hosts"
        )
    else:
        assert (two[0].returncode, told) == (143, "bpframe: interrupted by SIGTERM")
    assert (tmp_path / "r" / f"checkpoint-{epochs:08d}.npz").exists()
    on = alone(tmp_path, "resume", "r", f"training.epochs={epochs + 1}", "training.hosts=1")
    assert (on["status"], on["epochs"]) == ("completed", epochs + 1)


@pytest.mark.slow
def test_the_first_host_that_is_killed_ends_the_others_with_a_line(tmp_path: Path) -> None:
    """Slow: whole commands, and one has to come far enough to be killed."""
    with begun(tmp_path, 2, *RUN, "training.epochs=100000", "checkpoint.epochs=1") as two:
        until = time.monotonic() + 240
        while lines(tmp_path) < 3 and two[0].poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        two[0].kill()
        told = two[1].communicate(timeout=60)[1].strip().splitlines()[-1]
    assert two[1].returncode != 0
    assert told.startswith("bpframe: this host has been ended: by JAX, as another one is")
    epochs = lines(tmp_path)
    on = alone(tmp_path, "resume", "r", f"training.epochs={epochs + 1}", "training.hosts=1")
    assert (on["status"], on["epochs"]) == ("completed", epochs + 1)


@pytest.mark.parametrize(
    ("overrides", "given", "message"),
    [
        (["training.hosts=2"], {}, r"nothing says where 2 hosts meet; begin the command with srun"),
        (["training.hosts=2"], {hosts.HOST: "0"}, rf"{hosts.COORDINATOR}: is not set"),
        (["training.hosts=2"], {hosts.COORDINATOR: "a:1"}, rf"{hosts.HOST}: is not set"),
        (
            ["training.hosts=2"],
            {hosts.COORDINATOR: "a", hosts.HOST: "0"},
            rf"{hosts.COORDINATOR}: 'a' names no port; set it to HOST:PORT",
        ),
        (
            ["training.hosts=2"],
            {hosts.COORDINATOR: "a:1", hosts.HOST: "2"},
            rf"{hosts.HOST}: '2' is out of range; allowed: numbers from 0 on below training\.hosts",
        ),
    ],
)
def test_hosts_that_cannot_meet_are_told_why(
    overrides: list[str],
    given: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    # What JAX asks first is whether anything was computed in this process.
    monkeypatch.setattr("jax._src.xla_bridge.backends_are_initialized", lambda: False)
    with pytest.raises(ConfigError, match=message):
        bpframe.run(bpframe.compose(overrides))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.hosts=some"], r"training\.hosts: 'some' is no number of hosts; set a number"),
        (
            ["training.hosts=2", "training.devices=2", "training.shard=params"],
            r"training\.shard: params does not go with several hosts",
        ),
    ],
)
def test_settings_out_of_range_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bpframe.compose(overrides)
