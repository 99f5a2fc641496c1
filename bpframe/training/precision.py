"""In which dtype an experiment computes, and in which it sums and keeps its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@contextmanager
def precision(dtype: str) -> Iterator[None]:
    """The context for an experiment of this dtype: 64 bits if, and only if, it asks for them.

    Products of float32 are products of float32 everywhere: by default JAX rounds their factors to
    10 bits (TF32) on GPUs and to 7 (bfloat16) on TPUs. Who wants that sets
    JAX_DEFAULT_MATMUL_PRECISION.
    """
    chosen = jax.config.jax_default_matmul_precision or "highest"  # pyright: ignore
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision(chosen):
        yield


def wide_dtype(dtype: str) -> np.dtype:
    """The dtype of parameters and sums: float32, unless all is float64."""
    return np.dtype("float64" if dtype == "float64" else "float32")


def cast(tree: Any, dtype: str | np.dtype) -> Any:
    """Every leaf in `dtype`."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def cast_floats(tree: Any, dtype: str | np.dtype) -> Any:
    """Every leaf that is a float in `dtype`, the others as they are."""

    def cast_one(leaf: Any) -> Any:
        return jnp.asarray(leaf, dtype) if _is_float(leaf) else leaf

    return jax.tree.map(cast_one, tree)


def _is_float(leaf: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(leaf), jnp.floating))
