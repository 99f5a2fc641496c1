"""Event hooks: when they are called, what with, and what a faulty one does to a run."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_cli
from test_cli import QUICK, Main
from test_discovery import HEADER, write
from test_runs import lines

import bpframe
from bpframe import (
    DivergenceError,
    EpochRecord,
    Experiment,
    Listener,
    PluginError,
    RunInfo,
    RunResult,
    hookimpl,
)
from bpframe.errors import PluginWarning
from bpframe.plugin_host.events import PluginEvents
from bpframe.plugin_host.host import BLOCK, TRACE, load_registry
from bpframe.plugin_host.registry import EVENTS

main = test_cli.main

EPOCHS = 3


@functools.cache
def composed(*overrides: str) -> Experiment:
    """XOR for three epochs; one structure, so that all runs share what they compile."""
    return bpframe.compose([*QUICK, f"training.epochs={EPOCHS}", *overrides])


Call = tuple[str, dict[str, Any]]


class Recorder:
    """Notes down its calls; `act` may do more at each, and says what the hook returns."""

    def __init__(self, act: Callable[[str], object] = lambda hook: None) -> None:
        self.calls: list[Call] = []
        self.act = act

    def told(self, hook: str, **arguments: Any) -> Any:
        self.calls.append((hook, arguments))
        return self.act(hook)

    @property
    def hooks(self) -> list[str]:
        return [hook.removeprefix("bpframe_") for hook, _ in self.calls]

    @hookimpl
    def bpframe_run_started(self, run: RunInfo) -> Any:
        return self.told("bpframe_run_started", run=run)

    @hookimpl
    def bpframe_epoch_finished(self, run: RunInfo, record: EpochRecord) -> Any:
        return self.told("bpframe_epoch_finished", run=run, record=record)

    @hookimpl
    def bpframe_should_stop(self, run: RunInfo, record: EpochRecord) -> Any:
        return self.told("bpframe_should_stop", run=run, record=record)

    @hookimpl
    def bpframe_run_finished(self, run: RunInfo, result: RunResult) -> Any:
        return self.told("bpframe_run_finished", run=run, result=result)


class Witness(Recorder):
    """A second plugin, with another name than `Recorder`."""


WHOLE = ["run_started", *["epoch_finished", "should_stop"] * EPOCHS, "run_finished"]


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.slow
def test_order_and_arguments(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    experiment, recorder = composed(), Recorder()
    result = bpframe.run(experiment, tmp_path, plugins=[recorder])
    assert recorder.hooks == WHOLE
    for hook, arguments in recorder.calls:
        told = arguments["run"]
        assert told.data.n_train == 4
        assert dataclasses.replace(told, data=None) == RunInfo(experiment, tmp_path, 4), hook
    for hook in ("bpframe_epoch_finished", "bpframe_should_stop"):
        records = [arguments["record"] for name, arguments in recorder.calls if name == hook]
        assert [record.epoch for record in records] == [1, 2, 3]
        assert [record.train_cost for record in records] == result.history.train_cost.tolist()
    assert recorder.calls[-1][1]["result"] is result


def test_what_is_written_when(tmp_path: Path) -> None:
    seen: list[tuple[str, int | None, bool]] = []
    metrics = tmp_path / "metrics.jsonl"

    def look(hook: str) -> None:
        lines = len(metrics.read_text().splitlines()) if metrics.exists() else None
        seen.append((hook.removeprefix("bpframe_"), lines, (tmp_path / "summary.json").exists()))

    bpframe.run(composed(), tmp_path, plugins=[Recorder(look)])
    assert seen[0] == ("run_started", 0, False)
    assert seen[1::2][:EPOCHS] == [("epoch_finished", n, False) for n in (1, 2, 3)]
    assert seen[-1] == ("run_finished", 3, True)


def test_a_run_without_a_folder_says_so() -> None:
    recorder = Recorder()
    bpframe.run(composed(), plugins=[recorder])
    assert {arguments["run"].output_dir for _, arguments in recorder.calls} == {None}


def test_a_hook_takes_the_arguments_that_it_wants() -> None:
    seen: list[Any] = []

    class Few:
        @hookimpl
        def bpframe_run_started(self) -> None:
            seen.append("started")

        @hookimpl
        def bpframe_epoch_finished(self, record: EpochRecord) -> None:
            seen.append(record.epoch)

    bpframe.run(composed(), plugins=[Few()])
    assert seen == ["started", 1, 2, 3]


def test_events_change_no_parameter() -> None:
    with_one, without = bpframe.run(composed(), plugins=[Recorder()]), bpframe.run(composed())
    for first, second in zip(with_one.params, without.params, strict=True):
        assert first.w.tobytes() == second.w.tobytes()
        assert first.b.tobytes() == second.b.tobytes()


def stopping_after(epoch: int, reason: object) -> Callable[[str], object]:
    """What returns `reason` from should_stop from that epoch on."""
    asked = iter(range(1, 100))
    return lambda hook: reason if hook == "bpframe_should_stop" and next(asked) >= epoch else None


def test_should_stop_ends_the_run(tmp_path: Path) -> None:
    recorder = Recorder(stopping_after(2, "because it is late"))
    result = bpframe.run(composed(), tmp_path, plugins=[recorder])
    assert recorder.hooks == ["run_started", *["epoch_finished", "should_stop"] * 2, "run_finished"]
    found = result.summary
    assert (found.status, found.epochs, found.error) == ("completed", 2, None)
    assert found.stopped is not None
    assert found.stopped.startswith("by plugin ")
    assert found.stopped.endswith("Recorder, because it is late")
    assert found.test_accuracy is not None
    assert summary(tmp_path)["stopped"] == found.stopped
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_reasons_of_several_plugins_are_all_told() -> None:
    first, second = (kind(stopping_after(1, "because")) for kind in (Recorder, Witness))
    stopped = bpframe.run(composed(), plugins=[first, second]).summary.stopped
    assert stopped is not None
    reasons = [part.removeprefix("by plugin ").rpartition(".")[2] for part in stopped.split("; ")]
    assert reasons == ["Recorder, because", "Witness, because"]


def test_each_plugin_is_called_once_whatever_their_order() -> None:
    """Also those that are registered before or after another one with the same hook."""
    for kinds in ((Recorder, Witness), (Witness, Recorder)):
        plugins = [kind() for kind in kinds]
        bpframe.run(composed(), plugins=plugins)
        assert [plugin.hooks for plugin in plugins] == [WHOLE, WHOLE]


def test_a_reason_after_the_last_epoch_stops_nothing() -> None:
    result = bpframe.run(composed(), plugins=[Recorder(stopping_after(EPOCHS, "late"))])
    assert (result.summary.epochs, result.summary.stopped) == (EPOCHS, None)


@pytest.mark.parametrize("when", [0, 2])
def test_the_stop_file(tmp_path: Path, when: int) -> None:
    """It may be there from the start; it is left where it is."""
    if when == 0:
        (tmp_path / "STOP").touch()

    def report(record: EpochRecord) -> None:
        if record.epoch == when:
            (tmp_path / "STOP").touch()

    found = bpframe.run(composed(), tmp_path, on_epoch=report).summary
    assert (found.status, found.epochs) == ("completed", max(when, 1))
    assert found.stopped == f"by plugin bpframe:stop_file, because {tmp_path / 'STOP'} exists"
    assert (tmp_path / "STOP").exists()


def test_a_stop_file_elsewhere_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "STOP").touch()
    assert bpframe.run(composed()).summary.epochs == EPOCHS
    assert bpframe.run(composed(), tmp_path / "run").summary.epochs == EPOCHS


def failing(at: str, error: BaseException) -> Callable[[str], object]:
    def act(hook: str) -> None:
        if hook == at:
            raise error

    return act


class Unnamed(BaseException):
    """One whose message cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("two\nlines"),
        SystemExit(3),
        KeyboardInterrupt("own"),
        GeneratorExit(),
        Unnamed(),
    ],
    ids=lambda error: type(error).__name__ if isinstance(error, BaseException) else error,
)
@pytest.mark.parametrize("hook", EVENTS[1:])
def test_a_hook_that_raises_is_disabled_and_the_run_goes_on(
    hook: str, error: BaseException
) -> None:
    faulty, witness = Recorder(failing(hook, error)), Witness()
    with pytest.warns(PluginWarning) as warned:
        result = bpframe.run(composed(), plugins=[faulty, witness])
    (message,) = [str(warning.message) for warning in warned]
    assert message.startswith("plugin ")
    assert (
        f"Recorder (given in Python) is disabled for the rest of this run: hook {hook} raised "
        in (message)
    )
    text = "(its message cannot be read)" if isinstance(error, Unnamed) else str(error)
    assert f"{type(error).__name__}: {' '.join(text.split())} ({__file__}, line " in message
    assert len(message.splitlines()) == 1
    assert faulty.hooks == WHOLE[: WHOLE.index(hook.removeprefix("bpframe_")) + 1]
    assert witness.hooks == WHOLE
    assert (result.summary.status, result.summary.epochs) == ("completed", EPOCHS)


@pytest.mark.parametrize("nonsense", [True, 3, ["a"], b"because"], ids=repr)
def test_a_reason_that_is_none_disables_the_plugin(nonsense: object) -> None:
    faulty, witness = Recorder(stopping_after(2, nonsense)), Witness()
    with pytest.warns(PluginWarning) as warned:
        result = bpframe.run(composed(), plugins=[faulty, witness])
    (message,) = [str(warning.message) for warning in warned]
    assert message.endswith(
        f"hook bpframe_should_stop returned {nonsense!r}; expected a reason or None"
    )
    assert faulty.hooks == WHOLE[:5]
    assert witness.hooks == WHOLE
    assert (result.summary.epochs, result.summary.stopped) == (EPOCHS, None)


def test_a_disabled_plugin_is_back_in_the_next_run() -> None:
    faulty = Recorder(failing("bpframe_run_started", RuntimeError()))
    for _ in range(2):
        with pytest.warns(PluginWarning, match="rest of this run"):
            bpframe.run(composed(), plugins=[faulty])
    assert faulty.hooks == ["run_started"] * 2


@pytest.mark.parametrize("hook", [*EVENTS[1:4]])
@pytest.mark.parametrize("times", [1, 2])
def test_a_ctrl_c_in_a_hook_interrupts_the_run(tmp_path: Path, hook: str, times: int) -> None:
    """The first one at the end of the turn, a second at once."""

    def act(at: str) -> None:
        if at == hook:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    recorder, witness = Recorder(act), Witness()
    with pytest.raises(KeyboardInterrupt):
        bpframe.run(composed(), tmp_path, plugins=[recorder, witness])
    assert recorder.hooks[-1] == "run_finished"
    assert hook.removeprefix("bpframe_") in recorder.hooks
    assert witness.hooks[-1] == "run_finished"
    assert summary(tmp_path)["status"] == "interrupted"


class Noting(Listener):
    """Notes what one run tells it, and how many lines its metrics.jsonl has by then."""

    def __init__(self, run: RunInfo) -> None:
        self.run = run
        self.told: list[str] = []

    def _tell(self, what: str) -> None:
        folder = self.run.output_dir
        self.told.append(f"{what} {len(lines(folder)) if folder else 0}")

    def run_started(self) -> None:
        self._tell("started")

    def epoch_finished(self, record: EpochRecord) -> None:
        self._tell(f"epoch {record.epoch}")

    def should_stop(self, record: EpochRecord) -> str | None:
        return "because it is late" if record.epoch == 2 else None

    def run_finished(self, result: RunResult) -> None:
        self._tell(result.summary.status)


class Making:
    """Offers a listener for each run."""

    def __init__(self, make: Callable[[RunInfo], Any] = Noting) -> None:
        self.made: list[Any] = []
        self._make = make

    @hookimpl
    def bpframe_listener(self, run: RunInfo) -> Any:
        self.made.append(self._make(run))
        return self.made[-1]


@pytest.mark.slow
def test_a_listener_is_told_of_its_run_alone(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    plugin = Making()
    for name in ("a", "b"):
        found = bpframe.run(composed(), tmp_path / name, plugins=[plugin]).summary
        assert found.stopped == "by plugin Making, because it is late"
    assert [one.run.output_dir for one in plugin.made] == [tmp_path / "a", tmp_path / "b"]
    assert all(
        one.told == ["started 0", "epoch 1 1", "epoch 2 2", "completed 2"] for one in plugin.made
    )


def test_no_listener_is_no_fault_and_anything_else_is_one() -> None:
    bpframe.run(composed(), plugins=[Making(lambda run: None)])
    with pytest.warns(PluginWarning, match="returned 'me'; expected a bpframe.Listener"):
        bpframe.run(composed(), plugins=[Making(lambda run: "me")])


def fail(error: type[BaseException]) -> Callable[[EpochRecord], None]:
    def report(record: EpochRecord) -> None:
        if record.epoch == 2:
            raise error("enough")

    return report


@pytest.mark.parametrize(
    ("status", "eta", "error", "epochs"),
    [
        ("completed", "0.5", None, EPOCHS),
        ("interrupted", "0.5", KeyboardInterrupt, 2),
        ("failed", "0.5", RuntimeError, 2),
        ("diverged", "3e38", DivergenceError, None),
    ],
)
def test_run_finished_is_called_however_it_ends(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    status: str,
    eta: str,
    error: type[BaseException] | None,
    epochs: int | None,
) -> None:
    recorder = Recorder()
    report = fail(error) if error and status != "diverged" else None
    experiment = composed(f"optimiser.eta={eta}")

    def run() -> None:
        bpframe.run(experiment, tmp_path, on_epoch=report, plugins=[recorder])

    with caplog.at_level(logging.INFO, "bpframe"):
        if error:
            with pytest.raises(error):
                run()
        else:
            run()
    assert recorder.hooks.count("run_finished") == 1
    hook, arguments = recorder.calls[-1]
    assert hook == "bpframe_run_finished"
    found = arguments["result"].summary
    assert found.status == status
    assert epochs is None or found.epochs == epochs
    told = json.loads(json.dumps(found.as_dict()))
    written = summary(tmp_path)  # which has checksums besides
    assert {key: written[key] for key in told} == told
    last = caplog.records[-1]
    assert (last.name, last.levelno) == ("bpframe", logging.ERROR if error else logging.INFO)
    assert last.getMessage().startswith(f"{status} after {found.epochs} epochs")
    assert found.error is None or last.getMessage().endswith(f": {found.error}")


@pytest.mark.slow
def test_the_journal(caplog: pytest.LogCaptureFixture) -> None:
    """Slow: compiles a program."""
    columns = "metrics=[delta_norm,{name: confusion_matrix, over: steps}]"
    experiment = composed(columns)
    with caplog.at_level(logging.INFO, "bpframe"):
        result = bpframe.run(experiment, plugins=[Recorder(stopping_after(2, "because"))])
    lines = [record.getMessage() for record in caplog.records if record.name == "bpframe"]
    assert lines[0] == "training 2-3-1 for 3 epochs"
    for index, line in enumerate(lines[1:3]):
        values = dict(part.split("=") for part in line.split())
        history = result.history
        assert list(values) == [
            *("epoch", "train_cost", "validation_cost", "train_accuracy"),
            *("validation_accuracy", "seconds", "delta_norm.steps.layer_2"),
            "delta_norm.steps.layer_3",
        ]
        assert values["epoch"] == str(index + 1)
        for name in ("train_cost", "validation_cost", "validation_accuracy"):
            assert values[name] == f"{getattr(history, name)[index]:.6g}"
        norms = history.metrics["delta_norm.steps.layer_3"]
        assert values["delta_norm.steps.layer_3"] == f"{norms[index]:.6g}"
    assert lines[3].startswith("stopped after 2 epochs by plugin ")
    assert len(lines) == 4


def test_plugins_given_to_run_are_checked() -> None:
    class Misspelt:
        @hookimpl
        def bpframe_epoch_finish(self, record: EpochRecord) -> None: ...

    class Greedy:
        @hookimpl
        def bpframe_epoch_finished(self, epoch: int) -> None: ...

    with pytest.raises(PluginError, match="'bpframe_epoch_finish'; did you mean 'bpframe_epoch_f"):
        bpframe.run(composed(), plugins=[Misspelt()])
    with pytest.raises(PluginError, match=r"(?s)bpframe_epoch_finished.*epoch"):
        bpframe.run(composed(), plugins=[Greedy()])


def test_blocked_and_disabled_plugins_hear_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BLOCK, "journal")
    with caplog.at_level(logging.INFO, "bpframe"):
        bpframe.run(composed())
    assert not [record for record in caplog.records if record.name == "bpframe"]
    recorder = Recorder()
    registry = load_registry([recorder])
    name = registry.plugins[-1].name
    info = RunInfo(composed(), None, 4)
    PluginEvents(registry.without(name, "a fault")).run_started(info)
    assert recorder.hooks == []
    PluginEvents(registry).run_started(info)
    assert recorder.hooks == ["run_started"]


def test_run_info_is_frozen() -> None:
    info = RunInfo(composed(), None, 4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.n_train = 5  # pyright: ignore[reportAttributeAccessIssue]


def test_a_file_listens_to_a_run_of_the_command_line(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        @bpframe.hookimpl
        def bpframe_epoch_finished(run, record):
            (run.output_dir / "seen").write_text(str(record.epoch))


        @bpframe.hookimpl
        def bpframe_should_stop(record):
            return "because two are enough" if record.epoch == 2 else None


        @bpframe.hookimpl
        def bpframe_run_finished(result):
            raise ValueError("no")
    """
    file = write(tmp_path / "listener.py", HEADER + source.replace("\n        ", "\n"))
    monkeypatch.setenv(TRACE, "1")
    ended = main(f"plugins.path=[{file}]", *QUICK, f"training.epochs={EPOCHS}", "hydra.run.dir=run")
    assert ended.status == 0
    found = summary(tmp_path / "run")
    assert found["stopped"] == "by plugin listener, because two are enough"
    assert (tmp_path / "run" / "seen").read_text() == "2"
    traced = [line for line in ended.err.splitlines() if line.startswith("bpframe: listener: ")]
    place = f"({file}, line {len(file.read_text().splitlines())})"
    assert traced == [
        "bpframe: listener: bpframe_epoch_finished returned None",
        "bpframe: listener: bpframe_should_stop returned None",
        "bpframe: listener: bpframe_epoch_finished returned None",
        "bpframe: listener: bpframe_should_stop returned 'because two are enough'",
        f"bpframe: listener: bpframe_run_finished raised ValueError: no {place}",
    ]
    warnings = [line for line in ended.err.splitlines() if "warning" in line]
    text = f"hook bpframe_run_finished raised ValueError: no {place}"
    plugin = f"plugin listener ({file}) is disabled for the rest of this run"
    assert warnings == [f"bpframe: warning: {plugin}: {text}"]
