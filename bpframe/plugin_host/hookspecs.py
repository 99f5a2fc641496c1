"""The hooks of bpframe. A plugin is a module, or any object, with some of these functions.

A component hook returns what the plugin offers, by the name under which users choose it in a
config. An event hook is told what happens during a run; it takes any of the arguments named here.
"""

from __future__ import annotations

from collections.abc import Mapping

import pluggy

from bpframe.contracts import (
    Activation,
    Cost,
    Dataset,
    InitialCondition,
    Initialiser,
    Layer,
    OutputPair,
    Regulariser,
)
from bpframe.learning import Aggregation, LearningRule, Optimiser
from bpframe.metrics import Metric
from bpframe.recorders import Recorder
from bpframe.runs.listeners import Listener
from bpframe.runs.records import EpochRecord, RunInfo, RunResult
from bpframe.runs.trackers import Tracker
from bpframe.schedules import Schedule, Stopping

API_VERSION = 2
"""The version of these hooks and of the contracts; a plugin says for which it was written."""

hookspec = pluggy.HookspecMarker("bpframe")
hookimpl = pluggy.HookimplMarker("bpframe")


@hookspec
def bpframe_activations() -> Mapping[str, type[Activation]]:  # pyright: ignore[reportReturnType]
    """Activations, chosen as `network.activation=NAME` or inside `network.layers`."""


@hookspec
def bpframe_layers() -> Mapping[str, type[Layer]]:  # pyright: ignore[reportReturnType]
    """Kinds of layers, chosen as `network.layers=[{name: NAME, ...}, ...]`."""


@hookspec
def bpframe_costs() -> Mapping[str, type[Cost]]:  # pyright: ignore[reportReturnType]
    """Costs, chosen as `cost=NAME`."""


@hookspec
def bpframe_output_pairs() -> Mapping[  # pyright: ignore[reportReturnType]
    tuple[str, str], type[OutputPair]
]:
    """Output pairs by (cost name, activation name); used whenever the two meet at the output."""


@hookspec
def bpframe_optimisers() -> Mapping[str, type[Optimiser]]:  # pyright: ignore[reportReturnType]
    """Optimisers, chosen as `optimiser=NAME`."""


@hookspec
def bpframe_initialisers() -> Mapping[str, type[Initialiser | InitialCondition]]:  # pyright: ignore[reportReturnType]
    """Initialisers and exact initial conditions, chosen as `initialiser=NAME`."""


@hookspec
def bpframe_regularisers() -> Mapping[str, type[Regulariser]]:  # pyright: ignore[reportReturnType]
    """Regularisers, chosen as `regulariser=NAME`."""


@hookspec
def bpframe_datasets() -> Mapping[str, type[Dataset]]:  # pyright: ignore[reportReturnType]
    """Data sets, chosen as `data=NAME`."""


@hookspec
def bpframe_learning_rules() -> Mapping[  # pyright: ignore[reportReturnType]
    str, type[LearningRule]
]:
    """Learning rules, chosen as `learning_rule=NAME`."""


@hookspec
def bpframe_aggregations() -> Mapping[  # pyright: ignore[reportReturnType]
    str, type[Aggregation]
]:
    """Aggregations of the gradients of a mini-batch, chosen as `aggregation=NAME`."""


@hookspec
def bpframe_metrics() -> Mapping[str, type[Metric]]:  # pyright: ignore[reportReturnType]
    """Metrics, chosen as `metrics=[NAME, {name: NAME, over: validation}]`."""


@hookspec
def bpframe_recorders() -> Mapping[str, type[Recorder]]:  # pyright: ignore[reportReturnType]
    """Recorders, chosen as `record=[NAME, {name: NAME, layers: [2], by: steps, every: 10}]`."""


@hookspec
def bpframe_schedules() -> Mapping[str, type[Schedule]]:  # pyright: ignore[reportReturnType]
    """Schedules of the learning rate, chosen as `schedule=NAME`."""


@hookspec
def bpframe_stopping() -> Mapping[str, type[Stopping]]:  # pyright: ignore[reportReturnType]
    """Stopping rules, chosen as `stopping=NAME`."""


@hookspec
def bpframe_trackers() -> Mapping[str, type[Tracker]]:  # pyright: ignore[reportReturnType]
    """Trackers, chosen as `trackers=[NAME, {name: NAME, field: value}]`."""


@hookspec
def bpframe_listener(run: RunInfo) -> Listener | None:
    """An object that is told of this run alone, made when it starts; None not to listen to it."""


@hookspec
def bpframe_run_started(run: RunInfo) -> None:
    """Training begins: the programs are compiled, and the run folder is claimed."""


@hookspec
def bpframe_epoch_finished(run: RunInfo, record: EpochRecord) -> None:
    """An epoch is over, and its line stands in metrics.jsonl."""


@hookspec
def bpframe_should_stop(run: RunInfo, record: EpochRecord) -> str | None:
    """A reason to end the run after this epoch, such as "because ..."; None to go on."""


@hookspec
def bpframe_run_finished(run: RunInfo, result: RunResult) -> None:
    """The run is over, however it ended (see `result.summary.status`), and its folder written."""
