"""Aggregations: how the gradients of the examples of a mini-batch become one."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from bpframe import Aggregation, Formula, hookimpl, hyperparameter

BPFRAME_API_VERSION = 2


class Mean(Aggregation):
    """The mean over the examples. Source: Nielsen (2015), equation 19."""

    formula = Formula("g = 1/m sum_x g_x", r"g = \frac{1}{m} \sum_x g_x")


class Clipped(Aggregation):
    """The mean of gradients that are no longer than `norm` each; longer ones are scaled down.

    One example cannot move the network far, whatever its error. Source: Abadi et al. (2016),
    algorithm 1, without its noise.
    """

    norm: float = hyperparameter(default=1.0, gt=0)

    formula = Formula(
        "g = 1/m sum_x g_x min(1, norm / |g_x|)",
        r"g = \frac{1}{m} \sum_x g_x \min(1, \text{norm} / |g_x|)",
    )

    def weights(self, squared_norms: Callable[[], Array]) -> Array:
        """min(1, norm / |g_x|)."""
        norms = jnp.sqrt(squared_norms())
        return jnp.where(norms > self.norm, self.norm / norms, jnp.ones_like(norms))


@hookimpl
def bpframe_aggregations() -> dict[str, type[Aggregation]]:
    """The aggregations by name."""
    return {"mean": Mean, "clipped": Clipped}
