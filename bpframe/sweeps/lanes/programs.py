"""Runs of one structure as lanes of one compiled program, spread over the devices.

Arrays of a chunk of lanes have two leading axes: blocks, which are sharded over the devices and
run one after another on each, and the lanes of a block, which are vmapped.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from bpframe.sweeps.lanes import epochs
from bpframe.sweeps.lanes.data import LANES, LaneData
from bpframe.training import compilation, initial_state, memory, probes
from bpframe.training.compilation import EPOCH_OPTIONS
from bpframe.training.devices import Device
from bpframe.training.experiment import Experiment
from bpframe.training.initial_state import Exact
from bpframe.training.metric_folds import Totals
from bpframe.training.orders import padded
from bpframe.training.portions import longest_portion
from bpframe.training.precision import precision, wide_dtype
from bpframe.training.step import State
from bpframe.training.turn import Evaluated, Trained, train, turn

# The parameters of the lanes that a CPU trains side by side: with about so many bytes they stay in
# a core's cache. Of 784-30-10 (95 KB a lane) 8 lanes at a time took 0.88 of the time that 32 took,
# of 64-30-10 (9 KB) 64 at a time took 0.76 of the time that 16 took.
CACHE_BYTES = 768 * 1024

# Lanes with a shared order take their inputs in one product, which pays for large inputs: 0.93 of
# the time that orders of their own take for 784-30-10, and 1.4 times for 64-30-10.
SHARED_INPUTS = 256


class Layout(NamedTuple):
    """How the lanes of a chunk are laid out: `blocks` on each of the devices, of `width` lanes."""

    devices: int
    blocks: int
    width: int

    @property
    def lanes(self) -> int:
        """The number of places for lanes; unused ones hold copies that are never trained."""
        return self.devices * self.blocks * self.width


def layout(lanes: int, devices: int, widest: int) -> Layout:
    """Lanes spread evenly over the devices, in blocks of at most `widest`."""
    used = min(devices, lanes)
    on_each = math.ceil(lanes / used)
    blocks = math.ceil(on_each / widest)
    return Layout(used, blocks, math.ceil(on_each / blocks))


def widest_block(experiment: Experiment, devices: Sequence[Device]) -> int:
    """How many lanes to train side by side: what fits a CPU's cache; elsewhere all."""
    if devices[0].platform != "cpu":
        return 2**30
    return 2 ** max(0, int(math.log2(max(1, CACHE_BYTES // memory.params_bytes(experiment)))))


class LanePrograms:
    """The compiled programs of a chunk of lanes.

    Making one traces all of it, so that whatever cannot be run is found here; `compile` then
    compiles it. `most` is how many epochs can be trained at a time, and `seconds` how long tracing
    and compiling took. Of what is traced the jaxprs are
    kept, 2 MB of digits' default; lowered as well, it would be 7 MB.
    """

    def __init__(self, experiment: Experiment, data: LaneData, layout: Layout) -> None:
        self.experiment = experiment
        self.layout = layout
        self.data = data
        self._sharding = NamedSharding(data.mesh, PartitionSpec(LANES))
        self._compiled: dict[str, Callable[..., Any]] = {}
        self._shares_inputs = (
            experiment.training.shared_order and experiment.network.sizes[0] >= SHARED_INPUTS
        )
        self.most = longest_portion(experiment, data.sizes["train"], layout.lanes)
        started = time.perf_counter()
        self._traced = self._trace()
        self.seconds = time.perf_counter() - started

    @property
    def columns(self) -> list[str]:
        """The columns of the metrics that are scalars."""
        columns = self._traced["turn"].out_info[1].columns
        return [name for name, info in columns.items() if len(info.shape) == 2]

    @property
    def states(self) -> State:
        """What the states of all lanes are on the host: shapes and dtypes, as `by_lane` gives."""
        lanes = self.layout.lanes
        return jax.tree.map(
            lambda info: jax.ShapeDtypeStruct((lanes, *info.shape[2:]), info.dtype),
            self._traced["initial"].out_info,
        )

    def compile(self) -> None:
        """Compile what was traced, once."""
        if self._compiled:
            return
        started = time.perf_counter()
        # One is lowered while others are compiled, the longest first.
        with (
            precision(self.experiment.training.dtype),
            ThreadPoolExecutor(len(self._traced)) as pool,
        ):
            compiling = {
                name: pool.submit(traced.lower().compile) for name, traced in self._traced.items()
            }
        self._compiled = {name: future.result() for name, future in compiling.items()}
        self.seconds += time.perf_counter() - started

    def device(self, lane: int) -> Device:
        """The device that trains a lane."""
        return self.data.mesh.devices.flat[lane // (self.layout.blocks * self.layout.width)]

    def initial(self, experiments: Experiment, exact: Exact) -> State:
        """The initial states of the stacked experiments; see `stack_exact` for `exact`."""
        return self._compiled["initial"](experiments, exact)

    def start(self, experiments: Experiment, states: State) -> Evaluated:
        """Evaluate before training; see `epochs.start`."""
        return self._compiled["start"](experiments, states, self.data.sets)

    def turn(
        self,
        experiments: Experiment,
        states: State,
        active: np.ndarray,
        orders: np.ndarray,
        epochs: range,
        *,
        evaluated: bool,
    ) -> tuple[State, Evaluated | Trained]:
        """Train the active lanes for some epochs; the others keep their state, and their outcomes
        mean nothing.

        `states` is used up. `orders` of the `epochs` are (lanes, epochs, n), or (epochs, n) if the
        lanes share it.
        The last epoch is evaluated or not; see `training.turn`.
        """
        n = self.data.sizes["train"]
        rows = probes.rows(self.experiment, epochs, n, self.most)
        orders = padded(orders, self.most)
        if not self._shares_inputs and orders.ndim == 2:
            orders = np.broadcast_to(orders, (self.layout.lanes, *orders.shape))
        placed = orders if self._shares_inputs else self.place(orders)
        return self._compiled["turn" if evaluated else "train"](
            *(experiments, states, self.place(active), placed, np.int32(len(epochs))),
            *(self.data.sets, rows),
        )

    def test(self, experiments: Experiment, states: State) -> Totals:
        """Cost and right answers over the test set."""
        return self._compiled["test"](experiments, states, self.data.sets["test"])

    def stack(self, experiments: Sequence[Experiment]) -> Experiment:
        """The experiments, one per lane, stacked on the devices."""
        wide = wide_dtype(self.experiment.training.dtype)

        def leaf(*values: float | int) -> Array:
            return self.place(np.array(values, np.int32 if isinstance(values[0], int) else wide))

        return jax.tree.map(leaf, *experiments)

    def stack_exact(self, experiments: Sequence[Experiment]) -> Exact:
        """The exact parameters of the experiments, one per lane, on the devices; None if drawn."""
        exact = [initial_state.exact(experiment) for experiment in experiments]
        if exact[0] is None:
            return None
        return jax.tree.map(lambda *parts: self.place(np.stack(parts)), *exact)

    def place(self, array: np.ndarray) -> Array:
        """An array with one entry per lane, on the devices; the last entry fills unused places."""
        devices, blocks, width = self.layout
        missing = self.layout.lanes - len(array)
        filled = np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
        shaped = filled.reshape(devices * blocks, width, *array.shape[1:])
        return jax.device_put(shaped, self._sharding)

    def _trace(self) -> dict[str, Any]:
        sizes, shared = self.data.sizes, self._shares_inputs
        lanes, whole = PartitionSpec(LANES), PartitionSpec()
        length = self.experiment.training.order_length(sizes["train"])
        orders = jax.ShapeDtypeStruct((self.most, length), np.int32)
        rows = probes.rows(self.experiment, range(0), sizes["train"], self.most)

        def sharded(program: Callable[..., Any], *specs: PartitionSpec) -> Callable[..., Any]:
            return jax.shard_map(
                program, mesh=self.data.mesh, in_specs=specs, out_specs=lanes, check_vma=False
            )

        experiments = self.stack([self.experiment])
        exact = self.stack_exact([self.experiment])
        draw = sharded(
            functools.partial(epochs.over_blocks, initial_state.draw_state), lanes, lanes
        )
        initial = jax.jit(draw, compiler_options=compilation.SHORT_COMPILATION).trace(
            experiments, exact
        )
        states = jax.tree.map(self._shape, initial.out_info)
        test = functools.partial(epochs.test, n_train=sizes["train"])

        def turns(program: Callable[..., Any]) -> Any:
            turns = functools.partial(epochs.turns, shared=shared, program=program)
            return jax.jit(
                sharded(
                    turns, lanes, lanes, lanes, whole if shared else lanes, whole, whole, whole
                ),
                donate_argnums=1,
                compiler_options=EPOCH_OPTIONS,
            ).trace(
                experiments,
                states,
                self.place(np.ones(1, bool)),
                orders if shared else self._shape_of_lanes(orders),
                np.int32(self.most),
                self.data.shapes,
                rows,
            )

        traced = {
            "turn": turns(turn),
            "test": jax.jit(sharded(test, lanes, lanes, whole)).trace(
                experiments, states, self.data.shapes["test"]
            ),
            "initial": initial,
        }
        if self.most < self.experiment.training.next_evaluated(0):
            traced["train"] = turns(train)
        if self.experiment.training.evaluate_start:
            start = sharded(epochs.start, lanes, lanes, whole)
            traced["start"] = jax.jit(start).trace(experiments, states, self.data.shapes)
        return traced

    def _shape(self, info: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(info.shape, info.dtype, sharding=self._sharding)

    def _shape_of_lanes(self, one: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        devices, blocks, width = self.layout
        return jax.ShapeDtypeStruct(
            (devices * blocks, width, *one.shape), one.dtype, sharding=self._sharding
        )


def by_lane(tree: Any) -> Any:
    """Every array of `tree` on the host, with the lanes as its only leading axis."""
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), jax.device_get(tree))
