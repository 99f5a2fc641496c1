"""A run that is cut off and goes on ends as if nothing had happened, bit for bit."""

from __future__ import annotations

import dataclasses
import gc
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save

import bpframe
from bpframe.errors import BpframeError, ConfigError, OutputError, OutputWarning
from bpframe.network import named_params
from bpframe.runs import checkpoint, layout, loop, provenance
from bpframe.runs.checkpoint import Checkpoint, Checkpointing
from bpframe.training import loading

pytestmark = [
    # A process that is killed closes nothing either.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SMALL = ("data.train_size=40", "network.hidden=[5]", "training.epochs=6")
EACH = Checkpointing(epochs=1)
KINDS = {
    "sgd": ("training.evaluate_every=2",),
    "adam": ("optimiser=adam", "optimiser.eta=0.01", "schedule=cosine"),
    "momentum": ("optimiser=momentum", "training.dtype=float64", "training.evaluate_start=true"),
    "bfloat16": ("training.dtype=bfloat16", "learning_rule=feedback_alignment"),
    "stopping": ("stopping=no_improvement", "stopping.patience=3", "schedule=halve"),
    "metrics": ("metrics=[confusion_matrix,delta_norm]", "regulariser=l2"),
}


class Killed(BaseException):
    """What ends a process without a word."""


def composed(*overrides: str) -> bpframe.Experiment:
    return bpframe.compose([*SMALL, *overrides])


def killed(experiment: bpframe.Experiment, path: Path, after: int, **more: Any) -> None:
    """Begin a run, or go on, and have it killed after the record of an epoch."""

    def kill(record: Any) -> None:
        if record.epoch >= after:
            raise Killed

    begin = loop.resume if path.exists() else loop.run
    with pytest.raises(Killed):
        begin(experiment, path, on_epoch=kill, checkpointing=EACH, **more)
    gc.collect()  # which lets go of the folder, as the end of a process does


def told(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_same(path: Path, other: Path) -> None:
    assert told(path) == told(other)
    mine, theirs = (load_file(each / "params.safetensors") for each in (path, other))
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        np.testing.assert_array_equal(array, theirs[name])
    one, two = (layout.read_summary(each) for each in (path, other))
    assert one is not None
    assert two is not None
    for key in (
        "status",
        "epochs",
        "test_accuracy",
        "test_cost",
        "best_epoch",
        "stopped",
        "metrics",
    ):
        assert one[key] == two[key]


@pytest.mark.parametrize(
    "kind",
    [kind if kind == "adam" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_a_run_that_is_killed_again_and_again_ends_as_the_undisturbed(
    kind: str, tmp_path: Path
) -> None:
    """Slow: two programs are compiled for each kind."""
    experiment = composed(*KINDS[kind])
    whole = loop.run(experiment, tmp_path / "whole")
    for epoch in (2, 3, 4):
        if epoch < whole.summary.epochs:
            killed(experiment, tmp_path / "cut", epoch)
    loop.resume(experiment, tmp_path / "cut", checkpointing=EACH)
    assert_same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.slow
def test_without_a_checkpoint_a_run_begins_again(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    experiment = composed()
    loop.run(experiment, tmp_path / "whole")
    killed(experiment, tmp_path / "cut", 1)
    assert not list((tmp_path / "cut").glob("checkpoint-*"))
    loop.resume(experiment, tmp_path / "cut")
    assert_same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.slow
def test_without_a_checkpoint_no_recorded_epoch_is_dropped(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    bpframe.run(composed("training.epochs=3"), tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(ConfigError, match="and its records of 3 epochs would be lost"):
        loop.resume(composed("training.epochs=2"), tmp_path / "run")
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
def test_python_sets_when_and_compose_does_not(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    experiment = composed("training.epochs=2")
    bpframe.run(experiment, tmp_path / "run", checkpointing=Checkpointing(epochs=1), plots=False)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert "checkpoint-00000002.npz" in names
    assert "learning_curves.png" not in names
    config = (tmp_path / "run" / ".hydra" / "config.yaml").read_text()
    assert "epochs: 1\n  keep: 1\nplots: false" in config
    for text in ("checkpoint.seconds=1", "plots=false"):
        with pytest.raises(ConfigError, match="is no part of an experiment; give it to bpframe"):
            composed(text)


def test_a_run_of_a_second_has_no_checkpoint(tmp_path: Path) -> None:
    loop.run(composed(), tmp_path / "run")
    assert not list((tmp_path / "run").glob("checkpoint-*"))
    with pytest.raises(OutputError, match="is complete after epoch"):
        loop.resume(composed(), tmp_path / "run")


@pytest.mark.parametrize("keep", [1, 3])
def test_the_last_few_are_kept(keep: int, tmp_path: Path) -> None:
    loop.run(composed(), tmp_path, checkpointing=Checkpointing(epochs=2, keep=keep))
    names = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert names == [f"checkpoint-{epoch:08d}.npz" for epoch in (2, 4, 6)][-keep:]


def test_by_time(tmp_path: Path) -> None:
    loop.run(composed(), tmp_path, checkpointing=Checkpointing(seconds=0.0, keep=9))
    assert len(list(tmp_path.glob("checkpoint-*"))) == 6


@pytest.mark.slow
def test_a_complete_run_can_be_prolonged(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    loop.run(composed(), tmp_path / "run", checkpointing=EACH)
    with pytest.raises(OutputError, match=r"is complete after epoch 6; set training\.epochs"):
        loop.resume(composed(), tmp_path / "run")
    longer = composed("training.epochs=9")
    loop.resume(longer, tmp_path / "run")
    loop.run(longer, tmp_path / "whole")
    assert_same(tmp_path / "run", tmp_path / "whole")
    with pytest.raises(ConfigError, match=r"training\.epochs: 2 is out of range; .* after epoch 9"):
        loop.resume(composed("training.epochs=2"), tmp_path / "run")


@pytest.mark.slow
def test_another_experiment_is_refused(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    killed(composed(), tmp_path / "run", 3)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(OutputError, match="its checkpoint is of another experiment"):
        loop.resume(composed("optimiser.eta=0.1"), tmp_path / "run")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.slow
def test_a_run_that_is_still_going_on_is_not_resumed(tmp_path: Path) -> None:
    """Slow: runs whole commands."""

    def meanwhile(record: Any) -> None:
        with pytest.raises(OutputError, match="is in use: its run is still going on"):
            loop.resume(composed(), tmp_path / "run")

    loop.run(
        composed("training.epochs=2"), tmp_path / "run", on_epoch=meanwhile, checkpointing=EACH
    )
    assert len(told(tmp_path / "run")) == 2


def test_a_disk_that_is_full_costs_a_checkpoint_and_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bpframe.runs.checkpoint.write_whole", full)
    with pytest.warns(OutputWarning, match=r"no checkpoint after epoch \d: No space left"):
        result = loop.run(composed(), tmp_path, checkpointing=EACH)
    assert result.summary.status == "completed"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": -1}, r"checkpoint\.seconds: -1 is out of range; allowed: >= 0"),
        ({"seconds": float("nan")}, r"checkpoint\.seconds: nan is out of range"),
        ({"epochs": 0}, r"checkpoint\.epochs: 0 is out of range; allowed: >= 1"),
        ({"keep": 0}, r"checkpoint\.keep: 0 is out of range; allowed: >= 1"),
    ],
)
def test_settings_out_of_range(settings: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        loop.run(composed(), tmp_path / "run", checkpointing=Checkpointing(**settings))
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "run"
    loop.run(composed("network.hidden=[2]", "data.train_size=10"), path, checkpointing=EACH)
    (found,) = path.glob("checkpoint-*")
    return found


def contents(found: Checkpoint) -> Any:
    state = [(leaf.dtype, leaf.shape, leaf.tobytes()) for leaf in found.state]
    return found.epoch, found.records, found.experiment, state


@pytest.mark.slow
def test_a_flipped_bit_is_found_or_changes_nothing(saved: Path, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    whole = saved.read_bytes()
    expected = contents(Checkpoint.read(saved))
    rng = np.random.default_rng(0)
    path, found = tmp_path / saved.name, 0
    for place in rng.integers(8 * len(whole), size=1000):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            read = Checkpoint.read(path)
        except OutputError:
            found += 1
        else:
            assert contents(read) == expected
    assert found > 800


def test_a_file_that_is_cut_off_is_found(saved: Path, tmp_path: Path) -> None:
    whole, path = saved.read_bytes(), tmp_path / saved.name
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(OutputError, match="is damaged"):
            Checkpoint.read(path)


@pytest.mark.slow
def test_the_one_before_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    loop.run(composed(), tmp_path / "whole")
    for epoch in (3, 5):
        killed(composed(), tmp_path / "cut", epoch)
    path = tmp_path / "cut" / "checkpoint-00000004.npz"
    assert path.exists()
    older = Checkpoint.read(path)
    earlier = dataclasses.replace(older, epoch=2, records=older.records[:2])
    (tmp_path / "cut" / "checkpoint-00000002.npz").write_bytes(earlier.as_bytes())
    path.write_bytes(path.read_bytes()[:-100])
    found = checkpoint.latest(tmp_path / "cut")
    assert found is not None
    assert found.epoch == 2


@pytest.mark.share(3)
@pytest.mark.parametrize("text", ["", "{", '{"status": "comp', "[]", "{}", "nonsense"])
def test_a_damaged_summary_is_named(text: str, tmp_path: Path) -> None:
    loop.run(composed(), tmp_path / "run", checkpointing=EACH)
    (tmp_path / "run" / "summary.json").write_text(text)
    with pytest.raises(BpframeError, match=r"summary\.json: is damaged"):
        loop.resume(composed("training.epochs=9"), tmp_path / "run")


def other_data(experiment: bpframe.Experiment) -> bpframe.Data:
    data = loading.load(experiment)
    x = data.train.x.copy()
    x[0, 0] += 1
    return data._replace(train=dataclasses.replace(data.train, x=x))


@pytest.mark.slow
def test_other_data_are_refused_or_accepted_and_told(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    experiment = composed()
    killed(experiment, tmp_path / "run", 2)
    data = other_data(experiment)
    with pytest.raises(OutputError, match="the data has changed since its checkpoint; restore"):
        loop.resume(experiment, tmp_path / "run", data=data)
    killed(experiment, tmp_path / "run", 4, data=data, accept_changes=True)
    loop.resume(experiment, tmp_path / "run", data=data)  # that of the checkpoint, by now
    found = layout.read_summary(tmp_path / "run")
    assert found is not None
    assert (found["status"], found["changed"]) == ("completed", "the data has changed")


PLUGIN = """
from bpframe import ElementwiseActivation, hookimpl
BPFRAME_API_VERSION = 2
class Third(ElementwiseActivation):
    def __call__(self, z):
        return z / FACTOR
    def prime(self, z):
        return 0 * z + 1 / FACTOR
@hookimpl
def bpframe_activations():
    return {"third": Third}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("the code of .*mine", ("plugins.path=[{folder}/mine.py]", "network.activation=third")),
        ("the initial parameters", ("initialiser=file", "initialiser.path={folder}/params")),
    ],
)
def test_other_code_and_files_are_refused(
    tmp_path: Path, name: str, overrides: tuple[str, ...]
) -> None:
    """Slow: runs whole commands."""

    def written(value: float) -> bpframe.Experiment:
        (tmp_path / "mine.py").write_text(PLUGIN.replace("FACTOR", str(value)))
        params = tuple(bpframe.Params(w * value, b) for w, b in start)
        (tmp_path / "params").write_bytes(save(jax.device_get(named_params(params))))
        return composed(*(text.format(folder=tmp_path) for text in overrides))

    start = bpframe.run(composed("training.epochs=1")).params
    killed(written(3.0), tmp_path / "run", 2)
    with pytest.raises(OutputError, match=f"{name}.* has changed since its checkpoint"):
        loop.resume(written(2.0), tmp_path / "run")
    assert loop.resume(written(3.0), tmp_path / "run").summary.changed is None


def test_versions_are_compared_by_name() -> None:
    changed = provenance.changes({"jax": "1", "optax": "2", "the data": "a"}, {"jax": "3"})
    assert changed == "jax was 1 and is 3; optax was 2 and is missing; the data has changed"


def test_a_run_without_a_checkpoint_notices_other_data(tmp_path: Path) -> None:
    """It would be trained again, from its beginning, on what are no longer its data."""
    x = np.random.default_rng(0).normal(size=(30, 8, 8, 1)).astype(np.float32)
    y, own = np.arange(30) % 10, ("data.train_size=null",)
    data = bpframe.Data(*(bpframe.Examples(x[i::3], y[i::3], n_out=10) for i in range(3)))
    loop.run(composed(*own, "training.epochs=1"), tmp_path, data=data)
    other = data._replace(train=dataclasses.replace(data.train, x=data.train.x + 1))
    longer = composed(*own, "training.epochs=2")
    before = (tmp_path / "summary.json").read_bytes()
    with pytest.raises(OutputError, match="the data have changed since it was trained, and it has"):
        loop.resume(longer, tmp_path, data=other)
    assert (tmp_path / "summary.json").read_bytes() == before
    assert loop.resume(longer, tmp_path, data=data).summary.epochs == 2
    longest = composed(*own, "training.epochs=3")
    accepted = loop.resume(longest, tmp_path, data=other, accept_changes=True)
    assert accepted.summary.epochs == 3
