"""predict, evaluate and rerun: what a run that has ended is asked on the command line."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import test_cli
from own_tables import KINDS, PLUGIN, PRICES, SHORT, ZOO, encoded, frame, outputs, scaled
from safetensors.numpy import load_file
from test_cli import Main

import bpframe
from bpframe.configuration import composition, schemas
from bpframe.plugin_host.host import load_registry
from bpframe.runs.checksums import sealed

main = test_cli.main
TABLE = frame()
NEW = frame(20, seed=1)
FLAGS = ("plots=false", "data.path=own.csv")


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def zoo(main: Main, tmp_path: Path) -> Path:
    """A run on own.csv in the working directory."""
    return trained(main, tmp_path, *ZOO)


def trained(main: Main, folder: Path, *words: str) -> Path:
    TABLE.to_csv(folder / "own.csv", index=False)
    NEW.to_csv(folder / "new.csv", index=False)
    ended = main(*words, *SHORT, *FLAGS, "hydra.run.dir=run")
    assert (ended.status, ended.err) == (0, "")
    return folder / "run"


def answers(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.slow
def test_predict_writes_a_line_for_each_example(zoo: Path, main: Main, tmp_path: Path) -> None:
    """Of a table, in any order of columns, or of an array; printed or written. Slow: compiles."""
    ended = main("predict", "run", "--input", "new.csv")
    assert (ended.status, ended.err) == (0, "")
    found = answers(ended.out)
    expected = outputs(zoo, scaled(NEW, TABLE))
    assert list(found[0]) == ["answer", *KINDS]
    assert [row["answer"] for row in found] == list(np.array(KINDS)[expected.argmax(axis=1)])
    for column, kind in enumerate(KINDS):
        given = np.array([float(row[kind]) for row in found])
        np.testing.assert_allclose(given, expected[:, column], rtol=1e-4)

    NEW[["site", "weight", "kind", "size"]].to_csv("other.csv", sep=";", index=False)
    np.save("new.npy", encoded(NEW))
    np.savez("new.npz", x=encoded(NEW))
    NEW.to_parquet("new.parquet")
    for name, more in (
        ("other.csv", ["--delimiter", ";"]),
        ("new.npy", []),
        ("new.npz", []),
        ("new.parquet", []),
    ):
        ended = main("predict", "run", "--input", name, *more, "--output", "said.csv")
        assert (ended.status, ended.err) == (0, "")
        assert "20 answers in said.csv" in ended.out
        assert answers(Path("said.csv").read_text()) == found
        Path("said.csv").unlink()
    best = answers(main("predict", "run", "--input", "new.csv", "--best").out)
    np.testing.assert_allclose(
        [float(row["ape"]) for row in best],
        outputs(zoo, scaled(NEW, TABLE), name="best")[:, 0],
        rtol=1e-4,
    )


@pytest.mark.slow
def test_predict_of_a_regression_has_the_names_and_units_of_its_targets(
    main: Main, tmp_path: Path
) -> None:
    """Slow: compiles a program."""
    folder = trained(main, tmp_path, *PRICES)
    found = answers(main("predict", "run", "--input", "new.csv").out)
    target = TABLE[TABLE["part"] == "train"]["price"].to_numpy()
    raw = outputs(folder, scaled(NEW, TABLE), lambda z: z)[:, 0]
    expected = raw * target.std() + target.mean()
    np.testing.assert_allclose([float(row["price"]) for row in found], expected, rtol=1e-5)
    ended = main("evaluate", "run")
    assert "rmse" in ended.out
    assert "%" not in ended.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "run"], "--input"),
        (["predict", "none", "--input", "new.csv"], "none: holds no run"),
        (["predict", "run", "--input", "none.csv"], "none.csv: cannot be read: No such file"),
        (["predict", "run", "--input", "new.xls"], "neither .csv, .parquet, .npy nor .npz"),
        (["predict", "run", "--input", "new.csv", "--output", "new.csv"], "is the input"),
        (["predict", "run", "--input", "few.csv"], "has no column 'weight'; it has size, site"),
        (["predict", "run", "--input", "far.csv"], "holds 'south' in row 1"),
        (["predict", "run", "--input", "gap.csv"], "column 'size' is empty in row 1"),
        (["predict", "run", "--input", "bad.npy"], "is no NumPy file"),
        (["predict", "run", "--input", "odd.npy"], "has shape (3, 4); expected (m, 5)"),
        (["predict", "run", "--input", "new.csv", "--output", "no/said.csv"], "cannot be written"),
        (["evaluate", "run", "optimiser.eta=3"], "only the data can be other ones"),
        (["evaluate", "run", "data.path=none.csv"], "none.csv: cannot be read"),
        (["evaluate", "run", "data=digits"], "this run has (5,)"),
        (["rerun", "none"], "none: holds no run"),
        (["rerun", "run", "optimisr.eta=3"], "optimisr"),
        (["rerun", "run", "hydra.run.dir=run"], "holds a run already"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    zoo: Path, main: Main, words: list[str], said: str
) -> None:
    """Slow: compiles a program."""
    NEW[["size", "site"]].to_csv("few.csv", index=False)
    NEW.assign(site="south").to_csv("far.csv", index=False)
    NEW.assign(size=[None, *NEW["size"][1:]]).to_csv("gap.csv", index=False)
    Path("bad.npy").write_text("no")
    Path("new.xls").write_text("no")
    np.save("odd.npy", np.zeros((3, 4)))
    before = test_cli.contents(zoo)
    ended = main(*words)
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.startswith("bpframe: ")
    assert ended.err.count("\n") == 1
    assert said in ended.err
    assert test_cli.contents(zoo) == before


@pytest.mark.slow
def test_evaluate_gives_the_figures_of_the_run(zoo: Path, main: Main, tmp_path: Path) -> None:
    """Over all its splits, and over other data from where the user stands. Slow: compiles."""
    ended = main("evaluate", "run")
    assert (ended.status, ended.err) == (0, "")
    summary = test_cli.summary(zoo)
    (line,) = [line for line in ended.out.splitlines() if "test" in line]
    assert f"{summary['test_cost']:.4g}" in line
    assert f"{summary['test_accuracy']:.2%}" in line
    assert " 20 " in line
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = NEW[NEW["kind"] != "cow"]
    other.to_csv(elsewhere / "here.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        ended = main("evaluate", "../run", "data.path=here.csv")
        assert (ended.status, ended.err) == (0, "")
        run = bpframe.load("../run")
    held = other[other["part"] == "test"]
    found = run.evaluate(held, held["kind"])
    (line,) = [line for line in ended.out.splitlines() if "test" in line]
    assert f" {len(held)} " in line
    assert f"{found.accuracy:.2%}" in line
    assert f"{found.cost:.4g}" in line


@pytest.mark.slow
@pytest.mark.optimised
def test_rerun_gives_the_same_bits_where_the_user_stands(
    zoo: Path, main: Main, tmp_path: Path
) -> None:
    """From another folder, with its own relative data. Slow: compiles a program."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for words in ([], ["hydra.run.dir=again"], ["seed=1", "hydra.run.dir='my other'"]):
            patch.chdir(elsewhere)  # a command leaves the process where its run began
            ended = main("rerun", "../run", *words)
            assert (ended.status, ended.err) == (0, "")
    one, two = (load_file(path / "params.safetensors") for path in (zoo, elsewhere / "again"))
    for name, array in one.items():
        np.testing.assert_array_equal(two[name], array)
    assert test_cli.summary(elsewhere / "my other")["seed"] == 1
    assert test_cli.only(elsewhere, "outputs/*/*/summary.json")
    data = json.loads((elsewhere / "again" / "summary.json").read_text())["data"]
    assert data == test_cli.summary(zoo)["data"]


@pytest.mark.slow
@pytest.mark.optimised
def test_a_run_from_python_can_be_rerun_from_the_shell(main: Main, tmp_path: Path) -> None:
    """But for one whose data were given in Python. Slow: compiles a program."""
    TABLE.to_csv("own.csv", index=False)
    first = bpframe.run(bpframe.compose([*ZOO, *SHORT, "data.path=own.csv"]), "first", plots=False)
    ended = main("rerun", "first", "hydra.run.dir=again")
    assert (ended.status, ended.err) == (0, "")
    assert test_cli.summary(tmp_path / "again")["test_cost"] == first.summary.test_cost
    given = bpframe.compose(SHORT, data=(TABLE[["size", "weight"]], TABLE["kind"]))
    bpframe.run(given, "given", plots=False)
    for words in (["rerun", "given"], ["resume", "given", "training.epochs=9"]):
        ended = main(*words)
        assert ended.status == 1
        assert "its data were given in Python" in ended.err
        assert "bpframe.resume(folder, data=...)" in ended.err
    assert main("predict", "given", "--input", "own.csv").status == 0


@pytest.mark.slow
def test_another_component_has_its_own_settings(zoo: Path, main: Main, tmp_path: Path) -> None:
    """An eta of sgd is none of adam, and paths of a table are none of digits. Slow: compiles."""
    assert main("rerun", "run", "optimiser=adam", "hydra.run.dir=adam").status == 0
    settings = bpframe.load("adam").settings["optimiser"]
    assert settings == bpframe_settings("optimiser=adam")["optimiser"]
    assert main("rerun", "run", "optimiser.eta=0.7", "hydra.run.dir=faster").status == 0
    assert bpframe.load("faster").settings["optimiser"] == {"name": "sgd", "eta": 0.7}
    assert main("rerun", "run", "data=digits", "hydra.run.dir=digits").status == 0
    digits = bpframe.load("digits")
    assert digits.summary.sizes == (64, 6, 10)
    other = bpframe.load("run")
    with pytest.raises(bpframe.DataError, match=r"this run has \(5,\)"):
        other.over(["data=digits"])


def bpframe_settings(*words: str) -> dict[str, dict[str, object]]:
    """What bpframe would run."""
    with composition.initialised():
        schemas.store(load_registry())
        cfg = composition.compose_config(words)
    return {"optimiser": dict(cfg.optimiser)}


@pytest.mark.slow
def test_a_strangers_run_is_asked_only_if_it_is_trusted(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: compiles a program."""
    Path("bent.py").write_text(PLUGIN)
    trained(main, tmp_path, *ZOO, "plugins.path=[bent.py]", "network.activation=bent")
    shutil.copytree("run", "copy")
    words = {
        "predict": ["--input", "new.csv"],
        "evaluate": [],
        "rerun": ["hydra.run.dir=again"],
    }
    for name, more in words.items():
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / f"state {name}"))
        ended = main(name, "copy", *more)
        assert ended.status == 1
        assert f"plugins in {tmp_path / 'bent.py'}" in ended.err
        assert "add --trust" in ended.err
        ended = main(name, "copy", *more, "--trust")
        assert (ended.status, ended.err) == (0, "")


@pytest.mark.slow
def test_a_short_run_without_a_checkpoint_is_prolonged(zoo: Path, main: Main) -> None:
    """It is trained again, says so, and ends as a long one does. Slow: compiles a program."""
    ended = main("resume", "run", "training.epochs=2")
    assert ended.status == 1
    assert "its records of 4 epochs would be lost" in ended.err or "complete" in ended.err
    assert bpframe.load(zoo).experiment.training.epochs == 4
    ended = main("resume", "run", "training.epochs=6")
    assert (ended.status, ended.err) == (0, "")
    assert "has no checkpoint; its 4 epochs are trained again" in ended.out
    assert (
        main(*ZOO, *SHORT[:1], SHORT[2], *FLAGS, "training.epochs=6", "hydra.run.dir=long").status
        == 0
    )
    one, two = (
        pd.read_json(path, lines=True) for path in ("run/metrics.jsonl", "long/metrics.jsonl")
    )
    np.testing.assert_allclose(one["validation_cost"], two["validation_cost"], rtol=1e-6)
    assert bpframe.load(zoo).experiment.training.epochs == 6


@pytest.mark.slow
def test_report_takes_single_runs_and_folders_of_them(
    zoo: Path, main: Main, tmp_path: Path
) -> None:
    """Slow: compiles a program."""
    assert main("rerun", "run", "optimiser.eta=0.1", "hydra.run.dir=more/other").status == 0
    ended = main("report", "run")
    assert (ended.status, ended.err) == (0, "")
    assert (zoo / "report.html").exists()
    ended = main("report", "run", "more", "--out", "page")
    assert (ended.status, ended.err) == (0, "")
    page = Path("page/report.html").read_text(encoding="utf-8")
    assert "optimiser.eta" in page
    assert 'title="folder of the run">more/other</a>' in page  # and not by a number
    assert 'title="page of the run">run</a>' in page
    (tmp_path / "none").mkdir()
    ended = main("report", "none")
    assert ended.status == 1
    assert "holds no runs that have ended; give a sweep, a run, or a folder of runs" in ended.err


@pytest.mark.slow
def test_evaluate_takes_all_examples_of_a_file(zoo: Path, main: Main) -> None:
    """One row, of all that the file holds, and not of splits of it. Slow: compiles."""
    ended = main("evaluate", "run", "--input", "new.csv")
    right = outputs(zoo, scaled(NEW, TABLE)).argmax(axis=1) == pd.Categorical(NEW["kind"]).codes
    assert (ended.status, ended.err) == (0, "")
    (line,) = [line for line in ended.out.splitlines() if "new.csv" in line]
    assert "20" in line
    assert f"{right.mean():.2%}" in line
    ended = main("evaluate", "run", "data.test=0.3", "--input", "new.csv")
    assert ended.status == 1
    assert ended.err == (
        "bpframe: data.test=0.3: does not go with --input; leave one of them out\n"
    )
    NEW.drop(columns="kind").to_csv("bare.csv", index=False)
    ended = main("evaluate", "run", "--input", "bare.csv")
    assert ended.status == 1
    assert "bare.csv: has no column 'kind'; it has size, weight" in ended.err


@pytest.mark.slow
def test_evaluate_of_a_regression_has_the_error_in_its_units(main: Main, tmp_path: Path) -> None:
    """Slow: compiles."""
    trained(main, tmp_path, *PRICES)
    ended = main("evaluate", "run", "--input", "new.csv")
    said = bpframe.load("run").predict(NEW)
    rmse = np.sqrt(np.mean((said - NEW["price"].to_numpy()) ** 2))
    (line,) = [line for line in ended.out.splitlines() if "new.csv" in line]
    assert f"{rmse:.4g}" in line
    assert "rmse" in ended.out
    assert "accuracy" not in ended.out


@pytest.mark.slow
def test_the_examples_of_the_page_are_asked_as_they_were_trained_on(
    zoo: Path, main: Main, tmp_path: Path
) -> None:
    """Standardised, and not as the file has them. Slow: compiles."""
    assert main("show", "run", "--examples").status == 0
    found = json.loads((zoo / "page.json").read_text())["examples"]
    rows = TABLE[TABLE["part"] == "validation"]
    expected = outputs(zoo, scaled(rows, TABLE))
    for one in found["cost"]:
        assert one["answer"] == expected[one["example"]].argmax()
        chosen = rows["kind"].to_numpy()[one["example"]]
        y = np.array([kind == chosen for kind in KINDS], float)
        a = expected[one["example"]]
        cost = -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a))
        np.testing.assert_allclose(one["cost"], cost, rtol=1e-3)
    ended = main("show", "run", "--examples", "--terminal")
    assert ended.status == 1
    assert ended.err == "bpframe: --examples: stand on the page alone; leave --terminal out\n"


@pytest.mark.slow
def test_predict_names_an_array(zoo: Path, main: Main) -> None:
    """Slow: compiles."""
    np.savez("named.npz", x_test=encoded(NEW), more=np.zeros(3))
    ended = main("predict", "run", "--input", "named.npz")
    assert ended.status == 1
    assert ended.err == (
        "bpframe: named.npz: holds x_test, more; expected x; choose one for predict with "
        "--array NAME\n"
    )
    ended = main("predict", "run", "--input", "named.npz", "--array", "x_test")
    assert ended.status == 0
    assert len(answers(ended.out)) == len(NEW)


@pytest.mark.slow
def test_a_run_of_files_is_asked_by_files_as_it_had_them(main: Main, tmp_path: Path) -> None:
    """Parquet for data=shards; data that changed since are told of. Slow: compiles."""
    x = np.random.default_rng(0).normal(size=(300, 2))
    columns = {"x1": x[:, 0], "x2": x[:, 1], "y": x[:, 0] > 0}
    for name, rows in (("all", slice(None)), ("new", slice(20))):
        frame = pd.DataFrame({key: column[rows] for key, column in columns.items()})
        frame.to_parquet(tmp_path / f"{name}.parquet")
    words = ["data=shards", "data.path=all.parquet", "data.validation_rows=50", "data.test_rows=50"]
    assert main(*words, "plots=false", "training.epochs=3", "hydra.run.dir=run").status == 0
    np.savez("new.npz", x=x[:20], y=columns["y"][:20])
    pd.read_parquet("new.parquet")[["y", "x2", "x1"]].to_parquet("turned.parquet")
    for command in ("predict", "evaluate"):
        told = [
            main(command, "run", "--input", name)
            for name in ("new.parquet", "turned.parquet", "new.npz")
        ]
        assert [ended.status for ended in told] == [0, 0, 0]
        numbers = [re.findall(r"\d\.\d+|\d+%", ended.out) for ended in told]
        assert numbers[0] == numbers[1] == numbers[2] != []
    assert main("evaluate", "run").err == ""
    shutil.copy("new.parquet", "all.parquet")
    ended = main("evaluate", "run", "data.validation_rows=5", "data.test_rows=5")
    assert (ended.status, ended.err) == (0, "")  # which the user has asked for
    pd.DataFrame({key: column[::-1] for key, column in columns.items()}).to_parquet("all.parquet")
    ended = main("evaluate", "run")
    assert ended.status == 0
    assert "bpframe: warning: run: its data are others now than when it was trained" in ended.err


@pytest.mark.slow
def test_a_confusion_matrix_of_another_file(zoo: Path, main: Main) -> None:
    """As of the arrays; options stand before and after settings. Slow: compiles."""
    counts = bpframe.load(zoo).confusion(NEW, NEW["kind"])
    ended = main("evaluate", "run", "--input", "new.csv", "--confusion")
    assert (ended.status, ended.err) == (0, "")
    rows = [line.split("│")[1:-1] for line in ended.out.splitlines() if line.startswith("│")]
    found = {row[0].strip(): [int(cell.strip() or 0) for cell in row[1:]] for row in rows[1:]}
    assert found == {name: row.tolist() for name, row in zip(sorted(KINDS), counts, strict=True)}
    assert main("evaluate", "run", "--best", "data.path=own.csv").status == 0
    ended = main("evaluate", "run", "--confusion", "data.path=own.csv")
    assert "--confusion: is of the run's own test set, or of a file with --input" in ended.err


@pytest.mark.slow
def test_a_regression_is_told_in_its_units(main: Main, tmp_path: Path) -> None:
    """With the metrics that are numbers, as `evaluate` has it. Slow: compiles."""
    TABLE.to_csv(tmp_path / "own.csv", index=False)
    ended = main(*PRICES, *SHORT, *FLAGS, "metrics=[delta_norm]", "hydra.run.dir=run")
    assert (ended.status, ended.err) == (0, "")
    rmse = bpframe.load(tmp_path / "run").evaluate().rmse
    assert f"test rmse {rmse:.4g}, in the units of the targets" in ended.out
    assert "delta_norm.steps.layer_2 " in ended.out
    refused = main("evaluate", "run", "--confusion")
    assert refused.err == "bpframe: --confusion: the answers of Regression are no classes\n"


@pytest.mark.slow
def test_rows_with_gaps_have_empty_answers_and_no_file_is_overwritten(
    main: Main, tmp_path: Path
) -> None:
    """Where training left such rows out; lines stay those of the file. Slow: compiles."""
    trained(main, tmp_path, *ZOO, "data.drop_missing=true")
    gappy = NEW.copy()
    gappy.loc[[1, 4], "size"] = np.nan
    gappy.to_csv(tmp_path / "gappy.csv", index=False)
    ended = main("predict", "run", "--input", "gappy.csv")
    assert ended.status == 0
    assert "gappy.csv: 2 of 20 rows have an empty cell, and are left out" in ended.err
    whole = answers(main("predict", "run", "--input", "new.csv").out)
    for at, (line, other) in enumerate(zip(answers(ended.out), whole, strict=True)):
        assert line == (dict.fromkeys(other, "") if at in (1, 4) else other)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    ended = main("predict", "run", "--input", "new.csv", "--output", "run/metrics.jsonl")
    assert (ended.status, "is there already; choose another file" in ended.err) == (1, True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    NEW.drop(columns="size").to_csv(tmp_path / "narrow.csv", index=False)
    ended = main("predict", "run", "--input", "narrow.csv")
    assert "narrow.csv: has no column 'size'" in ended.err


@pytest.mark.slow
def test_a_run_that_a_file_has_stopped_goes_on_and_a_job_of_a_sweep_is_not_prolonged(
    main: Main, tmp_path: Path
) -> None:
    """Slow: compiles programs."""
    main("network.hidden=[3]", "training.epochs=1", "hydra.run.dir=run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    del summary["crc32"]
    stopped = sealed({**summary, "stopped": "by plugin bpframe:stop_file, because ..."})
    (tmp_path / "run" / "summary.json").write_text(json.dumps(stopped))
    assert main("resume", "run", "training.epochs=2").status == 0
    ended = main("resume", "run")
    assert (ended.status, ended.out) == (1, "")
    assert "is complete after epoch 2" in ended.err
    main("-m", "network.hidden=[3]", "training.epochs=1", "seed=0,1", "hydra.sweep.dir=sweep")
    ended = main("resume", "sweep/1", "training.epochs=2")
    assert ended.status == 1
    assert "is a job of the sweep" in ended.err
    assert "1 training.epochs=2 is a run of its own" in ended.err
    ended = main("-m", "seed=0,1", "hydra.run.dir=x")
    assert "hydra.run.dir=x: is of single runs; of a sweep set hydra.sweep.dir" in ended.err


def test_the_config_that_is_shown_is_that_of_a_regression(main: Main, tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "own.csv", index=False)
    ended = main(*PRICES, "data.path=own.csv", "--cfg", "job")
    assert (ended.status, ended.err) == (0, "")
    assert "output_activation: linear" in ended.out
    assert "cost:\n  name: quadratic" in ended.out
