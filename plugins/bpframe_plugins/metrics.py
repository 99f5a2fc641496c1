"""Metrics: what training looks like from inside, layer by layer."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    ElementwiseActivation,
    LayerParams,
    MeanMetric,
    Metric,
    Observation,
    ParamsMetric,
    hookimpl,
    hyperparameter,
    weights,
)

BPFRAME_API_VERSION = 2
AllParams = tuple[LayerParams, ...]
Columns = dict[str, Array]


def _layers(values: list[Array]) -> Columns:
    """Columns layer_2 .. layer_L, as the book numbers them."""
    return {f"layer_{number}": value for number, value in enumerate(values, start=2)}


def _deltas(seen: Observation) -> Columns:
    """The deltas of each layer, and of layers in it, (m, ..., n), in the order of the layers."""
    found: Columns = {}
    for layer, delta in _layers([_flat(delta) for delta in seen.deltas]).items():
        inside = {name: d for name, d in seen.inner_deltas.items() if name.startswith(f"{layer}.")}
        found |= {layer: delta, **inside}
    return found


def _flat(values: Array) -> Array:
    """(m, ...) as (m, n)."""
    return values.reshape(len(values), -1)


def _norm(arrays: list[Array], like: Array) -> Array:
    """The norm of some arrays together, in the dtype of `like`; 0 of none."""
    zero = jnp.zeros((), like.dtype)
    return jnp.sqrt(sum((jnp.sum(array**2) for array in arrays), start=zero))


class Accuracy(MeanMetric):
    """The share of examples whose answer is right; with several labels, all of its labels."""

    needs_accuracy = True
    over: str = hyperparameter(
        default="validation", choices=("steps", "train", "validation", "test")
    )

    def measure(self, seen: Observation) -> Array:
        """1 where the answer is right, else 0: (m,)."""
        assert seen.right is not None
        return seen.right.astype(seen.y.dtype)


class DeltaNorm(MeanMetric):
    """|delta^(x,l)|, the norm of an example's error, averaged over the examples; per layer.

    Layers in other layers have columns such as layer_3.0, with an entry for each repetition.
    See `mean_delta_norm` for the norm of the mean error.
    """

    def measure(self, seen: Observation) -> Columns:
        """(m,) a layer, or (m, repetitions)."""
        return {name: jnp.linalg.norm(delta, axis=-1) for name, delta in _deltas(seen).items()}


class MeanDeltaNorm(Metric):
    """|(1/n) sum_x delta^(x,l)|, the norm of the mean error over the examples; per layer.

    It is the norm of dC/db^l, the speed at which a layer learns. Columns are as in `delta_norm`.
    Source: Nielsen (2015), chapter 5, the vanishing gradient problem.
    """

    def start(self, seen: Observation) -> Any:
        """A sum of zero for each neuron, and no examples."""
        deltas = jax.eval_shape(_deltas, seen)
        sums = {name: jnp.zeros(delta.shape[1:], seen.y.dtype) for name, delta in deltas.items()}
        return sums, jnp.zeros((), seen.y.dtype)

    def add(self, total: Any, seen: Observation) -> Any:
        """The deltas added, and their number."""
        sums, n = total
        deltas = _deltas(seen)
        added = {name: total + jnp.sum(deltas[name], axis=0) for name, total in sums.items()}
        return added, n + seen.y.shape[0]

    def result(self, total: Any, params: AllParams) -> Columns:
        """The norm of the sum over the number of examples."""
        del params
        sums, n = total
        return {name: jnp.linalg.norm(total / n, axis=-1) for name, total in sums.items()}


class MeanCost(MeanMetric):
    """C, the mean cost of an example, without the penalty."""

    over: str = hyperparameter(
        default="validation", choices=("steps", "train", "validation", "test")
    )

    def measure(self, seen: Observation) -> Array:
        """C_x: (m,)."""
        return seen.cost


class GradientNorm(Metric):
    """|dC/d(w^l, b^l)|, the norm of a mini-batch's mean gradient, averaged over the mini-batches.

    Per layer, over weights and biases together, without the penalty. Over a split, a mini-batch
    is a portion of up to 2,000 examples.
    """

    of_batches = True

    def start(self, seen: Observation) -> Any:
        """A sum of zero for each layer, and no mini-batches."""
        zero = jnp.zeros((), seen.y.dtype)
        return [zero for _ in seen.gradient], zero

    def add(self, total: Any, seen: Observation) -> Any:
        """The norms added, and one mini-batch more."""
        sums, n = total
        norms = [_norm(jax.tree.leaves(own), n) for own in seen.gradient]
        return [s + norm for s, norm in zip(sums, norms, strict=True)], n + 1

    def result(self, total: Any, params: AllParams) -> Columns:
        """The mean over the mini-batches."""
        del params
        sums, n = total
        return _layers([s / n for s in sums])


class WeightNorm(ParamsMetric):
    """|w^l|, the Frobenius norm of the weights at the end of the epoch; per layer."""

    def of(self, params: AllParams) -> Columns:
        """sqrt(sum w^2)."""
        like = jax.tree.leaves(params)[0]
        return _layers([_norm(weights(own), like) for own in params])


def _slopes(seen: Observation) -> dict[int, Array]:
    """sigma'(z^l), (m, n), by the number of each layer whose neurons are not coupled."""
    return {
        number: activation.pullback(z, jnp.ones_like(z))
        for number, (activation, z) in enumerate(
            zip(seen.activations, seen.trace.z, strict=True), start=2
        )
        if isinstance(activation, ElementwiseActivation)
    }


class Saturation(MeanMetric):
    """The share of neurons with |sigma'(z)| below `threshold`, so that BP2 passes little on.

    Per layer, for all layers but those whose neurons are coupled, such as softmax.
    Source: Glorot and Bengio (2010), section 3, for the effect.
    """

    threshold: float = hyperparameter(default=0.05, gt=0)

    def measure(self, seen: Observation) -> Columns:
        """(m,) a layer: the share of the layer's neurons."""
        return {
            f"layer_{number}": jnp.mean(
                _flat(jnp.abs(slope) < self.threshold).astype(slope.dtype), 1
            )
            for number, slope in _slopes(seen).items()
        }


class DeadUnits(Metric):
    """The share of neurons with sigma'(z) = 0 for every example: they learn nothing.

    Per layer, for all layers but those whose neurons are coupled, such as softmax.
    Source: Lu et al. (2020), Dying ReLU and initialization, for the effect.
    """

    def start(self, seen: Observation) -> Any:
        """No neuron has been seen alive."""
        return {
            f"layer_{number}": jnp.zeros(seen.trace.z[number - 2].shape[1:], bool)
            for number, activation in enumerate(seen.activations, start=2)
            if isinstance(activation, ElementwiseActivation)
        }

    def add(self, total: Any, seen: Observation) -> Any:
        """Alive is who was alive, or has a slope for one of these examples."""
        return {
            f"layer_{number}": total[f"layer_{number}"] | jnp.any(slope != 0, axis=0)
            for number, slope in _slopes(seen).items()
        }

    def result(self, total: Any, params: AllParams) -> Columns:
        """The share of neurons not seen alive."""
        dtype = jax.tree.leaves(params)[0].dtype
        return {name: jnp.mean((~alive).astype(dtype)) for name, alive in total.items()}


class ConfusionMatrix(Metric):
    """How many examples of each class (row) were given each answer (column): (classes, classes)."""

    needs_classes = True
    over: str = hyperparameter(
        default="validation", choices=("steps", "train", "validation", "test")
    )

    def start(self, seen: Observation) -> Any:
        """Counts of zero; a single output has two classes."""
        classes = max(2, seen.y.shape[1])
        return jnp.zeros((classes, classes), jnp.int32)

    def add(self, total: Any, seen: Observation) -> Any:
        """One more in row `target` and column `answer` for each example."""
        return total.at[seen.target, seen.answer].add(1)

    def result(self, total: Any, params: AllParams) -> Array:
        """The counts."""
        del params
        return total


def _answers(seen: Observation) -> tuple[Array, Array]:
    """a and y, (m, n_out); in a regression in the units of the targets as they were given."""
    if seen.right is None:
        return seen.answer, seen.target
    return _flat(seen.trace.a[-1]), seen.y


def _errors(seen: Observation) -> Array:
    """a - y, (m, n_out)."""
    a, y = _answers(seen)
    return a - y


class MeanAbsoluteError(MeanMetric):
    """(1/(n n_out)) sum_x,j |a_j - y_j|, the mean absolute error over examples and outputs."""

    over: str = hyperparameter(
        default="validation", choices=("steps", "train", "validation", "test")
    )

    def measure(self, seen: Observation) -> Array:
        """(1/n_out) sum_j |a_j - y_j|: (m,)."""
        return jnp.mean(jnp.abs(_errors(seen)), axis=1)


class RootMeanSquaredError(Metric):
    """sqrt((1/(n n_out)) sum_x,j (a_j - y_j)^2), the root of the mean over examples and outputs.

    The mean is one over all outputs, as in the quadratic cost; the mean over outputs of the roots
    is another number.
    """

    over: str = hyperparameter(
        default="validation", choices=("steps", "train", "validation", "test")
    )

    def start(self, seen: Observation) -> Any:
        """A mean of zero, and no examples."""
        zero = jnp.zeros((), seen.y.dtype)
        return zero, zero

    def add(self, total: Any, seen: Observation) -> Any:
        """The mean moved by its share towards that of the mini-batch, so that no sum grows."""
        mean, n = total
        after = n + seen.y.shape[0]
        return mean + (jnp.mean(_errors(seen) ** 2) - mean) * (seen.y.shape[0] / after), after

    def result(self, total: Any, params: AllParams) -> Array:
        """The root of the mean."""
        del params
        return jnp.sqrt(total[0])


class CoefficientOfDetermination(Metric):
    """R^2 = 1 - sum_x (a - y)^2 / sum_x (y - mean y)^2, the mean of it over the outputs.

    An output whose targets are all equal has 1 if it meets them exactly, else 0.
    The squares about the mean are folded as distances from the first target, since the difference
    of sum y^2 and n mean^2 keeps no digits where the mean is large.
    Source: Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance; for equal
    targets and several outputs, scikit-learn's r2_score.
    """

    over: str = hyperparameter(
        default="validation", choices=("steps", "train", "validation", "test")
    )

    def start(self, seen: Observation) -> Any:
        """No examples; for each output its origin, mean, squares about the mean, and errors."""
        zeros = jnp.zeros(seen.y.shape[1:], seen.y.dtype)
        return jnp.zeros((), seen.y.dtype), zeros, zeros, zeros, zeros

    def add(self, total: Any, seen: Observation) -> Any:
        """Both sums of squares with those of the mini-batch."""
        n, origin, mean, squares, errors = total
        targets = _answers(seen)[1]
        m = targets.shape[0]
        origin = jnp.where(n == 0, targets[0], origin)
        y = targets - origin[None]
        own = jnp.mean(y, axis=0)
        inside = jnp.sum((y - own[None]) ** 2, axis=0)
        apart = (own - mean) ** 2 * (n * (m / (n + m)))
        mean = mean + (own - mean) * (m / (n + m))
        errors = errors + jnp.sum(_errors(seen) ** 2, axis=0)
        return n + m, origin, mean, squares + inside + apart, errors

    def result(self, total: Any, params: AllParams) -> Array:
        """The mean over the outputs."""
        del params
        *_, squares, errors = total
        is_constant = squares == 0
        share = errors / jnp.where(is_constant, 1, squares)
        return jnp.mean(jnp.where(is_constant, (errors == 0).astype(share.dtype), 1 - share))


class SettlingOfActivities(MeanMetric):
    """How far activities settle before they give the error; means over examples.

    Columns: `energy`, that after the last step of the first phase (one phase settles freely in
    equilibrium propagation); `residual`, the norm of the energy's gradient by the activities after
    the last step over that before the first, the largest of the phases; `steps`, after how many
    steps that ratio has come down to `tolerance`, all of them if it never does, summed over the
    phases.
    """

    tolerance: float = hyperparameter(default=0.01, gt=0, lt=1)
    needs_settling = True

    def measure(self, seen: Observation) -> Columns:
        """Those of each example."""
        assert seen.settling is not None
        ratios = [_residual_ratios(phase.residual) for phase in seen.settling]
        return {
            "energy": seen.settling[0].energy[:, -1],
            "residual": jnp.max(jnp.stack([ratio[:, -1] for ratio in ratios]), axis=0),
            "steps": sum((self._steps(ratio) for ratio in ratios), start=jnp.zeros_like(seen.cost)),
        }

    def _steps(self, ratio: Array) -> Array:
        """Steps until the ratios (m, steps + 1) have come down, (m,)."""
        last = ratio.shape[1] - 1
        done = ratio <= jnp.asarray(self.tolerance, ratio.dtype)
        first = jnp.where(jnp.any(done, axis=1), jnp.argmax(done, axis=1), last)
        return first.astype(ratio.dtype)


def _residual_ratios(residual: Array) -> Array:
    """Norms over all layers, (m, steps + 1), over the first of them; 0 if that is 0."""
    norms = jnp.linalg.norm(residual, axis=2)
    start = norms[:, :1]
    return jnp.where(start > 0, norms / jnp.where(start > 0, start, 1), 0)


@hookimpl
def bpframe_metrics() -> dict[str, type[Metric]]:
    """The metrics by name."""
    return {
        "accuracy": Accuracy,
        "cost": MeanCost,
        "delta_norm": DeltaNorm,
        "mean_delta_norm": MeanDeltaNorm,
        "gradient_norm": GradientNorm,
        "weight_norm": WeightNorm,
        "saturation": Saturation,
        "dead_units": DeadUnits,
        "confusion_matrix": ConfusionMatrix,
        "mae": MeanAbsoluteError,
        "rmse": RootMeanSquaredError,
        "r2": CoefficientOfDetermination,
        "settling": SettlingOfActivities,
    }
