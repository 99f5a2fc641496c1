"""Lanes against single runs: the same numbers, whatever stands beside them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from needs import NEEDS
from oracles import numpy_step
from safetensors.numpy import load_file
from test_cli import environment

import bpframe
from bpframe import DivergenceError
from bpframe.configuration import composition, schemas
from bpframe.plugin_host import host
from bpframe.sweeps.errors import FailedJobsError
from bpframe.sweeps.lanes import partition
from bpframe.sweeps.lanes.halving import Halving
from bpframe.sweeps.lanes.programs import layout
from bpframe.sweeps.rows import Row
from bpframe.sweeps.session import Command, SweepTask
from bpframe.training import initial_state, loading
from bpframe.training.orders import epoch_order
from bpframe.training.precision import precision

pytestmark = pytest.mark.optimised

SMALL = ("data.train_size=25", "network.hidden=[4]", "training.epochs=3")
DTYPES = {"float32": 1e-5, "float64": 1e-12}
"""The precisions, and how far lanes may be from single runs, relatively."""

COSTS = ("train_cost", "validation_cost")
ACCURACIES = ("train_accuracy", "validation_accuracy")


@pytest.fixture(autouse=True)
def logging_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep sets logging up, and that closes the stream that pytest captures."""
    monkeypatch.setattr(logging, "shutdown", lambda handlers=(): None)


class Swept(NamedTuple):
    """A sweep that has ended."""

    rows: list[Row]
    folder: Path
    overrides: list[list[str]]

    def lines(self, num: int) -> list[dict[str, Any]]:
        text = (self.folder / str(num) / "metrics.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def summary(self, num: int) -> dict[str, Any]:
        return json.loads((self.folder / str(num) / "summary.json").read_text())

    def params(self, num: int) -> dict[str, np.ndarray]:
        return load_file(self.folder / str(num) / "params.safetensors")

    @property
    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "sweep.jsonl").read_text().splitlines()]

    def bits(self, num: int) -> tuple[Any, ...]:
        """All of a job that does not depend on the time it took."""
        return bits(self.folder / str(num))


def bits(folder: Path) -> tuple[Any, ...]:
    """All of a run folder that does not depend on the time it took."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    summary = json.loads((folder / "summary.json").read_text())
    for key in ("timing", "files", "crc32"):
        del summary[key]
    summary.pop("algorithm", None)  # which lanes leave out
    params = [(folder / f"{name}.safetensors").read_bytes() for name in ("params", "best")]
    return lines, summary, params


def sweep(
    folder: Path,
    static: Sequence[str],
    *swept: Sequence[str],
    most: int | None = None,
    resumes: bool = False,
    accepts_changes: bool = False,
    plugins: Sequence[object] = (),
    halving: Halving | None = None,
) -> Swept:
    """Run a sweep in this process: a job for each of `swept`, with `static` besides."""
    batch = [[*static, *overrides] for overrides in swept]
    registry = schemas.store(host.load_registry(plugins))
    given = [f"hydra.sweep.dir={folder}", *static]
    task = SweepTask(
        lambda cfg: None,
        registry,
        Command(tuple(given)),
        resumes=resumes,
        accepts_changes=accepts_changes,
    )
    with composition.initialised(), registry.explaining():
        master = composition.compose_config(given, mode=RunMode.MULTIRUN)
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        try:
            rows = task.sweep(master, hydra.config_loader, most=most).run(batch, 0, halving=halving)
        finally:
            with contextlib.suppress(FailedJobsError):
                task.close()
    return Swept(rows, folder, batch)


def dataclass_field(kind: type[Any], name: str) -> Any:
    return next(field for field in dataclasses.fields(kind) if field.name == name)


def assert_as_alone(swept: Swept, num: int, folder: Path, dtype: str = "float32") -> None:
    """A lane agrees with the single run that has the same experiment."""
    experiment = bpframe.compose(swept.overrides[num])
    with contextlib.suppress(DivergenceError):
        bpframe.run(experiment, folder)
    alone = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines, summary = swept.lines(num), swept.summary(num)
    expected = json.loads((folder / "summary.json").read_text())
    near = DTYPES[dtype]
    assert [line["epoch"] for line in lines] == [line["epoch"] for line in alone]
    for line, other in zip(lines, alone, strict=True):
        assert list(line) == list(other)
        for name in line:
            if name in ACCURACIES:
                assert line[name] == other[name], name
            elif name not in ("epoch", "seconds"):
                close = np.testing.assert_allclose
                mine, theirs = (np.array(record[name], float) for record in (line, other))
                close(mine, theirs, rtol=near if name in COSTS else 50 * near, err_msg=name)
    for name in ("status", "epochs", "stopped", "seed", "sizes", "best_epoch", "versions"):
        assert summary[name] == expected[name], name
    assert (summary["error"] is None) == (expected["error"] is None)
    lanes_own, own = (
        [name for name in found if name != "algorithm"]  # of lanes only if they are to be shown
        for found in (summary, expected)
    )
    assert lanes_own == own
    for file in ("params.safetensors", "best.safetensors"):
        params, own = load_file(folder / file), load_file(swept.folder / str(num) / file)
        assert list(own) == list(params)
        for name, array in own.items():
            assert array.dtype == params[name].dtype == dtype
            np.testing.assert_allclose(
                array, params[name], rtol=50 * near, atol=5 * near, err_msg=f"{file} {name}"
            )


# Lanes whose costs have no bound, so that one can diverge, with all that steers a run. 25 examples
# in tens leave a short mini-batch.
STEERED = (
    *(*SMALL, "training.epochs=8", "cost=quadratic", "network.activation=relu"),
    *("network.output_activation=linear", "optimiser=momentum", "schedule=halve"),
    *("stopping=no_improvement", "regulariser=l2"),
)
LANES = [
    ["optimiser.eta=0.1", "seed=4", "stopping.patience=1", "regulariser.strength=0.1"],
    ["optimiser.eta=0.02", "seed=3", "stopping.patience=1", "regulariser.strength=0"],
    ["optimiser.eta=0.05", "seed=2", "stopping.patience=9", "schedule.patience=1"],
    ["optimiser.eta=0.01", "seed=4", "stopping.patience=3", "optimiser.mu=0.5"],
    ["optimiser.eta=0.001", "seed=2147483647"],
]
BAD = 2
DIVERGING = ["optimiser.eta=1e30", "seed=2", "stopping.patience=9", "schedule.patience=1"]


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    """One lane of five diverges, and the others stop when their rules say so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "shutdown", lambda handlers=(): None)
        folder = tmp_path_factory.mktemp("steered") / "sweep"
        yield sweep(folder, STEERED, *LANES[:BAD], DIVERGING, *LANES[BAD + 1 :])


@pytest.mark.slow
@pytest.mark.parametrize("num", range(len(LANES)))
def test_a_lane_is_what_its_run_would_be_alone(steered: Swept, tmp_path: Path, num: int) -> None:
    """Slow: compiles a program."""
    assert_as_alone(steered, num, tmp_path / "alone")


@pytest.mark.slow
def test_lanes_are_gradient_descent_in_numpy(tmp_path: Path) -> None:
    """25 examples in mini-batches of 10: the last has 5. Slow: compiles a program."""
    static = (*SMALL, "training.dtype=float64", "cost=quadratic")
    etas = (0.5, 3.0, 1.25)
    jobs = [[f"optimiser.eta={eta}", f"seed={seed}"] for seed, eta in enumerate(etas)]
    swept = sweep(tmp_path, static, *jobs)
    for num, eta in enumerate(etas):
        experiment = bpframe.compose(swept.overrides[num])
        with precision("float64"):
            params: Any = initial_state.initial_state(experiment).params
        train = loading.load(experiment).train
        x = train.x.reshape(len(train), -1) * float(train.scale)
        y = np.eye(10)[train.y]
        for epoch in range(1, 4):
            order = epoch_order(experiment, epoch, len(train))
            for start in range(0, len(train), 10):
                rows = order[start : start + 10]
                params = numpy_step(["sigmoid"] * 2, "quadratic", params, x[rows], y[rows], eta)
        found = swept.params(num)
        for number, (w, b) in enumerate(params, start=2):
            np.testing.assert_allclose(found[f"layer_{number}.w"], w, rtol=0, atol=1e-11)
            np.testing.assert_allclose(found[f"layer_{number}.b"], b, rtol=0, atol=1e-11)


def test_lanes_stop_each_in_its_own_epoch(steered: Swept) -> None:
    epochs = [row.epochs for row in steered.rows if row.status == "completed"]
    assert len(set(epochs)) >= 3, epochs
    for num, row in enumerate(steered.rows):
        assert len(steered.lines(num)) == row.epochs == steered.summary(num)["epochs"]
        assert (row.stopped is None) == (row.epochs == 8 or row.status == "diverged")


def test_a_lane_that_diverges_is_reported_as_alone(steered: Swept, tmp_path: Path) -> None:
    folder = tmp_path / "alone"
    with pytest.raises(DivergenceError) as raised:
        bpframe.run(bpframe.compose(steered.overrides[BAD]), folder)
    row = steered.rows[BAD]
    assert row.status == "diverged"
    assert row.error == steered.summary(BAD)["error"] == str(raised.value)
    assert f"training diverged in epoch {row.epochs + 1}" in str(row.error)
    assert steered.bits(BAD)[2] == bits(folder)[2]
    assert [entry["status"] for entry in steered.ledger if entry["event"] == "job"] == [
        row.status for row in steered.rows
    ]


@pytest.mark.slow
def test_a_lane_that_diverges_changes_no_bit_of_the_others(steered: Swept, tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    healthy = sweep(tmp_path / "sweep", STEERED, *LANES)
    assert healthy.rows[BAD].status == "completed"
    assert healthy.bits(BAD) != steered.bits(BAD)
    for num in set(range(len(LANES))) - {BAD}:
        assert healthy.bits(num) == steered.bits(num)


@pytest.mark.slow
def test_a_lane_may_diverge_in_any_place(tmp_path: Path) -> None:
    """Slow: a sweep for each place."""
    lanes = [[*SMALL, "training.epochs=2", f"seed={seed}"] for seed in range(3)]
    healthy = sweep(tmp_path / "healthy", [], *lanes)
    for place in range(3):
        changed = list(lanes)
        changed[place] = [*lanes[place], "optimiser.eta=1e38"]
        swept = sweep(tmp_path / str(place), [], *changed)
        assert [row.num for row in swept.rows if row.status == "diverged"] == [place]
        for num in {0, 1, 2} - {place}:
            assert healthy.bits(num) == swept.bits(num)


RICH = (
    *(*SMALL, "training.dtype=float64", "optimiser=adam", "learning_rule=feedback_alignment"),
    *("schedule=cosine", "regulariser=l1", "sweep.shared_order=true"),
    "metrics=[gradient_norm, {name: accuracy, over: train}, {name: confusion_matrix, over: test}]",
)


def test_a_shared_order_is_that_of_seed_0() -> None:
    own = bpframe.compose([*SMALL, "seed=4"])
    zero = bpframe.compose([*SMALL, "seed=0"])
    shared = bpframe.compose([*SMALL, "seed=4", "sweep.shared_order=true"])
    for epoch in (1, 2):
        order = epoch_order(shared, epoch, 25)
        np.testing.assert_array_equal(order, epoch_order(zero, epoch, 25))
        assert (order != epoch_order(own, epoch, 25)).any()


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [1, 1000])
def test_shared_order_metrics_and_states_in_float64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: int
) -> None:
    """With inputs in one product, and without. Slow: the metrics take long to compile, twice."""
    monkeypatch.setattr("bpframe.sweeps.lanes.programs.SHARED_INPUTS", inputs)
    swept = sweep(
        tmp_path / "sweep",
        RICH,
        *(["optimiser.eta=0.1", "seed=4", "schedule.warm_up=1"], ["optimiser.eta=0.01", "seed=5"]),
    )
    for num in range(2):
        assert_as_alone(swept, num, tmp_path / str(num), "float64")
    own = bpframe.compose([*swept.overrides[0], "sweep.shared_order=false"])
    costs = [line["train_cost"] for line in swept.lines(0)]
    assert not np.allclose(bpframe.run(own).history.train_cost, costs, rtol=1e-6)


@pytest.mark.parametrize("devices", [1, 2, 3, 8])
@pytest.mark.parametrize("widest", [1, 2, 4, 2**30])
def test_layouts_have_a_place_for_every_lane_and_few_more(devices: int, widest: int) -> None:
    for lanes in range(1, 40):
        found = layout(lanes, devices, widest)
        assert found.lanes >= lanes
        assert 1 <= found.devices <= min(devices, lanes)
        assert 1 <= found.width <= widest
        on_each = found.blocks * found.width
        assert on_each < -(-lanes // found.devices) + found.blocks  # at most one left in a block


@pytest.mark.slow
def test_groups_are_of_one_structure_and_one_data_set(tmp_path: Path) -> None:
    """Numbers share a program; sizes, activations, batch size, epochs and data do not.

    Slow: runs whole commands.
    """
    same = [["optimiser.eta=0.1"], ["seed=3"], ["regulariser.strength=2"]]
    leaky = "network.activation={name: leaky_relu, slope: %s}"
    others = [
        ["network.hidden=[5]"],
        ["network.activation=tanh"],
        ["training.batch_size=5"],
        ["training.epochs=4"],
        ["data.train_size=24"],
    ]
    experiments = [
        bpframe.compose([*SMALL, "regulariser=l2", *overrides])
        for overrides in (*same, [leaky % 0.1], [leaky % 0.2], *others)
    ]
    jobs: Any = [type("Job", (), {"experiment": experiment}) for experiment in experiments]
    found = [[jobs.index(job) for job in group] for group in partition.groups(jobs)]
    assert found == [[0, 1, 2], [3, 4], *([5 + place] for place in range(len(others)))]


ON_DEVICES = """
import jax, json, sys
from pathlib import Path
devices, most, folder = int(sys.argv[1]), int(sys.argv[2]) or None, Path(sys.argv[3])
jax.config.update("jax_num_cpu_devices", devices)
from bpframe.sweeps.lanes import programs
programs.CACHE_BYTES = 2 * 4 * (4 * 65 + 10 * 5)
import test_sweep_lanes
test_sweep_lanes.sweep(folder, test_sweep_lanes.STEERED, *test_sweep_lanes.LANES * 2, most=most)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "most", "layouts"),
    [
        (1, 0, [[1, 3, 2]]),
        (3, 0, [[3, 1, 2]]),
        (2, 3, [[2, 1, 2], [2, 1, 1]]),
    ],
)
def test_layouts_agree_with_single_runs(
    tmp_path: Path, devices: int, most: int, layouts: list[list[int]]
) -> None:
    """Slow: a process for each number of devices, which JAX cannot change later."""
    done = subprocess.run(
        [sys.executable, "-c", ON_DEVICES, str(devices), str(most), str(tmp_path / "sweep")],
        env=environment(tmp_path, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    swept = Swept([], tmp_path / "sweep", [[*STEERED, *lane] for lane in LANES])
    (plan,) = (entry for entry in swept.ledger if entry["event"] == "plan")
    assert [chunk["layout"] for chunk in plan["groups"][0]] == layouts
    used = {swept.summary(num)["device"] for num in range(len(LANES))}
    assert len(used) == max(layout[0] for layout in layouts)
    for num in range(len(LANES)):
        assert_as_alone(swept, num, tmp_path / str(num))


def _set(kind: str, name: str, seed: int) -> list[str]:
    """Overrides that set a component, with numbers a little off their defaults."""
    fields = dataclasses.fields(host.load_registry().offers[kind][name].component)
    part = 1 - 0.01 * (seed + 1)
    numbers = {f.name: f.default * part for f in fields if isinstance(f.default, float)}
    if kind == "activation":
        parts = ", ".join(f"{key}: {value}" for key, value in {"name": name, **numbers}.items())
        return [f"network.activation={{{parts}}}"]
    return [f"{kind}={name}", *(f"{kind}.{key}={value}" for key, value in numbers.items())]


NEED_A_FILE = ("file",)
"""Components with tests of their own, in test_initial_conditions."""


def _together() -> list[dict[str, str]]:
    """Components of every kind, one of each in an experiment, until all have had their turn."""
    names = {
        kind: [name for name in host.load_registry().names(kind) if name not in NEED_A_FILE]
        for kind in (*schemas.GROUPS, "activation")
        if kind not in ("data", "stopping")
    }
    most = max(map(len, names.values()))
    found = [{kind: of[turn % len(of)] for kind, of in names.items()} for turn in range(most)]
    for together in found:
        if together["learning_rule"] == "equilibrium_propagation":  # has no energy for others
            together |= {"cost": "quadratic", "activation": "tanh"}
    return found


OUTPUTS = {"log_likelihood": "softmax", "hinge": "linear"}
"""The output activations that costs need; sigmoid goes with the others."""


@pytest.mark.slow
@pytest.mark.share(3)
@pytest.mark.optimised(False)
@pytest.mark.parametrize("together", _together(), ids=lambda together: "-".join(together.values()))
def test_lanes_of_every_component_agree_with_single_runs(
    tmp_path: Path, together: dict[str, str]
) -> None:
    """Slow: a lane program and a single program are compiled for each group of components."""
    output = f"network.output_activation={OUTPUTS.get(together['cost'], 'sigmoid')}"
    needs = NEEDS.get(together["learning_rule"], ())
    static = [*SMALL, *needs, "training.dtype=float64", "training.evaluate_train=true", output]
    lanes = [
        [
            *(text for kind, name in together.items() for text in _set(kind, name, seed)),
            f"seed={seed}",
        ]
        for seed in range(3)
    ]
    swept = sweep(tmp_path / "sweep", static, *lanes)
    (plan,) = (entry for entry in swept.ledger if entry["event"] == "plan")
    assert [len(group) for group in plan["groups"]] == [1]
    for num in range(3):
        assert_as_alone(swept, num, tmp_path / str(num), "float64")


@pytest.mark.slow
@pytest.mark.optimised(False)
def test_lanes_settle_as_alone(tmp_path: Path) -> None:
    """Slow: two more compilations."""
    rule = ("learning_rule=predictive_coding", "metrics=[settling]")
    static = [*SMALL, *rule, "training.dtype=float64", "training.epochs=2"]
    swept = sweep(tmp_path / "sweep", static, ["seed=0"], ["seed=1", "learning_rule.rate=0.2"])
    for num in range(2):
        assert_as_alone(swept, num, tmp_path / str(num), "float64")


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.optimised(False)
@pytest.mark.parametrize("over", ["steps", "train", "validation", "test"])
def test_lanes_of_every_metric_agree_with_single_runs(tmp_path: Path, over: str) -> None:
    """Slow: the metrics take long to compile, twice."""
    registry = host.load_registry()
    kinds = {name: registry.get("metric", name, "") for name in registry.names("metric")}
    names = [
        name
        for name, kind in kinds.items()
        if name != "settling" and over in dataclass_field(kind, "over").metadata["choices"]
    ]
    fewer = {name: ", first: 8" for name in names if dataclass_field(kinds[name], "first").default}
    metrics = ", ".join(f"{{name: {name}, over: {over}{fewer.get(name, '')}}}" for name in names)
    static = [*SMALL, "training.dtype=float64", "training.epochs=2", f"metrics=[{metrics}]"]
    swept = sweep(tmp_path / "sweep", static, ["seed=0"], ["seed=1", "optimiser.eta=0.1"])
    for num in range(2):
        assert_as_alone(swept, num, tmp_path / str(num), "float64")


@pytest.mark.slow
def test_lanes_in_bfloat16(tmp_path: Path) -> None:
    """Slow: two more compilations."""
    static = [*SMALL, "training.dtype=bfloat16"]
    swept = sweep(tmp_path / "sweep", static, ["seed=0"], ["seed=1", "optimiser.eta=0.1"])
    for num, row in enumerate(swept.rows):
        alone = bpframe.run(bpframe.compose(swept.overrides[num]))
        cost = row.metrics["train_cost"]
        assert cost == pytest.approx(alone.history.train_cost[-1], rel=4 * 2**-8)
