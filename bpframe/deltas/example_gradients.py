"""The gradients g_x of the m examples of a mini-batch: their norms, squares and inner products.

Backpropagation has delta^(x,l) and a^(x,l-1) of every example, whose product g_x would be m times
as large as the parameters. Layers know how to say these things of g_x without forming it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.contracts import (
    Layer,
    LayerParams,
    inner_products,
    squared_norms,
    sum_of_squares,
)
from bpframe.learning import Credit


class ExampleGradients(NamedTuple):
    """What is needed to know of the g_x, layer by layer.

    Each g_x is that of the unscaled C_x, without penalty, as the learning rule has it, and before
    any aggregation weights it.

    Attributes:
        layers: the layers 2..L.
        params: at which the gradient was taken.
        credit: what BP3 and BP4 multiply, with a leading axis m: once, or several terms.
        known_mean: 1/m sum_x g_x where it has been computed already.

    """

    layers: tuple[Layer, ...]
    params: tuple[LayerParams, ...]
    credit: tuple[Credit, ...]
    known_mean: tuple[LayerParams, ...] | None = None

    @property
    def m(self) -> int:
        """The number of examples."""
        return self.credit[0].delta[-1].shape[0]

    def mean(self) -> tuple[LayerParams, ...]:
        """g = 1/m sum_x g_x."""
        if self.known_mean is not None:
            return self.known_mean
        return jax.tree.map(lambda part: part / self.m, self.sum())

    def sum(self) -> tuple[LayerParams, ...]:
        """(BP3, BP4) sum_x g_x."""
        sums = (
            tuple(
                layer.gradient(own, *seen)
                for layer, own, *seen in zip(self.layers, self.params, *term, strict=True)
            )
            for term in self.credit
        )
        return functools.reduce(lambda g, h: jax.tree.map(jnp.add, g, h), sums)

    def squared_norms(self) -> tuple[Array, ...]:
        """|g_x|^2 over the parameters of each layer, (m,): 2m(n_in + n_out) flops if it is dense.

        Source: Goodfellow (2015), Efficient per-example gradient computations.
        """
        return self._of_layers(
            lambda layer, *given: layer.squared_norms(*given),
            squared_norms,
        )

    def inner_products(self) -> tuple[Array, ...]:
        """g_x . g_x' over the parameters of each layer, (m, m): the Gram matrix of the gradients.

        2m^2(n_in + n_out) flops if the layer is dense.
        """
        return self._of_layers(
            lambda layer, *given: layer.inner_products(*given),
            inner_products,
        )

    def sum_of_squares(self) -> tuple[LayerParams, ...]:
        """sum_x g_x^2, parameter by parameter, shaped like them: flops of BP4 if it is dense.

        Source: Dangel, Kunstner and Hennig (2020), BackPACK, appendix A.1.
        """
        return self._of_layers(
            lambda layer, *given: layer.sum_of_squares(*given),
            lambda each, _: sum_of_squares(each),
        )

    def _of_layers(
        self, of_one_term: Callable[..., Any], of_gradients: Callable[[Any, Array], Any]
    ) -> tuple[Any, ...]:
        """Of each layer, from its own method, or from its g_x where they are sums of terms."""
        found = []
        terms = (zip(*term, strict=True) for term in self.credit)
        for layer, own, *seen in zip(self.layers, self.params, *terms, strict=True):
            if len(seen) == 1:
                found.append(of_one_term(layer, own, *seen[0]))
                continue
            each = (layer.example_gradients(own, *term) for term in seen)
            summed = functools.reduce(lambda g, h: jax.tree.map(jnp.add, g, h), each)
            found.append(of_gradients(summed, seen[0][-1]))
        return tuple(found)


def total(parts: tuple[Array, ...]) -> Array:
    """The sum over the layers."""
    return functools.reduce(jnp.add, parts)


def weighted(terms: tuple[Credit, ...], weights: Array | None) -> tuple[Credit, ...]:
    """The credit with the deltas of every example times its weight."""
    if weights is None:
        return terms
    return tuple(
        term._replace(delta=tuple(jax.vmap(jnp.multiply)(weights, delta) for delta in term.delta))
        for term in terms
    )
