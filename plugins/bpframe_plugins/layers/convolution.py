"""Convolution: neurons that share their weights, each looking at a window of an image."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    ConfigError,
    Factors,
    Formula,
    Initialiser,
    Layer,
    Params,
    Shape,
    hyperparameter,
    sum_of_deltas,
    sum_of_products,
)
from bpframe_plugins.layers import windows

VALID, SAME, CROPPED = PADDINGS = ("valid", "same", "cropped")


class Convolution(Layer):
    """z_(r,c,k) = b_k + sum over the window at (r, c) of w_k a: `maps` maps of shared weights.

    The input is (rows, columns, channels), w (maps, size, size, channels), b (maps,); nothing is
    flipped, as in the book. With "same" padding the image is surrounded by zeros, so that with a
    stride of 1 it keeps its rows and columns; a `margin` is so many zeros on every side. Windows
    have to end at the edge, unless it is "cropped": what is left over at the far edges is not seen.

    The windows are cut out by slices, and one matrix product does the rest, forward as well as
    back; they are cut out again for the gradient, since to keep them would take size^2 images.

    Source: LeCun et al. (1998); Nielsen (2015), chapter 6, equation 125.
    """

    maps: int = hyperparameter(ge=1)
    size: int = hyperparameter(ge=1)
    stride: int = hyperparameter(default=1, ge=1)
    padding: str = hyperparameter(default=VALID, choices=PADDINGS)
    margin: int = hyperparameter(default=0, ge=0)

    examples = (
        {"maps": 3, "size": 3},
        {"maps": 2, "size": 2, "padding": "same"},
        {"maps": 2, "size": 1, "stride": 2},
        {"maps": 1, "size": 3, "stride": 2, "padding": "same"},
        {"maps": 2, "size": 4, "stride": 3, "padding": "cropped", "margin": 1},
    )
    is_linear = True
    formula = Formula(
        "b_k + sum_(i,j,c) w_k,i,j,c a_(r+i),(s+j),c",
        r"b_k + \sum_{i,j,c} w_{k,i,j,c}\, a_{r+i,\,s+j,\,c}",
    )

    gradient_formula = Formula(
        "dC_x/dw_k,i,j,c = sum_(r,s) delta_(r,s),k a_(r+i),(s+j),c,  "
        "dC_x/db_k = sum_(r,s) delta_(r,s),k",
        r"\frac{\partial C_x}{\partial w_{k,i,j,c}} = "
        r"\sum_{r,s} \delta_{r,s,k}\, a_{r+i,\,s+j,\,c},\quad "
        r"\frac{\partial C_x}{\partial b_k} = \sum_{r,s} \delta_{r,s,k}",
    )

    def shape(self, shape_prev: Shape) -> Shape:
        """(rows of windows, columns of windows, maps)."""
        what = f"convolution of size {self.size}"
        if self.margin and self.padding == SAME:
            raise ConfigError(f"{what}: has a margin and padding same; leave one of them out")
        if len(shape_prev) == 3:
            rows, columns = (n + sum(self._zeros) for n in shape_prev[:2])
            if self.padding == CROPPED:
                rows, columns = (n - (n - self.size) % self.stride for n in (rows, columns))
            shape_prev = (rows, columns, shape_prev[2])
        return (*windows.counts(shape_prev, self.size, self.stride, what), self.maps)

    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> Params:
        """w with a fan-in of size^2 channels and a fan-out of size^2 maps."""
        area, channels = self.size**2, shape_prev[2]
        shape = (self.maps, self.size, self.size, channels)
        return initialiser(key, shape, area * channels, area * self.maps)

    def forward(self, params: Params, a_prev: Array, key: Array | None) -> tuple[Array, None]:
        """One product of all windows with all weights."""
        del key
        return self._windows(a_prev) @ _matrix(params.w).T + params.b[None, None], None

    def carry(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        """One product of the windows of delta in each row, and its rows added where they belong."""
        del kept
        rows, columns, channels = a_prev.shape
        before, after = self._zeros
        edge = self.size - 1
        wide = windows.spread(delta, 1, edge, columns + before + after + 2 * edge, self.stride)
        seen = windows.beside(wide, self.size)
        flipped = params.w[:, :, ::-1].transpose(2, 0, 1, 3).reshape(-1, self.size * channels)
        parts = seen @ flipped
        parts = parts.reshape(*seen.shape[:2], self.size, channels)
        image = windows.below(parts, rows + before + after, self.stride)
        # Without it XLA computes an entry again wherever max-pooling reads it.
        return jax.lax.optimization_barrier(
            image[before : before + rows, before : before + columns]
        )

    def gradient(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        """Sums over examples and windows: one matrix product for w."""
        del kept
        delta = delta.reshape(-1, self.maps)
        seen = jax.vmap(self._windows)(a_prev)
        w = sum_of_products(delta, seen.reshape(len(delta), -1))
        return Params(w.reshape(params.w.shape), sum_of_deltas(delta))

    def example_gradients(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Params:
        """One product of windows and deltas for each example."""
        del kept
        seen, delta = self._seen(a_prev, delta)
        w = jnp.einsum("xtk,xtd->xkd", delta, seen)
        return Params(w.reshape(len(w), *params.w.shape), jnp.sum(delta, axis=1))

    def squared_norms(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Array:
        """sum_(t,t') (u_t . u_t' + 1) (delta_t . delta_t') over windows t, where those are few.

        Where there are more windows than the root of half the weights, from the gradients.
        Source: Bu, Mao and Xu (2022), Scalable and efficient training of large convolutional neural
        networks with differential privacy, section 3.
        """
        seen, errors = self._seen(a_prev, delta)
        if 2 * seen.shape[1] ** 2 > params.w.size:
            return super().squared_norms(params, a_prev, kept, delta)
        looks, wrong = (jnp.einsum("xtd,xsd->xts", part, part) for part in (seen, errors))
        return jnp.sum((looks + 1) * wrong, axis=(1, 2))

    def factors(self, params: Params, a_prev: Array, kept: None, delta: Array) -> Factors:
        """A and G over the windows. Source: Grosse and Martens (2016), equations 26 and 27."""
        del params, kept
        return Factors.of(*self._seen(a_prev, delta))

    def _seen(self, a_prev: Array, delta: Array) -> tuple[Array, Array]:
        """The windows (m, places, size^2 channels), and the deltas (m, places, maps)."""
        seen = jax.vmap(self._windows)(a_prev)
        m = len(seen)
        return seen.reshape(m, -1, seen.shape[-1]), delta.reshape(m, -1, self.maps)

    @property
    def _zeros(self) -> tuple[int, int]:
        """How many zeros stand before and after a row or a column."""
        if self.padding != SAME:
            return (self.margin, self.margin)
        return ((self.size - 1) // 2, self.size // 2)

    def _windows(self, image: Array) -> Array:
        """(down, across, size^2 channels)."""
        zeros = self._zeros
        if any(zeros):
            image = jnp.pad(image, (zeros, zeros, (0, 0)))
        return windows.unfolded(image, self.size, self.stride)


def _matrix(w: Array) -> Array:
    return w.reshape(len(w), -1)
