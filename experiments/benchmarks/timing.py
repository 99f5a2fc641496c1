"""Interleaved timing, and the machine's best matrix product as the limit."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

Samples = dict[str, list[float]]

PAUSE_S = 0.1
"""Between two ways, so that the threads of one library stop spinning before the next one runs."""


def interleaved(ways: Mapping[str, Callable[[], None]], rounds: int) -> Samples:
    """Seconds of each way in each round, after one round to warm up.

    A round runs them one after another, in an order of its own: what runs before a way can slow it
    down.
    """
    for run in ways.values():
        run()
    samples: Samples = {name: [] for name in ways}
    orders = random.Random(0)
    for _ in range(rounds):
        for name in orders.sample(list(ways), len(ways)):
            time.sleep(PAUSE_S)
            started = time.perf_counter()
            ways[name]()
            samples[name].append(time.perf_counter() - started)
    return samples


def median_ratio(samples: Samples, ours: str, theirs: str) -> float:
    """The median over rounds of our time in units of theirs."""
    pairs = zip(samples[ours], samples[theirs], strict=True)
    return statistics.median(a / b for a, b in pairs)


def product_size() -> int:
    """The size of matrices with which a CPU, or a GPU, comes near to its best."""
    return 8192 if jax.default_backend() == "gpu" else 2048


def matrix_products(dtype: str = "float32") -> dict[str, Callable[[], None]]:
    """The product of two n x n matrices in JAX, and in NumPy for float32."""
    n = product_size()
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, n, n)).astype(np.float32)
    with jax.enable_x64(dtype == "float64"):
        left, right = jnp.asarray(a, dtype), jnp.asarray(b, dtype)
    product = jax.jit(jnp.matmul)

    def in_jax() -> None:
        with jax.enable_x64(dtype == "float64"):
            product(left, right).block_until_ready()

    def in_numpy() -> None:
        np.matmul(a, b)

    return {
        "product in JAX": in_jax,
        **({"product in NumPy": in_numpy} if dtype == "float32" else {}),
    }


def best_product(samples: Samples) -> float:
    """FLOP/s of the faster of the products in `samples`, by its median."""
    medians = [statistics.median(t) for name, t in samples.items() if name.startswith("product")]
    return 2.0 * product_size() ** 3 / min(medians)
