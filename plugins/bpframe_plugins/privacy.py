"""Differential privacy: gradients of examples are clipped, noise is added, and what leaks is told.

docs/deltas.md says what is guaranteed, and what is not.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe import (
    Aggregation,
    ConfigError,
    Formula,
    LayerParams,
    SamplingPlan,
    hookimpl,
    hyperparameter,
)

BPFRAME_API_VERSION = 2
NOISE = 0x6E6F6973
"""Sets the keys of the noise apart from all others of a step."""
ORDERS = np.concatenate([np.arange(1.05, 12, 0.05), np.arange(12, 64), 2.0 ** np.arange(6, 12)])
"""Orders alpha of the Renyi divergence among which the best is chosen."""
LEAST_NOISE, MOST_NOISE, PRECISION = 0.1, 1000.0, 1e-4
"""Where noise for an epsilon is looked for, and how finely."""
MOST_TERMS, LAST_TERM = 1000, -40.0
"""Of the series: how many terms, and the logarithm below which they are left out."""


class Private(Aggregation):
    """The sum of gradients clipped to `clip`, plus noise N(0, (noise_multiplier clip)^2), over m.

    Every example's gradient over all layers is scaled down to a norm of at most `clip`, by a weight
    on its deltas. The noise is drawn once for the sum, with a key of its own in every step. What
    `training.sampling=poisson` then leaks is at most epsilon at `delta`, as the accountant has it:
    `rdp`, by Renyi divergences, or `pld`, by privacy loss distributions, which is tighter and needs
    `pip install 'bpframe[privacy]'`. With a `target_epsilon` the noise is found with which training
    to its last epoch leaks that much.
    Source: Abadi et al. (2016), Deep learning with differential privacy, algorithm 1.
    """

    clip: float = hyperparameter(default=1.0, gt=0)
    noise_multiplier: float = hyperparameter(default=1.0, gt=0)
    target_epsilon: float | None = hyperparameter(default=None, gt=0)
    delta: float = hyperparameter(default=1e-5, gt=0, lt=1)
    accountant: str = hyperparameter(default="rdp", choices=("rdp", "pld"))

    formula = Formula(
        "g = 1/m (sum_x g_x min(1, clip / |g_x|) + noise_multiplier clip N(0, 1))",
        r"g = \frac{1}{m} \left(\sum_x g_x \min(1, \text{clip} / |g_x|) "
        r"+ \text{noise\_multiplier} \cdot \text{clip} \cdot \mathcal{N}(0, 1)\right)",
    )

    def weights(self, squared_norms: Callable[[], Array]) -> Array:
        """min(1, clip / |g_x|)."""
        norms = jnp.sqrt(squared_norms())
        return jnp.where(norms > self.clip, self.clip / norms, jnp.ones_like(norms))

    def gradient(
        self, total: tuple[LayerParams, ...], m: int, key: Array
    ) -> tuple[LayerParams, ...]:
        """The sum with its noise, over m."""
        leaves, structure = jax.tree.flatten(total)
        keys = jax.random.split(jax.random.fold_in(key, NOISE), len(leaves))
        scale = self.noise_multiplier * self.clip
        noisy = [
            (leaf + jnp.asarray(scale, leaf.dtype) * jax.random.normal(key, leaf.shape, leaf.dtype))
            / m
            for leaf, key in zip(leaves, keys, strict=True)
        ]
        return jax.tree.unflatten(structure, noisy)

    def fitted(self, plan: SamplingPlan) -> Private:
        """The same with the least noise whose epsilon is at most `target_epsilon`, to 1e-4.

        Raises:
            ConfigError: no noise is enough, or noise is given as well.

        """
        if self.target_epsilon is None:
            return self
        if self.noise_multiplier != 1.0:
            raise ConfigError(
                "aggregation: noise_multiplier and target_epsilon are both set, and one follows "
                "from the other; leave one of them out"
            )
        low, high = LEAST_NOISE, MOST_NOISE
        if (least := self._epsilon(plan, high)) > self.target_epsilon:
            raise ConfigError(
                f"aggregation.target_epsilon: {self.target_epsilon:g} is out of reach in "
                f"{plan.steps:,} steps with a sampling rate of {plan.m / plan.n:.3g}; even "
                f"noise_multiplier={high:g} has {least:.3g}; train for fewer epochs, or set a "
                "larger one"
            )
        while high > (1 + PRECISION) * low:
            middle = math.sqrt(low * high)
            if self._epsilon(plan, middle) <= self.target_epsilon:
                high = middle
            else:
                low = middle
        return dataclasses.replace(self, noise_multiplier=high)

    def _epsilon(self, plan: SamplingPlan, sigma: float) -> float:
        by = epsilon_by_pld if self.accountant == "pld" else epsilon_by_rdp
        return by(plan.m / plan.n, sigma, plan.steps, float(self.delta))

    def privacy(self, plan: SamplingPlan) -> Mapping[str, Any]:
        """Epsilon after these steps, and what it holds for."""
        q, sigma = plan.m / plan.n, float(self.noise_multiplier)
        epsilon = self._epsilon(plan, sigma)
        caveat = (
            ""
            if plan.is_poisson or q == 1
            else ", if mini-batches were Poisson samples, which they were not: set "
            "training.sampling=poisson"
        )
        return {
            "epsilon": epsilon,
            "delta": float(self.delta),
            "accountant": self.accountant,
            "noise_multiplier": sigma,
            "clip": float(self.clip),
            "sampling_rate": q,
            "steps": plan.steps,
            "is_poisson": plan.is_poisson,
            "text": (
                f"private: epsilon {epsilon:.3g} at delta {float(self.delta):g} "
                f"({self.accountant}){caveat}; of the parameters alone: costs, accuracies, metrics "
                "and the choice of the best epoch are not private"
            ),
        }


@functools.lru_cache(maxsize=1024)  # a run asks when it is checked, trained and summed up
def epsilon_by_rdp(q: float, sigma: float, steps: int, delta: float) -> float:
    """Epsilon of so many Gaussian mechanisms on Poisson samples, by Renyi divergences.

    The divergences are those of Mironov, Talwar and Zhang (2019), Renyi differential privacy of the
    sampled Gaussian mechanism, section 3.3; epsilon of them is that of Canonne, Kamath and Steinke
    (2020), The discrete Gaussian for differential privacy, proposition 12.
    """
    divergences = np.array([_divergence(q, sigma, alpha) for alpha in ORDERS]) * steps
    found = divergences + np.log1p(-1 / ORDERS) - (math.log(delta) + np.log(ORDERS)) / (ORDERS - 1)
    return float(max(0.0, np.min(found)))


@functools.lru_cache(maxsize=1024)
def epsilon_by_pld(q: float, sigma: float, steps: int, delta: float) -> float:
    """The same by privacy loss distributions.

    Raises:
        ConfigError: dp-accounting is not installed.

    """
    try:
        from dp_accounting import (  # pyright: ignore[reportMissingImports]  (an extra)
            GaussianDpEvent,
            PoissonSampledDpEvent,
        )
        from dp_accounting.pld import (  # pyright: ignore[reportMissingImports]  (an extra)
            PLDAccountant,
        )
    except ImportError as error:
        raise ConfigError(
            "aggregation.accountant: pld needs dp-accounting; install 'bpframe[privacy]', or set "
            "it to rdp"
        ) from error
    accountant = PLDAccountant()
    accountant.compose(PoissonSampledDpEvent(q, GaussianDpEvent(sigma)), steps)
    return float(accountant.get_epsilon(delta))


def _divergence(q: float, sigma: float, alpha: float) -> float:
    """The Renyi divergence of order alpha of one step: ln A_alpha / (alpha - 1).

    A_alpha is a sum of alpha + 1 terms for whole alpha; otherwise it is two series, over the
    outcomes below and above the point where both distributions are as likely.
    """
    from scipy import special

    if q == 1:
        return alpha / (2 * sigma**2)
    is_whole = float(alpha).is_integer()
    i = np.arange(alpha + 1 if is_whole else MOST_TERMS, dtype=float)
    j = alpha - i
    choose = special.gammaln(alpha + 1) - special.gammaln(i + 1) - special.gammaln(j + 1)
    yes, no = math.log(q), math.log1p(-q)
    if is_whole:
        terms = choose + i * yes + j * no + i * (i - 1) / (2 * sigma**2)
        return float(np.asarray(special.logsumexp(terms))) / (alpha - 1)
    middle = sigma**2 * (no - yes) + 0.5
    below = choose + i * yes + j * no + i * (i - 1) / (2 * sigma**2)
    below += special.log_ndtr((middle - i) / sigma)
    above = choose + j * yes + i * no + j * (j - 1) / (2 * sigma**2)
    above += special.log_ndtr((j - middle) / sigma)
    is_small = (np.maximum(below, above) < LAST_TERM) & (i > alpha)
    last = int(np.argmax(is_small)) if is_small.any() else len(i)
    terms = np.concatenate([below[:last], above[:last]])
    signs = np.tile(special.gammasgn(j[:last] + 1), 2)
    return float(np.asarray(special.logsumexp(terms, b=signs))) / (alpha - 1)


@hookimpl
def bpframe_aggregations() -> dict[str, type[Aggregation]]:
    """The aggregations by name."""
    return {"private": Private}
