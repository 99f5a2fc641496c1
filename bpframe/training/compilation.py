"""How XLA compiles, and where JAX keeps compiled programs between processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import platformdirs

from bpframe.training.program_cache import install, made_private

# Nearly all programs here compile in less than the second from which JAX keeps them by default.
_MIN_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"

_UNOPTIMISED = "jax_disable_most_optimizations"
_ORDINARY = (
    ("jax_compilation_cache_max_size", -1),
    ("jax_compilation_cache_check_contents", False),
)

# Without the region analysis XLA copies most weights in every step, for fear of overwriting them
# before their last use: 0.89 to 1.02 of the time, and the same bits.
EPOCH_OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True}


# For what runs once a run: a compilation takes 0.4 of the time with these options.
SHORT_COMPILATION = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_parallel_codegen_split_count": 1,
}


_BRIEF = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
"""Of XLA's two ways to emit fused loops on a CPU the one that compiles in less time, and one piece
of machine code, which takes two thirds of the processor's time that several do."""


@contextmanager
def brief() -> Iterator[None]:
    """Compile as long as this lasts for programs that run once and briefly, hardly optimised.

    With a version of JAX that has changed what this relies on, compiling takes longer.
    """
    before = jax.config.values[_UNOPTIMISED]
    jax.config.update(_UNOPTIMISED, True)
    try:
        with _options(_BRIEF if jax.default_backend() == "cpu" else {}):
            yield
    finally:
        jax.config.update(_UNOPTIMISED, before)


@contextmanager
def _options(more: Mapping[str, Any]) -> Iterator[None]:
    """Options of XLA for whatever is compiled."""
    from jax._src import compiler

    given = getattr(compiler, "get_compile_options", None)
    if given is None or not more:
        yield
        return

    def options(*args: Any, env_options_overrides: Any = None, **others: Any) -> Any:
        overrides = {**more, **(env_options_overrides or {})}
        return given(*args, env_options_overrides=overrides, **others)

    compiler.get_compile_options = options
    try:
        yield
    finally:
        compiler.get_compile_options = given


def folder() -> Path:
    """Where compiled programs are kept; it can be deleted at any time."""
    return platformdirs.user_cache_path("bpframe") / "compiled"


def use_cache() -> None:
    """Turn JAX's compilation cache on for this process.

    What the user has set with JAX's own variables stays: JAX_ENABLE_COMPILATION_CACHE=false turns
    the cache off, JAX_COMPILATION_CACHE_DIR moves it; one with a size limit, or in the cloud, is
    JAX's own. Without a folder that can be written by the user, every process compiles for itself.
    """
    if _MIN_SECONDS not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    given = jax.config.values["jax_compilation_cache_dir"]
    if given in (None, str(folder())):
        if made_private(folder()):
            install(folder(), private=True)
    elif "://" not in given and not any(jax.config.values[name] != v for name, v in _ORDINARY):
        install(Path(given), private=False)
