"""`bpframe show`, and runs and sweeps that ask for their pages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import written_runs
import yaml

from bpframe.commands import show
from bpframe.errors import ConfigError, OutputError
from bpframe.runs.page import reading
from bpframe.runs.page.words import again

SMALL = ("data=xor", "network.hidden=[3]", "training.batch_size=4", "training.epochs=3")


def bpframe(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bpframe", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_page_is_written_and_its_place_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = written_runs.write(tmp_path / "run")
    show.show([str(run)])
    assert capsys.readouterr().out == f"written to {run / 'report.html'}\n"
    assert "A 16-4-3 network" in (run / "report.html").read_text(encoding="utf-8")


def test_the_terminal_gets_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = written_runs.write(tmp_path / "run")
    show.show([str(run), "--terminal"])
    out = capsys.readouterr().out
    assert "Accuracy, %" in out
    assert max(map(len, out.splitlines())) <= 80
    assert not (run / "report.html").exists()


def test_curves_at_a_limit_are_seen_and_costs_are_not_below_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All right from the first epoch on, in four epochs, each of which has its label once."""
    records = [written_runs.record(epoch) for epoch in range(1, 5)]
    for each in records:
        each["train_accuracy"] = each["validation_accuracy"] = 1.0
        each["train_cost"] = each["validation_cost"] = 0.001 * each["epoch"]
    run = written_runs.write(tmp_path / "run", records=records)
    show.show([str(run), "--terminal"])
    cost, accuracy = capsys.readouterr().out.split("Accuracy, %")[:2]
    assert "⠉" in accuracy.partition("epoch")[0]
    assert accuracy.partition("|")[0].strip() == "100"
    labels = [line.partition("|")[0] for line in cost.splitlines() if "|" in line]
    assert not any(label.strip().startswith("-0") for label in labels)
    assert accuracy.partition("epoch |")[2].split()[:4] == ["1", "2", "3", "4"]


def test_the_command_of_a_run_has_its_own_configs(tmp_path: Path) -> None:
    run = written_runs.write(tmp_path / "run")
    sources = [{"provider": "main", "path": "/x"}, {"provider": "command-line", "path": "/my cfg"}]
    told = {"runtime": {"config_sources": sources}, "job": {"config_name": "mine"}}
    (run / ".hydra" / "overrides.yaml").write_text("- seed=3\n")
    (run / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": told}))
    found = again(reading.read(run))
    assert found["as a command"] == "bpframe -cd '/my cfg' -cn mine seed=3"
    told["job"]["config_name"] = "saved"  # of rerun, whose config stands in no file
    (run / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": told}))
    assert list(again(reading.read(run))) == ["run it again"]


def test_what_is_no_run_is_an_error_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no run"):
        show.show([str(tmp_path)])
    with pytest.raises(ConfigError, match="did you mean '--terminal'"):
        show.show([str(tmp_path), "--terminl"])


def test_a_link_in_place_of_the_page_is_replaced(tmp_path: Path) -> None:
    run = written_runs.write(tmp_path / "run")
    (tmp_path / "mine").write_text("precious")
    (run / "report.html").symlink_to(tmp_path / "mine")
    show.show([str(run)])
    assert (tmp_path / "mine").read_text() == "precious"
    assert not (run / "report.html").is_symlink()


def test_a_page_takes_neither_jax_nor_three_seconds(tmp_path: Path) -> None:
    records = [written_runs.record(epoch) for epoch in range(1, 101)]
    run = written_runs.write(tmp_path / "run", records=records)
    code = (
        "import sys; from bpframe.cli import main; sys.argv[1:] = {words!r}; main(); "
        "print({heavy} & set(sys.modules))"
    )
    heavy = "{'jax', 'matplotlib', 'optax', 'hydra', 'pandas'}"
    for words in (["show", str(run)], ["show", str(run), "--terminal"]):
        command = [sys.executable, "-c", code.format(words=words, heavy=heavy)]
        begun = time.perf_counter()
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        assert found.stdout.endswith("set()\n")
        assert time.perf_counter() - begun < 3


@pytest.mark.slow
def test_a_run_may_ask_for_its_page(tmp_path: Path) -> None:
    """Slow: starts a process, which trains."""
    ended = bpframe(*SMALL, "show=true", "hydra.run.dir=run", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for said in ("The algorithm", "<math", "Examples with the largest cost", "on xor", "(BP2)"):
        assert said in text
    plain = bpframe(*SMALL, "hydra.run.dir=plain", cwd=tmp_path)
    assert plain.returncode == 0, plain.stderr
    assert not (tmp_path / "plain" / "report.html").exists()
    assert bpframe("show", "plain", "--examples", cwd=tmp_path).returncode == 0
    text = (tmp_path / "plain" / "report.html").read_text(encoding="utf-8")
    assert "Examples with the largest gradient" in text


@pytest.mark.slow
def test_a_run_and_its_sweep_that_record_show_the_network(tmp_path: Path) -> None:
    """Slow: starts processes, which train."""
    record = "record=[{name: activations, layers: [1,2,3]},deltas,weights]"
    for words, folder in (
        (("hydra.run.dir=run",), "run"),
        (("-m", "seed=0,1", "hydra.sweep.dir=sweep"), "sweep/1"),
    ):
        ended = bpframe(*words, *SMALL, record, "show=true", cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        text = (tmp_path / folder / "report.html").read_text(encoding="utf-8")
        told = json.loads(text.partition('id="report-data">')[2].partition("</script>")[0])
        assert told["network"]["stages"] == ["forward", "bp1", "bp2", "gradient", "change"]
        assert told["network"]["epochs"] == [0, 1, 2, 3]
        ended = bpframe("movie", folder, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.endswith("(4 frames)\n")


@pytest.mark.slow
def test_lanes_ask_for_their_pages_and_the_sweep_links_them(tmp_path: Path) -> None:
    """Slow: starts a process, which trains."""
    words = ("-m", *SMALL, "optimiser.eta=0.1,1", "show=true", "hydra.sweep.dir=sweep")
    ended = bpframe(*words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    sweep = tmp_path / "sweep"
    for number in range(2):
        text = (sweep / str(number) / "report.html").read_text(encoding="utf-8")
        assert "The algorithm" in text
        assert "<math" in text
        assert f'href="{number}/report.html"' in (sweep / "report.html").read_text("utf-8")
    assert bpframe("show", "sweep/0", cwd=tmp_path).returncode == 0
    assert '<a href="../report.html">' in (sweep / "0" / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_jobs_without_pages_are_linked_as_folders(tmp_path: Path) -> None:
    """Slow: starts a process, which trains."""
    ended = bpframe("-m", *SMALL, "seed=0,1", "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    sweep = tmp_path / "sweep"
    assert 'href="1/"' in (sweep / "report.html").read_text("utf-8")
    assert "algorithm" not in json.loads((sweep / "1" / "summary.json").read_text())
    assert bpframe("show", "sweep/1", cwd=tmp_path).returncode == 0
    text = (sweep / "1" / "report.html").read_text("utf-8")
    assert re.search("It was not kept with this run; bpframe show .*sweep/1 --examples adds", text)
    assert bpframe("show", "sweep/1", "--examples", cwd=tmp_path).returncode == 0
    assert "(BP1)" in (sweep / "1" / "report.html").read_text("utf-8")
    assert bpframe("report", "sweep", cwd=tmp_path).returncode == 0
    assert 'href="1/report.html"' in (sweep / "report.html").read_text("utf-8")


def test_show_is_true_or_false() -> None:
    import bpframe as package

    with pytest.raises(ConfigError, match="show"):
        package.compose(["show=3"])
    with pytest.raises(ConfigError, match="bpframe show RUN writes the page of a run"):
        package.compose(["show=true"])
