"""Tests of runs on several devices, for a process in which the CPU is 8 of them.

`test_parallel` runs them in such a process. The oracle is the run on one device, in float64, where
sums in another order agree to 1e-10.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import bpframe
from bpframe.errors import DivergenceError
from bpframe.runs.checkpoint import Checkpointing
from bpframe.tables.streamed import in_memory
from bpframe.training import initial_state, loading, parallel, streaming, turn
from bpframe.training.devices import to_device
from bpframe.training.precision import precision
from bpframe.training.programs import Programs

SMALL = ["training.epochs=2", "data.train_size=73"]
"""m is 10 and the last mini-batch has 3 examples, of which 4 or 8 devices get none or one each."""

CONVOLUTION = (
    "network.layers=[{name: convolution, maps: 3, size: 3, activation: tanh}, "
    "{name: max_pooling, size: 2}, {name: dropout, rate: 0.3}, {n: 10, activation: softmax}]"
)
RESIDUAL = (
    "network.layers=[{n: 12, activation: tanh}, {name: layer_norm}, "
    "{name: residual, layers: [{n: 12, activation: tanh}]}, {n: 10, activation: softmax}]"
)
METRICS = (
    "metrics=[delta_norm, gradient_norm, saturation, gradient_variance, sharpness, "
    "{name: delta_norm, over: validation}, {name: confusion_matrix, over: test}, "
    "{name: noise_scale, over: train, first: 33}]"
)
PRIVATE = ["aggregation=private", "aggregation.noise_multiplier=1.1", "training.sampling=poisson"]
CASES: dict[str, list[str]] = {
    "dense": ["regulariser=l2", "network.hidden=[12,9]"],
    "convolution": [CONVOLUTION, "cost=log_likelihood"],
    "residual": [RESIDUAL, "cost=log_likelihood"],
    "full_batch": ["training.batch_size=null"],
    "one_example": ["training.batch_size=1", "data.train_size=7"],
    "adam": ["optimiser=adam", "training.evaluate_train=true", "training.evaluate_start=true"],
    "sees_examples": ["optimiser=kfac"],
    "clipped": ["aggregation=clipped", "aggregation.norm=0.05"],
    "private": PRIVATE,
    "feedback": ["learning_rule=direct_feedback_alignment"],
    "learns": ["learning_rule=weight_mirror"],
    "settles": ["learning_rule=predictive_coding", "metrics=[settling]"],
    "draws": ["learning_rule=forward_forward", "network.activation=relu"],
    "metrics": [METRICS, "network.hidden=[12,9]"],
    "recorders": ["record=[{name: deltas, by: steps, every: 3, first: 7}, weights]"],
    "steered": ["schedule=halve", "stopping=no_improvement", "training.evaluate_every=2"],
}


def composed(*overrides: str, devices: int | str = 1) -> bpframe.Experiment:
    return bpframe.compose(
        [*SMALL, "training.dtype=float64", *overrides, f"training.devices={devices}"]
    )


def numbers(result: bpframe.RunResult) -> dict[str, Any]:
    """All that a run gives and two runs may differ in, by name."""
    summary = dataclasses.asdict(result.summary)
    found = {key: summary[key] for key in ("test_cost", "test_accuracy", "best_epoch", "epochs")}
    columns = {**vars(result.history), **result.history.metrics}
    found |= {name: column for name, column in columns.items() if isinstance(column, np.ndarray)}
    del found["seconds"]
    for name, tree in (("last", result.params), ("best", result.best_params)):
        found |= {f"{name}.{i}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}
    for name in result.recording:
        found |= {f"{name}.{key}": np.asarray(a) for key, a in result.recording[name].items()}
    return found


def assert_close(one: bpframe.RunResult, many: bpframe.RunResult) -> None:
    wanted, found = numbers(one), numbers(many)
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        if value is None or isinstance(value, str):
            assert found[name] == value, name
        else:
            np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-11, err_msg=name)


def same_bits(one: bpframe.RunResult, other: bpframe.RunResult) -> bool:
    pairs = zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("shard", ["null", "params"])
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_one_device(case: str, shard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "SPLIT_FROM", 8)
    overrides = CASES[case]
    one = bpframe.run(composed(*overrides))
    devices = 8 if case in ("dense", "residual", "learns") else 4
    many = bpframe.run(composed(*overrides, f"training.shard={shard}", devices=devices))
    assert many.summary.device == f"{devices} x cpu"
    assert_close(one, many)


@pytest.mark.optimised
def test_a_second_run_has_the_same_bits() -> None:
    overrides = ("training.dtype=float32", "optimiser=adam")
    runs = [bpframe.run(composed(*overrides, devices=3)) for _ in range(2)]
    assert same_bits(*runs)


@pytest.mark.optimised
def test_a_run_goes_on_with_the_same_bits_or_on_fewer_devices(tmp_path: Path) -> None:
    longer, often = "training.epochs=3", Checkpointing(epochs=1)
    whole = bpframe.run(composed(longer, "optimiser=adam", devices=4))
    for devices in (4, 2):
        folder = tmp_path / str(devices)
        bpframe.run(composed("optimiser=adam", devices=4), folder, checkpointing=often)
        on = bpframe.resume(folder, [longer, f"training.devices={devices}"])
        assert_close(whole, on)
        if devices == 4:
            assert same_bits(whole, on)
            assert on.summary.changed is None
        else:
            assert on.summary.device == "2 x cpu"
            assert on.summary.changed == "the number of devices was 4 and is 2"


def compiled(*overrides: str) -> Iterator[tuple[Programs, Any]]:
    experiment = composed("training.batch_size=16", "data.train_size=64", *overrides, devices=4)
    data = loading.load(experiment)
    with precision("float64"), parallel.on_devices(experiment.training):
        programs = Programs(experiment, data)
        yield programs, programs._compiled["turn"]  # pyright: ignore[reportPrivateUsage]


SENDS = re.compile(r"= (\S.*?) (all-reduce|all-gather|all-to-all|collective-\w+|reduce-scatter)\(")


@pytest.mark.optimised
def test_a_step_sends_the_mean_gradient_and_nothing_else() -> None:
    ((programs, turn),) = compiled()
    sent = [found.groups() for found in map(SENDS.search, turn.as_text().splitlines()) if found]
    assert {kind for _, kind in sent} == {"all-reduce"}  # no delta is gathered
    large = [shapes for shapes, _ in sent if re.search(r"\[\d", shapes)]
    assert len(large) == 1
    found = sorted(re.findall(r"f64\[([\d,]+)\]", large[0]))
    params = jax.tree.leaves(programs.experiment.network.params)
    assert found == sorted(",".join(map(str, array.shape)) for array in params)


@pytest.mark.optimised
def test_split_parameters_take_a_share_of_the_memory() -> None:
    wide = ("network.hidden=[512,512]", "optimiser=adam", "training.epochs=1")
    ((whole, _),) = compiled(*wide)
    ((shared, _),) = compiled(*wide, "training.shard=params")
    w = shared.initial.params[1].w
    assert w.addressable_shards[0].data.shape == (128, 512)
    used = []
    for programs in (whole, shared):
        memory = programs._compiled["turn"].memory_analysis()  # pyright: ignore[reportPrivateUsage]
        used.append(memory.argument_size_in_bytes + memory.temp_size_in_bytes)
    assert used[1] < 0.5 * used[0]


def test_divergence_is_found_where_it_is_on_one_device() -> None:
    told = []
    for devices in (1, 4):
        with pytest.raises(DivergenceError) as raised:
            bpframe.run(composed("network.activation=relu", "optimiser.eta=1e200", devices=devices))
        told.append(str(raised.value))
    assert told[0] == told[1]


@pytest.mark.optimised
@pytest.mark.parametrize("shard", ["null", "params"])
def test_examples_that_are_streamed_give_the_same_bits(
    shard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PORTION_BYTES", 1)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(20_023, 16))
    np.savez(tmp_path / "all.npz", x=x, y=np.digitize(x[:, 0], [-0.5, 0.5]))
    words = ("data=shards", f"data.path={tmp_path / 'all.npz'}", "data.test_rows=100")
    words = (*words, "data.validation_rows=100", f"training.shard={shard}", "training.epochs=1")
    experiment = bpframe.compose(
        [*words, "network.hidden=[256,256]", "training.devices=4", "training.batch_size=50"]
    )
    data = in_memory(experiment.data.load())
    with precision("float32"), parallel.on_devices(experiment.training):
        shapes = streaming.devices.shapes(data.train, "float32")
    assert len(streaming.cuts(experiment, shapes)) > 1
    assert same_bits(bpframe.run(experiment), bpframe.run(experiment, data=data))


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("shard", ["null", "params"])
def test_shared_programs_lower_for_other_platforms(platform: str, shard: str) -> None:
    """A turn, and how examples that are streamed are gathered where they are."""
    experiment = composed("training.dtype=float32", f"training.shard={shard}", devices=4)
    data = loading.load(experiment)
    with precision("float32"), parallel.on_devices(experiment.training):
        sharing = parallel.sharing()
        assert sharing
        sets = {
            split: to_device(examples, "float32", parallel.everywhere())
            for split, examples in data._asdict().items()
        }
        state = initial_state.initial_state(experiment)
        order = np.arange(73, dtype=np.int32)[None]
        traced = [jax.jit(turn.turn).trace(experiment, state, order, 1, sets)]
        x, y = (jax.device_put(array[:72], sharing(0)) for array in sets["train"][:2])
        own = sets["train"]._replace(x=x, y=y)
        rows = jax.device_put(np.zeros((1, 7, 12), np.int32), sharing(2))
        traced += [jax.jit(streaming.own_batches, static_argnums=2).trace(own, rows, 10)]
        for program in traced:
            text = program.lower(lowering_platforms=(platform,)).as_text()
            assert "optimization_barrier" not in text
            assert re.search(r"sdy\.(sharding|manual_computation)|mhlo\.sharding", text)
