"""Where the folders of jobs lie: strictly inside the sweep, and nothing else is ever deleted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import test_sweep_jobs
from omegaconf import OmegaConf
from test_cli import Main, contents

from bpframe.errors import ConfigError
from bpframe.sweeps.folders import JobFolders

outer, main = test_sweep_jobs.outer, test_sweep_jobs.main

OUTSIDE = ("..", ".", "../x", "a/../..", "a/..", "/tmp/x", "", "../sweep", "a/../../sweep")
TAKEN = ("sweep.jsonl", ".lock", "multirun.yaml", "results.csv/0", "report.html", ".submitit/0")


@pytest.fixture
def around(tmp_path: Path) -> Path:
    """A folder with something precious, in which sweeps are to be."""
    folder = tmp_path / "X"
    (folder / "precious").mkdir(parents=True)
    (folder / "precious" / "thesis.txt").write_text("three years")
    return folder


@pytest.mark.share(3)
@pytest.mark.parametrize("subdir", OUTSIDE)
def test_a_folder_outside_the_sweep_is_refused(main: Main, around: Path, subdir: str) -> None:
    before = contents(around)
    ended = main(
        "-m", "seed=0", f"hydra.sweep.dir={around}/sweep", f"hydra.sweep.subdir='{subdir}'"
    )
    assert ended.status == 1
    assert "hydra.sweep.subdir: " in ended.err
    assert "is not strictly inside the sweep" in ended.err
    assert contents(around) == before


@pytest.mark.share(3)
@pytest.mark.parametrize("subdir", TAKEN)
def test_the_sweeps_own_files_are_no_folders(main: Main, around: Path, subdir: str) -> None:
    ended = main("-m", "seed=0", f"hydra.sweep.dir={around}/sweep", f"hydra.sweep.subdir={subdir}")
    assert ended.status == 1
    assert f"hydra.sweep.subdir: '{subdir}' is kept for the sweep's own files" in ended.err


@pytest.mark.share(3)
@pytest.mark.parametrize("subdirs", ["a,a/b", "a/b,a", "a,a/b/c", "a,./a", "a,b/../a"])
def test_jobs_do_not_share_a_folder_nor_lie_in_each_others(
    main: Main, around: Path, subdirs: str
) -> None:
    one, other = subdirs.split(",")
    subdir = "'${sub:${seed}}'"
    OmegaConf.register_new_resolver("sub", lambda n: (one, other)[n], replace=True)
    ended = main("-m", "seed=0,1", f"hydra.sweep.dir={around}/s", f"hydra.sweep.subdir={subdir}")
    assert ended.status == 1
    assert "is the folder of job 0 as well, or lies around or inside it" in ended.err


def test_hydras_own_files_stay_in_the_run_folder(main: Main, around: Path) -> None:
    before = contents(around)
    ended = main(
        "-m", "seed=0", f"hydra.sweep.dir={around}/s", "hydra.output_subdir=../../precious"
    )
    assert ended.status == 1
    assert "hydra.output_subdir: '../../precious' is not strictly inside" in ended.err
    assert contents(around) == before


def test_a_link_that_leads_outside_is_refused(around: Path) -> None:
    sweep = around / "sweep"
    sweep.mkdir()
    (sweep / "0").symlink_to(around / "precious")
    job: Any = SimpleNamespace(subdir="0", hydra={"output_subdir": ".hydra"}, hash="")
    with pytest.raises(ConfigError, match=r"'0' is not strictly inside the sweep"):
        JobFolders(sweep).add(job)


def test_a_folder_that_the_sweep_has_not_made_stays(main: Main, around: Path) -> None:
    sweep = around / "sweep"
    (sweep / "0").mkdir(parents=True)
    (sweep / "0" / "notes.txt").write_text("mine")
    before = contents(around)
    ended = main("-m", "seed=0", f"hydra.sweep.dir={sweep}")
    assert ended.status == 1
    assert str(sweep) in ended.err
    assert contents(around) == before
