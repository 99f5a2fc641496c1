"""Metrics of how well a learning rule's error agrees with the exact one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import LayerParams, Metric, Observation, hookimpl

BPFRAME_API_VERSION = 2
AllParams = tuple[LayerParams, ...]
Columns = dict[str, Array]


class Alignment(Metric):
    """The angle between delta^(x,l) and the exact dC_x/dz^l, in degrees; per layer.

    A mean over the examples, at the same parameters and activations; of two vectors of which one is
    zero it is 90. Columns such as layer_2.ratio have the sum of the norms |delta^(x,l)| over that
    of the exact ones. Backpropagation has 0 and 1.
    Source: Lillicrap et al. (2016), figure 1; Akrout et al. (2019), figure 4.
    """

    def start(self, seen: Observation) -> Any:
        """Sums of zero for each layer, and no examples."""
        zero = jnp.zeros((), seen.y.dtype)
        return [(zero, zero, zero) for _ in seen.deltas], zero

    def add(self, total: Any, seen: Observation) -> Any:
        """The angles and norms added, and the number of examples."""
        sums, n = total
        found = map(_compared, seen.deltas, seen.exact_deltas)
        added = [tuple(map(jnp.add, old, new)) for old, new in zip(sums, found, strict=True)]
        return added, n + seen.y.shape[0]

    def result(self, total: Any, params: AllParams) -> Columns:
        """The mean angle, and the ratio of the norms."""
        del params
        sums, n = total
        columns: Columns = {}
        for number, (angles, ours, exact) in enumerate(sums, start=2):
            columns[f"layer_{number}"] = angles / n
            columns[f"layer_{number}.ratio"] = _ratio(ours, exact)
        return columns


class GradientAlignment(Metric):
    """The angle between the mean gradient of a mini-batch and the exact one, in degrees; per layer.

    Weights and biases together, without the penalty; a mean over the mini-batches. Columns such as
    layer_2.ratio have the sum of the norms over that of the exact ones. Layers without parameters
    have none. Backpropagation has 0 and 1.
    """

    def start(self, seen: Observation) -> Any:
        """Sums of zero for each layer, and no mini-batches."""
        zero = jnp.zeros((), seen.y.dtype)
        return dict.fromkeys(jax.eval_shape(_gradients, seen), (zero, zero, zero)), zero

    def add(self, total: Any, seen: Observation) -> Any:
        """The angles and norms added, and one mini-batch more."""
        sums, n = total
        found = {name: _compared(*pair) for name, pair in _gradients(seen).items()}
        return {name: tuple(map(jnp.add, sums[name], found[name])) for name in sums}, n + 1

    def result(self, total: Any, params: AllParams) -> Columns:
        """The mean angle, and the ratio of the norms."""
        del params
        sums, n = total
        columns: Columns = {}
        for name, (angles, ours, exact) in sums.items():
            columns[name] = angles / n
            columns[f"{name}.ratio"] = _ratio(ours, exact)
        return columns


class FeedbackAlignmentAngle(Metric):
    """The angle between w^l and the weights by which the error goes back, in degrees; per layer.

    After the last mini-batch, for the layers 3..L. Feedback that comes straight from the output is
    compared by its products: B^l (B^(l-1))^T with w^l, and (B^(L-1))^T with w^L.
    Source: Lillicrap et al. (2016), figure 2; for products Refinetti et al. (2021), equation 14.
    """

    needs_feedback = True

    def start(self, seen: Observation) -> Any:
        """Angles that nobody has measured."""
        return {name: jnp.zeros((), seen.y.dtype) for name in jax.eval_shape(_feedback, seen)}

    def add(self, total: Any, seen: Observation) -> Any:
        """The angles now."""
        del total
        return {name: _angles(w[None], b[None])[0] for name, (w, b) in _feedback(seen).items()}

    def result(self, total: Any, params: AllParams) -> Columns:
        """The last ones."""
        del params
        return total


def _gradients(seen: Observation) -> dict[str, tuple[Array, Array]]:
    """The mean gradient and the exact one, (1, parameters), by layer."""

    def flat(own: LayerParams) -> Array:
        leaves: Sequence[Array] = jax.tree.leaves(own)
        return jnp.concatenate([leaf.reshape(1, -1) for leaf in leaves], axis=1)

    pairs = zip(seen.gradient, seen.exact_gradient, strict=True)
    return {
        f"layer_{number}": (flat(ours), flat(exact))
        for number, (ours, exact) in enumerate(pairs, start=2)
        if jax.tree.leaves(ours)
    }


def _feedback(seen: Observation) -> dict[str, tuple[Array, Array]]:
    """Weights and what stands for them on the way back, flat, by layer."""
    assert seen.feedback is not None
    return {
        f"layer_{number}": pair
        for number, pair in enumerate(seen.feedback, start=3)
        if pair is not None
    }


def _compared(ours: Array, exact: Array) -> tuple[Array, Array, Array]:
    """Sums over the rows (m, ...) of the angles, and of the norms of both."""
    ours, exact = (rows.reshape(len(rows), -1) for rows in (ours, exact))
    norms = [jnp.sum(jnp.linalg.norm(rows, axis=1)) for rows in (ours, exact)]
    return jnp.sum(_angles(ours, exact)), norms[0], norms[1]


def _angles(a: Array, b: Array) -> Array:
    """The angle between rows (m, n), in degrees: (m,).

    Source: Kahan (2006), How futile are mindless assessments of roundoff, section 12: by the arc
    cosine no digits are left of a small angle.
    """
    a, b = (rows / _positive(jnp.linalg.norm(rows, axis=1))[:, None] for rows in (a, b))
    apart, along = (jnp.linalg.norm(rows, axis=1) for rows in (a - b, a + b))
    both_zero = (apart == 0) & (along == 0)
    return jnp.where(both_zero, 0.0, jnp.rad2deg(2 * jnp.arctan2(apart, along)))


def _ratio(ours: Array, exact: Array) -> Array:
    """Of two sums of norms; 1 if both are zero, and 0 if only the exact one is."""
    zero_or_one = (ours == exact).astype(ours.dtype)
    return jnp.where(exact > 0, ours / _positive(exact), zero_or_one)


def _positive(norms: Array) -> Array:
    return jnp.where(norms > 0, norms, jnp.ones_like(norms))


@hookimpl
def bpframe_metrics() -> dict[str, type[Metric]]:
    """The metrics by name."""
    return {
        "alignment": Alignment,
        "gradient_alignment": GradientAlignment,
        "feedback_alignment_angle": FeedbackAlignmentAngle,
    }
