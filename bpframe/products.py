"""Products over a mini-batch, in the form that each platform computes best."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import checks
from bpframe.errors import ExamplesError

SMALL = 4096


def sum_of_deltas(delta: Array) -> Array:
    """sum_x delta^x, (n_out,), for delta (m, n_out), in float32 at least.

    Deltas of other shapes, (m, ...), are summed over m as well.

    Raises:
        DataError: delta is no array of floats (m, n_out).

    """
    if getattr(delta, "ndim", 0) < 3:
        checks.check_matrix(delta, "delta", "m, n_out")
    wide = delta.dtype if jnp.finfo(delta.dtype).bits >= 32 else jnp.float32
    return jnp.sum(delta, axis=0, dtype=wide)


def sum_of_products(delta: Array, a_prev: Array) -> Array:
    """sum_x delta^x (a^x)^T, (n_out, n_in), for delta (m, n_out) and a_prev (m, n_in).

    It accumulates in float32 at least.

    Raises:
        DataError: they are no arrays of floats of such shapes.

    """
    checks.check_matrix(delta, "delta", "m, n_out")
    checks.check_matrix(a_prev, "a_prev", "m, n_in")
    if len(delta) != len(a_prev):
        raise ExamplesError(
            f"delta has shape {delta.shape} and a_prev {a_prev.shape}; expected as many rows in "
            "both, one for each of the m examples"
        )
    if jnp.finfo(delta.dtype).bits < 32:
        return jax.lax.platform_dependent(delta, a_prev, cpu=_widened, default=_accumulated_wide)
    if delta.size <= SMALL:
        return jax.lax.platform_dependent(delta, a_prev, cpu=_transposed_first, default=_plain)
    return _plain(delta, a_prev)


def neurons_first(w: Array, a: Array) -> Array:
    """w a for one example, kept (n_out, m) in memory on the CPU when it is vmapped over m.

    For the thousands of examples of an evaluation it takes 0.7 to 0.8 of the time in networks with
    up to 100 neurons a layer, and 1.0 in larger ones. In training it takes 0.92 to 1.24, depending
    on the sizes, so it is not used there. The barrier keeps XLA from turning the product round.
    """
    return jax.lax.platform_dependent(w, a, cpu=_kept_as_it_is, default=jnp.matmul)


def _kept_as_it_is(w: Array, a: Array) -> Array:
    return jax.lax.optimization_barrier(w @ a)


def _plain(delta: Array, a_prev: Array) -> Array:
    return delta.T @ a_prev


def _transposed_first(delta: Array, a_prev: Array) -> Array:
    """With delta^T in memory the CPU uses its faster product: 0.85 to 1.0 of a step's time.

    The barrier keeps XLA from folding the transposition into the product. For a larger delta it
    takes 0.94 to 1.15 of the time, so `SMALL` is where it stops.
    """
    return jax.lax.optimization_barrier(delta.T) @ a_prev


def _accumulated_wide(delta: Array, a_prev: Array) -> Array:
    return jnp.matmul(delta.T, a_prev, preferred_element_type=jnp.float32)


def _widened(delta: Array, a_prev: Array) -> Array:
    """XLA has no bfloat16 product with a float32 result on the CPU."""
    return delta.T.astype(jnp.float32) @ a_prev.astype(jnp.float32)
