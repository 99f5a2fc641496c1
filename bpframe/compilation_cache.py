"""Compiled programs, kept between processes by JAX in the user's cache folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import jax
import platformdirs

log = logging.getLogger(__name__)

# Nearly all programs here compile in less than the second from which JAX keeps them by default.
_MIN_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def folder() -> Path:
    """Where compiled programs are kept; it can be deleted at any time."""
    return platformdirs.user_cache_path("bpframe") / "compiled"


def use() -> None:
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
