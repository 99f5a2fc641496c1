"""Blocks of layers: with a way around them, or repeated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    ConfigError,
    ElementwiseActivation,
    Formula,
    Initialiser,
    Layer,
    LayerParams,
    Shape,
    Stacked,
    hyperparameter,
)

Layers = tuple[Layer, ...]
Inner = tuple[LayerParams, ...]


class _Softsign(ElementwiseActivation):
    """z / (1 + |z|), for the examples that are checked."""

    def __call__(self, z: Array) -> Array:
        """z / (1 + |z|)."""
        return z / (1 + abs(z))

    def prime(self, z: Array) -> Array:
        """1 / (1 + |z|)^2."""
        return 1 / (1 + abs(z)) ** 2


class _Elementwise(Layer):
    """a, for the examples that are checked."""

    def shape(self, shape_prev: Shape) -> Shape:
        """That of the layer before."""
        return shape_prev

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Any:
        """A weight and a bias for all neurons together."""
        del shape_prev
        return initialiser(key, (1, 1), 1, 1)

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        """w a + b."""
        del key
        return params.w[0, 0] * a_prev + params.b[0], None

    def carry(self, params: Any, a_prev: Array, kept: None, delta: Array) -> Array:
        """w delta."""
        del a_prev, kept
        return params.w[0, 0] * delta

    def gradient(self, params: Any, a_prev: Array, kept: None, delta: Array) -> Any:
        """sum a delta, and sum delta."""
        del kept
        w, b = ((delta * a_prev).sum(), delta.sum())
        return params._replace(w=w.reshape(1, 1), b=b.reshape(1))


EXAMPLE = (_Elementwise(activation=_Softsign()), _Elementwise(activation=_Softsign()))


class _Block(Layer):
    """A layer made of layers, of which what it says of gradients is put together.

    `_of_inner` calls a method of each inner layer with what that layer saw of the m examples.
    """

    @abstractmethod
    def _of_inner(self, method: str, params: Any, kept: Any, delta: Array) -> tuple[Any, ...]:
        """What the method gives, layer by layer, with an axis for repetitions where there are."""

    @abstractmethod
    def _joined(self, parts: tuple[Any, ...]) -> Any:
        """The same in the structure of the parameters."""

    def gradient(self, params: Any, a_prev: Array, kept: Any, delta: Array) -> Any:
        """The gradients of the inner layers."""
        del a_prev
        return self._joined(self._of_inner("gradient", params, kept, delta))

    def squared_norms(self, params: Any, a_prev: Array, kept: Any, delta: Array) -> Array:
        """The sum over the inner layers."""
        del a_prev
        return _summed(self._of_inner("squared_norms", params, kept, delta), delta.shape[:1])

    def inner_products(self, params: Any, a_prev: Array, kept: Any, delta: Array) -> Array:
        """The sum over the inner layers."""
        del a_prev
        return _summed(self._of_inner("inner_products", params, kept, delta), delta.shape[:1] * 2)

    def sum_of_squares(self, params: Any, a_prev: Array, kept: Any, delta: Array) -> Any:
        """Those of the inner layers."""
        del a_prev
        return self._joined(self._of_inner("sum_of_squares", params, kept, delta))

    def factors(self, params: Any, a_prev: Array, kept: Any, delta: Array) -> Any:
        """Those of the inner layers."""
        del a_prev
        return self._joined(self._of_inner("factors", params, kept, delta))


class Residual(_Block):
    """z = a + f(a), f what the inner layers make of a, their last activation included.

    Source: He et al. (2016), Deep residual learning, equation 1.
    """

    layers: Layers

    default_activation = "linear"
    examples = ({"layers": EXAMPLE[:1]}, {"layers": EXAMPLE})
    formula = Formula("a + f(a)", "a + f(a)")

    def shape(self, shape_prev: Shape) -> Shape:
        """That of the layer before, which the inner layers have to keep."""
        return _kept_shape(self.layers, shape_prev, "residual")

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Inner:
        """The parameters of the inner layers."""
        return _drawn(self.layers, initialiser, key, shape_prev)

    def forward(self, params: Inner, a_prev: Array, key: Array | None) -> tuple[Array, Any]:
        """a + f(a), and what the inner layers leave behind."""
        a, kept = _forward(self.layers, params, a_prev, key)
        return a_prev + a, kept

    def carry(self, params: Inner, a_prev: Array, kept: Any, delta: Array) -> Array:
        """delta, and what f carries back of it."""
        del a_prev
        return delta + _back(self.layers, params, kept, delta)[0]

    def example_gradients(self, params: Inner, a_prev: Array, kept: Any, delta: Array) -> Inner:
        """Those of the inner layers."""
        del a_prev
        return self._of_inner("example_gradients", params, kept, delta)

    def _of_inner(self, method: str, params: Inner, kept: Any, delta: Array) -> tuple[Any, ...]:
        return _of_each(method, self.layers, params, kept, delta)[1]

    def _joined(self, parts: tuple[Any, ...]) -> tuple[Any, ...]:
        return parts

    def inner_deltas(
        self, params: Inner, a_prev: Array, kept: Any, delta: Array
    ) -> dict[str, Array]:
        """Those of the inner layers, by their index."""
        del a_prev
        return _by_index(self.layers, params, kept, _back(self.layers, params, kept, delta)[1])


class Repeat(_Block):
    """f(f(...f(a))), `count` times the inner layers f, each time with parameters of its own.

    It is one scan, forward and back, so that compiling takes no longer for more repetitions. The
    parameters of all repetitions are arrays with a leading axis `count`.
    """

    count: int = hyperparameter(ge=1)
    layers: Layers

    default_activation = "linear"
    examples = ({"count": 3, "layers": EXAMPLE}, {"count": 1, "layers": EXAMPLE[:1]})
    formula = Formula("f(f(...f(a)))", r"f(f(\cdots f(a)))")

    def shape(self, shape_prev: Shape) -> Shape:
        """That of the layer before, which the inner layers have to keep."""
        return _kept_shape(self.layers, shape_prev, "repeat")

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Stacked:
        """The parameters of the inner layers, `count` times."""

        def drawn(key: Array) -> Inner:
            return _drawn(self.layers, initialiser, key, shape_prev)

        return Stacked(jax.vmap(drawn)(jax.random.split(key, self.count)))

    def forward(self, params: Stacked, a_prev: Array, key: Array | None) -> tuple[Array, Any]:
        """The last repetition, and what each of them leaves behind."""

        def once(a: Array, own: tuple[Inner, Array | None]) -> tuple[Array, Any]:
            return _forward(self.layers, own[0], a, own[1])

        keys = None if key is None else jax.random.split(key, self.count)
        return jax.lax.scan(once, a_prev, (params.blocks, keys))

    def carry(self, params: Stacked, a_prev: Array, kept: Any, delta: Array) -> Array:
        """Through all repetitions, the last first."""
        del a_prev

        def once(error: Array, own: tuple[Inner, Any]) -> tuple[Array, None]:
            return _back(self.layers, *own, error)[0], None

        return jax.lax.scan(once, delta, (params.blocks, kept), reverse=True)[0]

    def example_gradients(self, params: Stacked, a_prev: Array, kept: Any, delta: Array) -> Stacked:
        """Those of the inner layers in each repetition."""
        del a_prev
        parts = self._of_inner("example_gradients", params, kept, delta)
        return Stacked(jax.tree.map(lambda part: part.swapaxes(0, 1), parts))

    def _of_inner(self, method: str, params: Stacked, kept: Any, delta: Array) -> tuple[Any, ...]:
        def once(error: Array, own: tuple[Inner, Any]) -> tuple[Array, tuple[Any, ...]]:
            return _of_each(method, self.layers, *own, error)

        by_repetition = jax.tree.map(lambda part: part.swapaxes(0, 1), kept)
        return jax.lax.scan(once, delta, (params.blocks, by_repetition), reverse=True)[1]

    def _joined(self, parts: tuple[Any, ...]) -> Stacked:
        return Stacked(parts)

    def inner_deltas(
        self, params: Stacked, a_prev: Array, kept: Any, delta: Array
    ) -> dict[str, Array]:
        """Those of the inner layers, by their index, each with a leading axis `count`."""
        del a_prev

        def once(error: Array, own: tuple[Inner, Any]) -> tuple[Array, dict[str, Array]]:
            error, deltas = _back(self.layers, *own, error)
            return error, _by_index(self.layers, *own, deltas)

        return jax.lax.scan(once, delta, (params.blocks, kept), reverse=True)[1]


def _shapes(layers: Layers, shape: Shape) -> Iterator[Shape]:
    """The shapes before the layers, and after the last."""
    yield shape
    for index, layer in enumerate(layers):
        try:
            shape = layer.shape(shape)
        except ConfigError as error:
            raise ConfigError(f"layers[{index}]: {error}") from error
        yield shape


def _kept_shape(layers: Layers, shape: Shape, what: str) -> Shape:
    *_, last = _shapes(layers, shape)
    if last != shape:
        before, after = (" x ".join(map(str, each)) for each in (shape, last))
        raise ConfigError(
            f"{what}: its layers make {after} of {before}; both have to be equal, so give the last "
            "of them the shape of the layer before"
        )
    return shape


def _drawn(layers: Layers, initialiser: Initialiser, key: Array, shape: Shape) -> Inner:
    keys = jax.random.split(key, len(layers))
    parts = zip(layers, keys, _shapes(layers, shape), strict=False)
    return tuple(layer.init(initialiser, key, shape) for layer, key, shape in parts)


def _forward(
    layers: Layers, params: Inner, a: Array, key: Array | None
) -> tuple[Array, tuple[Any, ...]]:
    """What the layers make of a, and of each of them a_prev, z and what it kept."""
    keys = (None,) * len(layers) if key is None else jax.random.split(key, len(layers))
    left = []
    for layer, own, key_ in zip(layers, params, keys, strict=True):
        z, kept = layer.forward(own, a, key_)
        left.append((a, z, kept))
        a = layer.activation(z)
    return a, tuple(left)


def _back(
    layers: Layers, params: Inner, left: tuple[Any, ...], error: Array
) -> tuple[Array, tuple[Array, ...]]:
    """The error before the layers, of that behind them, and their deltas."""
    deltas = []
    for layer, own, (a, z, kept) in reversed(list(zip(layers, params, left, strict=True))):
        delta = layer.activation.pullback(z, error)
        error = layer.carry(own, a, kept, delta)
        deltas.append(delta)
    return error, tuple(reversed(deltas))


def _by_index(
    layers: Layers, params: Inner, left: tuple[Any, ...], deltas: tuple[Array, ...]
) -> dict[str, Array]:
    """The deltas of the layers and of what is in them, by index: 0, 1, 1.0, ..."""
    found: dict[str, Array] = {}
    parts = enumerate(zip(layers, params, left, deltas, strict=True))
    for index, (layer, own, (a, _, kept), delta) in parts:
        inside = layer.inner_deltas(own, a, kept, delta)
        found[f"{index}"] = delta.reshape(-1)
        found |= {f"{index}.{name}": inner for name, inner in inside.items()}
    return found


def _of_each(
    method: str, layers: Layers, params: Inner, left: tuple[Any, ...], error: Array
) -> tuple[Array, tuple[Any, ...]]:
    """The errors of m examples before the layers, and what a method of each layer gives."""
    error, deltas = jax.vmap(_back, in_axes=(None, None, 0, 0))(layers, params, left, error)
    parts = zip(layers, params, left, deltas, strict=True)
    return error, tuple(
        getattr(layer, method)(own, a, kept, delta) for layer, own, (a, _, kept), delta in parts
    )


def _summed(parts: tuple[Array, ...], shape: Shape) -> Array:
    """The sum over layers and repetitions."""
    return jnp.sum(jnp.concatenate([part.reshape(-1, *shape) for part in parts]), axis=0)
