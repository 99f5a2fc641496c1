"""Metrics of curvature: how steep the valley is, by the generalised Gauss-Newton matrix (GGN).

The GGN is that of the mean cost of a mini-batch at exact backpropagation, whatever the learning
rule, without penalty. Columns are layer_2 .. layer_L for the blocks of the layers that have
parameters, and `whole`; means over the examples, mini-batch by mini-batch.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import LayerParams, Metric, Observation, hessian_trace, hookimpl, hyperparameter

BPFRAME_API_VERSION = 2
AllParams = tuple[LayerParams, ...]
Columns = dict[str, Array]
SPLITS = ("train", "validation", "test")


class _OfCurvature(Metric):
    """A metric of the GGN, by layers, averaged over the examples."""

    needs_curvature = True

    @abstractmethod
    def of(self, seen: Observation, key: Array) -> tuple[Array, ...]:
        """A value for each of the layers 2..L that adds up over the layers."""

    def start(self, seen: Observation) -> Any:
        """Sums of zero, no examples, no mini-batches."""
        zero = jnp.zeros((), seen.y.dtype)
        return (zero,) * len(seen.params), zero, jnp.zeros((), jnp.int32)

    def add(self, total: Any, seen: Observation) -> Any:
        """The values of one more mini-batch, as often as it has examples."""
        sums, n, batches = total
        found = self.of(seen, jax.random.fold_in(jax.random.key(0), batches))
        m = len(seen.y)
        added = tuple(one + m * new for one, new in zip(sums, found, strict=True))
        return added, n + m, batches + 1

    def result(self, total: Any, params: AllParams) -> Columns:
        """The means over the examples."""
        sums, n, _ = total
        sizes = [sum(part.size for part in jax.tree.leaves(own)) for own in params]
        layers = {
            f"layer_{number}": (part / n, size)
            for number, (part, size) in enumerate(zip(sums, sizes, strict=True), start=2)
            if size
        }
        whole = sum((part for part, _ in layers.values()), start=jnp.zeros_like(n))
        layers["whole"] = whole, sum(sizes)
        return {name: self.shown(part, size) for name, (part, size) in layers.items()}

    def shown(self, value: Array, size: int) -> Array:
        """What a column shows of the value of so many parameters."""
        del size
        return value


class CurvatureTrace(_OfCurvature):
    """The trace of the GGN, which is the Hessian without the curvature of the network itself.

    Exact: as many backward passes as there are outputs. Source: Martens (2020), section 8.
    """

    def of(self, seen: Observation, key: Array) -> tuple[Array, ...]:
        """1/m sum_x,k |r_xk|^2."""
        del key
        return seen.curvature.trace_of_layers()


class CurvatureDiagonal(_OfCurvature):
    """The mean over the parameters of the diagonal of the GGN.

    Exactly it takes as many backward passes as there are outputs; `sampled` takes one, of the
    outputs' curvature with random signs, which is right on average.
    Source: Dangel, Kunstner and Hennig (2020), BackPACK, DiagGGNExact and DiagGGNMC.
    """

    sampled: bool = False

    def of(self, seen: Observation, key: Array) -> tuple[Array, ...]:
        """The sums over the parameters."""
        diagonal = seen.curvature.diagonal(key if self.sampled else None)
        zero = jnp.zeros((), seen.y.dtype)
        return tuple(
            sum((jnp.sum(part) for part in jax.tree.leaves(own)), start=zero) for own in diagonal
        )

    def shown(self, value: Array, size: int) -> Array:
        """The mean over the parameters."""
        return value / size


class HessianTrace(_OfCurvature):
    """The trace of the Hessian: of the GGN, and of what the neurons bend.

    For layers that are linear but for their activations. Exactly it takes a backward pass for each
    neuron of the network; `sampled` takes two for each layer, and is right on average.
    Source: Dangel, Kunstner and Hennig (2020), BackPACK, DiagHessian.
    """

    needs_hessian = True
    sampled: bool = False

    def of(self, seen: Observation, key: Array) -> tuple[Array, ...]:
        """Those of the blocks of the layers."""
        return hessian_trace(seen.curvature, key if self.sampled else None)


class Sharpness(Metric):
    """The `count` largest eigenvalues of the GGN of the `first` examples of a split.

    Gradient descent is stable while eta is below 2 over the largest. Exact: the GGN of m examples
    has at most m n_L eigenvalues that are not 0, those of the products of as many gradients.
    Source: Dangel, Tatzel and Hennig (2022), ViViT; Cohen et al. (2021), Gradient descent on neural
    networks typically occurs at the edge of stability.
    """

    needs_curvature = True
    of_batches = True
    over: str = hyperparameter(default="train", choices=SPLITS)
    first: int | None = hyperparameter(default=50, ge=1, le=500)
    count: int = hyperparameter(default=1, ge=1)

    def start(self, seen: Observation) -> Any:
        """Zeros."""
        return jnp.zeros(self.count, seen.y.dtype)

    def add(self, total: Any, seen: Observation) -> Any:
        """Those of the probe, which is one portion."""
        values = seen.curvature.eigenvalues()[::-1][: self.count]
        return total.at[: len(values)].set(values)

    def result(self, total: Any, params: AllParams) -> Array:
        """One number, or the largest first; 0 where there are fewer."""
        del params
        return total[0] if self.count == 1 else total


@hookimpl
def bpframe_metrics() -> dict[str, type[Metric]]:
    """The metrics by name."""
    return {
        "curvature_trace": CurvatureTrace,
        "curvature_diagonal": CurvatureDiagonal,
        "hessian_trace": HessianTrace,
        "sharpness": Sharpness,
    }
