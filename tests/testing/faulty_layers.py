"""Layers with one defect each."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import sound_layers as sound
from bpframe_plugins.layers.convolution import Convolution
from bpframe_plugins.layers.dropout import Dropout
from bpframe_plugins.layers.normalisation import LayerNorm, Normalisation
from bpframe_plugins.layers.pooling import AveragePooling, MaxPooling
from jax import Array

from bpframe import ConfigError, Dense, Factors, Params, Shape


class NotTransposedOnSquares(Dense):
    """w delta in place of w^T delta, which only square layers survive."""

    examples = ({"n": 6},)

    def shape(self, shape_prev: Shape) -> Shape:
        if shape_prev != (self.n,):
            raise ConfigError(f"needs a layer of {self.n} neurons")
        return shape_prev

    def carry(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        return params.w @ delta


class FlatError(Dense):
    """The error of an image comes back flat."""

    def carry(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        return params.w.T @ delta


class MeanForSum(Dense):
    """The mean over the examples in place of their sum."""

    def gradient(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        return jax.tree.map(
            lambda part: part / len(delta), super().gradient(params, a_prev, kept, delta)
        )


class ExampleByExample(Dense):
    """Gradients of single examples, summed afterwards."""

    def gradient(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        flat = a_prev.reshape(len(a_prev), -1)
        return Params(jnp.sum(delta[:, :, None] * flat[:, None], axis=0), jnp.sum(delta, axis=0))


class FactorsWithoutBias(Dense):
    """A of the weights alone, and biases in no factor."""

    def factors(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Factors:
        found = super().factors(params, a_prev, kept, delta)
        return Factors(found.a[:-1, :-1], found.g)


class FactorsTwiceTooLarge(Dense):
    """delta is scaled for another cost."""

    def factors(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Factors:
        found = super().factors(params, a_prev, kept, delta)
        return Factors(found.a, 2 * found.g)


class FactorsWithBiasFirst(Dense):
    """The bias is the first column of A, where all others have it last."""

    def factors(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Factors:
        found = super().factors(params, a_prev, kept, delta)
        return Factors(jnp.roll(found.a, 1, (0, 1)), found.g)


class LinearByName(LayerNorm):
    """It says that it is linear, and divides by a deviation."""

    is_linear = True


class NormsWithoutBias(Dense):
    """|delta|^2 |a|^2: the bias is forgotten."""

    def squared_norms(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        return super().squared_norms(params, a_prev, kept, delta) - jnp.sum(delta**2, axis=1)


class SquaresOfTheSum(Dense):
    """(sum_x g_x)^2 in place of sum_x g_x^2."""

    def sum_of_squares(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        return jax.tree.map(lambda g: g**2, self.gradient(params, a_prev, kept, delta))


class ProductsWithoutBias(Dense):
    """(delta . delta') (a . a'): the bias is forgotten."""

    def inner_products(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        return super().inner_products(params, a_prev, kept, delta) - delta @ delta.T


class OverTheMeanOfWindows(Convolution):
    """Windows averaged before they meet the deltas, which are at other places."""

    def example_gradients(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        found = super().example_gradients(params, a_prev, kept, delta)
        mean = jnp.broadcast_to(jnp.mean(a_prev, (1, 2), keepdims=True), a_prev.shape)
        return found._replace(w=super().example_gradients(params, mean, kept, delta).w)


class AlwaysFloat32(Dense):
    """z in float32 whatever a is."""

    def forward(self, params: Params, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        z, kept = super().forward(params, a_prev, key)
        return z.astype(jnp.float32), kept


class NotFlipped(Convolution):
    """The error goes back through the kernel as it stands."""

    def carry(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        flipped = params._replace(w=params.w[:, ::-1, ::-1])
        return super().carry(flipped, a_prev, kept, delta)


class PaddedOnTheOtherSide(Convolution):
    """The error of the margin is cut off at the wrong side."""

    examples = ({"maps": 2, "size": 2, "padding": "same"},)

    def carry(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        return jnp.roll(super().carry(params, a_prev, kept, delta), 1, axis=0)


class StrideForgotten(Convolution):
    """The windows' errors are added as if they stood next to each other."""

    examples = ({"maps": 2, "size": 1, "stride": 2},)

    def shape(self, shape_prev: Shape) -> Shape:
        return super().shape(shape_prev)

    def carry(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        parts = jnp.einsum("rck,kp->rcp", delta, params.w.reshape(self.maps, -1))
        rows, columns = delta.shape[:2]
        return jnp.zeros_like(a_prev).at[:rows, :columns].add(parts)


class BiasOfOnePlace(Convolution):
    """The bias learns from the mean over the places, not from their sum."""

    def gradient(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        found = super().gradient(params, a_prev, kept, delta)
        return found._replace(b=found.b / (delta.shape[1] * delta.shape[2]))


class ChannelsExchanged(Convolution):
    """The gradient of w with rows and columns of the kernel exchanged."""

    def gradient(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        found = super().gradient(params, a_prev, kept, delta)
        return found._replace(w=found.w.swapaxes(1, 2))


class ShapeOfTheOther(Convolution):
    """The shape of "valid" padding for "same"."""

    examples = ({"maps": 2, "size": 3, "padding": "same"},)

    def shape(self, shape_prev: Shape) -> Shape:
        rows, columns, maps = super().shape(shape_prev)
        return (rows - 2, columns - 2, maps)


class ToAllOfTheWindow(MaxPooling):
    """The error goes to the whole window."""

    def carry(self, params: Any, a_prev: Array, kept: Array, delta: Array) -> Array:
        return AveragePooling(self.size, self.stride, activation=self.activation).carry(
            params, a_prev, None, delta * self.size**2
        )


class SmallestOfTheWindow(MaxPooling):
    """The place of the smallest is kept."""

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, Array]:
        return super().forward(params, a_prev, key)[0], super().forward(params, -a_prev, key)[1]

    def carry(self, params: Any, a_prev: Array, kept: Array, delta: Array) -> Array:
        return super().carry(params, a_prev, kept, delta)


class SumForMean(AveragePooling):
    """The error is not shared out."""

    def carry(self, params: Any, a_prev: Array, kept: None, delta: Array) -> Array:
        return super().carry(params, a_prev, kept, delta * self.size**2)


class MaskDrawnAgain(Dropout):
    """The way back draws a mask of its own."""

    def carry(self, params: Any, a_prev: Array, kept: Array | None, delta: Array) -> Array:
        mask = jax.random.uniform(jax.random.key(7), delta.shape) >= self.rate
        return self._masked(delta, mask)


class ScaleForgotten(Dropout):
    """The error is masked and not scaled."""

    def carry(self, params: Any, a_prev: Array, kept: Array | None, delta: Array) -> Array:
        return delta if kept is None else jnp.where(kept, delta, jnp.zeros((), delta.dtype))


class ScaledInEvaluation(Dropout):
    """Scaled up in training, and down in evaluation as well."""

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, Array | None]:
        z, kept = super().forward(params, a_prev, key)
        return (z * (1 - self.rate) if key is None else z), kept


class SameMaskForAll(Dropout):
    """A mask that no key changes."""

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, Array | None]:
        return super().forward(params, a_prev, None if key is None else jax.random.key(0))


class RateAsAnIf(Dropout):
    """Python decides on the rate, which is traced."""

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, Array | None]:
        return super().forward(params, a_prev, key) if self.rate > 0 else (a_prev, None)


class VarianceHeldFixed(LayerNorm):
    """The error as if the variance did not depend on a."""

    def carry(self, params: Normalisation, a_prev: Array, kept: None, delta: Array) -> Array:
        _, scale = self._normalised(a_prev)
        error = params.gain * delta
        return (error - jnp.mean(error)) * scale


class GainOfA(LayerNorm):
    """The gains learn from a in place of the normalised a."""

    def gradient(
        self, params: Normalisation, a_prev: Array, kept: None, delta: Array
    ) -> Normalisation:
        found = super().gradient(params, a_prev, kept, delta)
        return found._replace(gain=jnp.sum(delta * a_prev, axis=0))


class BesideItself(sound.Affine):
    """The error forgets what the layer adds, in training alone."""

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, Array]:
        z, kept = super().forward(params, a_prev, key)
        return z + a_prev, kept


MASKS: list[Array] = []


class MaskInAGlobal(Dropout):
    """The mask is remembered beside the trace."""

    def forward(self, params: Any, a_prev: Array, key: Array | None) -> tuple[Array, Array | None]:
        MASKS.append(jnp.ones(()))
        z, kept = super().forward(params, a_prev, key)
        return z * len(MASKS), kept


LAYERS: dict[type[Any], str] = {
    NotTransposedOnSquares: "carry equals autodiff",
    FlatError: "carry equals autodiff",
    MeanForSum: "gradient equals autodiff",
    ExampleByExample: "no gradient of one example",
    NormsWithoutBias: "squared norms",
    SquaresOfTheSum: "sum of squares",
    ProductsWithoutBias: "inner products",
    OverTheMeanOfWindows: "example gradients",
    FactorsWithoutBias: "factors are sound",
    FactorsWithBiasFirst: "factors of one example",
    LinearByName: "is linear as it says",
    FactorsTwiceTooLarge: "factors of one example",
    AlwaysFloat32: "shapes and dtypes",
    NotFlipped: "carry equals autodiff",
    PaddedOnTheOtherSide: "carry equals autodiff",
    StrideForgotten: "carry equals autodiff",
    BiasOfOnePlace: "gradient equals autodiff",
    ChannelsExchanged: "gradient equals autodiff",
    ShapeOfTheOther: "shapes and dtypes",
    ToAllOfTheWindow: "carry equals autodiff",
    SmallestOfTheWindow: "carry equals autodiff",
    SumForMean: "carry equals autodiff",
    MaskDrawnAgain: "carry equals autodiff",
    ScaleForgotten: "carry equals autodiff",
    ScaledInEvaluation: "evaluation is the mean over keys",
    SameMaskForAll: "evaluation is the mean over keys",
    RateAsAnIf: "a lane axis works",
    VarianceHeldFixed: "carry equals autodiff",
    GainOfA: "gradient equals autodiff",
    BesideItself: "carry equals autodiff",
    MaskInAGlobal: "has no hidden state",
}
