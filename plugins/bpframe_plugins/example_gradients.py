"""Metrics of the gradients g_x of single examples: how long they are, and how far they agree.

g_x is dC_x/d(w, b) as the learning rule has it, without penalty, and before an aggregation weights
it. None of these metrics forms it. A layer's columns are layer_2 .. layer_L, `whole` is over the
parameters of all layers; those without parameters have no column.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import LayerParams, Metric, Observation, hookimpl, hyperparameter

BPFRAME_API_VERSION = 2
AllParams = tuple[LayerParams, ...]
Columns = dict[str, Array]
QUANTILES = (0.1, 0.5, 0.9)
SPLITS = ("train", "validation", "test")


def _with_whole(seen: Observation, parts: tuple[Array, ...]) -> Columns:
    """Values of each layer that has parameters, and their sum."""
    layers = {
        f"layer_{number}": part
        for number, (part, own) in enumerate(zip(parts, seen.params, strict=True), start=2)
        if jax.tree.leaves(own)
    }
    return layers | {"whole": sum(layers.values(), start=jnp.zeros_like(parts[0]))}


def _squared_norms(seen: Observation) -> Columns:
    """|g_x|^2, (m,)."""
    return _with_whole(seen, seen.example_gradients.squared_norms())


def _square_of_mean(seen: Observation) -> Columns:
    """|g|^2 of g = 1/m sum_x g_x."""
    zero = jnp.zeros((), seen.y.dtype)
    means = seen.example_gradients.mean()
    return _with_whole(
        seen,
        tuple(sum((jnp.sum(g**2) for g in jax.tree.leaves(own)), start=zero) for own in means),
    )


def _spread(seen: Observation) -> tuple[Columns, Columns]:
    """tr S, the variance of g_x summed over the parameters, and |g|^2; both unbiased.

    tr S = m/(m-1) (1/m sum_x |g_x|^2 - |g|^2), and |g|^2 - tr S/m for the square of the mean over
    all data.
    """
    m = len(seen.y)
    squares, norms = _square_of_mean(seen), _squared_norms(seen)
    trace = {
        name: (jnp.mean(norms[name]) - square) * (m / (m - 1)) for name, square in squares.items()
    }
    return trace, {name: square - trace[name] / m for name, square in squares.items()}


class GradientNorms(Metric):
    """|g_x|, the norm of an example's gradient: its mean over the examples; per layer and whole.

    Columns such as whole.q90 are quantiles over the examples of a mini-batch, averaged over the
    mini-batches; over a split, one is a portion of up to 2,000 examples.
    See `largest_gradients` for the examples that have the largest, and `gradient_norm` for |g|.
    Source: Goodfellow (2015), Efficient per-example gradient computations.
    """

    of_batches = True

    def start(self, seen: Observation) -> Any:
        """Sums of zero, no examples, no mini-batches."""
        zero = jnp.zeros((), seen.y.dtype)
        names = jax.eval_shape(_squared_norms, seen)
        return {name: (zero, (zero,) * len(QUANTILES)) for name in names}, zero, zero

    def add(self, total: Any, seen: Observation) -> Any:
        """The norms, and their quantiles."""
        sums, n, batches = total
        added = {}
        for name, squares in _squared_norms(seen).items():
            norms = jnp.sqrt(squares)
            found = jnp.quantile(norms, jnp.asarray(QUANTILES, norms.dtype))
            mean, quantiles = sums[name]
            added[name] = (
                mean + jnp.sum(norms),
                tuple(q + new for q, new in zip(quantiles, found, strict=True)),
            )
        return added, n + len(seen.y), batches + 1

    def result(self, total: Any, params: AllParams) -> Columns:
        """The mean over the examples, and those of the quantiles over the mini-batches."""
        del params
        sums, n, batches = total
        columns = {name: mean / n for name, (mean, _) in sums.items()}
        for at, share in enumerate(QUANTILES):
            columns |= {f"{k}.q{share * 100:.0f}": q[at] / batches for k, (_, q) in sums.items()}
        return columns


class LargestGradients(Metric):
    """The `count` examples of a split with the largest |g_x|: outliers, and what is mislabelled.

    Columns: `example`, its number in the split, counted from 0, and `norm`, |g_x| over all
    parameters. `bpframe outliers RUN` shows them.
    """

    over: str = hyperparameter(default="train", choices=SPLITS)
    count: int = hyperparameter(default=10, ge=1)

    def start(self, seen: Observation) -> Any:
        """No examples."""
        return (
            jnp.zeros((), jnp.int32),
            jnp.full(self.count, -1, jnp.int32),
            jnp.full(self.count, -1, seen.y.dtype),
        )

    def add(self, total: Any, seen: Observation) -> Any:
        """The largest of those so far and of these."""
        n, examples, norms = total
        m = len(seen.y)
        examples = jnp.concatenate([examples, n + jnp.arange(m, dtype=jnp.int32)])
        norms = jnp.concatenate([norms, jnp.sqrt(_squared_norms(seen)["whole"])])
        largest, places = jax.lax.top_k(norms, self.count)
        return n + m, examples[places], largest

    def result(self, total: Any, params: AllParams) -> Columns:
        """Examples and norms, the largest first; -1 where there are fewer examples."""
        del params
        _, examples, norms = total
        return {"example": examples, "norm": norms}


class _OfPairs(Metric):
    """A metric that needs two examples in a mini-batch; a last one of one example is left out."""

    needs_pairs = True
    of_batches = True

    @abstractmethod
    def of(self, seen: Observation) -> Columns:
        """What the mini-batch gives."""

    def start(self, seen: Observation) -> Any:
        """Sums of zero, and no mini-batches."""
        zeros = jax.tree.map(
            lambda part: jnp.zeros(part.shape, part.dtype), jax.eval_shape(self.of, seen)
        )
        return zeros, jnp.zeros((), seen.y.dtype)

    def add(self, total: Any, seen: Observation) -> Any:
        """The values of one more mini-batch."""
        if len(seen.y) < 2:
            return total
        sums, n = total
        return jax.tree.map(jnp.add, sums, self.of(seen)), n + 1

    def result(self, total: Any, params: AllParams) -> Columns:
        """The means over the mini-batches."""
        del params
        sums, n = total
        return {name: part / n for name, part in sums.items()}


class GradientVariance(_OfPairs):
    """The variance of g_x over the examples, averaged over the parameters; per layer and whole.

    Unbiased, with m - 1 in it, and averaged over the mini-batches of more than one example.
    """

    def of(self, seen: Observation) -> Columns:
        """tr S over the number of parameters."""
        counts = _counts(seen)
        return {name: trace / counts[name] for name, trace in _spread(seen)[0].items()}


class SignalToNoise(_OfPairs):
    """g_j^2 / (1/m sum_x g_xj^2 - g_j^2), averaged over the parameters j; per layer and whole.

    Above 1 the examples agree more than they differ. Parameters on which all of them agree to
    rounding, such as those that no example reaches, count as 0.
    Source: Mahsereci et al. (2017), Early stopping without a validation set, for the quotient.
    """

    def of(self, seen: Observation) -> Columns:
        """The mean over the parameters, from one mini-batch."""
        m, zero = len(seen.y), jnp.zeros((), seen.y.dtype)
        means, squares = seen.example_gradients.mean(), seen.example_gradients.sum_of_squares()
        sums = [
            sum((jnp.sum(_quotients(g, q / m)) for g, q in _leaf_by_leaf(own, of_layer)), zero)
            for own, of_layer in zip(means, squares, strict=True)
        ]
        counts = _counts(seen)
        return {
            name: total / counts[name] for name, total in _with_whole(seen, tuple(sums)).items()
        }


def _quotients(mean: Array, moment: Array) -> Array:
    """g^2 / (moment - g^2), and 0 where the difference is rounding."""
    variance = moment - mean**2
    counts = variance > 8 * jnp.finfo(mean.dtype).eps * moment
    return jnp.where(counts, mean**2 / jnp.where(counts, variance, 1), 0)


def _leaf_by_leaf(one: LayerParams, other: LayerParams) -> Iterator[tuple[Array, Array]]:
    return zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)


def _counts(seen: Observation) -> dict[str, int]:
    """The number of parameters, by column."""
    sizes = [sum(part.size for part in jax.tree.leaves(own)) for own in seen.params]
    layers = {f"layer_{number}": n for number, n in enumerate(sizes, start=2)}
    return layers | {"whole": sum(sizes)}


class NoiseScale(Metric):
    """B = tr S / |G|^2, the simple noise scale: about the batch size beyond which more pays little.

    S is the covariance of g_x, and G the gradient over all data. Both are estimated without bias
    from each mini-batch and averaged over the mini-batches before the one is divided by the other;
    with `smoothing` s the average is exponential, a mini-batch counting (1 - s) s^age.
    Per layer and whole; columns `trace` and `square` are the two parts, whole. Below 0 the noise
    hides the gradient: average over more. A mini-batch of one example is left out.
    Source: McCandlish et al. (2018), An empirical model of large-batch training, equation 2.9 and
    appendix A.1.
    """

    smoothing: float = hyperparameter(default=0.0, ge=0, lt=1)
    needs_pairs = True
    of_batches = True

    def start(self, seen: Observation) -> Any:
        """Sums of zero, and no mini-batches."""
        names = jax.eval_shape(_squared_norms, seen)
        zeros = {name: jnp.zeros((), seen.y.dtype) for name in names}
        return zeros, zeros, jnp.zeros((), seen.y.dtype)

    def add(self, total: Any, seen: Observation) -> Any:
        """Both parts of one more mini-batch."""
        if len(seen.y) < 2:
            return total
        *parts, weight = total
        smooth = jnp.asarray(self.smoothing, weight.dtype)
        keep, new = jnp.where(smooth > 0, smooth, 1), jnp.where(smooth > 0, 1 - smooth, 1)
        summed = [
            {name: keep * part[name] + new * value for name, value in of_batch.items()}
            for part, of_batch in zip(parts, _spread(seen), strict=True)
        ]
        return *summed, keep * weight + new

    def result(self, total: Any, params: AllParams) -> Columns:
        """The ratios, and the two parts of the whole."""
        del params
        trace, square, weight = total
        ratios = {
            name: jnp.where(
                square[name] == 0, 0, part / jnp.where(square[name] == 0, 1, square[name])
            )
            for name, part in trace.items()
        }
        return ratios | {"trace": trace["whole"] / weight, "square": square["whole"] / weight}


class Gram(_OfPairs):
    """The inner products g_x . g_x' of the `first` examples of a split, and what they tell.

    Columns: `products`, (m, m); `cosine`, the mean over the pairs of different examples;
    `effective_rank`, exp of the entropy of the eigenvalues' shares, about how many directions the
    gradients span. A gradient of 0 has a cosine of 0 with every other.
    Source: Roy and Vetterli (2007), The effective rank.
    """

    over: str = hyperparameter(default="validation", choices=SPLITS)
    first: int | None = hyperparameter(default=32, ge=2, le=2000)

    def add(self, total: Any, seen: Observation) -> Any:
        """The values of the probe, which is one portion; a shorter one is left out."""
        m = len(total[0]["products"])
        return super().add(total, seen) if len(seen.y) == m else total

    def of(self, seen: Observation) -> Columns:
        """All three."""
        products = _with_whole(seen, seen.example_gradients.inner_products())["whole"]
        m = len(products)
        norms = jnp.sqrt(jnp.diagonal(products))
        scale = jnp.outer(norms, norms)
        cosines = jnp.where(scale > 0, products / jnp.where(scale > 0, scale, 1), 0)
        apart = jnp.sum(cosines) - jnp.sum(jnp.diagonal(cosines))
        values = jnp.maximum(jnp.linalg.eigvalsh(products), 0)
        whole = jnp.sum(values)
        shares = values / jnp.where(whole > 0, whole, 1)
        entropy = -jnp.sum(jnp.where(shares > 0, shares * jnp.log(jnp.maximum(shares, 1e-30)), 0))
        return {
            "products": products,
            "cosine": apart / (m * (m - 1)),
            "effective_rank": jnp.where(whole > 0, jnp.exp(entropy), 0),
        }


class GradientTests(_OfPairs):
    """Whether a mini-batch is large enough, by two tests: each gives theta^2, met if it is small.

    `norm`: tr S / (m |g|^2). `inner_product`: the variance of g_x . g over m |g|^4; and
    `orthogonality`: that of what is left of g_x across g, over m |g|^2. Means over the
    mini-batches of more than one example; 0 where g is 0.
    Source: Byrd et al. (2012), Sample size selection, equation 3.8; Bollapragada, Byrd and Nocedal
    (2018), Adaptive sampling strategies, equations 2.4 and 3.3.
    """

    def of(self, seen: Observation) -> Columns:
        """All three, from one mini-batch."""
        m = len(seen.y)
        products = _with_whole(seen, seen.example_gradients.inner_products())["whole"]
        along = jnp.mean(products, axis=1)  # g_x . g
        square = jnp.mean(along)  # |g|^2
        norms = jnp.mean(jnp.diagonal(products))
        unbiased = 1 / (m - 1)  # m / (m - 1) of the variance, over the m of the test
        safe = jnp.where(square > 0, square, 1)
        along_square = jnp.mean(along**2)
        tests = {
            "norm": (norms - square) / safe,
            "inner_product": (along_square - square**2) / safe**2,
            "orthogonality": (norms - along_square / safe) / safe,
        }
        return {name: jnp.where(square > 0, unbiased * t, 0) for name, t in tests.items()}


@hookimpl
def bpframe_metrics() -> dict[str, type[Metric]]:
    """The metrics by name."""
    return {
        "gradient_norms": GradientNorms,
        "largest_gradients": LargestGradients,
        "gradient_variance": GradientVariance,
        "signal_to_noise": SignalToNoise,
        "noise_scale": NoiseScale,
        "gram": Gram,
        "gradient_tests": GradientTests,
    }
