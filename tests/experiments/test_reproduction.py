"""What the studies of the book share: sweeps read, rows judged, results written."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from safetensors.numpy import save_file
from test_cli import environment

import bpframe
from bpframe.equations import gradient_descent_step

sys.path.append(str(Path(__file__).parents[2] / "experiments"))

import reproduce
from reproduction import book_loop, curves, estimate, results, sweeping, wording
from reproduction.environment import Environment
from reproduction.rules import AtMost, Between, Rule, Within
from reproduction.runs import Runs
from reproduction.study import Row, Study

CONFIG = {
    "data": {"name": "digits", "train_size": 50},
    "cost": {"name": "quadratic"},
    "optimiser": {"name": "sgd", "eta": 3.0},
    "network": {"hidden": [30]},
    "training": {"batch_size": 10},
    "plugins": {"path": [], "prefer": []},
    "seed": 0,
}
LINES = ({"epoch": 0, "cost": None}, {"epoch": 5, "cost": 0.5, "norm": [1.0, None]})
WHERE = Environment(
    {"processor": "P", "cores": 2, "system": "S", "device": "cpu", "python": "3"}, {"jax": "0.10"}
)
SWEPT = """\
# @package _global_
network: {hidden: [4]}
data: {train_size: 50}
training: {epochs: 2}
hydra: {sweeper: {params: {seed: "0,1"}}}
"""
STUDY = """\
from reproduction import curves
from reproduction.rules import AtMost, Within
from reproduction.study import Row, Study


def rows(runs, quick):
    accuracy = 100 * runs.column("validation_accuracy").max(axis=1)
    return [
        Row("[4]: best accuracy | quick", tuple(accuracy), Within(BOOK, 1.0), BOOK, "%",
            source="chapter 1", reason=REASON),
        Row("epochs", tuple(run.epoch[-1] for run in runs), AtMost(2), digits=None),
    ]


def draw(runs, figure):
    curves.band(figure.subplots(), runs.epoch, runs.column("train_cost"))


BOOK, REASON = 95.42, ""
STUDY = Study(NAME, PLACE, "A title", rows, draw, quick=("training.epochs=1",), command=COMMAND)
"""

NOT_RUN = "NotRun('deeper: accuracy', 'bpframe -m +deep', 99.6, '%', source='chapter 6')"

FIGURE = {"fake_near.png", "fake_near.json"}

Main = Callable[..., int]


def write_run(folder: Path, config: Mapping[str, Any] = CONFIG, lines=LINES, **summary) -> None:
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(dict(config)), folder / ".hydra" / "config.yaml")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    timing = {"compile_s": 1.0, "epoch_s": [1.0, 0.5]}
    values = {"status": "completed", "sizes": [64, 30, 10], "timing": timing, **summary}
    (folder / "summary.json").write_text(json.dumps(values))
    arrays = {f"layer_{i}.{part}": np.full(i, 0.5) for i in (2, 3) for part in "wb"}
    save_file(arrays, folder / "params.safetensors")


def write_sweep(folder: Path, *statuses: str, configs: tuple[Mapping[str, Any], ...] = ()) -> Runs:
    """A sweep of seeds 0, 1, ... or of `configs`, read again."""
    configs = configs or tuple({**CONFIG, "seed": seed} for seed in range(len(statuses)))
    rows = []
    for num, (config, status) in enumerate(zip(configs, statuses, strict=True)):
        write_run(folder / str(num), config, status=status)
        rows.append({"num": num, "folder": str(num), "status": status, "error": "because"})
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Runs.read(folder)


def write_study(
    root: Path, name: str, place: int, *, book="95.42", reason="", command: tuple[str, ...] = ()
) -> None:
    (root / name).mkdir(parents=True)
    head = f"NAME, PLACE, COMMAND = {name!r}, {place}, {command!r}\n"
    text = STUDY.replace("95.42", book).replace('""', repr(reason))
    (root / name / "study.py").write_text(head + text)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for fake studies, which are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "root")
    (tmp_path / "root").mkdir()
    before = set(sys.modules)
    yield tmp_path / "root"
    for name in set(sys.modules) - before:
        if name.partition(".")[0].startswith("fake"):
            del sys.modules[name]


@pytest.fixture
def main(root: Path, monkeypatch: pytest.MonkeyPatch) -> Main:
    """The command, with a sweep of two runs in place of every sweep."""
    lines = ({"epoch": 1, "train_cost": 2.0, "validation_accuracy": 0.95},)
    for num in (0, 1):
        write_run(root.parent / "swept" / str(num), {**CONFIG, "seed": num}, lines)
    rows = [{"num": num, "folder": str(num), "status": "completed"} for num in (0, 1)]
    (root.parent / "swept" / "results.jsonl").write_text("\n".join(map(json.dumps, rows)))
    runs = Runs.read(root.parent / "swept")

    def sweep(study: Study, folder: Path, *, quick: bool) -> tuple[Runs, float]:
        if study.name == "fake_failing":
            raise bpframe.BpframeError("data: train-images is missing")
        if study.name == "fake_endless":
            raise KeyboardInterrupt
        return runs, 2.0

    monkeypatch.setattr(sweeping, "sweep", sweep)
    monkeypatch.setattr(reproduce, "environment", lambda: WHERE)
    monkeypatch.setattr(reproduce, "book_loop_seconds", lambda runs, slice_s: 300.0)
    return lambda *argv: reproduce.main(argv, root=root)


@pytest.mark.parametrize(
    ("rule", "kept", "broken"),
    [
        (Within(95.42), ([95.4, 95.5], [95.42], [100 * 0.9542]), ([95.43, 95.5], [95.3])),
        (Within(95.42, by=0.3), ([95.72], [95.1, 95.12]), ([95.8, 95.73], [95.11])),
        (AtMost(1e-12), ([0.0, 1e-12], [-1.0]), ([0.0, 2e-12],)),
        (Between(0.9, 1.1), ([0.9, 1.1],), ([0.89, 1.0], [1.0, 1.2])),
    ],
    ids=str,
)
def test_rules_agree_and_disagree(rule: Rule, kept: Any, broken: Any) -> None:
    assert [rule.agrees(values) for values in kept] == [True] * len(kept)
    assert [rule.agrees(np.array(values)) for values in broken] == [False] * len(broken)
    assert not rule.agrees([])
    assert not rule.agrees([*kept[0], math.nan])
    assert rule.text


def test_a_row_sums_up_its_values() -> None:
    row = Row("accuracy", (94.0, 95.0, 96.0), Within(95.42, 0.1), book=95.42, unit="%")
    assert (row.mean, row.std, row.low, row.high, row.verdict) == (95, 1, 94, 96, "agrees")
    assert wording.ours(row) == "95.00 ± 1.00 [94.00, 96.00] %"
    assert wording.book(row) == "95.42 %"
    single = Row("error", (np.float32(3.14159e-13),), AtMost(1e-13), digits=None)  # pyright: ignore[reportArgumentType]
    assert (single.std, single.verdict, wording.ours(single)) == (0, "disagrees", "3.14e-13")
    assert not single.is_explained
    with pytest.raises(ValueError, match="has no values"):
        Row("nothing", (), AtMost(1))
    with pytest.raises(ValueError, match=r"the book has 3\.0, and the rule 4"):
        Row("another", (1.0,), Within(4), book=3)


def test_runs_are_read_with_nan_for_what_is_missing(tmp_path: Path) -> None:
    runs = write_sweep(tmp_path, "completed", "diverged")
    assert [run.summary["status"] for run in runs] == ["completed", "diverged"]
    np.testing.assert_array_equal(runs.epoch, [0, 5])
    np.testing.assert_array_equal(runs.column("cost"), [[np.nan, 0.5]] * 2)
    np.testing.assert_array_equal(runs.column("norm"), [[[np.nan, np.nan], [1, np.nan]]] * 2)
    assert [(w.shape, b.shape) for w, b in runs[0].params()] == [((2,), (2,)), ((3,), (3,))]
    assert len(runs[1:]) == 1
    with pytest.raises(
        bpframe.BpframeError, match=r"'costs'; did you mean 'cost'\? known: cost, no"
    ):
        runs.column("costs")


def test_failed_jobs_and_missing_sweeps_are_errors(tmp_path: Path) -> None:
    with pytest.raises(bpframe.BpframeError, match=r"results\.jsonl is missing"):
        Runs.read(tmp_path)
    with pytest.raises(bpframe.BpframeError, match=r"1 of 2 jobs did not end: 1 \(failed: because"):
        write_sweep(tmp_path, "completed", "failed")


def test_sweeps_that_were_run_before_are_read_as_far_as_they_came(tmp_path: Path) -> None:
    with pytest.raises(bpframe.BpframeError, match="holds no sweep that has ended, nor do its"):
        sweeping.swept(tmp_path)
    write_sweep(tmp_path / "b", "completed", "diverged")
    folder = tmp_path / "a"
    rows = []
    for num, epochs in enumerate((5, 0)):
        write_run(folder / str(num), {**CONFIG, "seed": 7}, status="interrupted")
        named = {"num": num, "folder": str(num), "error": None}
        rows.append({**named, "status": "interrupted", "epochs": epochs})
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "begun").mkdir()
    runs, seconds = sweeping.swept(tmp_path)
    assert [run.summary["status"] for run in runs] == ["interrupted", "completed", "diverged"]
    assert seconds == pytest.approx(3 * 1.5)
    assert len(sweeping.swept(folder)[0]) == 1
    with pytest.raises(bpframe.BpframeError, match="2 of 2 jobs did not end"):
        Runs.read(folder)
    failed = {"num": 0, "folder": "0", "status": "failed", "epochs": 2, "error": "because"}
    (folder / "results.jsonl").write_text(json.dumps(failed))
    with pytest.raises(bpframe.BpframeError, match=r"0 \(failed: because"):
        sweeping.swept(tmp_path)


def test_runs_of_other_epochs_have_no_common_column(tmp_path: Path) -> None:
    write_run(tmp_path / "0")
    write_run(tmp_path / "1", lines=LINES[:1])
    rows = [{"num": num, "folder": str(num), "status": "completed"} for num in (0, 1)]
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, rows)))
    runs = Runs.read(tmp_path)
    with pytest.raises(bpframe.BpframeError, match=r"1 records up to epoch 0, .* up to epoch 5"):
        runs.column("cost")
    assert list(map(estimate.epochs, runs)) == [5, 0]


def test_runs_are_chosen_by_their_settings(tmp_path: Path) -> None:
    etas = [
        {**CONFIG, "optimiser": {"name": "sgd", "eta": eta}, "seed": seed}
        for eta in (3, 0.001)
        for seed in (0, 1)
    ]
    momentum = {**CONFIG, "optimiser": {"name": "momentum", "eta": 3.0, "mu": 0.9}}
    runs = write_sweep(tmp_path, *["completed"] * 5, configs=(*etas, momentum))
    assert runs.values("optimiser.eta") == [3, 0.001]
    assert runs.values("optimiser.mu") == [0.9]
    assert runs.values("network.hidden") == [[30]]
    found = runs.where({"optimiser.eta": 3.0, "network.hidden": (30,), "optimiser.name": "sgd"})
    assert [run.config["seed"] for run in found] == [0, 1]
    assert len(runs.where({"optimiser": {"name": "sgd", "eta": 0.001}})) == 2
    with pytest.raises(
        bpframe.BpframeError, match=r"optimiser.eta: no run has 4; .* have 3, 0.001"
    ):
        runs.where({"seed": 1, "optimiser.eta": 4})
    with pytest.raises(bpframe.BpframeError, match=r"did you mean 'optimiser\.eta'"):
        runs.where({"optimiser.etta": 4})


@pytest.mark.parametrize(
    "text", ["a b=c", "it's", "a\\b", "end\\", "a\\'b", "${x}", "\\${x}", "a,b"]
)
def test_a_folder_is_quoted_for_hydra(text: str) -> None:
    folder = Path("/") / text
    study = Study("fake", 1, "", lambda runs, quick: [], lambda runs, figure: None, quick=("a=1",))
    *most, last = sweeping.command(study, folder, quick=True)
    assert most[1:] == ["-m", "bpframe", "+experiment=fake", "a=1"]
    assert "a=1" not in sweeping.command(study, folder, quick=False)
    value = OverridesParser.create().parse_overrides([last])[0].value()
    assert OmegaConf.create({"dir": value}).dir == str(folder)


@pytest.mark.parametrize("cost", ["quadratic", "cross_entropy"])
def test_the_book_loop_makes_the_step_of_bpframe(cost: str) -> None:
    experiment = bpframe.compose([f"cost={cost}", "network.hidden=[7,5]"])
    rng = np.random.default_rng(1)
    xs, ys = rng.random((6, 64)), rng.random((6, 10))
    x, y = jnp.asarray(xs), jnp.asarray(ys)
    params = [
        (rng.standard_normal((n_out, n_in)), rng.standard_normal(n_out))
        for n_in, n_out in itertools.pairwise(experiment.network.sizes)
    ]

    @jax.jit
    def stepped(params):
        mean = bpframe.gradient(experiment.network, experiment.cost, params, x, y).mean
        return gradient_descent_step(params, mean, 0.3)

    expected = stepped(tuple(bpframe.Params(jnp.asarray(w), jnp.asarray(b)) for w, b in params))
    delta = getattr(book_loop, f"{cost}_delta")
    for (w, b), wanted in zip(book_loop.step(params, xs, ys, 0.3, delta), expected, strict=True):
        np.testing.assert_allclose(w, wanted.w, rtol=0, atol=1e-12)
        np.testing.assert_allclose(b, wanted.b, rtol=0, atol=1e-12)


def test_the_book_loop_is_estimated_from_the_runs(tmp_path: Path, monkeypatch) -> None:
    asked = []

    def speed(sizes, m, delta, *, slice_s) -> float:
        asked.append((sizes, m, delta))
        return 0.001

    monkeypatch.setattr(estimate, "seconds_per_example", speed)
    digits = {**CONFIG, "data": {"name": "digits", "train_size": None}, "cost": {"name": "huber"}}
    full = {**digits, "training": {"batch_size": None}}
    runs = write_sweep(tmp_path, *["completed"] * 4, configs=(CONFIG, CONFIG, digits, full))
    # Five epochs each: 50 examples twice, and the 1197 of the digits twice.
    assert estimate.book_loop_seconds(runs) == pytest.approx(0.001 * 5 * (2 * 50 + 2 * 1197))
    quadratic, cross_entropy = book_loop.quadratic_delta, book_loop.cross_entropy_delta
    sizes = (64, 30, 10)
    assert asked == [
        (sizes, 10, quadratic),
        (sizes, 10, cross_entropy),
        (sizes, 300, cross_entropy),
    ]


def test_networks_with_convolutions_have_no_estimate(tmp_path: Path) -> None:
    layers = [{"name": "convolution", "maps": 2, "size": 3}, {"n": 10, "activation": "softmax"}]
    config = {**CONFIG, "network": {"layers": layers}}
    runs = write_sweep(tmp_path, "completed", "completed", configs=(CONFIG, config))
    assert estimate.book_loop_seconds(runs) is None
    assert estimate.book_loop_seconds(runs[:1], slice_s=0.01) is not None


def test_the_time_of_an_example_grows_with_the_network() -> None:
    small, large = (
        book_loop.seconds_per_example(sizes, 10, book_loop.quadratic_delta, slice_s=0.01)
        for sizes in ((1, 1), (200, 200, 200, 10))
    )
    assert 0 < 3 * small < large


def test_bands_leave_out_what_no_run_has(tmp_path: Path) -> None:
    axes = Figure().subplots()
    values = np.array([[np.nan, 1.0, 2.0, np.nan], [np.nan, 3.0, 6.0, 1.0]])
    curves.reference(axes, np.array([0, 1]), np.array([1.0, 2.0]), "a theory")
    curves.band(axes, np.array([0, 2, 4, 6]), values, label="ours", look=3, linewidth=3)
    theory, line = axes.lines
    shade = axes.collections[0]
    np.testing.assert_array_equal(line.get_xydata(), [[2, 2], [4, 4], [6, np.nan]])
    assert (line.get_color(), line.get_linewidth()) == ("#aa3377", 3)
    corners = shade.get_paths()[0].vertices
    assert {(2, 1), (2, 3), (4, 2), (4, 6)} <= set(map(tuple, np.asarray(corners)))
    curves.band(axes, np.array([0, 1]), np.array([1.0, 2.0]))
    assert len(axes.collections) == 1
    assert (theory.get_linestyle(), to_hex(theory.get_color())) == ("--", "#222222")
    curves.tidy(axes, y="cost")
    assert all(tick == round(tick) for tick in axes.get_xticks())
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "a theory"]


@pytest.mark.slow
def test_studies_end_to_end(root: Path, monkeypatch, capfd) -> None:
    """Slow: two sweeps as processes of their own."""
    """Two real sweeps, into a folder whose name needs quotes; one sets a key that is unknown."""
    (root.parent / "conf" / "experiment").mkdir(parents=True)
    for name, text in (("fake_real", SWEPT), ("fake_typo", "# @package _global_\netta: 1\n")):
        (root.parent / "conf" / "experiment" / f"{name}.yaml").write_text(text)
        command = ("-m", "--config-dir", str(root.parent / "conf"))
        write_study(root, name, 1 + (name == "fake_real"), command=command, reason="It is small.")
    for name, value in environment(root.parent).items():
        monkeypatch.setenv(name, value)
    assert reproduce.main(["--quick", "--runs", "a b=c"], root=root) == 1
    out, err = capfd.readouterr()
    assert "etta" in err
    assert "fake_typo: failed: " in out
    assert "2 jobs in one group" in out
    jobs = (root.parent / "a b=c" / "fake_real").glob("[0-9]")
    assert sorted(path.name for path in jobs) == ["0", "1"]
    quick = root / "quick"
    assert (quick / "fake_real.png").read_bytes().startswith(b"\x89PNG")
    found = results.read(quick / "results.json")
    assert found["fake_typo"].error is not None
    assert "etta" in found["fake_typo"].error
    real = found["fake_real"]
    assert (real.runs, real.quick, len(real.rows)) == (2, True, 2)
    assert real.rows[1].values == (1, 1)
    assert real.seconds is not None
    assert real.book_loop_s is not None
    assert 0 < real.book_loop_s < 1
    assert real.versions["jax"] == jax.__version__
    page = (quick / "RESULTS.md").read_text()
    assert "| [fake_typo](#fake_typo) | failed |" in page
    assert "A quick run" in page


def test_results_are_written_and_judged(main: Main, root: Path, capsys) -> None:
    write_study(root, "fake_far", 2, book="99.0")
    write_study(root, "fake_near", 1)
    (root / "fake_far" / "README.md").touch()
    assert main() == 1
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert out.index("fake_near") < out.index("fake_far")
    assert "disagrees: [4]: best accuracy | quick: no reason is known" in out
    assert out.splitlines()[-1] == f"written to {root / 'RESULTS.md'}"
    page = (root / "RESULTS.md").read_text()
    assert "| [fake_near](#fake_near) | 2 of 2 | 2 | 300 | 150 |" in page
    assert "| [fake_far](#fake_far) | 1 of 2 |" in page
    assert "| **together** | 3 of 4 | 4 | 600 | 150 |" in page
    cell = (
        r"| [4]: best accuracy \| quick | 99.00 % (chapter 1) | 95.00 ± 0.00 [95.00, 95.00] %, n 2 "
    )
    assert cell + "| 99 in [min - 1, max + 1] | **disagrees** |" in page
    assert "- [4]: best accuracy | quick: no reason is known." in page
    assert "[README](fake_far/README.md)" in page
    assert "fake_near/README.md" not in page
    assert "![A title](fake_far/fake_far.png)" in page
    assert (root / "fake_far" / "fake_far.png").is_file()
    assert main("fake_near") == 0


def test_a_stated_reason_makes_the_status_0_and_is_shown(main: Main, root: Path) -> None:
    write_study(root, "fake_far", 2, book="99.0", reason="Another split.")
    assert main() == 0
    page = (root / "RESULTS.md").read_text()
    assert "- [4]: best accuracy | quick: Another split." in page
    assert "**disagrees**" in page


def test_a_failed_study_does_not_stop_the_others(main: Main, root: Path, capsys) -> None:
    write_study(root, "fake_failing", 1)
    write_study(root, "fake_near", 2)
    write_study(root, "fake_broken", 3, book="1 / 0")
    write_study(root, "fake_rows", 4, book="'high'")
    assert main() == 1
    found = results.read(root / "results.json")
    assert found["fake_failing"].error == "data: train-images is missing"
    assert "ZeroDivisionError" in str(found["fake_broken"].error)
    assert "ValueError: could not convert" in str(found["fake_rows"].error)
    assert found["fake_near"].is_explained
    assert "It failed on" in (root / "RESULTS.md").read_text()
    assert "fake_failing: failed: data: train-images is missing" in capsys.readouterr().out


def test_what_was_not_run_has_a_command_and_no_verdict(main: Main, root: Path, capsys) -> None:
    write_study(root, "fake_near", 1)
    write_study(root, "fake_part", 2)
    path = root / "fake_part" / "study.py"
    text = path.read_text().replace("import Row,", "import NotRun, Row,")
    path.write_text(text.replace("    return [\n", f"    return [\n        {NOT_RUN},\n"))
    assert main() == 0
    assert "not run" in capsys.readouterr().out
    page = (root / "RESULTS.md").read_text()
    assert "| [fake_part](#fake_part) | 2 of 2, 1 not run |" in page
    assert "| **together** | 4 of 4 |" in page
    assert "| deeper: accuracy | 99.60 % (chapter 6) | not run |  |  |" in page
    assert "- deeper: accuracy: `bpframe -m +deep`" in page
    found = results.read(root / "results.json")
    assert [row.book for row in found["fake_part"].not_run] == [99.6]
    before = page
    assert main("fake_near") == 0
    assert (root / "RESULTS.md").read_text() == before


def test_sweeps_that_were_run_before_are_judged(main: Main, root: Path, capsys) -> None:
    write_study(root, "fake_near", 1)
    lines = ({"epoch": 1, "train_cost": 2.0, "validation_accuracy": 0.95},)
    part = root.parent / "before" / "fake_near" / "part"
    write_run(part / "0", CONFIG, lines)
    row = {"num": 0, "folder": "0", "status": "completed", "epochs": 1}
    (part / "results.jsonl").write_text(json.dumps(row))
    assert main("fake_near", "--read", str(root.parent / "before")) == 0
    [found] = results.read(root / "results.json").values()
    assert (found.runs, found.seconds) == (1, 1.5)
    assert main("fake_near", "--read", str(root.parent / "elsewhere")) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "holds no sweep that has ended, nor do its subfolders" in shown
    with pytest.raises(SystemExit):
        main("--read", "a", "--runs", "b")


def test_a_study_without_an_estimate_is_left_out_of_the_times_together(
    main: Main, root: Path, monkeypatch
) -> None:
    write_study(root, "fake_near", 1)
    main()
    write_study(root, "fake_images", 2)
    monkeypatch.setattr(reproduce, "book_loop_seconds", lambda runs, slice_s: None)
    main("fake_images")
    page = (root / "RESULTS.md").read_text()
    assert "| [fake_images](#fake_images) | 2 of 2 | 2 |  |  |" in page
    assert "| **together** | 4 of 4 | 2 | 300 | 150 |" in page


def test_a_part_leaves_the_other_results_alone(main: Main, root: Path) -> None:
    write_study(root, "fake_far", 2, book="99.0")
    write_study(root, "fake_near", 1)
    main()
    path = root / "results.json"
    state = json.loads(path.read_text())
    state["studies"]["fake_far"]["seconds"] = 4567.0
    state["studies"]["fake_far"]["rows"][0]["values"] = [95.0, None]
    path.write_text(json.dumps(state))
    assert main("fake_near") == 0
    again = json.loads(path.read_text())["studies"]
    assert list(again) == ["fake_near", "fake_far"]
    far = again["fake_far"]["rows"][0]
    assert (far["values"], far["mean"], far["verdict"]) == ([95.0, None], None, "disagrees")
    assert "| 4,570 | 300 |" in (root / "RESULTS.md").read_text()


def test_quick_runs_and_other_folders_leave_the_full_results(main: Main, root: Path) -> None:
    write_study(root, "fake_near", 1)
    main()
    before = {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    assert main("--quick") == 0
    assert main("--out", str(root.parent / "else where")) == 0
    assert {path: path.read_bytes() for path in before} == before
    for folder in (root / "quick", root.parent / "else where"):
        names = {path.name for path in folder.iterdir()}
        assert names == {"RESULTS.md", "GALLERY.md", "results.json", *FIGURE}
    assert "(fake_near.png)" in (root / "quick" / "RESULTS.md").read_text()


def test_figures_are_drawn_again_without_a_run(main: Main, root: Path, capsys, monkeypatch) -> None:
    write_study(root, "fake_near", 1)
    main()
    results_before = results.read(root / "results.json")["fake_near"]
    (root / "fake_near" / "fake_near.png").unlink()
    monkeypatch.setattr(sweeping, "sweep", lambda *_, **__: pytest.fail("a run"))
    assert main("--draw") == 0
    assert (root / "fake_near" / "fake_near.png").read_bytes().startswith(b"\x89PNG")
    assert results.read(root / "results.json")["fake_near"].rows[0].values == (
        results_before.rows[0].values
    )
    write_study(root, "fake_far", 2)
    (root / "fake_near" / "fake_near.json").write_text("{")
    assert main("--draw") == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "fake_far.json: is missing, so the figure stays; run the study once" in shown
    assert "fake_near.json: cannot be read (JSONDecodeError" in shown


def test_the_gallery_says_what_is_asked_and_what_came_out(main: Main, root: Path) -> None:
    write_study(root, "fake_far", 2, book="99.0", reason="Another split.")
    write_study(root, "fake_failing", 3)
    path = root / "fake_far" / "study.py"
    path.write_text(path.read_text().replace(", quick=", ', question="How far?", quick='))
    write_study(root, "fake_near", 1)
    (root / "fake_near" / "README.md").touch()
    main()
    near, far, failing = (root / "GALLERY.md").read_text().split("\n\n## ")[1:]
    assert near.splitlines()[2:] == [
        "[![A title](fake_near/fake_near.png)](fake_near/README.md)",
        "",
        "2 of 2 rows agree. [the study](fake_near/README.md) · [its rows](RESULTS.md#fake_near)",
    ]
    assert "How far? 1 of 2 rows agree; 1 does not, for a stated reason. [its rows]" in far
    assert "It failed. [its rows](RESULTS.md#fake_failing)" in failing
    assert ".png" not in failing


def test_an_interruption_loses_no_study(main: Main, root: Path, capsys) -> None:
    write_study(root, "fake_near", 1)
    write_study(root, "fake_endless", 2)
    assert main() == 130
    assert list(results.read(root / "results.json")) == ["fake_near"]
    assert capsys.readouterr().err.startswith("reproduce.py: interrupted")


def test_bad_input_is_a_line(main: Main, root: Path, capsys) -> None:
    assert main("fake_near") == 1
    assert "holds no study" in capsys.readouterr().err
    write_study(root, "fake_near", 1)
    assert main("fake_nera") == 1
    err = capsys.readouterr().err
    assert (
        err
        == "reproduce.py: NAME: unknown 'fake_nera'; did you mean 'fake_near'? known: fake_near\n"
    )
    (root / "results.json").write_text("{")
    assert main() == 1
    assert "results.json: cannot be read" in capsys.readouterr().err
    assert not (root / "RESULTS.md").exists()


def test_a_status_of_1_is_a_failure_unless_runs_diverged(tmp_path: Path, monkeypatch) -> None:
    study = Study("fake", 1, "", lambda runs, quick: [], lambda runs, figure: None)
    monkeypatch.setattr(sweeping, "_passed_through", lambda command: (1, "some message"))
    write_sweep(tmp_path / "diverged", "completed", "diverged")
    assert len(sweeping.sweep(study, tmp_path / "diverged", quick=False)[0]) == 2
    write_sweep(tmp_path / "completed", "completed")
    for folder in ("completed", "missing"):
        with pytest.raises(bpframe.BpframeError, match="some message"):
            sweeping.sweep(study, tmp_path / folder, quick=False)


def test_the_last_error_is_passed_through_and_kept(capfd) -> None:
    lines = ("bpframe: first", "bpframe: last", "bpframe: warning: no error", "other")
    code = f"import sys; print('out'); sys.exit('\\n'.join({lines}))"
    assert sweeping._passed_through([sys.executable, "-c", code]) == (1, "last")
    assert capfd.readouterr() == ("out\n", "\n".join(lines) + "\n")
