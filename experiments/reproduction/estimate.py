"""How long the book's own loop would train for what a sweep trained."""

from __future__ import annotations

import json

from omegaconf import DictConfig, OmegaConf

from bpframe.configuration import assembly
from bpframe.plugin_host import host
from reproduction.book_loop import (
    EXAMPLES,
    Delta,
    cross_entropy_delta,
    quadratic_delta,
    seconds_per_example,
)
from reproduction.runs import Run, Runs


def book_loop_seconds(runs: Runs, *, slice_s: float = 0.5) -> float | None:
    """Seconds for the training of all runs, one after another, evaluation left out.

    None if there is a layer that is not fully connected, which the loop of chapter 2 does not have.

    The time of an example is measured for each network and mini-batch, with sigmoid neurons
    whatever the run has, and with the delta^L of the cross-entropy for any cost but the quadratic.
    """
    if not all(map(is_dense, runs)):
        return None
    sizes_of_data: dict[str, int] = {}
    speeds: dict[tuple[tuple[int, ...], int, Delta], float] = {}
    total = 0.0
    for run in runs:
        data = json.dumps([run.config["data"], run.config["plugins"]], sort_keys=True)
        if data not in sizes_of_data:
            sizes_of_data[data] = training_examples(run)
        n = sizes_of_data[data]
        m = min(run.config["training"]["batch_size"] or n, EXAMPLES)
        delta = (
            quadratic_delta if run.config["cost"]["name"] == "quadratic" else cross_entropy_delta
        )
        key = (tuple(run.summary["sizes"]), m, delta)
        if key not in speeds:
            speeds[key] = seconds_per_example(*key, slice_s=slice_s)
        total += epochs(run) * n * speeds[key]
    return total


def is_dense(run: Run) -> bool:
    """Whether all of its layers are fully connected."""
    [layers] = run.settings("network.layers") or [None]
    return all(layer.get("name", "dense") == "dense" for layer in layers or ())


def epochs(run: Run) -> int:
    """How many epochs a run trained; one that diverged counts up to its last record."""
    return int(run.epoch[-1]) if len(run.epoch) else 0


def training_examples(run: Run) -> int:
    """n, as the configuration of the run says, or else its data set."""
    data, plugins = run.config["data"], run.config["plugins"]
    if data.get("train_size") is not None:
        return data["train_size"]
    node = OmegaConf.create(data)
    assert isinstance(node, DictConfig)
    registry = host.load_registry(paths=plugins["path"], prefer=plugins["prefer"])
    return len(assembly.component(node, "data", registry).load().train)
