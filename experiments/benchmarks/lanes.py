"""Epochs of lanes against epochs of single runs, compiling excluded."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import timing
from comparisons import CONVOLUTION

import bpframe
from bpframe.data import Data
from bpframe.sweeps.lanes.data import DataCache, LaneData
from bpframe.sweeps.lanes.programs import LanePrograms, by_lane, layout, widest_block
from bpframe.training import loading
from bpframe.training.experiment import Experiment
from bpframe.training.orders import epoch_orders
from bpframe.training.parallel import make_cores_devices
from bpframe.training.programs import Programs

__all__ = ["make_cores_devices", "measure"]


FIRST = ["cost=quadratic", "optimiser.eta=3.0"]
CONVOLUTIONAL = [*CONVOLUTION.overrides(), "data.train_size=5000"]
"""Few images, since lanes of a convolution take a hundred times as long as those of 784-30-10."""


def measure(quick: bool, only: str | None = None) -> list[dict[str, Any]]:
    """784-30-10 on MNIST, 64-30-10 on the digits, and one convolution, all with m 10.

    `only` is a part of the names of those that are measured.
    """
    rows = []
    for overrides, name, jobs, targets in (
        (
            ["data=mnist", *FIRST],
            "784-30-10 on MNIST",
            64,
            {"shared": 2.5, "own": 2.0, "one": 1.1},
        ),
        (FIRST, "64-30-10 on the digits", 256, {"shared": None, "own": None, "one": None}),
        (CONVOLUTIONAL, "28x28-conv5x20-pool2-100-10", 16, {"own": 1 / 0.7}),
    ):
        left_out = quick and name == "784-30-10 on MNIST"
        if only in name if only is not None else not left_out:
            jobs = max(2, jobs // 16) if quick else jobs
            rows += _rows(overrides, name, jobs, targets, 1 if quick else 9)
    return rows


def _rows(
    overrides: list[str], name: str, jobs: int, targets: Mapping[str, float | None], rounds: int
) -> list[dict[str, Any]]:
    own = bpframe.compose(overrides)
    data = loading.load(own)
    made = {
        "shared": lambda: of_lanes(
            bpframe.compose([*overrides, "sweep.shared_order=true"]), data, jobs
        ),
        "own": lambda: of_lanes(own, data, jobs),
        "one": lambda: of_lanes(own, data, 1),
    }
    ways = {"single": _single(own, data), **{way: made[way]() for way in targets}}
    samples = timing.interleaved(ways, rounds)
    steps = -(-len(data.train) // own.training.m(len(data.train)))
    rows = []
    for way, target in targets.items():
        lanes = 1 if way == "one" else jobs
        pairs = zip(samples["single"], samples[way], strict=True)
        ratios = [lanes * a / b if lanes > 1 else b / a for a, b in pairs]
        ratio = statistics.median(ratios)
        rows.append(
            {
                "work": name,
                "way": way,
                "lanes": lanes,
                "us_per_step": 1e6 * statistics.median(samples[way]) / steps / lanes,
                "single_us_per_step": 1e6 * statistics.median(samples["single"]) / steps,
                "ratio": ratio,
                "spread": [min(ratios), max(ratios)],
                "target": target,
                "met": None
                if target is None
                else (ratio >= target if lanes > 1 else ratio <= target),
            }
        )
    return rows


def _single(experiment: Experiment, data: Data) -> Callable[[], None]:
    """An epoch of a single run as `bpframe.run` makes it, with its evaluation."""
    programs = Programs(experiment, data)

    def run() -> None:
        jax.device_get(programs.turn(programs.initial, range(1, 2), evaluated=True)[1])

    return run


def of_lanes(experiment: Experiment, data: Data, lanes: int) -> Callable[[], None]:
    """An epoch of lanes that differ in their seeds, with its evaluation, as a sweep makes it."""
    devices = jax.devices()
    plan = layout(lanes, len(devices), widest_block(experiment, devices))
    lane_data = LaneData(experiment, DataCache(), devices[: plan.devices])
    programs = LanePrograms(experiment, lane_data, plan)
    programs.compile()
    experiments = [dataclasses.replace(experiment, seed=seed) for seed in range(lanes)]
    stacked = programs.stack(experiments)
    states = [programs.initial(stacked, None)]
    orders = np.stack([epoch_orders(one, range(1, 2), len(data.train)) for one in experiments])
    if experiment.training.shared_order:
        orders = orders[0]
    active = np.ones(lanes, bool)

    def run() -> None:
        states[0], found = programs.turn(
            stacked, states[0], active, orders, range(1, 2), evaluated=True
        )
        by_lane(found)

    return run
