"""The built-in trackers, against the files and databases that their libraries write.

Slow are those of MLflow, which takes seconds to make the tables of a database, and commands.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_cli
import test_sweep_checkpoints
from safetensors.numpy import load_file
from test_cli import QUICK, Main, wait_for
from test_events import composed

import bpframe
from bpframe import ConfigError, EpochRecord, RunResult
from bpframe.errors import PluginWarning
from bpframe.plugin_host.host import load_registry

main = test_cli.main
cut_off = test_sweep_checkpoints.cut_off
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # of MLflow
]


def run(folder: Path, *trackers: Any, **more: Any) -> RunResult:
    metrics = "metrics=[delta_norm,confusion_matrix]"
    return bpframe.run(composed(metrics), folder, trackers=trackers, **more)


def records(folder: Path) -> list[dict[str, float]]:
    """The numbers of each epoch, by the names that trackers show."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    fields = [name for name in EpochRecord.__annotations__ if name != "metrics"]
    return [
        EpochRecord(**{name: line.pop(name, None) for name in fields}, metrics=line).scalars()
        for line in lines
    ]


def no_more(record: EpochRecord) -> None:
    if record.epoch == 2:
        raise ValueError("no more")


# TensorBoard


def events(folder: Path) -> list[Any]:
    """The events of the last file in a folder; the checksums are checked."""
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c

    message: Any = vars(event_pb2)["Event"]

    data = max(
        folder.glob("events.out.tfevents.*"), key=lambda p: p.stat().st_mtime_ns
    ).read_bytes()
    found, at = [], 0
    while at < len(data):
        size, crc = struct.unpack_from("<QI", data, at)
        body = data[at + 12 : at + 12 + size]
        assert crc == masked_crc32c(data[at : at + 8])
        assert struct.unpack_from("<I", data, at + 12 + size)[0] == masked_crc32c(body)
        found.append(message.FromString(body))
        at += 16 + size
    return found


def values(folder: Path) -> Iterator[tuple[int, Any]]:
    return ((event.step, value) for event in events(folder) for value in event.summary.value)


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    found = ((step, v) for step, v in values(folder) if v.tag == name)
    return [(step, v.simple_value) for step, v in found if v.WhichOneof("value") == "simple_value"]


@pytest.mark.slow
def test_tensorboard_has_the_numbers_the_settings_the_curves_and_the_parameters(
    tmp_path: Path,
) -> None:
    """Slow: compiles programs."""
    result = run(tmp_path / "run", "tensorboard")
    shown = records(tmp_path / "run")
    assert "delta_norm.steps/layer_2" in shown[0]
    for name in shown[0]:
        expected = [(epoch, np.float32(each[name])) for epoch, each in enumerate(shown, start=1)]
        assert scalars(tmp_path / "run", name) == expected
    assert scalars(tmp_path / "run", "test_cost") == [
        (3, np.float32(result.summary.test_cost or 0))
    ]
    by_tag = {value.tag: value for _, value in values(tmp_path / "run")}
    assert not [tag for tag in by_tag if tag.startswith("confusion_matrix")]
    text = by_tag["settings/text_summary"].tensor.string_val[0].decode()
    assert "| optimiser.name | sgd |" in text
    assert by_tag["status/text_summary"].tensor.string_val[0] == b"completed: no error"
    hparams = [value.metadata.plugin_data.plugin_name for value in by_tag.values()]
    assert hparams.count("hparams") == 3
    assert by_tag["learning_curves"].image.encoded_image_string.startswith(b"\x89PNG")
    for name, array in load_file(tmp_path / "run" / "params.safetensors").items():
        histogram = by_tag[f"params/{name}"].histo
        assert (histogram.num, histogram.min) == (array.size, np.float32(array.min()))


@pytest.mark.slow
def test_tensorboard_in_another_folder(tmp_path: Path) -> None:
    """Slow: compiles programs."""
    run(tmp_path / "runs" / "a", {"name": "tensorboard", "folder": str(tmp_path / "logs")})
    assert len(scalars(tmp_path / "logs" / "runs" / "a", "train_cost")) == 3
    assert not list((tmp_path / "runs" / "a").glob("events*"))


@pytest.mark.slow
def test_tensorboard_shows_a_run_that_goes_on_once(main: Main, tmp_path: Path) -> None:
    """The last file has all records, and says that it takes the place of those before.

    Slow: runs whole commands.
    """
    folder = tmp_path / "run"
    arguments = (*QUICK, "trackers=[tensorboard]", "checkpoint.epochs=1", "training.epochs=2")
    assert main(*arguments, f"hydra.run.dir={folder}").status == 0
    assert main("resume", str(folder), "training.epochs=3").status == 0
    assert len(list(folder.glob("events*"))) == 2
    assert [step for step, _ in scalars(folder, "train_cost")] == [1, 2, 3]
    starts = [event for event in events(folder) if event.HasField("session_log")]
    assert [(event.step, event.session_log.status) for event in starts] == [(0, 1)]
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="TensorBoard, which reads the files, is not installed; pip install tensorboard",
    )
    seen = accumulators.EventAccumulator(str(folder)).Reload()
    assert [event.step for event in seen.Scalars("train_cost")] == [1, 2, 3]


@pytest.mark.slow
def test_tensorboard_has_a_run_for_each_job(main: Main, tmp_path: Path) -> None:
    """Slow: runs a whole command."""
    sweep = tmp_path / "sweep"
    arguments = ("-m", *QUICK, "trackers=[tensorboard]", "training.epochs=2", "seed=0,1,2")
    assert main(*arguments, f"hydra.sweep.dir={sweep}").err == ""
    for num in range(3):
        assert len(list((sweep / str(num)).glob("events*"))) == 1
        assert [step for step, _ in scalars(sweep / str(num), "train_cost")] == [1, 2]


# MLflow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def mlflow(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The tracker with an experiment of the test's own; artifacts are in the working directory."""
    monkeypatch.chdir(tmp_path)
    return {"name": "mlflow", "uri": store, "experiment": tmp_path.name}


def runs_of(tracker: dict[str, str]) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracker["uri"])
    experiment = client.get_experiment_by_name(tracker["experiment"])
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["start_time ASC"]))


def steps(tracker: dict[str, str], run_id: str, name: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    history = MlflowClient(tracker["uri"]).get_metric_history(run_id, name)
    return sorted((metric.step, metric.value) for metric in history)


@pytest.mark.slow
def test_mlflow_has_the_numbers_the_settings_and_the_files(
    mlflow: dict[str, str], tmp_path: Path
) -> None:
    """Slow: makes the tables of a database."""
    from mlflow import MlflowClient

    result = run(tmp_path / "run", mlflow)
    (found,) = runs_of(mlflow)
    shown = records(tmp_path / "run")
    for name in shown[0]:
        expected = [(epoch, each[name]) for epoch, each in enumerate(shown, start=1)]
        assert steps(mlflow, found.info.run_id, name) == expected
    assert found.info.status == "FINISHED"
    assert found.data.params["optimiser.name"] == "sgd"
    assert "trackers" not in found.data.params
    assert found.data.metrics["test_cost"] == result.summary.test_cost
    assert found.data.tags["bpframe.folder"] == str(tmp_path / "run")
    client = MlflowClient(mlflow["uri"])
    names = ["best.safetensors", "learning_curves.png", "params.safetensors", "summary.json"]
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == names
    copy = client.download_artifacts(found.info.run_id, "params.safetensors", str(tmp_path))
    assert Path(copy).read_bytes() == (tmp_path / "run" / "params.safetensors").read_bytes()


@pytest.mark.slow
def test_mlflow_tells_of_a_failure_and_goes_on_with_the_run(
    mlflow: dict[str, str], tmp_path: Path
) -> None:
    """Each step once, in the same run of MLflow. Slow: makes the tables of a database."""
    with pytest.raises(ValueError, match="no more"):
        run(tmp_path / "run", mlflow, on_epoch=no_more)
    (failed,) = runs_of(mlflow)
    assert (failed.info.status, failed.data.tags["bpframe.status"]) == ("FAILED", "failed")
    assert failed.data.tags["bpframe.error"] == "ValueError: no more"
    again = resumed(tmp_path / "run", mlflow)
    assert again.summary.status == "completed"
    (found,) = runs_of(mlflow)
    assert (found.info.run_id, found.info.status) == (failed.info.run_id, "FINISHED")
    assert "bpframe.error" not in found.data.tags
    expected = [(n, each["train_cost"]) for n, each in enumerate(records(tmp_path / "run"), 1)]
    assert steps(mlflow, found.info.run_id, "train_cost") == expected


def resumed(folder: Path, tracker: dict[str, str]) -> RunResult:
    """As `bpframe resume` goes on, here from the start, since there is no checkpoint."""
    from bpframe.configuration.trackers import ready
    from bpframe.plugin_host.events import PluginEvents
    from bpframe.runs import loop
    from bpframe.runs.trackers import Tracking

    registry = load_registry()
    told = PluginEvents(registry, Tracking(ready([tracker], registry), {"training.epochs": 3}))
    experiment = composed("metrics=[delta_norm,confusion_matrix]")
    return loop.resume(experiment, folder, events=told)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["here", "processes"])
def test_mlflow_has_the_jobs_of_a_sweep_below_one_run(
    backend: str, mlflow: dict[str, str], main: Main, tmp_path: Path
) -> None:
    """Slow: runs whole commands."""
    fields = ", ".join(f"{name}: '{value}'" for name, value in mlflow.items())
    ended = main(
        *("-m", *QUICK, f"trackers=[{{{fields}}}]", "training.epochs=2", "network.hidden=[2],[3]"),
        *("seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep", f"hydra.launcher.backend={backend}"),
    )
    assert (ended.status, ended.err) == (0, "")
    found = runs_of(mlflow)
    (parent,) = [each for each in found if "mlflow.parentRunId" not in each.data.tags]
    jobs = [each for each in found if each is not parent]
    assert {each.data.tags["mlflow.parentRunId"] for each in jobs} == {parent.info.run_id}
    assert sorted(each.info.run_name for each in jobs) == [f"sweep/{num}" for num in range(4)]
    assert {each.info.status for each in found} == {"FINISHED"}
    assert sorted(each.data.params["seed"] for each in jobs) == ["0", "0", "1", "1"]


@pytest.mark.slow
def test_runs_that_begin_at_once_make_the_tables_of_mlflow_once(
    mlflow: dict[str, str], tmp_path: Path
) -> None:
    """MLflow alone fails here, with tables that exist already. Slow: three whole runs."""
    code = "import sys; from test_tracker_libraries import run; run(sys.argv[1], eval(sys.argv[2]))"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, folder, str(mlflow)],
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for folder in (str(tmp_path / name) for name in "abc")
    ]
    said = [process.communicate(timeout=200)[1].decode() for process in started]
    assert all("mlflow is off" not in each for each in said), said
    assert [process.returncode for process in started] == [0, 0, 0]
    assert [each.info.status for each in runs_of(mlflow)] == ["FINISHED"] * 3


@pytest.mark.slow
def test_mlflow_goes_on_with_the_jobs_of_a_sweep_that_was_cut_off(
    mlflow: dict[str, str], main: Main, cut_off: Callable[[int], list[range]], tmp_path: Path
) -> None:
    """Each job is one run, with each step once. Slow: makes the tables of a database."""
    fields = ", ".join(f"{name}: '{value}'" for name, value in mlflow.items())
    arguments = (*QUICK, f"trackers=[{{{fields}}}]", "training.epochs=4", "checkpoint.epochs=1")
    cut_off(2)
    assert main("-m", *arguments, "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep").status == 130
    jobs = [each for each in runs_of(mlflow) if "mlflow.parentRunId" in each.data.tags]
    assert [each.info.status for each in jobs] == ["KILLED"] * 2
    cut_off(99)
    assert main("resume", f"{tmp_path}/sweep").status == 0
    found = [each for each in runs_of(mlflow) if "mlflow.parentRunId" in each.data.tags]
    assert {each.info.run_id for each in found} == {each.info.run_id for each in jobs}
    assert [each.info.status for each in found] == ["FINISHED"] * 2
    for each in found:
        shown = steps(mlflow, each.info.run_id, "train_cost")
        assert [step for step, _ in shown] == [1, 2, 3, 4]


@pytest.mark.slow
def test_mlflow_without_a_server_costs_no_run(tmp_path: Path) -> None:
    """Slow: compiles programs. Nobody listens there; the library would try again for minutes."""
    started = time.monotonic()
    tracker = {"name": "mlflow", "uri": "http://127.0.0.1:9", "timeout": 0.5}
    with pytest.warns(PluginWarning, match=r"tracker mlflow is off .* not ended after 0.5 s"):
        result = run(tmp_path / "run", tracker)
    assert result.summary.status == "completed"
    assert time.monotonic() - started < 30


def test_mlflow_refuses_what_is_no_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mlflow: uri 'mlruns' is no address; write sqlite:///"):
        run(tmp_path / "run", {"name": "mlflow", "uri": "mlruns"})
    assert not list(tmp_path.iterdir())


# Weights & Biases


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an account, and with nothing sent to anyone."""
    pytest.importorskip("wandb", reason="wandb is not installed; pip install -e '.[wandb]'")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def written(folder: Path) -> list[Any]:
    """The records in the newest file of a run that has ended; its service writes when it likes."""
    file = sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))[-1]
    wait_for(lambda: bool(of_kind(scanned(file.read_bytes()), "exit")))
    return scanned(file.read_bytes())


def scanned(data: bytes) -> list[Any]:
    """The records in a log of LevelDB's form, in blocks of 32 KiB."""
    message: Any = vars(importlib.import_module("wandb.proto.wandb_internal_pb2"))["Record"]

    found, at, parts = [], 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4) and at <= len(data):  # whole, or its last part
            found.append(message.FromString(parts))
            parts = b""
    return found


def of_kind(found: list[Any], kind: str) -> list[Any]:
    return [getattr(each, kind) for each in found if each.WhichOneof("record_type") == kind]


@pytest.mark.slow
@pytest.mark.usefixtures("wandb")
def test_wandb_has_the_numbers_the_settings_and_the_files(tmp_path: Path) -> None:
    """Slow: begins the library's service."""
    run(tmp_path / "run", "wandb")
    found = written(tmp_path / "run")
    history = of_kind(found, "history")
    shown = records(tmp_path / "run")
    for record, line in zip(shown, history, strict=True):
        told = {item.nested_key[0]: json.loads(item.value_json) for item in line.item}
        assert {name: told[name] for name in record} == record
    assert [line.step.num for line in history] == [1, 2, 3]
    (began,) = of_kind(found, "run")
    assert (began.project, began.display_name) == ("bpframe", f"{tmp_path.name}/run")
    told = {item.key: json.loads(item.value_json) for item in began.config.update}
    assert told["optimiser.name"] == "sgd"
    (artifact,) = of_kind(found, "artifact")
    names = {file.path for file in artifact.manifest.contents}
    assert names == {"params.safetensors", "best.safetensors", "summary.json"}
    assert [end.exit_code for end in of_kind(found, "exit")] == [0]
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/files/media/images/*.png"))


@pytest.mark.slow
@pytest.mark.usefixtures("wandb")
def test_wandb_goes_on_with_the_run_and_groups_a_sweep(main: Main, tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    folder, sweep = tmp_path / "run", tmp_path / "sweep"
    arguments = (*QUICK, "trackers=[wandb]", "training.epochs=2", "checkpoint.epochs=1")
    assert main(*arguments, f"hydra.run.dir={folder}").status == 0
    (first,) = of_kind(written(folder), "run")
    assert main("resume", str(folder), "training.epochs=3").status == 0
    (second,) = of_kind(written(folder), "run")
    assert second.run_id == first.run_id
    assert [line.step.num for line in of_kind(written(folder), "history")] == [1, 2, 3]
    assert main("-m", *arguments, "seed=0,1", f"hydra.sweep.dir={sweep}").status == 0
    for num in (0, 1):
        (job,) = of_kind(written(sweep / str(num)), "run")
        assert (job.run_group, job.display_name) == (f"{tmp_path.name}/sweep", f"sweep/{num}")


@pytest.mark.slow
@pytest.mark.usefixtures("wandb")
def test_wandb_online_needs_an_account(tmp_path: Path) -> None:
    """Slow: imports a large library."""
    with pytest.raises(ConfigError, match="wandb: mode online needs an account, and none is known"):
        run(tmp_path / "run", {"name": "wandb", "mode": "online"})
    assert not (tmp_path / "run").exists()
