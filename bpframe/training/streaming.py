"""Training examples that are brought to the device a portion at a time, in the order of an epoch.

An epoch's mini-batches, and the blocks in which they are gathered, are those of examples in memory;
a portion is some of these blocks with the examples that they take. One thread reads the next
portion while the device trains on the present one, so two are held at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.data import Examples
from bpframe.errors import ConfigError
from bpframe.tables.streamed import StreamedExamples
from bpframe.training import devices, parallel
from bpframe.training.devices import DeviceExamples
from bpframe.training.epoch import longest_block
from bpframe.training.experiment import POISSON, Experiment
from bpframe.training.orders import blocks
from bpframe.training.precision import precision

PORTION_BYTES = 2**25
"""What the inputs of a portion take; more where a block of mini-batches does."""


Cut: TypeAlias = tuple[tuple[int, ...], ...]
"""The shapes (blocks, mini-batches of a block, m) of a portion's blocks; see `orders.blocks`."""


class Portion(NamedTuple):
    """Some mini-batches of an epoch.

    Attributes:
        examples: those that they take, on the device, in the order of their numbers.
        rows: (k,) where in `examples` each is, in the order of the epoch.
        is_last: whether they are the last ones.

    """

    examples: DeviceExamples
    rows: Array
    is_last: bool


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
        self._device = parallel.everywhere() or chosen  # a thread has no default of ours
        self.shapes = devices.shapes(examples, self._dtype, parallel.everywhere())
        self.cuts = cuts(experiment, self.shapes)

    def portions(self, order: np.ndarray) -> Iterator[Portion]:
        """An epoch in its order (n,), a portion at a time; the next one is read meanwhile."""
        ends = np.cumsum([length(shapes) for shapes in self.cuts])
        parts = np.split(order, ends[:-1])
        with ThreadPoolExecutor(1, "bpframe-stream") as pool:
            ahead = pool.submit(self._read, parts[0], is_last=len(parts) == 1)
            for number in range(1, len(parts) + 1):
                portion = ahead.result()
                if number < len(parts):
                    is_last = number == len(parts) - 1
                    ahead = pool.submit(self._read, parts[number], is_last=is_last)
                yield portion
                del portion  # before the one after the next is read

    def _read(self, numbers: np.ndarray, *, is_last: bool) -> Portion:
        """The examples of some numbers, which are read in the order of their files."""
        ascending = _ascending(numbers)
        rows = np.empty(len(numbers), np.int32)
        rows[ascending] = np.arange(len(numbers), dtype=np.int32)
        x, y = self._examples.take(numbers[ascending])
        with precision(self._dtype):  # which belongs to a thread
            examples = devices.to_device(self._unchecked(x, y), self._dtype, self._device)
            return Portion(examples, jnp.asarray(rows, device=self._device), is_last)

    def _unchecked(self, x: np.ndarray, y: np.ndarray) -> Examples:
        """Examples that were looked at when their files were opened, not looked at again."""
        found = object.__new__(Examples)
        whole = self._examples
        settled = {"scale": whole.scale, "task": whole.task, "mean": whole.mean}
        for name, value in {"x": x, "y": y, "n_out": whole.n_out, **settled}.items():
            object.__setattr__(found, name, value)
        return found


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


def blocks_of(rows: Array, shapes: Cut) -> list[Array]:
    """The rows (k,) of a portion as the blocks of its mini-batches."""
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
        (training.hosts != 1, f"training.hosts: {training.hosts} is not possible; set 1"),
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
