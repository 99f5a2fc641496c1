"""What recorders keep, inside the compiled program: rows of arrays, one for each time.

The host says after which steps something is kept, and in which row; it knows, since it counts
epochs. So lanes, which take their steps together, leave out together what is not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe import equations
from bpframe.data import Data
from bpframe.errors import ConfigError
from bpframe.recorders import LAYER, NamedRecorder, Probe
from bpframe.training import devices, initial_state
from bpframe.training.devices import DeviceExamples, floats
from bpframe.training.experiment import Experiment
from bpframe.training.observing import observation
from bpframe.training.precision import precision
from bpframe.training.step import State, answering, narrow, narrow_answering

Kept: TypeAlias = tuple[Mapping[str, Array], ...]
"""For each probe the arrays by NAME/LAYER, with an axis for the times in front."""

MIB = 2**20
NEVER = -1


class Watch(NamedTuple):
    """What recorders need besides what training needs.

    Attributes:
        sets: the examples of every split.
        rows: for each probe, (epochs, 1 + steps) or those of one epoch: the row in which something
            is kept before its first step and after each; NEVER for nothing.

    """

    sets: Mapping[str, DeviceExamples]
    rows: tuple[Array, ...]

    def of_epoch(self, index: Array | int) -> Watch:
        """The same for one of the epochs."""
        return self._replace(rows=tuple(rows[index] for rows in self.rows))


def by_probe(experiment: Experiment) -> dict[Probe, list[NamedRecorder]]:
    """The recorders by the probe that they share."""
    found: dict[Probe, list[NamedRecorder]] = {}
    for named in experiment.recorders:
        found.setdefault(Probe.of(named.recorder), []).append(named)
    return found


def times(experiment: Experiment, n: int) -> list[np.ndarray]:
    """For each probe the steps after which something is kept, with n training examples."""
    training = experiment.training
    return [
        recorders[0].recorder.steps(training.epochs, training.steps(n))
        for recorders in by_probe(experiment).values()
    ]


def times_in(experiment: Experiment, epochs: range, n: int) -> list[np.ndarray]:
    """Those within some epochs; the first epoch has the start as well."""
    if not epochs:
        return [np.zeros(0, int) for _ in by_probe(experiment)]
    steps = experiment.training.steps(n)
    low = (epochs[0] - 1) * steps + (epochs[0] > 1)
    high = epochs[-1] * steps
    return [found[(found >= low) & (found <= high)] for found in times(experiment, n)]


def rows(experiment: Experiment, epochs: range, n: int, length: int) -> tuple[np.ndarray, ...]:
    """The rows of a `Watch` for some epochs, filled up to `length` of them."""
    steps, found = experiment.training.steps(n), []
    for times in times_in(experiment, epochs, n):
        table = np.full((length, 1 + steps), NEVER, np.int32)
        for row, time in enumerate(times):
            epoch, step = divmod(int(time) - 1, steps) if time else (0, -1)
            table[epoch + 1 - epochs[0] if time else 0, step + 1] = row
        found.append(table)
    return tuple(found)


def most_rows(experiment: Experiment, n: int, length: int) -> list[int]:
    """For each probe the most rows that `length` epochs in a row need."""
    steps, epochs = experiment.training.steps(n), experiment.training.epochs
    first = np.arange(epochs) * steps
    most = []
    for found in times(experiment, n):
        low = np.searchsorted(found, first + (first > 0))
        high = np.searchsorted(found, first + length * steps, side="right")
        most.append(int(np.max(high - low)))
    return most


def seen(
    experiment: Experiment,
    state: State,
    sets: Mapping[str, DeviceExamples],
    probe: Probe,
) -> dict[str, Array]:
    """What the recorders of a probe keep of a state, by NAME/LAYER."""
    network, pair = narrow(experiment)
    wide = answering(experiment, state)
    narrowed, rule = narrow_answering(experiment, wide), experiment.learning_rule
    examples = sets[probe.over]
    x, y = floats(
        experiment, examples._replace(x=examples.x[: probe.first], y=examples.y[: probe.first])
    )
    found = equations.gradient(network, pair, narrowed.params, x, y, rule, narrowed.rule)
    watched = observation(experiment, wide, found, y, examples.task)
    return {
        f"{named.name}/{name}": array
        for named in by_probe(experiment)[probe]
        for name, array in named.recorder.chosen(watched).items()
    }


def nothing_kept(experiment: Experiment, state: State, watch: Watch, length: int) -> Kept:
    """Empty rows, as many as `length` epochs need."""
    n = watch.sets["train"].x.shape[0]
    most = most_rows(experiment, n, length)
    return tuple(
        {
            name: jnp.zeros((count, *info.shape), info.dtype)
            for name, info in jax.eval_shape(
                lambda probe=probe: seen(experiment, state, watch.sets, probe)
            ).items()
        }
        for probe, count in zip(by_probe(experiment), most, strict=True)
    )


def keep(experiment: Experiment, state: State, watch: Watch, step: Array, kept: Kept) -> Kept:
    """What is kept, with what the state after so many steps of the epoch adds, if it does."""

    def one(probe: Probe, row: Array, kept: Mapping[str, Array]) -> Mapping[str, Array]:
        def added() -> Mapping[str, Array]:
            found = seen(experiment, state, watch.sets, probe)
            return {name: kept[name].at[row].set(array) for name, array in found.items()}

        return jax.lax.cond(row >= 0, added, lambda: kept)

    parts = zip(by_probe(experiment), watch.rows, kept, strict=True)
    return tuple(one(probe, rows[step], kept) for probe, rows, kept in parts)
