"""What the benchmark trains: networks, data and targets that are the same for every way."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import numpy as np

import bpframe
from bpframe.training import initial_state, loading
from bpframe.training.precision import precision


@dataclasses.dataclass(frozen=True)
class Task:
    """A network, how it is trained, and on how many images an epoch is timed.

    `maps` are those of convolutions of size 5 on the 28 x 28 images, each with max-pooling of size
    2 behind it, before the hidden layers; `convolutions` are others in their place. With `repeated`
    the hidden layers after the first, which are all alike, are one `repeat`. `more` are further
    overrides, for bpframe alone.
    """

    hidden: tuple[int, ...]
    m: int
    maps: tuple[int, ...] = ()
    convolutions: str = ""
    repeated: bool = False
    cost: str = "quadratic"
    activation: str = "sigmoid"
    output_activation: str = "sigmoid"
    eta: float = 3.0
    strength: float = 0.0  # of the l2 penalty, the book's lambda
    dtype: str = "float32"
    images: int = 50_000
    modified: bool = False
    more: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        return (784, *self.hidden, 10)

    @property
    def name(self) -> str:
        sizes = "-".join([self._input, *self._hidden, "10"])
        dtype = f", {self.dtype}" if self.dtype != "float32" else ""
        more = "".join(f", {text.partition('=')[2]}" for text in self.more)
        return f"{sizes}, m {self.m}{dtype}{more}"

    @property
    def _input(self) -> str:
        parts = [f"conv{'' if self.convolutions else 5}x{maps}-pool2" for maps in self.maps]
        convolutions = "".join(f"-{part}" for part in parts)
        return f"28x28{convolutions}" if self.maps else "784"

    @property
    def _hidden(self) -> list[str]:
        n, count = self.hidden[0], len(self.hidden)
        if count > 8 or self.repeated:
            return [str(n), f"repeat({n}, {count - 1})" if self.repeated else f"{count - 1}*{n}"]
        return [str(n) for n in self.hidden]

    @property
    def steps(self) -> int:
        """Steps of one timed epoch."""
        return self.images // self.m

    @property
    def step_flops(self) -> float:
        """Floating-point operations of the products of one step of dense layers."""
        pairs = [n_in * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False)]
        return 2.0 * self.m * (2 * sum(pairs) + sum(pairs[1:]))

    def overrides(self) -> list[str]:
        """The experiment as bpframe's command line would have it."""
        modified = "[{layer: 2, neuron: 3, activation: softplus}]" if self.modified else "[]"
        penalty = ["regulariser=l2", f"regulariser.strength={self.strength}"]
        return [
            "data=mnist",
            *self._network(),
            f"network.modified_neurons={modified}",
            f"cost={self.cost}",
            f"optimiser.eta={self.eta}",
            *(penalty if self.strength else []),
            f"training.batch_size={self.m}",
            f"training.dtype={self.dtype}",
            *self.more,
        ]

    def _network(self) -> list[str]:
        if not (self.maps or self.repeated):
            return [
                f"network.hidden=[{','.join(map(str, self.hidden))}]",
                f"network.activation={self.activation}",
                f"network.output_activation={self.output_activation}",
            ]
        dense = [f"{{n: {n}, activation: {self.activation}}}" for n in self.hidden]
        if self.repeated:
            block = f"{{name: repeat, count: {len(dense) - 1}, layers: [{dense[0]}]}}"
            dense = [dense[0], block]
        convolutions = [
            f"{{name: convolution, maps: {maps}, size: 5, activation: {self.activation}}}, "
            "{name: max_pooling, size: 2}"
            for maps in self.maps
        ]
        if self.convolutions:
            convolutions = [self.convolutions]
        output = f"{{n: 10, activation: {self.output_activation}}}"
        return [f"network.layers=[{', '.join([*convolutions, *dense, output])}]"]


class Images(NamedTuple):
    """MNIST's training images as the ways take them: flat scaled floats, labels, one-hot y."""

    x: np.ndarray
    labels: np.ndarray
    y: np.ndarray


@functools.cache
def mnist() -> bpframe.Data:
    return loading.load(bpframe.compose(["data=mnist"]))


@functools.cache
def images() -> Images:
    train = mnist().train
    x = (train.x.reshape(len(train), -1) * np.float32(train.scale)).astype(np.float32)
    return Images(x, train.y.astype(np.int64), np.eye(10, dtype=np.float32)[train.y])


def initial_params(task: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where every way starts: w (n_out, n_in) and b (n_out,) of each layer, in float32.

    Those of a convolution are w (maps, 5, 5, channels) and b (maps,).
    """
    experiment = bpframe.compose(task.overrides())
    with precision(task.dtype):
        params = jax.device_get(initial_state.initial_state(experiment).params)
    return [(np.array(w, np.float32), np.array(b, np.float32)) for w, b in filter(None, params)]
