"""Trackers: what they are told, how they are chosen, and that none of them costs a run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import test_cli
from test_cli import QUICK, Main
from test_events import composed, summary

import bpframe
from bpframe import ConfigError, EpochRecord, Listener, RunInfo, RunResult, Tracker, hookimpl
from bpframe.errors import OutputWarning, PluginWarning
from bpframe.plugin_host import host
from bpframe.plugin_host.events import events_of
from bpframe.runs import loop
from bpframe.runs.trackers import Tracking

main = test_cli.main

FILE = '''
import json
from bpframe import Listener, Tracker, hookimpl

BPFRAME_API_VERSION = 2

class Told(Listener):
    def __init__(self, run, at):
        self.run, self.at = run, at
        self.write("listener", [earlier.epoch for earlier in run.earlier or ()])
    def write(self, event, what):
        if event == self.at:
            raise RuntimeError("no route to host")
        line = [event, what, str(self.run.sweep), self.run.settings.get("optimiser.eta")]
        with open(self.run.output_dir.parent / f"told_{self.run.output_dir.name}.jsonl", "a") as f:
            f.write(json.dumps(line) + "\\n")
    def run_started(self):
        self.write("started", self.run.earlier is not None)
    def epoch_finished(self, record):
        self.write("epoch", record.epoch)
    def run_finished(self, result):
        self.write("finished", result.summary.status)

class Lines(Tracker):
    """Lines of JSON beside the run folder."""
    at: str | None = None
    def listener(self, run):
        return Told(run, self.at)

class Lost(Lines):
    """Needs a library that nobody has."""
    library = ("no_such_library", "no-such-library")

@hookimpl
def bpframe_trackers():
    return {"lines": Lines, "lost": Lost}
'''


@pytest.fixture
def file(tmp_path: Path) -> str:
    """An override that brings the trackers `lines` and `lost`."""
    (tmp_path / "lines.py").write_text(FILE)
    return f"plugins.path=[{tmp_path / 'lines.py'}]"


def told(folder: Path, name: str = "run") -> list[list[Any]]:
    return [json.loads(line) for line in (folder / f"told_{name}.jsonl").read_text().splitlines()]


class Calls(Listener):
    """Notes what it is told, and does more at it."""

    def __init__(self, run: RunInfo, act: Callable[[str], object]) -> None:
        self.run, self.act = run, act
        self.calls: list[Any] = []
        self.threads: set[str] = set()

    def _told(self, event: str, what: object = None) -> None:
        self.calls.append((event, what))
        self.threads.add(threading.current_thread().name)
        self.act(event)

    def run_started(self) -> None:
        self._told("run_started")

    def epoch_finished(self, record: EpochRecord) -> None:
        self._told("epoch_finished", record)

    def should_stop(self, record: EpochRecord) -> str:
        return "because a tracker says so"

    def run_finished(self, result: RunResult) -> None:
        self._told("run_finished", result)


class Mine(Tracker):
    """Keeps its listeners; `act` is what they do."""

    server: str = "somewhere"

    made: ClassVar[list[Calls]]
    act: ClassVar[Any]

    def listener(self, run: RunInfo) -> Listener:
        type(self).act("listener")
        self.made.append(Calls(run, type(self).act))
        return self.made[-1]


@pytest.fixture(autouse=True)
def _nothing_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mine, "made", [], raising=False)
    monkeypatch.setattr(Mine, "act", staticmethod(lambda event: None), raising=False)


def offering(**trackers: type[Tracker]) -> types.ModuleType:
    module = types.ModuleType("trackers_of_a_test")
    module.BPFRAME_API_VERSION = 2  # pyright: ignore[reportAttributeAccessIssue]
    module.bpframe_trackers = hookimpl(lambda: trackers)  # pyright: ignore[reportAttributeAccessIssue]
    return module


def run(folder: Path, *trackers: Any, **more: Any) -> RunResult:
    plugins = [offering(mine=Mine)]
    return bpframe.run(composed(), folder, plugins=plugins, trackers=trackers, plots=False, **more)


def test_it_is_told_of_a_run_in_order(tmp_path: Path) -> None:
    result = run(tmp_path / "run", "mine")
    (calls,) = Mine.made
    events = [event for event, _ in calls.calls]
    assert events == ["run_started", *["epoch_finished"] * 3, "run_finished"]
    assert [record.epoch for _, record in calls.calls[1:4]] == [1, 2, 3]
    assert calls.calls[-1][1] is result
    assert calls.threads == {"bpframe tracker mine"}
    info = calls.run
    assert (info.output_dir, info.sweep, info.earlier) == (tmp_path / "run", None, None)
    assert info.settings["optimiser.name"] == "sgd"
    assert info.settings["network.layers"][0]["n"] == 3
    kept = {key.partition(".")[0] for key in info.settings}
    assert not kept & {"trackers", "plugins", "plots", "checkpoint", "hydra"}


def test_it_changes_no_number_and_stops_nothing(tmp_path: Path) -> None:
    followed, alone = run(tmp_path / "a", "mine"), run(tmp_path / "b")
    assert followed.summary.epochs == 3
    for name in ("params.safetensors", "best.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert followed.history.train_cost.tolist() == alone.history.train_cost.tolist()


@pytest.mark.parametrize("at", ["listener", "run_started", "epoch_finished", "run_finished"])
def test_one_that_raises_is_told_nothing_more(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(event: str) -> None:
        if event == at:
            raise SystemExit("no route\nto host")

    monkeypatch.setattr(Mine, "act", staticmethod(fail))
    with pytest.warns(PluginWarning) as caught:
        result = run(tmp_path / "run", "mine")
    (warning,) = caught
    start = (
        f"tracker mine is off for the rest of this run: {at} raised SystemExit: no route to host"
    )
    assert str(warning.message).startswith(start)
    assert "\n" not in str(warning.message)
    assert result.summary.status == summary(tmp_path / "run")["status"] == "completed"
    told = [event for one in Mine.made for event, _ in one.calls]
    whole = ["run_started", *["epoch_finished"] * 3, "run_finished"]
    assert told == ([] if at == "listener" else whole[: whole.index(at) + 1])


def test_one_that_hangs_costs_its_timeout_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs that follow in the process do not wait for it again; another tracker goes on."""
    release = threading.Event()
    monkeypatch.setattr(
        Mine, "act", staticmethod(lambda event: event == "epoch_finished" and release.wait(20))
    )
    hanging, other = ("mine", Mine(timeout=0.2)), ("other", Well())
    events = events_of(host.load_registry())
    started = time.monotonic()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for name in ("a", "b"):
                tracking = Tracking((hanging, other), {"optimiser.eta": 0.5})
                result = loop.run(composed(), tmp_path / name, events=events(tracking), plots=False)
                assert result.summary.status == "completed"
    finally:
        release.set()
    assert [str(warning.message) for warning in caught] == [
        (
            "tracker mine is off from here on, in all runs of this process: epoch_finished has "
            "not ended after 0.2 s; its field timeout may be more"
        )
    ]
    assert len(Mine.made) == 1
    assert time.monotonic() - started < 15
    assert (tmp_path / "b" / "well.txt").read_text() == "completed"


class Well(Tracker):
    """Writes how the run ended."""

    def listener(self, run: RunInfo) -> Listener:
        class Last(Listener):
            def run_finished(self, result: RunResult) -> None:
                assert run.output_dir is not None
                (run.output_dir / "well.txt").write_text(result.summary.status)

        return Last()


def test_what_is_no_listener_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mine, "listener", lambda self, run: "listener")
    with pytest.warns(PluginWarning, match=r"returned 'listener'; expected a bpframe\.Listener"):
        run(tmp_path / "run", "mine")


class Lost(Mine):
    """Needs a library that nobody has."""

    library = ("no_such_library", "bpframe[lost]")


class Unable(Mine):
    """Knows that it cannot work."""

    def check(self) -> None:
        raise ConfigError("trackers: unable: has no account")


@pytest.mark.parametrize(
    ("trackers", "message"),
    [
        (["main"], r"^trackers\[0\]: unknown 'main'; did you mean 'mine'\? known: "),
        ([{"name": "mine", "sever": 1}], r"trackers\[0\]\.sever: unknown 'sever'; did you mean"),
        ([{"name": "mine", "timeout": 0}], r"trackers\[0\]\.timeout: 0\.0 is out of range"),
        ([Mine(timeout=-1.0)], r"trackers\[0\]\.timeout: -1\.0 is out of range; allowed: > 0"),
        (["mine", {"name": "mine"}], r"trackers\[1\]: mine is chosen already; remove one"),
        ([3], r"trackers\[0\]: 3 is not a tracker; give a name, or"),
        ("mine", r"^trackers: 'mine' is not a list; write \['mine'\]"),
        (["lost"], r"^trackers: lost needs no_such_library, .*; pip install 'bpframe\[lost\]'$"),
        (["unable"], r"^trackers: unable: has no account$"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    trackers: Any, message: str, tmp_path: Path
) -> None:
    plugins = [offering(mine=Mine, lost=Lost, unable=Unable)]
    with pytest.raises(ConfigError, match=message):
        bpframe.run(composed(), tmp_path / "run", plugins=plugins, trackers=trackers)
    assert not list(tmp_path.iterdir())
    assert not Mine.made


def test_a_run_without_a_folder_has_no_trackers() -> None:
    with pytest.raises(ConfigError, match="trackers: show what is in the run folder"):
        bpframe.run(composed(), trackers=["mine"], plugins=[offering(mine=Mine)])


def test_they_are_no_part_of_an_experiment() -> None:
    with pytest.raises(
        ConfigError, match=r"give it to bpframe\.run, as checkpointing, plots or tra"
    ):
        bpframe.compose([*QUICK, "trackers=[mlflow]"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trackers=[mlfow]", "trackers[0]: unknown 'mlfow'; did you mean 'mlflow'? known: lines,"),
        ("trackers=[{name: lines, att: 1}]", "trackers[0].att: unknown 'att'; did you mean 'at'?"),
        ("trackers=[lost]", "trackers: lost needs no_such_library, which is not installed; pip"),
        ("tracker=lines", "tracker: unknown 'tracker'; did you mean trackers?"),
        ("trackers=lines", "trackers: 'lines' is not a list"),
    ],
)
def test_the_shell_refuses_in_one_line(
    override: str, message: str, main: Main, file: str, tmp_path: Path
) -> None:
    for more in ((), ("-m",)):
        ended = main(*more, file, *QUICK, override)
        assert ended.status == 1
        assert message in ended.err
        assert "Traceback" not in ended.err
        assert {path.name for path in tmp_path.iterdir()} <= {"lines.py", ".local"}


@pytest.mark.slow
def test_the_config_names_them_and_resume_goes_on_with_them(
    main: Main, file: str, tmp_path: Path
) -> None:
    """Slow: compiles programs. What no plugin offers is told, and left out of the config."""
    plugins = host.load_registry(paths=[str(tmp_path / "lines.py")])
    lines = plugins.get("tracker", "lines", "trackers")
    folder = tmp_path / "run"
    with pytest.warns(OutputWarning, match="its configuration does not name tracker Mine, which"):
        bpframe.run(
            composed(), folder, trackers=[lines(), Mine()],
            plugins=[sys.modules[lines.__module__]],
            checkpointing=bpframe.Checkpointing(epochs=1),
        )  # fmt: skip
    assert len(Mine.made) == 1
    config = (folder / ".hydra" / "config.yaml").read_text()
    assert "- name: lines" in config
    assert [line[:2] for line in told(tmp_path)][-1] == ["finished", "completed"]
    ended = main("resume", "--trust", str(folder), "training.epochs=4", "trackers=[]")
    assert ended.status == 0, ended.err
    assert [line[:2] for line in told(tmp_path)].count(["finished", "completed"]) == 1


@pytest.mark.slow
def test_a_run_that_goes_on_has_its_earlier_records(main: Main, file: str, tmp_path: Path) -> None:
    """Slow: compiles a program, and runs whole commands."""
    folder = tmp_path / "run"
    first = main(
        *(file, *QUICK, "trackers=[lines]", "training.epochs=2", "checkpoint.epochs=1"),
        f"hydra.run.dir={folder}",
    )
    assert first.status == 0, first.err
    second = main("resume", str(folder), "training.epochs=3")
    assert (second.status, second.err) == (0, "")
    assert [line[:2] for line in told(tmp_path)] == [
        *(["listener", []], ["started", False], ["epoch", 1], ["epoch", 2]),
        *(["finished", "completed"], ["listener", [1, 2]], ["started", True], ["epoch", 3]),
        ["finished", "completed"],
    ]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), ("hydra/launcher=basic",), ("backend",)])
def test_every_job_of_a_sweep_is_a_run_of_its_own(
    launcher: tuple[str, ...], main: Main, file: str, tmp_path: Path
) -> None:
    """In lanes, one after another, and in processes. Slow: runs whole commands."""
    if launcher == ("backend",):
        launcher = ("hydra.launcher.backend=processes",)
    sweep = tmp_path / "sweep"
    ended = main(
        *("-m", file, *QUICK, "training.epochs=2", "trackers=[{name: lines, at: null}]", *launcher),
        *("optimiser.eta=0.1,0.5", f"hydra.sweep.dir={sweep}"),
    )
    assert (ended.status, ended.err) == (0, "")
    for name, eta in (("0", 0.1), ("1", 0.5)):
        lines = told(sweep, name)
        assert [line[:2] for line in lines][-1] == ["finished", "completed"]
        assert {line[2] for line in lines} == {str(sweep)}
        assert {line[3] for line in lines} == {eta}


@pytest.mark.slow
def test_one_that_fails_costs_no_job(main: Main, file: str, tmp_path: Path) -> None:
    """Slow: runs a whole command."""
    sweep = tmp_path / "sweep"
    ended = main(
        *("-m", file, *QUICK, "training.epochs=2", "trackers=[{name: lines, at: started}]"),
        *("seed=0,1,2", f"hydra.sweep.dir={sweep}"),
    )
    assert ended.status == 0
    assert ended.err.count("tracker lines is off for the rest of this run: run_started raised") == 1
    assert [summary(sweep / str(num))["status"] for num in range(3)] == ["completed"] * 3


@pytest.mark.slow
def test_no_library_is_imported_unless_its_tracker_is_named() -> None:
    """Slow: runs a process."""
    code = (
        "import sys; from bpframe.plugin_host.host import load_registry; r = load_registry(); "
        "assert r.names('tracker') >= ['mlflow', 'tensorboard', 'wandb']; "
        "print({'mlflow', 'tensorboardX', 'wandb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_scalars_have_names_that_trackers_can_group() -> None:
    record = EpochRecord(
        2, 0.5, 0.25, None, 0.75, 0.1,
        {
            "delta_norm.steps.layer_2": 0.3,
            "curvature_trace.train.layer_2.0": 1.0,
            "accuracy.validation": 0.75,
            "mode_strengths.steps.layer_2": [1.0, 2.0],
            "dead.steps.layer_2": None,
            "partly.steps": [1.0, None],
            "confusion_matrix.validation": [[1, 0], [0, 1]],
            "gradient_norms.train": list(range(33)),
        },
    )  # fmt: skip
    assert record.scalars() == {
        "train_cost": 0.5,
        "validation_cost": 0.25,
        "validation_accuracy": 0.75,
        "seconds": 0.1,
        "delta_norm.steps/layer_2": 0.3,
        "curvature_trace.train/layer_2.0": 1.0,
        "accuracy.validation": 0.75,
        "mode_strengths.steps/layer_2/0": 1.0,
        "mode_strengths.steps/layer_2/1": 2.0,
    }


def test_interpolations_stay_as_they_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, main: Main, file: str
) -> None:
    monkeypatch.setenv("A_SECRET", "0.375")
    ended = main(
        *(file, *QUICK, "trackers=[lines]", "training.epochs=1", f"hydra.run.dir={tmp_path}/run"),
        "optimiser.eta=${oc.env:A_SECRET}",
    )
    assert ended.status == 0, ended.err
    assert {line[3] for line in told(tmp_path)} == {"${oc.env:A_SECRET}"}
