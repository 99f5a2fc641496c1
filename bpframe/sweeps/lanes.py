"""Runs of one structure as lanes of one compiled program, spread over the devices there are.

Arrays of a chunk of lanes have two leading axes: blocks, which are sharded over the devices and
run one after another on each, and the lanes of a block, which are vmapped.
"""

from __future__ import annotations

import functools
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from bpframe import measuring, steering, training
from bpframe.contracts import Params
from bpframe.data import Data
from bpframe.experiment import Experiment
from bpframe.measuring import Totals
from bpframe.monitoring import SPLITS
from bpframe.precision import wide_dtype
from bpframe.training import EPOCH_OPTIONS, Device, DeviceExamples, State

_LANES = "lanes"

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
        """Places for lanes; what is not taken is filled with copies that are never trained."""
        return self.devices * self.blocks * self.width


def layout(lanes: int, devices: int, widest: int) -> Layout:
    """Lanes spread evenly over the devices, in blocks of at most `widest`."""
    used = min(devices, lanes)
    on_each = math.ceil(lanes / used)
    blocks = math.ceil(on_each / widest)
    return Layout(used, blocks, math.ceil(on_each / blocks))


def widest_block(experiment: Experiment, devices: Sequence[Device]) -> int:
    """How many lanes are worth being trained side by side: what fits a CPU's cache, or all."""
    if devices[0].platform != "cpu":
        return 2**30
    return 2 ** max(0, int(math.log2(max(1, CACHE_BYTES // params_bytes(experiment)))))


def params_bytes(experiment: Experiment) -> int:
    """The size of one lane's parameters."""
    itemsize = wide_dtype(experiment.training.dtype).itemsize
    return itemsize * sum(n_out * (n_in + 1) for n_in, n_out in experiment.network.shapes)


class LaneEpoch(NamedTuple):
    """What an epoch gives for one lane, besides its new state.

    `finite` says whether the parameters and both costs are; if not, the lane's state is still the
    one before the epoch. `stop` is the stopping rule's answer.
    """

    train: Totals
    validation: Totals
    finite: Array
    columns: Mapping[str, Array]
    stop: Array


class LaneData:
    """The examples of all splits, copied to every device that trains lanes."""

    def __init__(self, data: Data, dtype: str, devices: Sequence[Device]) -> None:
        self.mesh = jax.make_mesh(
            (len(devices),), (_LANES,), axis_types=(AxisType.Auto,), devices=devices
        )
        self.sizes = {split: len(examples) for split, examples in data._asdict().items()}
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        self.sets = {
            split: training.to_device(examples, dtype, everywhere)
            for split, examples in data._asdict().items()
        }


class LanePrograms:
    """The compiled programs of a chunk of lanes.

    Making one traces all of it, so that whatever cannot be run is found here; `compile` then
    compiles it. `seconds` is how long tracing and compiling took.
    """

    def __init__(self, experiment: Experiment, data: LaneData, layout: Layout) -> None:
        self.experiment = experiment
        self.layout = layout
        self.data = data
        self._sharding = NamedSharding(data.mesh, PartitionSpec(_LANES))
        self._compiled: dict[str, Callable[..., Any]] = {}
        self._shares_inputs = (
            experiment.training.shared_order and experiment.network.sizes[0] >= SHARED_INPUTS
        )
        started = time.perf_counter()
        self._traced = self._trace()
        self.seconds = time.perf_counter() - started

    @property
    def columns(self) -> list[str]:
        """The columns of the metrics that are scalars."""
        columns = self._traced["epoch"].out_info[1].columns
        return [name for name, info in columns.items() if len(info.shape) == 2]

    def compile(self) -> None:
        """Compile what was traced, once."""
        if self._compiled:
            return
        started = time.perf_counter()
        with ThreadPoolExecutor(len(self._traced)) as pool:
            compiling = {n: pool.submit(traced.compile) for n, traced in self._traced.items()}
        self._compiled = {name: future.result() for name, future in compiling.items()}
        self.seconds += time.perf_counter() - started

    def device(self, lane: int) -> Device:
        """The device that trains a lane."""
        return self.data.mesh.devices.flat[lane // (self.layout.blocks * self.layout.width)]

    def initial(self, experiments: Experiment) -> State:
        """The initial states of the stacked experiments."""
        return self._compiled["initial"](experiments)

    def epoch(
        self, experiments: Experiment, states: State, active: np.ndarray, orders: np.ndarray
    ) -> tuple[State, LaneEpoch]:
        """One epoch of the active lanes; the others stay as they are, and give anything.

        `states` is used up. `orders` is (lanes, n), or (n,) if the lanes share it.
        """
        if not self._shares_inputs and orders.ndim == 1:
            orders = np.broadcast_to(orders, (self.layout.lanes, *orders.shape))
        placed = orders if self._shares_inputs else self.place(orders)
        return self._compiled["epoch"](
            experiments, states, self.place(active), placed, self.data.sets
        )

    def test(self, experiments: Experiment, states: State) -> Totals:
        """Cost and right answers over the test set."""
        return self._compiled["test"](experiments, states.params, self.data.sets["test"])

    def stack(self, experiments: Sequence[Experiment]) -> Experiment:
        """The experiments, one a lane, as one on the devices."""
        wide = wide_dtype(self.experiment.training.dtype)

        def leaf(*values: float | int) -> Array:
            return self.place(np.array(values, np.int32 if isinstance(values[0], int) else wide))

        return jax.tree.map(leaf, *experiments)

    def place(self, array: np.ndarray) -> Array:
        """An array with one entry a lane on the devices; the last entry fills the places left."""
        devices, blocks, width = self.layout
        missing = self.layout.lanes - len(array)
        filled = np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
        shaped = filled.reshape(devices * blocks, width, *array.shape[1:])
        return jax.device_put(shaped, self._sharding)

    def _trace(self) -> dict[str, Any]:
        sizes, shared = self.data.sizes, self._shares_inputs
        lanes, whole = PartitionSpec(_LANES), PartitionSpec()
        order = jax.ShapeDtypeStruct((sizes["train"],), np.int32)

        def sharded(program: Callable[..., Any], *specs: PartitionSpec) -> Callable[..., Any]:
            return jax.shard_map(
                program, mesh=self.data.mesh, in_specs=specs, out_specs=lanes, check_vma=False
            )

        experiments = self.stack([self.experiment])
        draw = sharded(functools.partial(_over_blocks, training.draw_state), lanes)
        initial = jax.jit(draw, compiler_options=training.SHORT_COMPILATION).lower(experiments)
        states = jax.tree.map(self._shape, initial.out_info)
        epoch = functools.partial(_epoch, sizes=sizes, shared=shared)
        test = functools.partial(_test, n_train=sizes["train"])
        return {
            "initial": initial,
            "epoch": jax.jit(
                sharded(epoch, lanes, lanes, lanes, whole if shared else lanes, whole),
                donate_argnums=1,
                compiler_options=EPOCH_OPTIONS,
            ).lower(
                experiments,
                states,
                self.place(np.ones(1, bool)),
                order if shared else self._shape_of_lanes(order),
                self.data.sets,
            ),
            "test": jax.jit(sharded(test, lanes, lanes, whole)).lower(
                experiments, states.params, self.data.sets["test"]
            ),
        }

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


def _over_blocks(program: Callable[..., Any], *trees: Any) -> Any:
    """`program`, which is written for one lane, over the lanes of each block, block by block."""
    return jax.lax.map(lambda block: _over_lanes(program, *block), trees)


def _over_lanes(program: Callable[..., Any], *block: Any) -> Any:
    if jax.tree.leaves(block)[0].shape[0] > 1:
        return jax.vmap(program)(*block)
    result = program(*jax.tree.map(lambda leaf: leaf[0], block))
    return jax.tree.map(lambda leaf: leaf[None], result)


def _epoch(
    experiments: Experiment,
    states: State,
    active: Array,
    orders: Array,
    sets: Mapping[str, DeviceExamples],
    *,
    sizes: Mapping[str, int],
    shared: bool,
) -> tuple[State, LaneEpoch]:
    """One epoch of the lanes of one device."""
    own = (experiments, states, active, *(() if shared else (orders,)))

    def lane(
        experiment: Experiment, state: State, active: Array, order: Array = orders
    ) -> tuple[State, LaneEpoch]:
        new, epoch = _lane_epoch(experiment, state, order, sets, sizes)
        keep = active & epoch.finite
        return jax.tree.map(lambda old, new: jnp.where(keep, new, old), state, new), epoch

    # A jit of its own, so that it is traced once for its shapes and for its use.
    train = jax.jit(functools.partial(_over_lanes, lane))

    def block(own: tuple[Any, ...]) -> tuple[State, LaneEpoch]:
        nothing = jax.tree.map(
            lambda info: jnp.zeros(info.shape, info.dtype), jax.eval_shape(train, *own)[1]
        )
        return jax.lax.cond(jnp.any(own[2]), lambda: train(*own), lambda: (own[1], nothing))

    return jax.lax.map(block, own)


def _lane_epoch(
    experiment: Experiment,
    state: State,
    order: Array,
    sets: Mapping[str, DeviceExamples],
    sizes: Mapping[str, int],
) -> tuple[State, LaneEpoch]:
    """An epoch of one lane with its evaluation, as a single run makes it."""
    found = training.train_epoch(experiment, state, sets["train"], order)
    params, train = found.state.params, found.totals
    n = jnp.asarray(sizes["train"], wide_dtype(experiment.training.dtype))
    if experiment.training.evaluate_train:
        train = training.evaluate(experiment, params, sets["train"], n)
    validation = training.evaluate(experiment, params, sets["validation"], n)
    columns = OrderedDict(found.columns)
    for split in SPLITS:
        if measuring.is_measured(experiment, split):
            columns.update(training.measure(experiment, found.state, sets[split], over=split))
    steered, stop = steering.after_epoch(
        experiment,
        found.state.steering,
        found.state.step,
        train,
        validation,
        n_train=sizes["train"],
        n_validation=sizes["validation"],
    )
    finite = found.finite & jnp.isfinite(train.cost) & jnp.isfinite(validation.cost)
    epoch = LaneEpoch(train, validation, finite, columns, stop)
    return found.state._replace(steering=steered), epoch


def _test(
    experiments: Experiment, params: tuple[Params, ...], examples: DeviceExamples, *, n_train: int
) -> Totals:
    def lane(experiment: Experiment, params: tuple[Params, ...]) -> Totals:
        n = jnp.asarray(n_train, wide_dtype(experiment.training.dtype))
        return training.evaluate(experiment, params, examples, n)

    return _over_blocks(lane, experiments, params)
