"""Sweeps from Python: rows, runs that are loaded, the best, tables, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from own_tables import KINDS, frame, refusal

import bpframe
from bpframe import BpframeError, ConfigError, OutputError
from bpframe.sweeps.report.saved_rows import rows

TABLE = frame(60)
SHORT = ["network.hidden=[4]", "training.epochs=3", "data.features=[size,weight]"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> bpframe.Sweep:
    """Two etas by two seeds on data in memory, in lanes."""
    folder = tmp_path_factory.mktemp("sweep") / "eta"
    words = [*SHORT, "optimiser.eta=0.05,0.5", "seed=range(0,2)"]
    return bpframe.sweep(words, folder, data=TABLE, target="kind")


@pytest.mark.slow
def test_each_job_has_a_row_and_a_run(swept: bpframe.Sweep) -> None:
    """Slow: trains the sweep of this file."""
    assert len(swept) == len(swept.runs) == 4
    settings = [(row.settings["optimiser.eta"], row.settings["seed"]) for row in swept.rows]
    assert settings == [(0.05, 0), (0.05, 1), (0.5, 0), (0.5, 1)]
    for row, run in zip(swept.rows, swept.runs, strict=True):
        assert run.summary.status == row.status == "completed"
        assert run.experiment.optimiser.eta == row.settings["optimiser.eta"]  # pyright: ignore[reportAttributeAccessIssue]
        assert int(run.experiment.seed) == row.settings["seed"]
    assert len(swept.runs[1:3]) == 2
    assert swept.runs[-1].folder == swept.runs[3].folder
    assert not swept.failed


@pytest.mark.slow
def test_lanes_know_their_data_and_answer(swept: bpframe.Sweep) -> None:
    """As a single run of the same settings does. Slow: trains the sweep of this file."""
    data = json.loads((swept.folder / "0" / "summary.json").read_text())["data"]
    assert data["task"]["names"] == list(KINDS)
    assert data["features"] == ["size", "weight"]
    x = TABLE[["size", "weight"]]
    assert data["mean"] == pytest.approx(swept.runs[0].summary.data.mean)  # pyright: ignore[reportOptionalMemberAccess]
    single = bpframe.run(
        bpframe.compose([*SHORT, "optimiser.eta=0.5", "seed=1"], data=TABLE, target="kind"),
        swept.folder.parent / "single",
        plots=False,
    )
    lane, alone = swept.runs[3], bpframe.load(swept.folder.parent / "single")
    np.testing.assert_allclose(lane.outputs(x), alone.outputs(x), rtol=1e-4)
    assert lane.predict(x).tolist() == alone.predict(x).tolist()
    assert lane.summary.test_accuracy == single.summary.test_accuracy
    assert set(lane.predict(x)) <= set(KINDS)


@pytest.mark.slow
def test_the_best_run_and_tables(swept: bpframe.Sweep) -> None:
    """By the validation accuracy, of equal ones by cost. Slow: trains the sweep of this file."""
    ended = [run.summary for run in swept.runs]
    accuracies = [summary.best_validation_accuracy or 0 for summary in ended]
    costs = [summary.best_validation_cost or 0 for summary in ended]
    best = np.lexsort((np.array(costs), -np.array(accuracies)))[0]
    assert swept.best.folder == swept.runs[best].folder
    table = swept.to_frame()
    assert list(table.index) == [0, 1, 2, 3]
    assert table["optimiser.eta"].tolist() == [0.05, 0.05, 0.5, 0.5]
    assert table["test_accuracy"].tolist() == [run.summary.test_accuracy for run in swept.runs]
    page = swept.report()
    assert page.name == "report.html"
    assert page.stat().st_size > 1000
    assert "4 of 4 runs completed; best: run" in repr(swept)
    assert "\x1b" not in repr(swept) + swept._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert repr(bpframe.Sweep(swept.folder)) == repr(swept)


@pytest.mark.slow
def test_runs_that_fail_are_rows_too(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    found = bpframe.sweep(
        [
            *("data=xor", "training.batch_size=4", "training.epochs=3", "cost=quadratic"),
            *("network.activation=relu", "network.output_activation=linear"),
            "optimiser.eta=0.1,1e20",
        ],
        tmp_path / "s",
    )
    (failed,) = found.failed
    assert failed.status == "diverged"
    assert "1 of 2 runs completed" in repr(found)
    assert found.runs[failed.num].summary.status == "diverged"
    assert found.best.summary.status == "completed"


@pytest.mark.slow
def test_a_folder_of_single_runs_is_read_as_one(tmp_path: Path) -> None:
    """A run alone, a folder of runs, and in it one that is broken. Slow: compiles a program."""
    words = ["data=xor", "training.batch_size=4", "training.epochs=2"]
    for eta in (0.1, 0.2):
        experiment = bpframe.compose([*words, f"optimiser.eta={eta}"])
        bpframe.run(experiment, tmp_path / "runs" / f"eta {eta}", plots=False)
    found = bpframe.Sweep(tmp_path / "runs")
    assert [row.folder for row in found.rows] == ["eta 0.1", "eta 0.2"]
    assert [row.num for row in found.rows] == [0, 1]
    assert len(bpframe.Sweep(tmp_path / "runs" / "eta 0.1")) == 1
    assert found.runs[1].experiment.optimiser.eta == 0.2  # pyright: ignore[reportAttributeAccessIssue]
    assert found.report().exists()
    (tmp_path / "runs" / "eta 0.2" / "summary.json").write_text("{")
    assert len(rows(tmp_path / "runs")) == 1
    (tmp_path / "none").mkdir()
    said = refusal(lambda: bpframe.Sweep(tmp_path / "none"), OutputError)
    assert "holds no runs that have ended; give a sweep, a run, or a folder of runs" in said


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        (["seed=0,1", "hydra.sweep.dir=x"], {}, "sweep_dir is given as well"),
        (["seed=0,1", "data=xor"], {"data": TABLE, "target": "kind"}, "data is given already"),
        (["seed=0,1"], {"target": "kind"}, "target: is that of a frame"),
        (["optimiser.eta=0.1,-1"], {}, "optimiser.eta"),
        (["optimisr.eta=0.1,1"], {}, "optimisr"),
        (["seed=0,1", "hydra/launcher=basic"], {}, "a sweep from Python is run by hydra/launcher="),
        (["seed=0,1"], {"data": TABLE, "target": "kind"}, "column 'site' holds text"),
    ],
)
def test_what_cannot_be_swept_is_refused(
    words: list[str], more: dict[str, Any], said: str, tmp_path: Path
) -> None:
    assert said in refusal(lambda: bpframe.sweep(words, tmp_path / "s", **more), BpframeError)
    assert not (tmp_path / "s" / "0").exists()


@pytest.mark.slow
def test_a_sweep_is_no_run(swept: bpframe.Sweep) -> None:
    """Slow: trains the sweep of this file."""
    for call in (bpframe.load, bpframe.resume):
        said = refusal(lambda call=call: call(swept.folder), OutputError)
        assert "is a sweep; give one of the runs in it" in said
        assert "bpframe.Sweep" in said


@pytest.mark.slow
def test_a_folder_is_swept_once(swept: bpframe.Sweep) -> None:
    """Slow: trains the sweep of this file."""
    message = refusal(
        lambda: bpframe.sweep([*SHORT, "seed=0,1"], swept.folder, data=TABLE, target="kind"),
        BpframeError,
    )
    assert str(swept.folder) in message
    config = yaml.safe_load((swept.folder / "0" / ".hydra" / "config.yaml").read_text())
    assert config["data"]["name"] == "given"
    with pytest.raises(ConfigError, match="only the data can be other ones"):
        swept.runs[0].over(["seed=3"])


@pytest.mark.parametrize("folder", [None, 5, b"runs", ["runs"]])
def test_a_folder_that_is_no_path_is_told(folder: Any) -> None:
    given: Any = folder or 0  # None means no folder, or a new one
    experiment = bpframe.compose(["training.epochs=1"])
    for name, call in (
        ("run_dir", lambda: bpframe.load(folder)),
        ("run_dir", lambda: bpframe.resume(folder)),
        ("folder", lambda: bpframe.Sweep(folder)),
        ("output_dir", lambda: bpframe.run(experiment, given)),
        ("sweep_dir", lambda: bpframe.sweep(["seed=0"], given)),
    ):
        with pytest.raises(bpframe.ConfigError, match=f"^{name}: is .*; give the path of a folder"):
            call()
