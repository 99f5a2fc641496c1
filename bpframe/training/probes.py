"""What recorders keep, inside the compiled program: rows of arrays, one for each time.

The host says after which steps something is kept, and in which row; it knows, since it counts
epochs. So lanes, which take their steps together, leave out together what is not asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe import equations
from bpframe.data import Data
from bpframe.errors import ConfigError, PluginError
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
        n: the training examples.

    """

    sets: Mapping[str, DeviceExamples]
    rows: tuple[Array, ...]
    n: int

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
    recorders, examples = by_probe(experiment)[probe], sets[probe.over]
    m = recorders[0].recorder.probe_size(examples.x.shape[0])
    x, y = floats(experiment, examples._replace(x=examples.x[:m], y=examples.y[:m]))
    found = equations.gradient(network, pair, narrowed.params, x, y, rule, narrowed.rule)
    watched = observation(experiment, wide, found, y, examples.task)
    return {
        f"{named.name}/{name}": array
        for named in recorders
        for name, array in named.recorder.chosen(watched).items()
    }


def nothing_kept(experiment: Experiment, state: State, watch: Watch, length: int) -> Kept:
    """Empty rows, as many as `length` epochs need."""
    most = most_rows(experiment, watch.n, length)
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


class _Size(NamedTuple):
    """What one recorder keeps at a time, by the name of the array, and how often it does."""

    arrays: Mapping[str, Any]
    times: int

    @property
    def row(self) -> int:
        return sum(info.size * info.dtype.itemsize for info in self.arrays.values())


def check(experiment: Experiment, data: Data) -> None:
    """Refuse recorders that cannot be asked, or that keep more than is allowed.

    Raises:
        ConfigError: a probe is larger than its split, a layer is not one that is recorded, or all
            is more than `record_limit`.
        PluginError: a recorder gives arrays of other names or shapes than it should.

    """
    for index, named in enumerate(experiment.recorders):
        recorder = named.recorder
        n = len(getattr(data, recorder.over))
        if recorder.first is not None and recorder.first > n:
            raise ConfigError(
                f"record[{index}].first: {recorder.first} is out of range; allowed: 1 to {n}, the "
                f"{recorder.over} set"
            )
    sizes = _sizes(experiment, data)
    for index, (named, size) in enumerate(zip(experiment.recorders, sizes, strict=True)):
        n = len(getattr(data, named.recorder.over))
        layers = _check_arrays(named, size, n)
        if missing := sorted(set(named.recorder.layers) - layers):
            everything = dataclasses.replace(named.recorder, layers=())
            whole = NamedRecorder(named.name, everything)
            (of_all,) = _sizes(dataclasses.replace(experiment, recorders=(whole,)), data)
            known = ", ".join(map(str, sorted(layers | _check_arrays(whole, of_all, n))))
            raise ConfigError(
                f"record[{index}].layers: {named.name} has nothing of layer {missing[0]}; it has "
                f"layers {known}"
            )
    total = sum(size.row * size.times for size in sizes)
    if total > experiment.record_limit * MIB:
        each = ", ".join(
            f"{named.name} {shown(size.row * size.times)}"
            for named, size in zip(experiment.recorders, sizes, strict=True)
        )
        raise ConfigError(
            f"record: a run would keep {shown(total)} ({each}), more than record_limit, "
            f"{experiment.record_limit} MiB; set every, until, layers or first to keep less, or "
            f"record_limit={-(-total // MIB)}"
        )


def told(experiment: Experiment, data: Data) -> str | None:
    """A line that says how much a run will record; None for nothing."""
    if not experiment.recorders:
        return None
    parts = list(zip(experiment.recorders, _sizes(experiment, data), strict=True))
    total = shown(sum(size.row * size.times for _, size in parts))
    each = ", ".join(f"{named.name} {size.times} times" for named, size in parts)
    return f"{total} will be recorded of a run: {each}"


def shown(size: int) -> str:
    """A number of bytes, in MiB."""
    return f"{size / MIB:,.1f} MiB" if size >= MIB / 10 else f"{size / 1024:,.1f} KiB"


def row_bytes(experiment: Experiment, data: Data) -> list[int]:
    """What the recorders of each probe keep at a time."""
    found: dict[Probe, int] = {}
    for named, size in zip(experiment.recorders, _sizes(experiment, data), strict=True):
        probe = Probe.of(named.recorder)
        found[probe] = found.get(probe, 0) + size.row
    return list(found.values())


def _sizes(experiment: Experiment, data: Data) -> list[_Size]:
    """What each recorder keeps, found by tracing."""
    if not experiment.recorders:
        return []
    n, dtype = len(data.train), experiment.training.dtype
    with precision(dtype):
        sets = {split: devices.shapes(part, dtype) for split, part in data._asdict().items()}
        exact = initial_state.exact(experiment)
        state = jax.eval_shape(initial_state.draw_state, experiment, exact)
        arrays: dict[str, Any] = {}
        for probe in by_probe(experiment):
            arrays |= jax.eval_shape(
                lambda experiment, state, sets, probe=probe: seen(experiment, state, sets, probe),
                *(experiment, state, sets),
            )
    return [
        _Size(
            {path: info for path, info in arrays.items() if path.startswith(f"{named.name}/")},
            len(named.recorder.steps(experiment.training.epochs, experiment.training.steps(n))),
        )
        for named in experiment.recorders
    ]


def _check_arrays(named: NamedRecorder, size: _Size, n: int) -> set[int]:
    """The layers of the arrays, whose names and shapes are as they should be."""
    recorder, who = named.recorder, f"{type(named.recorder).__name__}.record"
    layers: set[int] = set()
    m = recorder.probe_size(n)
    for name, info in size.arrays.items():
        key = name.partition("/")[2]
        if (found := LAYER.fullmatch(key)) is None:
            raise PluginError(f"{who}: {key!r} names no layer; call it layer_2 or layer_2.w")
        layers.add(int(found[1]))
        if recorder.of_examples and info.shape[:1] != (m,):
            raise PluginError(
                f"{who}: {key} has the shape {info.shape}, without an axis for the "
                f"{m} examples in front; give it one, or set of_examples = False"
            )
    if not size.arrays and not recorder.layers:
        raise PluginError(f"{who}: gives no arrays")
    return layers
