"""Optimisers that see the curvature of the step: K-FAC, and the diagonal of the GGN."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import (
    ConfigError,
    Curvature,
    Factors,
    Formula,
    LayerParams,
    Network,
    Optimiser,
    OutputPair,
    Params,
    Stacked,
    TrainingStep,
    has_curvature,
    hyperparameter,
)

AllParams = tuple[LayerParams, ...]
FISHERS = ("sampled", "empirical")


class Kfac(Optimiser):
    """v <- mu v - eta p, w <- w + v, p = (G + d I)^-1 g (A + d' I)^-1 with A and G of each layer.

    A is the mean of a a^T, a with a 1 for the bias, and G that of delta delta^T: `sampled`, of
    deltas of one backward pass from a random root of the output's curvature, so that A kron G
    approximates the Gauss-Newton matrix; `empirical`, of the deltas of the step itself, at no cost.
    Both are averages over the steps with a weight min(1 - 1/k, decay) of the past, taken every
    `factors_every` steps and inverted every `inverses_every`. `damping` lambda is split into
    d = sqrt(lambda)/pi and d' = pi sqrt(lambda), pi^2 the mean eigenvalue of A over that of G. p is
    scaled down to p . g = `norm_constraint` where it exceeds that, so that a step has a length of
    at most eta times the root of that in the metric of the curvature.

    In convolutions A is the mean over examples of sums over places, G the mean over examples and
    places; inside of residual and repeat each layer has factors of its own.
    Source: Martens and Grosse (2015), Optimizing neural networks with Kronecker-factored
    approximate curvature; Grosse and Martens (2016), for convolutions; Ba, Grosse and Martens
    (2017), for the scale of the step.
    """

    eta: float = hyperparameter(default=0.1, gt=0)
    mu: float = hyperparameter(default=0.0, ge=0, lt=1)
    damping: float = hyperparameter(default=0.01, gt=0)
    decay: float = hyperparameter(default=0.95, ge=0, lt=1)
    norm_constraint: float = hyperparameter(default=1.0, gt=0)
    factors_every: int = hyperparameter(default=1, ge=1)
    inverses_every: int = hyperparameter(default=10, ge=1)
    fisher: str = hyperparameter(default="sampled", choices=FISHERS)

    sees_examples = True
    formula = Formula(
        "v <- mu v - eta G^-1 g A^-1,  w <- w + v",
        r"v \to \mu v - \eta\, G^{-1} g A^{-1},\quad w \to w + v",
    )

    def check(self, network: Network, pair: OutputPair) -> None:
        """Every layer with parameters has factors, and the cost a curvature to sample.

        Raises:
            ConfigError: one of them has not.

        """
        if self.fisher == "sampled":
            _check_curvature("kfac", network, pair)
        for number, (layer, factors, own) in enumerate(
            zip(network.layers, _factors_of(network), network.params, strict=True), start=2
        ):
            if any(factor is None for factor, _ in _paired(factors, own)):
                raise ConfigError(
                    f"optimiser: kfac needs Kronecker factors of every layer with parameters, and "
                    f"layer {number}, {type(layer).__name__}, has none or holds one without; leave "
                    "it out, or choose another optimiser, such as adam"
                )

    def init(self, params: AllParams) -> Any:
        """No steps, factors of zero, their inverses, and v = 0."""
        factors = tuple(map(_no_factors, params))
        return (
            jnp.zeros((), jnp.int32),
            factors,
            factors,
            jax.tree.map(jnp.zeros_like, params),
        )

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        """w + v."""
        count, factors, inverses, v = state
        factors = jax.lax.cond(
            count % self.factors_every == 0,
            lambda: self._averaged(factors, step, count // self.factors_every),
            lambda: factors,
        )
        inverses = jax.lax.cond(
            count % self.inverses_every == 0,
            lambda: tuple(self._inverted(own) for own in factors),
            lambda: inverses,
        )
        direction = tuple(map(_preconditioned, inverses, gradient))
        squared = _product(direction, gradient)
        scale = jnp.where(
            squared > self.norm_constraint,
            jnp.sqrt(self.norm_constraint / jnp.where(squared > 0, squared, 1)),
            jnp.ones_like(squared),
        )
        v = jax.tree.map(lambda v, g: self.mu * v - self.eta * scale * g, v, direction)
        return jax.tree.map(jnp.add, params, v), (count + 1, factors, inverses, v)

    def _averaged(self, factors: Any, step: TrainingStep, k: Array) -> Any:
        """The factors with those of this mini-batch in them, the (k+1)-th."""
        curvature = Curvature.of(step)
        if self.fisher == "sampled":
            delta = curvature.carried_back(curvature.sampled_root(step.key))
        else:
            delta = step.found.deltas
        trace = step.found.trace
        parts = zip(step.network.layers, step.params, trace.a, trace.kept, delta, strict=False)
        new = tuple(_with_shape(layer.factors(*given), given[0]) for layer, *given in parts)

        def mixed(old: Array, new: Array) -> Array:
            steps = k.astype(old.dtype)
            past = jnp.minimum(steps / (steps + 1), jnp.asarray(self.decay, old.dtype))
            return past * old + (1 - past) * new.astype(old.dtype)

        return jax.tree.map(mixed, factors, new)

    def _inverted(self, factors: Any) -> Any:
        """The inverses of the damped factors of a layer."""
        if not isinstance(factors, Factors):
            return jax.tree.map(
                self._inverted, factors, is_leaf=lambda part: isinstance(part, Factors)
            )
        if factors.a.ndim > 2:
            return jax.vmap(self._inverted)(factors)
        mean_a, mean_g = (jnp.trace(part) / len(part) for part in factors)
        both = (mean_a > 0) & (mean_g > 0)
        pi = jnp.where(both, jnp.sqrt(mean_a / jnp.where(both, mean_g, 1)), 1)
        root = jnp.sqrt(jnp.asarray(self.damping, factors.a.dtype))
        return Factors(_inverse(factors.a, pi * root), _inverse(factors.g, root / pi))


class DiagonalGgn(Optimiser):
    """w <- w - eta g / (h + damping), h the average over the steps of the diagonal of the GGN.

    `sampled` takes the diagonal from one random root of the output's curvature, at the cost of a
    backward pass; exactly it takes as many as there are outputs. h is corrected for its start at 0.
    Source: Becker and Le Cun (1989), Improving the convergence of back-propagation learning with
    second order methods, for the step.
    """

    eta: float = hyperparameter(default=0.01, gt=0)
    damping: float = hyperparameter(default=0.01, gt=0)
    decay: float = hyperparameter(default=0.95, ge=0, lt=1)
    sampled: bool = True

    sees_examples = True
    formula = Formula("w <- w - eta g / (h + damping)", r"w \to w - \eta\, g / (h + \lambda)")

    def check(self, network: Network, pair: OutputPair) -> None:
        """The cost tells its curvature.

        Raises:
            ConfigError: it does not.

        """
        _check_curvature("diagonal_ggn", network, pair)

    def init(self, params: AllParams) -> Any:
        """No steps, and h = 0."""
        return jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params)

    def update(
        self, gradient: AllParams, state: Any, params: AllParams, step: TrainingStep
    ) -> tuple[AllParams, Any]:
        """w - eta g / (h + damping)."""
        count, h = state
        found = Curvature.of(step).diagonal(step.key if self.sampled else None)

        def mixed(old: Array, new: Array) -> Array:
            steps = count.astype(old.dtype)
            past = jnp.minimum(steps / (steps + 1), jnp.asarray(self.decay, old.dtype))
            return past * old + (1 - past) * new.astype(old.dtype)

        h = jax.tree.map(mixed, h, found)
        new = jax.tree.map(
            lambda p, g, h: p - self.eta * g / (h + self.damping), params, gradient, h
        )
        return new, (count + 1, h)


def _check_curvature(name: str, network: Network, pair: OutputPair) -> None:
    if not has_curvature(pair, network.n_out):
        raise ConfigError(
            f"optimiser: {name} needs the curvature of the cost, which "
            f"{type(pair.cost_function).__name__} with {type(pair.activation).__name__} does not "
            "tell; choose another cost, such as quadratic, or log_likelihood with softmax"
        )


def _factors_of(network: Network) -> tuple[Any, ...]:
    """The factors of the layers 2..L by their shapes."""

    def of(layer: Any, params: Any, a_prev: Array) -> Any:
        z, kept = layer.forward(params, a_prev, None)
        batch = jax.tree.map(lambda part: part[None], (a_prev, kept, z))
        return layer.factors(params, *batch)

    def like(shape: Any) -> Any:
        return jax.ShapeDtypeStruct(getattr(shape, "shape", shape), jnp.float32)

    params = jax.tree.map(like, network.params)
    parts = zip(network.layers, params, map(like, network.shapes), strict=False)
    return tuple(jax.eval_shape(functools.partial(of, layer), own, a) for layer, own, a in parts)


def _paired(factors: Any, params: Any) -> Iterator[tuple[Factors | None, Any]]:
    """The parameters with the factors that belong to them; None where there are none."""
    if isinstance(factors, Factors):
        yield factors, params
    elif factors is None:
        if jax.tree.leaves(params):
            yield None, params
    elif isinstance(factors, Stacked):
        yield from _paired(factors.blocks, params.blocks)
    else:
        for inner, own in zip(factors, params, strict=True):
            yield from _paired(inner, own)


def _no_factors(params: Any) -> Any:
    """Zeros for the factors of a layer, of the same structure as its parameters."""
    if isinstance(params, Params):
        *blocks, n = params.b.shape
        fan_in = params.w[(0,) * (len(blocks) + 1)].size + 1
        zeros = (jnp.zeros((*blocks, size, size), params.w.dtype) for size in (fan_in, n))
        return Factors(*zeros)
    if isinstance(params, Stacked):
        return Stacked(_no_factors(params.blocks))
    return tuple(map(_no_factors, params))


def _with_shape(factors: Any, params: Any) -> Any:
    """The factors with () in place of None."""
    if isinstance(factors, Factors):
        return factors
    if isinstance(factors, Stacked):
        return Stacked(_with_shape(factors.blocks, params.blocks))
    return tuple(map(_with_shape, factors or (), params))


def _inverse(factor: Array, damping: Array) -> Array:
    """(factor + damping I)^-1, of a symmetric factor without negative directions."""
    eye = jnp.eye(len(factor), dtype=factor.dtype)
    chosen = jax.scipy.linalg.cho_factor(factor + damping * eye)
    return jax.scipy.linalg.cho_solve(chosen, eye)


def _preconditioned(inverse: Any, gradient: Any) -> Any:
    """G^-1 g A^-1, of a layer and those inside of it."""
    if isinstance(inverse, Stacked):
        return Stacked(_preconditioned(inverse.blocks, gradient.blocks))
    if not isinstance(inverse, Factors):
        return tuple(map(_preconditioned, inverse, gradient))
    if inverse.a.ndim > 2:
        return jax.vmap(_preconditioned)(inverse, gradient)
    w = gradient.w.reshape(len(gradient.w), -1)
    whole = inverse.g @ jnp.concatenate([w, gradient.b[:, None]], axis=1) @ inverse.a
    return Params(whole[:, :-1].reshape(gradient.w.shape), whole[:, -1])


def _product(one: Any, other: Any) -> Array:
    """The inner product over all parameters."""
    products = jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum(a * b), one, other))
    return functools.reduce(jnp.add, products)
