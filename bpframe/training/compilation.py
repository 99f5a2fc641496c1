"""How XLA compiles, and where JAX keeps compiled programs between processes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import jax
import platformdirs

log = logging.getLogger(__name__)

# Nearly all programs here compile in less than the second from which JAX keeps them by default.
_MIN_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


# Without the region analysis XLA copies most weights in every step, for fear of overwriting them
# before their last use: 0.89 to 1.02 of the time, and the same bits.
EPOCH_OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True}


# For what runs once a run: a compilation takes 0.4 of the time with these options.
SHORT_COMPILATION = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_parallel_codegen_split_count": 1,
}


def folder() -> Path:
    """Where compiled programs are kept; it can be deleted at any time."""
    return platformdirs.user_cache_path("bpframe") / "compiled"


def use_cache() -> None:
    """Turn JAX's compilation cache on for this process.

    What the user has set with JAX's own variables stays: JAX_ENABLE_COMPILATION_CACHE=false turns
    the cache off, JAX_COMPILATION_CACHE_DIR moves it. Without a folder that can be written, every
    process compiles for itself.
    """
    if _MIN_SECONDS not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    path = folder()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.info("compiled programs are not kept: %s", error)
        return
    if not os.access(path, os.W_OK):
        log.info("compiled programs are not kept: %s cannot be written", path)
        return
    jax.config.update("jax_compilation_cache_dir", str(path))
