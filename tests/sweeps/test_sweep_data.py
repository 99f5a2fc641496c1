"""What a sweep keeps of its data: on the host what is needed, on a device one copy."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import jax
import numpy as np
import pytest
from bpframe_plugins.datasets import Digits

import bpframe
from bpframe import Experiment
from bpframe.sweeps.lanes.data import DataCache, LaneData
from bpframe.sweeps.lanes.group import Group
from bpframe.sweeps.lanes.programs import Layout
from bpframe.training import devices


def experiment(*overrides: str) -> Experiment:
    return bpframe.compose(["data=digits", "training.epochs=1", *overrides])


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A weak reference to each training set that the digits are loaded to."""
    found: list[Any] = []
    load = Digits.load

    def noted(self: Digits) -> bpframe.Data:
        data = load(self)
        data = data._replace(train=bpframe.Examples(data.train.x.copy(), data.train.y, n_out=10))
        found.append(weakref.ref(data.train.x))
        return data

    monkeypatch.setattr(Digits, "load", noted)
    return found


def test_values_of_train_size_share_their_examples(loads: list[Any]) -> None:
    cache = DataCache()
    groups = [Group(experiment(f"data.train_size={n}"), cache) for n in (100, 200, 300)]
    assert [group.sizes["train"] for group in groups] == [100, 200, 300]
    assert len(loads) == 1
    small, large = (cache.data(group.experiment).train.x for group in groups[:2])
    assert np.shares_memory(small, large)


@pytest.mark.slow
def test_data_go_with_the_last_group_that_needs_them(loads: list[Any]) -> None:
    """Slow: runs whole commands."""
    cache = DataCache()
    first, second = (Group(experiment(f"data.train_size={n}"), cache) for n in (100, 200))
    other = Group(bpframe.compose(["data=xor", "training.batch_size=2"]), cache)
    first.release()
    first.release()
    gc.collect()
    assert loads[0]() is not None
    second.release()
    gc.collect()
    assert loads[0]() is not None, "the last data set is kept for the next batch"
    other.release()
    gc.collect()
    assert loads[0]() is None


def test_each_device_that_trains_has_one_copy_and_no_other_has_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies: list[Any] = []
    to_device = devices.to_device

    def noted(examples: Any, dtype: str, device: Any = None) -> Any:
        copies.append((len(examples), device))
        return to_device(examples, dtype, device)

    monkeypatch.setattr("bpframe.sweeps.lanes.data.to_device", noted)
    cache, one = DataCache(), experiment()
    (device,) = jax.devices()[:1]
    group = Group(one, cache)
    programs = [group.trace(Layout(1, 1, width)) for width in (1, 2)]
    assert not copies, "tracing needs no examples on a device"
    sets = [each.data.sets for each in programs]
    assert [where for _, where in copies] == [device] * 3, "a copy of each split"
    assert sets[0]["train"].x.unsafe_buffer_pointer() == sets[1]["train"].x.unsafe_buffer_pointer()


@pytest.mark.slow
def test_the_examples_of_one_group_at_a_time_are_on_the_devices() -> None:
    """Slow: runs whole commands."""
    cache = DataCache()
    first, second = experiment("data.train_size=100"), experiment("data.train_size=200")
    placed = LaneData(first, cache, jax.devices()[:1])
    x = weakref.ref(placed.sets["train"].x)
    assert LaneData(second, cache, jax.devices()[:1]).sets["train"].x.shape[0] == 200
    gc.collect()
    assert x() is None
    assert placed.sets["train"].x.shape[0] == 100, "and they come back when they are needed"


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_shapes_are_those_of_what_is_placed(dtype: str) -> None:
    data = LaneData(experiment(f"training.dtype={dtype}"), DataCache(), jax.devices()[:1])
    for split, examples in data.sets.items():
        shapes = jax.tree.leaves(data.shapes[split])
        for info, array in zip(shapes, jax.tree.leaves(examples), strict=True):
            assert (info.shape, info.dtype, info.sharding) == (
                array.shape,
                array.dtype,
                array.sharding,
            )


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_the_programs_of_lanes_lower_for_other_platforms(platform: str) -> None:
    programs = Group(experiment("data.train_size=59"), DataCache()).trace(Layout(1, 2, 3))
    for program in programs._traced.values():  # pyright: ignore[reportPrivateUsage]
        text = program.lower(lowering_platforms=(platform,)).as_text()
        assert "optimization_barrier" not in text
