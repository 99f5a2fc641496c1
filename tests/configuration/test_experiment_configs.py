"""conf/experiment: every study is a sweep over seeds, and a config of one's own can be one."""

from __future__ import annotations

from pathlib import Path

import pytest
import test_cli
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig
from test_cli import Main

from bpframe.configuration import assembly, composition, schemas
from bpframe.plugin_host import host
from bpframe.sweeps.sweepers import grid

main = test_cli.main

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
FEWER_SEEDS = {
    "deltas": (1, "a picture of one run"),
    "privacy": (3, "140 epochs of a convolutional network each"),
    "cost_functions": (0, "nothing in it is drawn"),
    "nielsen_chapter_6": (3, "its networks train for long, and the book has three runs"),
    "learning_rules": (
        5,
        "its source has one, and thirty epochs of four networks take ten minutes",
    ),
    "published_rules": (5, "their sources have one, and they train for up to 120 epochs"),
    "lenet_rules": (5, "its source has one, and thirty convolutional networks take long"),
    "noise_scale": (3, "35 batch sizes and learning rates, up to 300 epochs"),
    "curvature": (1, "two searches of twelve runs each"),
}
DOCS = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")


def composed(name: str, mode: RunMode) -> DictConfig:
    return composition.compose_config([f"+experiment={name}"], mode=mode)


@pytest.mark.share(3)
@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_a_sweep_of_experiments_that_fit_together(name: str) -> None:
    registry = schemas.store(host.load_registry())
    with composition.initialised(), registry.explaining():
        cfg = composed(name, RunMode.MULTIRUN)
        assert cfg.hydra.mode is RunMode.MULTIRUN
        params = [f"{key}={value}" for key, value in cfg.hydra.sweeper.params.items()]
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        parser = OverridesParser.create(hydra.config_loader)
        jobs = grid.combinations(parser.parse_overrides(grid.in_step(params)))
        seeds = {text for job in jobs for text in job if text.startswith("seed=")}
        assert len(seeds) >= FEWER_SEEDS.get(name, (10, ""))[0]
        first = [job for job in jobs if not seeds or min(seeds) in job]
        for job in (first[0], first[-1]):
            one = composition.compose_config([f"+experiment={name}", *job])
            assembly.assemble(one, registry)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_has_its_folder(name: str) -> None:
    folder = ROOT / "experiments" / name
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"bpframe +experiment={name}" in text
    assert f"{name}.png" in text
    assert (folder / "study.py").is_file()


def test_every_study_has_its_config() -> None:
    studies = {path.parent.name for path in (ROOT / "experiments").glob("*/study.py")}
    assert studies - {"reproduction"} == set(NAMES)


@pytest.mark.slow
def test_a_config_of_ones_own_is_a_sweep(main: Main, tmp_path: Path) -> None:
    """Slow: a sweep and a run, each compiled."""
    block = DOCS.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(block)["hydra"]["mode"] == "MULTIRUN"
    folder = tmp_path / "my_configs" / "experiment"
    folder.mkdir(parents=True)
    (folder / "etas.yaml").write_text(block)
    chosen = ("-cd", "my_configs", "+experiment=etas", "training.epochs=1", "data.train_size=20")
    swept = main(*chosen, "seed=0,1", "hydra.sweep.dir=swept")
    assert swept.status == 0, swept.err
    assert {path.name for path in (tmp_path / "swept").iterdir()} >= {"0", "3", "results.csv"}
    single = main(*chosen, "hydra.mode=RUN", "hydra.run.dir=single")
    assert single.status == 0, single.err
    assert (tmp_path / "single" / "summary.json").is_file()
    wrong = main("-cd", "my_configs", "+experiment=etas", "optimiser.etta=1")
    assert wrong.status == 1
    assert "optimiser.etta" in wrong.err
    assert len(wrong.err.strip().splitlines()) == 1


SEARCH = """# @package _global_
defaults:
  - override /hydra/sweeper: search
  - override /hydra/launcher: basic
hydra:
  sweeper:
    n_trials: 3
"""


def test_an_experiment_chooses_its_sweeper_and_its_launcher(tmp_path: Path) -> None:
    """With keys of that sweeper; afterwards, and in other programs, all is as it was."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(SEARCH)
    before = ConfigStore.instance().load("hydra/config.yaml").node.defaults
    schemas.store(host.load_registry())
    with composition.initialised(config_dir=str(tmp_path)):
        choices = composition.compose_config([]).hydra.runtime.choices
        assert (choices["hydra/sweeper"], choices["hydra/launcher"]) == ("grid", "vmap")
        cfg = composition.compose_config(["+experiment=own"], mode=RunMode.MULTIRUN)
        choices = cfg.hydra.runtime.choices
        assert (choices["hydra/sweeper"], choices["hydra/launcher"]) == ("search", "basic")
        assert cfg.hydra.sweeper.n_trials == 3
        given = composition.compose_config(["+experiment=own", "hydra/launcher=vmap"])
        assert given.hydra.runtime.choices["hydra/launcher"] == "vmap"
    assert ConfigStore.instance().load("hydra/config.yaml").node.defaults == before
