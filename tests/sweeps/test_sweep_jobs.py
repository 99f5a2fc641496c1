"""Composing the jobs of a sweep: as Hydra itself composes them, in whatever order they come."""

from __future__ import annotations

import itertools
import json
import logging
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import test_cli
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from safetensors.numpy import load_file
from test_cli import Main, contents

from bpframe import ConfigError, Experiment
from bpframe.configuration import assembly, composition, hydra_internals, schemas
from bpframe.plugin_host.registry import Registry
from bpframe.sweeps.errors import BadJobsError
from bpframe.sweeps.hydra import files
from bpframe.sweeps.hydra.jobs import Job, JobComposer
from bpframe.sweeps.sweepers import grid

outer = test_cli.main

LEAKY = "network.activation={name: leaky_relu, slope: %s}"
FILES = ("config.yaml", "hydra.yaml", "overrides.yaml")

# Overrides of jobs that stand in one sweep: what an earlier one set must not stay in a later one.
SWEEPS: dict[str, list[list[str]]] = {
    "numbers": [
        ["optimiser.eta=0.1", "seed=0"],
        ["optimiser.eta=1", "seed=7"],
        ["seed=7", "optimiser.eta=25e-2"],
        ["optimiser.eta=0.1", "seed=1", "training.batch_size=5"],
        ["optimiser.eta=0.5", "seed=0"],
        [],
    ],
    "groups": [
        ["optimiser=adam", "optimiser.eta=0.01"],
        ["optimiser=adam", "optimiser.eta=0.02", "seed=3"],
        ["optimiser.eta=0.03", "optimiser=adam"],
        ["optimiser=momentum", "optimiser.eta=0.01", "optimiser.mu=0.5"],
        ["optimiser.eta=0.02"],
    ],
    "activations": [
        [LEAKY % 0.1],
        [LEAKY % 0.2, "seed=1"],
        ["network.activation={name: leaky_relu}", "+network.activation.slope=0.3"],
        ["network.activation=tanh", "seed=1"],
    ],
    "lists": [
        ["network.hidden=[30,20]", "metrics=[accuracy]"],
        ["network.hidden=[5]", "metrics=[{name: accuracy, over: train}, weight_norm]"],
        ["network.layers=[{n: 4, activation: tanh}, {n: 10, activation: softmax}]"],
        ["network.modified_neurons=[{layer: 2, neuron: 3, activation: softplus}]"],
    ],
    "booleans, nulls and texts": [
        ["training.evaluate_train=true", "plots=true", "data.train_size=100"],
        ["training.evaluate_train=false", "plots=null", "data.train_size=null"],
        ["training.dtype=float64", "training.device='cpu'"],
        ["training.dtype=float32", "training.device=auto"],
        ["sweep.shared_order=true", "sweep.objective=test_cost", "sweep.direction=minimise"],
    ],
    "added and forced": [
        ["++optimiser.eta=0.3", "seed=1"],
        ["++optimiser.eta=0.4", "seed=2"],
        ["optimiser.eta=0.5", "++seed=2"],
        ["training={epochs: 3, batch_size: 7}", "optimiser.eta=0.5"],
        ["training={epochs: 4, batch_size: 7}", "training.epochs=5"],
    ],
    "data and cost": [
        ["data.train_size=100", "optimiser.eta=0.1"],
        ["data.train_size=50", "optimiser.eta=0.1"],
        ["cost=huber", "cost.threshold=0.5", "network.output_activation=linear"],
        ["data=xor", "training.batch_size=2"],
    ],
    "interpolations": [
        ["regulariser=l2", "regulariser.strength=1.0", "optimiser.eta=0.1"],
        ["regulariser=l2", "regulariser.strength=${optimiser.eta}", "optimiser.eta=0.1"],
        ["regulariser=l2", "regulariser.strength=${optimiser.eta}", "optimiser.eta=0.5"],
        ["seed=${training.batch_size}", "training.batch_size=4"],
        ["seed=${training.batch_size}", "training.batch_size=8"],
        ["seed=3", "training.batch_size=8"],
    ],
}
SUBDIRS = ("${hydra.job.num}", "of/${hydra.job.override_dirname}", "eta=${optimiser.eta}")


class Expected(NamedTuple):
    """What Hydra makes of a job, with the texts of the files that it writes."""

    experiment: Experiment
    returned: JobReturn
    folder: Path
    files: dict[str, str]

    @property
    def config(self) -> Any:
        assert self.returned.cfg is not None
        return OmegaConf.to_container(self.returned.cfg, resolve=True)


class Kit(NamedTuple):
    """The beginning of a sweep, composed as the command line composes it."""

    master: DictConfig
    registry: Registry

    @property
    def loader(self) -> Any:
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        return hydra.config_loader

    @property
    def folder(self) -> Path:
        return Path(self.master.hydra.sweep.dir)

    def composer(self) -> JobComposer:
        return JobComposer(self.master, self.loader, self.registry, self.folder)

    def by_hydra(self, num: int, overrides: Sequence[str]) -> Expected:
        """A job as Hydra's basic launcher runs it, with a task that only assembles."""
        cfg = self.loader.load_sweep_config(self.master, list(overrides))
        with open_dict(cfg):
            cfg.hydra.job.id = cfg.hydra.job.num = num
        returned = run_job(
            task_function=lambda cfg: assembly.assemble(cfg, self.registry),
            config=cfg,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            hydra_context=HydraContext(self.loader, hydra_internals.callbacks()),
            configure_logging=False,
        )
        assert returned.hydra_cfg is not None
        folder = Path(returned.hydra_cfg.hydra.runtime.output_dir)
        files = texts(folder)
        shutil.rmtree(self.folder)
        return Expected(returned.return_value, returned, folder, files)


def texts(folder: Path) -> dict[str, str]:
    return {name: (folder / ".hydra" / name).read_text() for name in FILES}


@pytest.fixture
def main(outer: Main, monkeypatch: pytest.MonkeyPatch) -> Main:
    """`bpframe.cli.main`, which sets logging up: that closes the stream that pytest captures."""
    monkeypatch.setattr(logging, "shutdown", lambda handlers=(): None)
    # Both would hold for the rest of this process.
    monkeypatch.setattr("bpframe.training.compilation.use_cache", lambda: None)
    monkeypatch.setattr("bpframe.sweeps.launching.parallel.make_cores_devices", lambda: None)
    return outer


@pytest.fixture
def begun(registry: Registry) -> Iterator[Any]:
    """Makes the kit of a sweep with some overrides."""
    stored = schemas.store(registry)

    def kit(folder: Path, *overrides: str) -> Kit:
        given = [f"hydra.sweep.dir={folder}", *overrides]
        return Kit(composition.compose_config(given, mode=RunMode.MULTIRUN), stored)

    with composition.initialised(), stored.explaining():
        yield kit


def assert_as_hydra(job: Job, expected: Expected) -> None:
    returned = expected.returned
    assert repr(job.experiment) == repr(expected.experiment)  # repr tells 1 from 1.0 and True
    assert job.experiment == expected.experiment
    assert job.folder == expected.folder
    assert list(job.overrides) == returned.overrides
    assert returned.cfg is not None
    assert job.config == OmegaConf.to_container(returned.cfg)
    assert job.plots == (returned.cfg.plots is True)
    files.write(job)
    try:
        assert texts(job.folder) == expected.files
    finally:
        shutil.rmtree(job.folder)


def slow_but(*names: str) -> list[Any]:
    """The sweeps, of which all but some are marked slow."""
    return [n if n in names else pytest.param(n, marks=pytest.mark.slow) for n in SWEEPS]


@pytest.mark.slow
@pytest.mark.parametrize("name", slow_but("numbers", "groups", "activations", "interpolations"))
def test_jobs_are_those_that_hydra_composes_in_any_order(
    begun: Any, tmp_path: Path, name: str
) -> None:
    """Slow together: Hydra takes a tenth of a second to compose a job.

    Slow: runs whole commands.
    """
    kit = begun(tmp_path / "sweep")
    jobs = list(enumerate(SWEEPS[name]))
    expected = {num: kit.by_hydra(num, overrides) for num, overrides in jobs}
    forwards, composer = [*jobs, *reversed(jobs)], kit.composer()
    shuffled = random.Random(len(name)).sample(forwards, len(forwards))
    hashes = {}
    for num, overrides in (*forwards, *shuffled):
        job = composer.job(num, overrides)
        assert_as_hydra(job, expected[num])
        assert hashes.setdefault(num, job.hash) == job.hash
    for one, other in itertools.combinations(hashes, 2):
        assert (hashes[one] == hashes[other]) == (expected[one].config == expected[other].config)


@pytest.mark.parametrize("subdir", SUBDIRS)
@pytest.mark.slow
def test_folders_are_those_of_hydra(begun: Any, tmp_path: Path, subdir: str) -> None:
    """Slow, with the others of this file."""
    kit = begun(tmp_path / "sweep", f"hydra.sweep.subdir='{subdir}'")
    composer = kit.composer()
    jobs = list(enumerate(SWEEPS["numbers"][1:3]))
    expected = {num: kit.by_hydra(num, overrides) for num, overrides in jobs}
    for num, overrides in (*jobs, *reversed(jobs)):
        job = composer.job(num, overrides)
        assert_as_hydra(job, expected[num])
        assert tmp_path / "sweep" / job.subdir == job.folder


@pytest.mark.slow
def test_override_dirname_follows_its_settings(begun: Any, tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    settings = "{kv_sep: ':', item_sep: ';', exclude_keys: [seed]}"
    kit = begun(
        tmp_path / "sweep",
        f"hydra.job.config.override_dirname={settings}",
        "hydra.sweep.subdir='${hydra.job.override_dirname}'",
    )
    for num, overrides in enumerate(SWEEPS["numbers"][:2]):
        job = kit.composer().job(num, overrides)
        assert job.subdir == overrides[0].replace("=", ":")


def test_files_are_those_of_the_basic_launcher_but_for_its_name(begun: Any, tmp_path: Path) -> None:
    overrides = ["optimiser=momentum", "optimiser.mu=0.5", LEAKY % 0.1, "seed=3"]
    basic = begun(tmp_path / "sweep", "hydra/launcher=basic").by_hydra(4, overrides).files
    job = begun(tmp_path / "sweep").composer().job(4, overrides)
    files.write(job)
    ours = texts(job.folder)
    assert ours["config.yaml"] == basic["config.yaml"]
    assert ours["overrides.yaml"] == basic["overrides.yaml"]
    launcher = re.compile(r"^  launcher:\n(   .*\n)+", re.MULTILINE)
    one, other = (launcher.sub("", text["hydra.yaml"]).splitlines() for text in (ours, basic))
    assert [line.strip() for line in one if line not in other] == ["hydra/launcher: vmap"]
    assert [line.strip() for line in other if line not in one] == [
        "- hydra/launcher=basic",
        "hydra/launcher: basic",
    ]


def test_settings_are_the_overrides_as_values(begun: Any, tmp_path: Path) -> None:
    job = begun(tmp_path / "sweep").composer().job(0, [
        *("optimiser=adam", "optimiser.eta=1e-2", "seed=3", "plots=null", "network.hidden=[3,4]"),
        *(LEAKY % 0.1, "training.evaluate_train=true", "training.device='cpu'"),
    ])  # fmt: skip
    assert job.settings == {
        "optimiser": "adam",
        "optimiser.eta": 0.01,
        "seed": 3,
        "plots": None,
        "network.hidden": [3, 4],
        "network.activation": {"name": "leaky_relu", "slope": 0.1},
        "training.evaluate_train": True,
        "training.device": "cpu",
    }


@pytest.mark.parametrize("static", [["optimiser=adam"]])
def test_hydra_composes_once_for_all_values_of_the_same_keys(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, static: list[str]
) -> None:
    kit = begun(tmp_path / "sweep")
    composed: list[Any] = []
    load = kit.loader.load_sweep_config
    monkeypatch.setattr(
        kit.loader, "load_sweep_config", lambda *args: composed.append(args) or load(*args)
    )
    composer = kit.composer()
    for num in range(20):
        composer.job(num, [*static, f"optimiser.eta={0.1 * (num + 1)}", f"seed={num}"])
    assert len(composed) == 1


BAD = {
    "optimiser.eta=much": "optimiser.eta: ",
    "optimiser.eta=0": "optimiser.eta: 0.0 is out of range; allowed: > 0",
    "seed=-1": "seed: -1 is out of range",
    "seed=0.5": "seed: ",
    "optimiser.eta=inf": "optimiser.eta: inf is out of range",
    "optimiser.eta={a: 1}": "optimiser.eta: ",
    "optimiser.eta=${nothing}": "optimiser.eta: ",
    "optimiser.eta=[0.1]": "optimiser.eta: ",
    "optimiser.eta=null": "optimiser.eta: ",
}


@pytest.mark.slow
@pytest.mark.parametrize("bad_first", [True, False])
def test_a_bad_job_leaves_nothing_behind_for_the_next(
    begun: Any, tmp_path: Path, bad_first: bool
) -> None:
    """Slow: runs whole commands."""
    kit = begun(tmp_path / "sweep")
    good = {"optimiser.eta": "optimiser.eta=0.3", "seed": "seed=2"}
    expected = kit.by_hydra(1, list(good.values()))
    composer = kit.composer()
    if not bad_first:
        composer.job(1, list(good.values()))
    for override, text in BAD.items():
        bad = {**good, override.partition("=")[0]: override}
        with pytest.raises(ConfigError, match=re.escape(text)) as raised:
            composer.job(0, list(bad.values()))
        assert "\n" not in str(raised.value)
        assert_as_hydra(composer.job(1, list(good.values())), expected)


def test_all_bad_jobs_are_in_one_message_and_nothing_is_written(main: Main, tmp_path: Path) -> None:
    etas = "optimiser.eta=0,0.1,-1"
    ended = main("-m", etas, "seed=0,-1", "network.activation=tanh,sigmod,0.5")
    assert (ended.status, ended.out) == (1, "")
    head, *lines = ended.err.splitlines()
    assert head == "bpframe: 17 of 18 jobs cannot be run, and nothing was trained:"
    assert not list(tmp_path.iterdir())
    jobs: list[int] = []
    for first, last in re.findall(r"(\d+)(?: to (\d+))?", " ".join(x.split("(")[0] for x in lines)):
        jobs += range(int(first), int(last or first) + 1)
    assert sorted(jobs) == [num for num in range(18) if num != 6]
    for text in (
        "optimiser.eta: 0.0 is out of range; allowed: > 0",
        "optimiser.eta: -1.0 is out of range; allowed: > 0",
        "seed: -1 is out of range",
        "network.activation: unknown 'sigmod'; did you mean 'sigmoid'?",
        "network.activation: 0.5 is not an activation",
    ):
        (line,) = (line for line in lines if text in line)
        jobs_named = r"  jobs? \d+( to \d+)?(, \d+( to \d+)?)*"
        assert re.match(jobs_named + r" \(optimiser\.eta=\S+ seed=\S+ network\.act", line)


TINY = ("data=xor", "training.batch_size=4", "training.epochs=1", "network.hidden=[2]")


@pytest.mark.slow
def test_interpolations_are_resolved_for_each_job(main: Main, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    strength = "regulariser.strength=${optimiser.eta}"
    eta = "optimiser.eta=0.1,0.2"
    ended = main("-m", *TINY, "regulariser=l2", strength, eta, "hydra.sweep.dir=swept")
    assert ended.status == 0, ended.err
    for num, value in enumerate((0.1, 0.2)):
        folder = tmp_path / "swept" / str(num)
        config = OmegaConf.load(folder / ".hydra" / "config.yaml")
        assert config.regulariser.strength == config.optimiser.eta == value
        assert strength in (folder / ".hydra" / "overrides.yaml").read_text()
        record = json.loads((folder / "metrics.jsonl").read_text())
        assert (
            main(
                *TINY,
                "regulariser=l2",
                f"regulariser.strength={value}",
                f"optimiser.eta={value}",
                f"hydra.run.dir={num}",
            ).status
            == 0
        )
        alone = json.loads((tmp_path / str(num) / "metrics.jsonl").read_text())
        for key in ("train_cost", "validation_cost"):
            assert record[key] == pytest.approx(alone[key], rel=1e-6)


@pytest.mark.slow
def test_paths_are_interpolated_for_each_job(main: Main, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    for seed in (0, 1):
        assert main(*TINY, f"seed={seed}", f"hydra.run.dir=pre{seed}").status == 0
    path = "initialiser.path='pre${seed}/params.safetensors'"
    given = ("initialiser=file", path, "seed=0,1", "optimiser.eta=1e-30")
    ended = main("-m", *TINY, *given, "hydra.sweep.dir=swept")
    assert ended.status == 0, ended.err
    for seed in (0, 1):
        first = load_file(tmp_path / f"pre{seed}" / "params.safetensors")
        last = load_file(tmp_path / "swept" / str(seed) / "params.safetensors")
        np.testing.assert_array_equal(first["layer_2.w"], last["layer_2.w"])


@pytest.mark.slow
def test_a_secret_of_the_environment_is_written_nowhere(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: compiles a program."""
    monkeypatch.setenv("SECRET", "pre0")
    assert main(*TINY, "hydra.run.dir=pre0").status == 0
    path = "initialiser.path='${oc.env:SECRET}/params.safetensors'"
    given = ("initialiser=file", path, "optimiser.eta=0.1,0.2")
    ended = main("-m", *TINY, *given, "hydra.sweep.dir=swept")
    assert ended.status == 0, ended.err
    for name, content in contents(tmp_path / "swept").items():
        assert b"pre0" not in content, name


def test_a_line_names_no_more_jobs_than_it_can_hold() -> None:
    errors = dict.fromkeys([*range(100, 10_000), *range(0, 60, 2)], "no")
    line = str(BadJobsError(errors, [["seed=1"]] * 10_000, 0)).splitlines()[1]
    assert line.startswith("  jobs 100 to 9999, 0, 2, 4, ")
    assert line.endswith(" 20 and 19 more (seed=1): no")


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("optimiser.eta=interval(0.1,1)",), ["interval(0.1,1)", "hydra/sweeper=search"]),
        (("seed=0,1", "hydra.sweep.subdir=same"), ["'same' is the folder of job 0 as well"]),
        (("seed=0,1", "sweep.objective=accuracy"), ["sweep.objective: unknown 'accuracy'"]),
        (("seed=zip(1,2)", "optimiser.eta=zip(1,2,3)"), ["optimiser.eta: zip has 3 values", "2;"]),
        *(
            pytest.param((swept, *more), texts, marks=pytest.mark.slow)
            for swept, *more, texts in (
                ("seed=0,1", "hydra.job.chdir=true", ["hydra.job.chdir: "]),
                ("seed=0,1", "hydra.launcher.lanes=0", ["hydra.launcher.lanes: 0 is out of range"]),
                ("data.train_size=9999,20", ["job 0 (data.train_size=9999)", "1 to 1197"]),
                ("training.device=auto,tpu", ["job 1 (training.device=tpu)", "training.device: "]),
            )
        ),
    ],
    ids=str,
)
def test_bad_sweeps_leave_nothing(
    main: Main, tmp_path: Path, arguments: tuple[str, ...], texts: list[str]
) -> None:
    """Slow: some of them, as each composes a sweep."""
    ended = main("-m", *arguments)
    assert (ended.status, ended.out) == (1, "")
    assert len([line for line in ended.err.splitlines() if line.startswith("bpframe: ")]) == 1
    assert all(text in ended.err for text in texts), ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("1000,null", ["1000", "null"]),
        ("null, null,3", ["null", "null", "3"]),
        ("[null,1],null,[2]", ["[null,1]", "null", "[2]"]),
        ("{a:null},null", ["{a:null}", "null"]),
        ("'a,null',nullable", ["a\\,null", "nullable"]),
        ("range(1,3)", ["1", "2"]),
    ],
)
def test_zip_takes_null_as_a_value_of_its_own(values: str, expected: list[str]) -> None:
    ones = ",".join("1" for _ in expected)
    texts = grid.in_step([f"key=zip({values})", f"seed=tag(named,zip({ones}))"])
    jobs = grid.combinations(OverridesParser.create().parse_overrides(texts))
    assert [job[0] for job in jobs[:: len(expected)]] == [f"key={value}" for value in expected]
