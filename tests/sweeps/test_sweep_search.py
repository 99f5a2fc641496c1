"""hydra/sweeper=search: spaces, samplers, the study, and searches that are interrupted."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import test_cli
import test_sweep_jobs
import test_sweep_kill
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from test_cli import Main, process
from test_sweep_kill import Start

from bpframe.errors import ConfigError, DivergenceError, OutputError
from bpframe.sweeps.errors import FailedJobsError
from bpframe.sweeps.objective import Objective
from bpframe.sweeps.rows import COMPLETED, DIVERGED, FAILED, PRUNED, Row
from bpframe.sweeps.sweepers import samplers, search, spaces
from bpframe.sweeps.sweepers.grid import in_step
from bpframe.sweeps.sweepers.samplers import SAMPLERS, SearchSettings
from bpframe.sweeps.sweepers.spaces import Space
from bpframe.sweeps.sweepers.study import JOURNAL, Study, quiet
from bpframe.sweeps.sweepers.study_file import StudyFile

outer = test_cli.main
main = test_sweep_jobs.main
start = test_sweep_kill.start

ACCURACY = Objective("best_validation_accuracy", "maximise")
NODE: Mapping[str, Any] = {
    "sampler": "tpe",
    "n_trials": None,
    "batch": 4,
    "seed": 0,
    "halving": {"first": None, "factor": 3},
    "params": None,
}
MISSING = {"cmaes": "cmaes"}
"""What a sampler needs that is not installed with Optuna."""


def space(*overrides: str) -> Space:
    return spaces.space(OverridesParser.create().parse_overrides(in_step(overrides)))


def plan(**settings: Any) -> SearchSettings:
    return SearchSettings.of({**NODE, **settings})


def plan_of(sampler: str, **settings: Any) -> SearchSettings:
    if sampler in MISSING:
        pytest.importorskip(MISSING[sampler])
    return plan(sampler=sampler, **settings)


def reached(values: Mapping[str, float], rng: random.Random | None = None) -> float:
    """An accuracy that is best at eta=2, mu=0.6, and falls off as one does."""
    eta, mu = float(values["eta"]), float(values.get("mu", 0.6))
    distance = (math.log10(eta / 2) / 0.7) ** 2 + ((mu - 0.6) / 0.4) ** 2
    return 0.95 * math.exp(-distance / 2)


class Runs:
    """Runs jobs in no time, and keeps those that are done as a ledger does.

    After `until` jobs it ends as a process does that is interrupted.
    """

    def __init__(self, folder: Path, until: float = math.inf) -> None:
        self.folder = folder
        self.until = until
        self.trained: list[int] = []
        self.batches: list[tuple[int, int]] = []
        self.closed = False
        self.answer: Callable[[int, Mapping[str, Any]], tuple[str, float | None]] = (
            lambda num, values: (COMPLETED, reached(values))
        )

    def run(self, batch: Sequence[Sequence[str]], first: int) -> list[Row]:
        self.folder.mkdir(exist_ok=True)
        self.batches.append((first, len(batch)))
        path = self.folder / "rows.json"
        done = json.loads(path.read_text()) if path.exists() else {}
        rows = []
        for num, overrides in enumerate(batch, start=first):
            key = " ".join(overrides)
            if key not in done:
                if len(self.trained) == self.until:
                    raise KeyboardInterrupt
                values = dict(text.split("=") for text in overrides)
                done[key] = (num, *self.answer(num, values))
                self.trained.append(num)
                path.write_text(json.dumps(done))
            number, status, value = done[key]
            rows.append(Row(number, str(number), {}, status, 5, {ACCURACY.name: value}, {}))
        return rows

    def holds_folder(self) -> bool:
        return (self.folder / "rows.json").exists()

    def close(self) -> None:
        self.closed = True


def searched(
    folder: Path,
    how: SearchSettings,
    where: Space,
    runs: Runs | None = None,
    objective: Objective = ACCURACY,
) -> list[FrozenTrial]:
    """The trials of a search, as Optuna reads them from the journal."""
    with quiet():
        study = Study(folder, where, objective, how)
        search.search(study, runs or Runs(folder), how.total(where.axes), lambda line: None)
    return stored(folder).trials


def stored(folder: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    return optuna.load_study(study_name="bpframe", storage=storage)


def told(trials: Sequence[FrozenTrial]) -> list[tuple[Any, ...]]:
    """All of the trials but the time."""
    return [
        (t.number, t.state, t.params, t.values, t.user_attrs, t.intermediate_values) for t in trials
    ]


ETA = ("eta=tag(log,interval(0.01,100))", "mu=interval(0,0.99)")
DISCRETE = ("eta=choice(0.1,1,10,100)", "mu=range(0,0.8,0.2)")
SEARCHED = {"tpe": ETA, "random": ETA, "cmaes": ETA, "grid": DISCRETE}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0.01,10)", FloatDistribution(0.01, 10)),
        ("interval(-3,10)", FloatDistribution(-3, 10)),
        ("tag(log,interval(0.01,10))", FloatDistribution(0.01, 10, log=True)),
        ("int(interval(1,64))", IntDistribution(1, 64)),
        ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("int(tag(log,interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("range(1,10,2)", IntDistribution(1, 9, step=2)),
        ("range(4)", IntDistribution(0, 3)),
        ("range(10,0,-3)", IntDistribution(1, 10, step=3)),
        ("range(0,1,0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("range(0.0,2.1,0.7)", FloatDistribution(0, 1.4, step=0.7)),
        ("float(range(1,4))", FloatDistribution(1, 3, step=1)),
        ("tag(log,range(1,9))", IntDistribution(1, 8, log=True)),
        ("a,b", CategoricalDistribution(["a", "b"])),
        ("0.1,2,null,true", CategoricalDistribution([0.1, 2, None, True])),
        ("'a b','1'", CategoricalDistribution(["a b", "1"])),
        ("choice([30],[30,10])", CategoricalDistribution(["[30]", "[30,10]"])),
        ("{name: x},{name: y}", CategoricalDistribution(["{name:x}", "{name:y}"])),
        ("sort(3,1,2)", CategoricalDistribution([1, 2, 3])),
    ],
)
def test_an_override_is_a_distribution_and_its_values_are_overrides(
    text: str, expected: BaseDistribution
) -> None:
    (axis,) = space(f"x={text}").axes.values()
    assert axis.distribution == expected
    assert type(axis.distribution) is type(expected)
    with quiet():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        drawn = [study.ask({"x": axis.distribution}).params["x"] for _ in range(20)]
    for value in drawn:
        back = OverridesParser.create().parse_override(f"x={axis.text(value)}")
        if not isinstance(back.value(), list | dict):
            assert back.value() == value
            assert type(back.value()) is type(value)
    if axis.values() is not None:
        assert set(drawn) <= set(axis.values() or [])


def test_what_is_not_swept_is_the_same_for_all_and_the_last_override_of_a_key_counts() -> None:
    found = space("a=interval(0,1)", "b='x y'", "~c", "d=1", "+e=2,3", "d=4,5", "a=6,7", "g=8")
    assert list(found.axes) == ["a", "d", "+e"]
    assert found.overrides({"a": 7, "d": 4, "+e": 3}) == [
        "a=7",
        "b='x y'",
        "~c",
        "d=4",
        "+e=3",
        "g=8",
    ]


def test_a_glob_is_a_choice_of_the_names_there_are() -> None:
    loader = SimpleNamespace(get_group_options=lambda *_, **__: ["sgd", "momentum", "nag"])
    parser = OverridesParser.create(loader)  # pyright: ignore[reportArgumentType]
    (axis,) = spaces.space(parser.parse_overrides(["optimiser=glob(*,exclude=nag)"])).axes.values()
    assert axis.values() == ["sgd", "momentum"]
    loader.get_group_options = lambda *_, **__: []
    with pytest.raises(ConfigError, match="matches nothing"):
        spaces.space(parser.parse_overrides(["optimiser=glob(*)"]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["x=1", "y=a"], "nothing is swept; give a key a space"),
        ([], "nothing is swept"),
        (["x=interval(3,1)"], r"interval\(3,1\): 3.0 to 1.0 is no interval; .* the lower first"),
        (["x=interval(1,1)"], "is no interval"),
        (["x=interval(0,1e999)"], "is no interval"),
        (["x=interval(nan,1)"], "is no interval"),
        (["x=tag(log,interval(0,1))"], "a log scale starts at 0; allowed: > 0"),
        (["x=tag(log,int(interval(-2,1)))"], "a log scale starts at -2"),
        (["x=tag(log,range(0,9))"], "a log scale starts at 0"),
        (["x=tag(log,range(1,9,2))"], "a log scale has no steps of 2"),
        (["x=tag(log,range(1.5,9))"], "a log scale has no steps"),
        (["x=tag(log,choice(1,2))"], "choices have no log scale"),
        (["x=tag(lgo,interval(1,2))"], "unknown 'lgo'; did you mean 'log'"),
        (["x=range(5,1)"], "holds no value"),
        (["x=range(1,1)"], "holds no value"),
        (["x=range(1,5,0)"], "step not 0"),
        (["x=1,1.0"], "the same choice is given twice"),
        (["x=shuffle(1,2)"], "leave shuffle out"),
        (["x=zip(1,2)", "y=zip(3,4)"], r"x: zip\(...\) pairs the values of a grid; .*sweeper=grid"),
        (["x=tag(a,zip(1,2))"], "zip"),
    ],
)
def test_what_is_no_space_is_told_in_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        space(*overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "tpes"}, "hydra.sweeper.sampler: unknown 'tpes'; did you mean 'tpe'"),
        ({"n_trials": 0}, "hydra.sweeper.n_trials: 0 is out of range; allowed: >= 1"),
        ({"batch": 0}, "hydra.sweeper.batch: 0 is out of range"),
        ({"seed": -1}, "hydra.sweeper.seed: -1 is out of range"),
        (
            {"halving": {"first": None, "factor": 2}},
            "hydra.sweeper.halving.factor: 2 has no effect while hydra.sweeper.halving.first",
        ),
    ],
)
def test_a_setting_out_of_range_is_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(**settings)


def test_a_batch_or_a_grid_without_measure_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch: 1000000000 is out of range; allowed: 1 to 10"):
        plan(batch=10**9)
    for axes in (
        ["seed=range(1000000000)"],
        ["a=range(0,1,1e-7)"],
        [f"{k}=range(200)" for k in "abc"],
    ):
        with pytest.raises(
            ConfigError, match=r"the grid has [\d,]+ points; allowed: at most 1,000"
        ):
            plan(sampler="grid").check(space(*axes).axes)
    plan(sampler="random").check(space("seed=range(1000000000)").axes)


def test_a_sampler_says_what_it_cannot_search(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"eta: an interval has no end of values"):
        plan(sampler="grid").check(space(*ETA).axes)
    plan(sampler="grid").check(space(*DISCRETE, "n=int(interval(1,3))").axes)
    monkeypatch.setattr(samplers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"cmaes needs the package cmaes.*pip install cmaes"):
        plan(sampler="cmaes")
    monkeypatch.setattr(samplers.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match=r"eta: hydra.sweeper.sampler=cmaes has no use for"):
        plan(sampler="cmaes").check(space(*DISCRETE).axes)


@dataclasses.dataclass
class Training:
    batch_size: int = 10
    momentum: float = 0


@dataclasses.dataclass
class Config:
    training: Training = dataclasses.field(default_factory=Training)
    seed: int = 0


def test_an_integer_is_not_searched_for_among_all_numbers() -> None:
    config = OmegaConf.structured(Config)
    for text in ("training.batch_size=interval(1,9)", "seed=range(0,1,0.5)"):
        with pytest.raises(ConfigError, match=r"takes integers, .* write int\(interval"):
            spaces.check_numbers(space(text).axes, config)
    fine = ("training.batch_size=int(interval(1,9))", "training.momentum=interval(0,1)", "+x=1,2")
    spaces.check_numbers(space(*fine, "+a.b=interval(0,1)").axes, config)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_makes_the_search(sampler: str, tmp_path: Path) -> None:
    where = space(*SEARCHED[sampler])
    found = [
        told(searched(tmp_path / str(n), plan_of(sampler, n_trials=14, seed=seed), where))
        for n, seed in enumerate((3, 3, 4))
    ]
    assert found[0] == found[1]
    assert [trial[2] for trial in found[0]] != [trial[2] for trial in found[2]]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(sampler: str, tmp_path: Path) -> None:
    where, how = space(*SEARCHED[sampler]), plan_of(sampler, n_trials=14)
    expected = told(searched(tmp_path / "whole", how, where))
    for until in (1, 4, 5, 7, 11, 13):
        folder = tmp_path / str(until)
        trained = []
        for _ in range(20):
            runs = Runs(folder, until)
            try:
                trials = searched(folder, how, where, runs)
            except KeyboardInterrupt:
                trained += runs.trained
                continue
            trained += runs.trained
            assert told(trials) == expected
            break
        else:
            pytest.fail("the search has not ended")
        assert sorted(trained) == sorted({trial[4]["job"] for trial in expected})


def test_a_journal_that_ends_anywhere_is_continued(tmp_path: Path) -> None:
    """Whatever a killed process left of the last step that it wrote."""
    where, how = space(*ETA), plan(n_trials=8)
    whole = tmp_path / "whole"
    expected = told(searched(whole, how, where))
    content = (whole / JOURNAL).read_bytes()
    rng = random.Random(0)
    for n, end in enumerate((0, *sorted(rng.sample(range(len(content)), 25)), len(content))):
        folder = tmp_path / str(n)
        shutil.copytree(whole, folder)
        (folder / JOURNAL).write_bytes(content[:end])
        assert told(searched(folder, how, where, Runs(folder))) == expected


def test_a_generation_is_in_the_study_before_it_is_trained(tmp_path: Path) -> None:
    where, how = space(*ETA), plan(n_trials=12)
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "s", how, where, Runs(tmp_path / "s", until=6))
    trials = stored(tmp_path / "s").trials
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 4 + [TrialState.RUNNING] * 4
    # They are asked for again, whatever the sampler would say now.
    runs = Runs(tmp_path / "s")
    again = searched(tmp_path / "s", how, where, runs)
    assert [t.params for t in again[:8]] == [t.params for t in trials]
    assert runs.batches == [(4, 4), (8, 4)]


def test_n_trials_is_the_total(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "s")
    assert len(searched(tmp_path / "s", plan(n_trials=10), space(*ETA), runs)) == 10
    assert runs.batches == [(0, 4), (4, 4), (8, 2)]
    for n_trials, batches in ((10, []), (3, []), (13, [(10, 3)])):
        runs = Runs(tmp_path / "s")
        searched(tmp_path / "s", plan(n_trials=n_trials), space(*ETA), runs)
        assert runs.batches == batches
    assert plan().total(space(*ETA).axes) == samplers.N_TRIALS


def test_optuna_reads_the_study(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trials = searched(tmp_path / "s", plan(n_trials=12), space(*ETA))
    study = stored(tmp_path / "s")
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.best_value == max(reached(t.params) for t in trials)
    assert [t.user_attrs for t in trials] == [{"job": n, "folder": str(n)} for n in range(12)]
    assert trials[0].distributions == space(*ETA).distributions
    assert study.user_attrs == {
        "objective": ACCURACY.name,
        "direction": "maximise",
        "sampler": "tpe",
        "batch": 4,
        "seed": 0,
        "halving": None,
    }
    assert capfd.readouterr() == ("", "")


def test_how_a_job_ended_is_how_its_trial_did(tmp_path: Path) -> None:
    ends: list[tuple[str, float | None]] = [
        (COMPLETED, 0.5),
        (COMPLETED, None),
        (DIVERGED, None),
        (DIVERGED, 0.75),
        (FAILED, None),
        (PRUNED, 0.25),
    ]
    runs = Runs(tmp_path / "s")
    runs.answer = lambda num, values: ends[num]
    objective = Objective(ACCURACY.name, "minimise")
    trials = searched(tmp_path / "s", plan(n_trials=6), space(*ETA), runs, objective)
    fail = (TrialState.FAIL, None, {})
    assert [(t.state, t.value, t.intermediate_values) for t in trials] == [
        (TrialState.COMPLETE, 0.5, {}),
        *[fail] * 4,
        (TrialState.PRUNED, 0.25, {5: 0.25}),
    ]
    assert stored(tmp_path / "s").direction == optuna.study.StudyDirection.MINIMIZE


def test_a_search_in_which_nothing_completes_goes_on_to_its_end(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "s")
    runs.answer = lambda num, values: (DIVERGED, None)
    lines: list[str] = []
    with quiet():
        study = Study(tmp_path / "s", space(*ETA), ACCURACY, plan())
        search.search(study, runs, 6, lines.append)
    assert lines == [
        "generation 1: 4/6 trials, none completed",
        "generation 2: 6/6 trials, none completed",
    ]


def test_a_line_tells_of_each_generation(tmp_path: Path) -> None:
    lines: list[str] = []
    with quiet():
        study = Study(tmp_path / "s", space(*DISCRETE), ACCURACY, plan(sampler="grid"))
        search.search(study, Runs(tmp_path / "s"), 16, lines.append)
        best = study.best()
    assert best
    assert [line.split(",")[0] for line in lines] == [
        f"generation {k}: {4 * k}/16 trials" for k in (1, 2, 3, 4)
    ]
    assert lines[-1].endswith(
        f", best best_validation_accuracy {best.value:.4g}: trial {best.number}, eta=1 mu=0.6"
    )


def test_values_that_come_again_share_a_run(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "s")
    trials = searched(tmp_path / "s", plan(sampler="random", n_trials=12), space("eta=1,2"), runs)
    assert len(trials) == 12
    assert len(runs.trained) == 2
    assert {t.user_attrs["job"] for t in trials} == set(runs.trained)


@pytest.mark.parametrize(("n_trials", "expected"), [(None, 16), (100, 16), (6, 6)])
def test_a_grid_has_every_combination_once(
    n_trials: int | None, expected: int, tmp_path: Path
) -> None:
    how = plan(sampler="grid", n_trials=n_trials, batch=5)
    trials = searched(tmp_path / "s", how, space(*DISCRETE))
    found = {(t.params["eta"], t.params["mu"]) for t in trials}
    assert len(found) == len(trials) == expected
    every = {(eta, mu) for eta in (0.1, 1, 10, 100) for mu in (0.0, 0.2, 0.4, 0.6)}
    assert found <= every


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_sampler_that_learns_finds_better_than_chance(sampler: str, tmp_path: Path) -> None:
    """The median over seeds of what is lost against the best there is.

    Slow: runs whole commands.
    """
    where = space(*ETA)

    def lost(name: str) -> float:
        found = []
        for seed in range(5):
            how = plan_of(name, n_trials=48, batch=8, seed=seed)
            trials = searched(tmp_path / f"{name}{seed}", how, where)
            found.append(0.95 - max(t.value or 0.0 for t in trials))
        return statistics.median(found)

    assert lost(sampler) < lost("random") / 2


def test_a_study_of_another_search_is_not_continued(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    searched(folder, plan(n_trials=4), space(*ETA))
    for how, where, objective, message in (
        (plan(seed=1), space(*ETA), ACCURACY, "seed is 1, and was 0 when the search began"),
        (plan(batch=5), space(*ETA), ACCURACY, "batch is 5, and was 4"),
        (plan(sampler="random"), space(*ETA), ACCURACY, "sampler is 'random', and was 'tpe'"),
        (plan(), space(ETA[0]), ACCURACY, "its space is not what it was"),
        (plan(), space(*ETA), Objective("test_cost", "minimise"), "objective is 'test_cost'"),
    ):
        with pytest.raises(ConfigError, match=message), quiet():
            Study(folder, where, objective, how)


def test_nothing_is_written_before_the_folder_is_there(tmp_path: Path) -> None:
    """A launcher that finds a bad job in the first generation has not made the folder."""
    folder = tmp_path / "s"
    runs = Runs(folder)

    def refuse(batch: Sequence[Sequence[str]], first: int) -> list[Row]:
        raise ConfigError("no")

    runs.run = refuse
    with pytest.raises(ConfigError, match="no"):
        searched(folder, plan(), space(*ETA), runs)
    assert not folder.exists()


def test_a_full_disk_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = StudyFile(tmp_path / JOURNAL)
    journal.append_logs([{"op_code": 0}])
    journal.write()
    before = (tmp_path / JOURNAL).read_bytes()
    journal.append_logs([{"op_code": 4}, {"op_code": 4}])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("bpframe.sweeps.sweepers.study_file.os.fsync", full)
        with pytest.raises(OutputError, match="cannot be written: No space left on device"):
            journal.write()
    assert (tmp_path / JOURNAL).read_bytes() == before
    journal.write()
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == 3
    again = StudyFile(tmp_path / JOURNAL)
    assert [log["op_code"] for log in again.read_logs(1)] == [4, 4]


def test_what_is_no_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("no\n")
    with pytest.raises(
        OutputError, match=rf"{JOURNAL}: line 1 is damaged; the search cannot go on"
    ):
        StudyFile(tmp_path / JOURNAL)


def test_without_optuna_a_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    sweeper: Any = SimpleNamespace()
    with pytest.raises(ConfigError, match=r"pip install 'bpframe\[search\]'"):
        search.sweep(sweeper, lambda cfg: None, ["x=1,2"], NODE)


def test_hydra_knows_the_sweeper_without_optuna() -> None:
    """The plugin is imported by whatever uses Hydra, and must not cost it Optuna."""
    code = "import sys, hydra_plugins.bpframe; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class Launched:
    """A sweeper of Hydra whose launcher returns what `ends` says."""

    def __init__(self, ends: Sequence[Any]) -> None:
        self.config = OmegaConf.create({"a": 1})
        loader = SimpleNamespace(load_sweep_config=lambda _, given: self.composed.append(given))
        self.hydra_context = SimpleNamespace(config_loader=loader)
        self.launcher = self
        self.composed: list[list[str]] = []
        self._ends = ends

    def launch(self, batch: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        jobs = []
        for num in range(initial_job_idx, initial_job_idx + len(batch)):
            end = self._ends[num]
            status = JobStatus.FAILED if isinstance(end, Exception) else JobStatus.COMPLETED
            folder = f"/s/sub{num}"
            cfg = OmegaConf.create({"hydra": {"runtime": {"output_dir": folder}}})
            jobs.append(JobReturn(overrides=batch[0], hydra_cfg=cfg, status=status))
            jobs[-1].return_value = end
        return jobs


def test_another_launcher_returns_the_objective(tmp_path: Path) -> None:
    diverged = DivergenceError("nan", epoch=1, layer=2)
    sweeper: Any = Launched([0.5, None, diverged, math.nan, 1, ValueError("no")])
    runs = search.SequentialRuns(sweeper, ACCURACY, tmp_path / "s")
    assert not runs.holds_folder()
    rows = [*runs.run([["x=1"]] * 3, 0), *runs.run([["x=2"]] * 2, 3)]
    assert sweeper.composed == [*[["x=1"]] * 3, *[["x=2"]] * 2]
    assert runs.holds_folder()
    assert [(row.num, row.status) for row in rows] == [
        *((0, COMPLETED), (1, COMPLETED), (2, DIVERGED), (3, COMPLETED), (4, COMPLETED)),
    ]
    assert [row.metrics.get(ACCURACY.name) for row in rows] == [0.5, None, None, None, 1]
    assert all(row.folder.endswith(f"/s/sub{row.num}") for row in rows)
    runs.close()  # that one diverged is no failure
    runs.run([["x=3"]], 5)
    with pytest.raises(FailedJobsError, match="1 of 6 jobs did not complete"):
        runs.close()


COMMAND = (
    *("-m", "hydra/sweeper=search", "optimiser.eta=tag(log,interval(0.01,1000))"),
    *("data.train_size=100", "training.epochs=1", "hydra.sweep.dir=s"),
)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_the_command_searches_and_a_trial_has_the_value_of_its_job(
    tmp_path: Path, main: Main
) -> None:
    """That some diverge belongs to a search, and is no failure of it.

    Slow: a process that compiles.
    """
    settings = (
        *("hydra.sweeper.n_trials=6", "hydra.sweeper.batch=3", "hydra.sweeper.sampler=random"),
        *("network.activation=relu", "network.output_activation=linear", "cost=quadratic"),
        *("network.hidden=[4]", "data.train_size=25"),
        "optimiser.eta=tag(log,interval(1e-12,1e12))",
    )
    done = main(*COMMAND, *settings)
    assert done.status == 0
    assert "bpframe: " not in done.err
    lines = [line for line in done.out.splitlines() if line.startswith("generation")]
    assert [line.split(",")[0] for line in lines] == [
        "generation 1: 3/6 trials",
        "generation 2: 6/6 trials",
    ]
    trials, rows = stored(tmp_path / "s").trials, rows_of(tmp_path / "s")
    states = {"completed": TrialState.COMPLETE, "diverged": TrialState.FAIL}
    assert {row["status"] for row in rows} == set(states)
    for row, trial in zip(rows, trials, strict=True):
        assert row["settings"]["optimiser.eta"] == trial.params["optimiser.eta"]
        assert states[row["status"]] is trial.state
        assert trial.state is TrialState.FAIL or row["metrics"][ACCURACY.name] == trial.value
        assert trial.user_attrs == {"job": row["num"], "folder": row["folder"]}
    again = main("resume", "s")
    assert again.status == 0
    assert again.out.splitlines()[-2:] == done.out.splitlines()[-2:]
    assert told(stored(tmp_path / "s").trials) == told(trials)


@pytest.mark.slow
def test_a_search_that_cannot_begin_leaves_nothing(tmp_path: Path, main: Main) -> None:
    """Slow: runs whole commands."""
    done = main(*COMMAND, "sweep.objective=nothing")
    assert done.status == 1
    assert "unknown 'nothing'" in done.err
    assert not (tmp_path / "s").exists()
    done = main(*COMMAND, "hydra/launcher=basic", "hydra.sweeper.halving.first=1")
    assert done.status == 1
    assert done.err.startswith("bpframe: hydra.sweeper.halving: needs the jobs of a generation")
    assert not (tmp_path / "s").exists()


def progress(folder: Path) -> list[int]:
    """How much there is of the files that tell how far a search has come."""
    paths = (folder / "sweep.jsonl", folder / JOURNAL)
    return [path.stat().st_size if path.exists() else 0 for path in paths]


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again_ends_as_an_undisturbed_one(
    start: Start, tmp_path: Path
) -> None:
    """Slow: some ten processes, which are killed soon after something of the search is written."""
    settings = (
        *("hydra.sweeper.n_trials=20", "hydra.sweeper.batch=8", "hydra.launcher.lanes=2"),
        *("hydra.sweeper.halving.first=1", "training.epochs=4"),
    )
    whole, folder, rng = tmp_path / "whole", tmp_path / "s", random.Random(0)
    whole.mkdir()
    assert process(whole, *COMMAND, *settings).returncode == 0
    kills = 0
    while True:
        begun = (folder / "sweep.jsonl").exists()
        before = progress(folder)
        running = start(tmp_path, *(("resume", "s") if begun else (*COMMAND, *settings)))
        while running.is_alive() and (progress(folder) == before or kills == 7):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.6))
        running.kill()
        running.join()
        assert running.exitcode in (0, -signal.SIGKILL), (tmp_path / "stderr").read_text()
        if running.exitcode == 0:
            break
        kills += 1
    assert kills >= 4
    assert told(stored(folder).trials) == told(stored(whole / "s").trials)
    for row, other in zip(rows_of(folder), rows_of(whole / "s"), strict=True):
        measured = dict.fromkeys(("timing", "checksum"))  # a summary tells how long it took
        assert {**row, **measured} == {**other, **measured}
