"""Training examples that are brought to the device a portion at a time, in the order of an epoch.

An epoch's mini-batches, and the blocks in which they are gathered, are those of examples in memory;
a portion is some of these blocks with the examples that they take. One thread reads the next
portion while the device trains on the present one, so two are held at most. Of several devices
each has its own share of every mini-batch, and a host reads no more than the shares of its devices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Sharding

from bpframe.data import Examples
from bpframe.errors import ConfigError
from bpframe.tables.streamed import StreamedExamples
from bpframe.training import devices, parallel
from bpframe.training.devices import DeviceExamples
from bpframe.training.epoch import longest_block
from bpframe.training.experiment import POISSON, Experiment
from bpframe.training.orders import NOBODY, blocks
from bpframe.training.precision import precision
from bpframe.training.step import Gathered, gathered

PORTION_BYTES = 2**25
"""What the inputs of a portion take; more where a block of mini-batches does."""


Cut: TypeAlias = tuple[tuple[int, ...], ...]
"""The shapes (blocks, mini-batches of a block, m) of a portion's blocks; see `orders.blocks`."""


class Portion(NamedTuple):
    """Some mini-batches of an epoch.

    Attributes:
        examples: those that they take, in the order of their numbers; of several devices each has
            its own.
        rows: where in them each example is, in blocks of mini-batches as `orders.blocks` cuts them;
            of several devices each has its own, filled up with `NOBODY`.
        is_last: whether they are the last ones.

    """

    examples: DeviceExamples
    rows: tuple[Array, ...]
    is_last: bool


Read: TypeAlias = Callable[[list[np.ndarray]], tuple[DeviceExamples, tuple[Array, ...]]]
"""Examples and rows of a portion, by the numbers of its examples in blocks."""


class Stream:
    """The training examples of an experiment, on their way to the device.

    Made inside of `parallel.on_devices`, for the devices of which it is.
    """

    def __init__(self, experiment: Experiment, examples: StreamedExamples) -> None:
        self.n = len(examples)
        self._examples = examples
        self._dtype = experiment.training.dtype
        platform = experiment.training.device
        chosen = None if platform == "auto" else devices.of_platform(platform)[0]
        self._device = chosen  # a thread has no default of ours
        self._everywhere, self._sharing = parallel.everywhere(), parallel.sharing()
        self._shares, self._own = parallel.shares(), parallel.own_shares()
        self._shapes = devices.shapes(examples, self._dtype, self._everywhere)
        self.cuts = cuts(experiment, self._shapes)
        one = examples.examples(0, 1)
        self._settled = devices.to_device(one, self._dtype, self._everywhere or chosen)

    def portions(self, order: np.ndarray) -> Iterator[Portion]:
        """An epoch in its order (n,), a portion at a time; the next one is read meanwhile."""
        return self._ahead(order, self._read)

    def whole_portions(self, order: np.ndarray) -> Iterator[Portion]:
        """The same, with all examples of a portion and their rows on every device."""
        return self._ahead(order, self._read_whole)

    def portion_shapes(self, cut: Cut) -> tuple[DeviceExamples, tuple[Any, ...]]:
        """The shapes of a portion's examples and rows."""
        shared = [(*shape[:2], self._shares * -(-shape[2] // self._shares)) for shape in cut]
        rows = tuple(
            jax.ShapeDtypeStruct(shape, np.int32, sharding=self._sharing and self._sharing(2))
            for shape in shared
        )
        found = devices.of_length(self._shapes, length(tuple(shared)))
        if self._sharing is None:
            return found, rows
        x, y = (
            jax.ShapeDtypeStruct(info.shape, info.dtype, sharding=self._sharing(0))
            for info in found[:2]
        )
        return found._replace(x=x, y=y), rows

    def _ahead(self, order: np.ndarray, read: Read) -> Iterator[Portion]:
        """The portions of an order, each read while the one before it is in use."""
        parts = iter(np.split(order, np.cumsum([length(cut) for cut in self.cuts])[:-1]))
        cut = iter(self.cuts)
        with ThreadPoolExecutor(1, "bpframe-stream") as pool:
            ahead = pool.submit(read, blocks_of(next(parts), next(cut)))
            for left in reversed(range(len(self.cuts))):
                portion = Portion(*ahead.result(), is_last=not left)
                if left:
                    ahead = pool.submit(read, blocks_of(next(parts), next(cut)))
                yield portion
                del portion  # before the one after the next is read

    def _read(self, numbers: list[np.ndarray]) -> tuple[DeviceExamples, tuple[Array, ...]]:
        shared = [shared_out(block, self._shares) for block in numbers]
        own = [self._taken([block[:, :, share] for block in shared]) for share in self._own]
        x, y, rows = zip(*own, strict=True)
        side_by_side = [np.concatenate(of_block, axis=2) for of_block in zip(*rows, strict=True)]
        return self._placed(_joined(x), _joined(y), side_by_side, self._sharing)

    def _read_whole(self, numbers: list[np.ndarray]) -> tuple[DeviceExamples, tuple[Array, ...]]:
        everywhere = self._everywhere
        return self._placed(*self._taken(numbers), everywhere and (lambda _: everywhere))

    def _taken(self, numbers: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """The examples of some numbers in blocks, read in the order of their files; their rows.

        In the place of `NOBODY` some example is read, so that all devices have as many.
        """
        flat = np.concatenate([block.reshape(-1) for block in numbers])
        nobody = flat == NOBODY
        flat[nobody] = 0
        ascending = _ascending(flat)
        rows = np.empty(len(flat), np.int32)
        rows[ascending] = np.arange(len(flat), dtype=np.int32)
        rows[nobody] = NOBODY
        x, y = self._examples.take(flat[ascending])
        return x, y, blocks_of(rows, tuple(block.shape for block in numbers))

    def _placed(
        self,
        x: np.ndarray,
        y: np.ndarray,
        rows: list[np.ndarray],
        sharing: Callable[[int], Sharding] | None,
    ) -> tuple[DeviceExamples, tuple[Array, ...]]:
        """Examples and rows on the devices, by the axis along which they share an array."""

        def place(array: Any, axis: int) -> Array:
            if sharing is None:
                return jnp.asarray(array, device=self._device)
            # As each host has its part: nothing is sent, as this is done beside training.
            return jax.make_array_from_process_local_data(sharing(axis), array)

        with precision(self._dtype):  # which belongs to a thread
            found = devices.on_host(self._unchecked(x, y), self._dtype)
            examples = self._settled._replace(x=place(found.x, 0), y=place(found.y, 0))
            return examples, tuple(place(block, 2) for block in rows)

    def _unchecked(self, x: np.ndarray, y: np.ndarray) -> Examples:
        """Examples that were looked at when their files were opened, not looked at again."""
        found = object.__new__(Examples)
        whole = self._examples
        settled = {"scale": whole.scale, "task": whole.task, "mean": whole.mean}
        for name, value in {"x": x, "y": y, "n_out": whole.n_out, **settled}.items():
            object.__setattr__(found, name, value)
        return found


def own_batches(examples: DeviceExamples, rows: Array, m: int) -> Gathered:
    """Mini-batches of m examples, of which each device gathers its share from its own examples."""
    if parallel.shares() == 1:
        return gathered(examples, rows)
    x, y = parallel.taken((examples.x, examples.y), rows)
    return Gathered(x, y, None if rows.shape[-1] == m else rows != NOBODY)


def shared_out(rows: np.ndarray, shares: int) -> np.ndarray:
    """Rows (blocks, b, m) of mini-batches as (blocks, b, shares, rows of a share).

    They are filled up and split as `parallel` has it.
    """
    *leading, m = rows.shape
    filled = np.pad(rows, [(0, 0), (0, 0), (0, -m % shares)], constant_values=NOBODY)
    return filled.reshape(*leading, shares, -1)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays one after another; a single one is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _ascending(numbers: np.ndarray) -> np.ndarray:
    """What sorts numbers (k,) of 31 bits: by the low half, then by the high one.

    NumPy sorts 16 bits by counting, so this takes 27 ns a number, and `argsort` of them 74.
    """
    low = np.argsort((numbers & 0xFFFF).astype(np.uint16), kind="stable")
    return low[np.argsort((numbers >> 16).astype(np.uint16)[low], kind="stable")]


def cuts(experiment: Experiment, shapes: DeviceExamples) -> list[Cut]:
    """How an epoch is cut into portions.

    All portions but the last are alike, so that they run the same program.
    """
    n, width = shapes.x.shape
    m = experiment.training.rows(n)
    row_bytes = shapes.x.dtype.itemsize * width
    whole, *rest = blocks(np.arange(n, dtype=np.int32), m, longest_block(row_bytes, m))
    count, b = len(whole), whole.shape[1]
    row_bytes += shapes.y.dtype.itemsize * math.prod(shapes.y.shape[1:])
    most = max(1, min(count, PORTION_BYTES // (b * m * row_bytes)))
    number = -(-count // most)
    each = -(-count // number)
    number = -(-count // each)
    last = ((count - (number - 1) * each, b, m), *(part.shape for part in rest))
    return [((each, b, m),)] * (number - 1) + [last]


def blocks_of(rows: np.ndarray, shapes: Cut) -> list[np.ndarray]:
    """Rows (k,) as blocks of mini-batches."""
    ends = np.cumsum([math.prod(shape) for shape in shapes]).tolist()
    places = zip((0, *ends), ends, shapes, strict=False)
    return [rows[start:end].reshape(shape) for start, end, shape in places]


def length(shapes: Cut) -> int:
    """How many examples are in a portion with blocks of these shapes."""
    return sum(map(math.prod, shapes))


def portion_shapes(experiment: Experiment, shapes: DeviceExamples) -> DeviceExamples:
    """The shapes of the largest portion, of examples with such shapes."""
    return devices.of_length(shapes, max(map(length, cuts(experiment, shapes))))


def check(experiment: Experiment) -> None:
    """Refuse what needs all training examples at once.

    Raises:
        ConfigError: there is such a thing.

    """
    training, why = experiment.training, "the training examples are not all in memory"
    for wrong, message in (
        (training.evaluate_train, "training.evaluate_train: true asks for all of them; set false"),
        (training.evaluate_start, "training.evaluate_start: true asks for all of them; set false"),
        (training.sampling == POISSON, "training.sampling: poisson asks for all; set shuffled"),
        (training.batch_size is None, "training.batch_size: null asks for all; set a number"),
    ):
        if wrong:
            raise ConfigError(f"{message}, since {why}; or choose data such as npz")
    for index, monitor in enumerate(experiment.metrics):
        if monitor.metric.over == "train":
            raise ConfigError(
                f"metrics[{index}].over: train asks for all of them, since {why}; choose steps, "
                "which are the same examples as training meets them, or validation"
            )
    for index, named in enumerate(experiment.recorders):
        if named.recorder.over == "train":
            raise ConfigError(
                f"record[{index}].over: train is not possible, since {why}; choose validation"
            )
