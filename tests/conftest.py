"""Every test runs in float64, with strict promotion, and with rank promotion as an error."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import pytest
from jax._src import compiler

from bpframe.plugin_host.host import load_registry
from bpframe.plugin_host.registry import Registry

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DAY = int(os.environ.setdefault("BPFRAME_TEST_DAY", str(date.today().toordinal())))
_CACHE = "BPFRAME_TEST_COMPILATION_CACHE"
_SHORT = "jax_disable_most_optimizations"
_SHORTER = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
"""Of two ways to emit fused loops that which compiles in half of the time; all in one piece."""

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def _compile_options(*args: Any, env_options_overrides: Any = None, **more: Any) -> Any:
    """JAX's options, and `_SHORTER` in tests that are compiled without most optimisations."""
    if jax.config.values[_SHORT] and jax.default_backend() == "cpu":
        env_options_overrides = {**_SHORTER, **(env_options_overrides or {})}
    return _jax_options(*args, env_options_overrides=env_options_overrides, **more)


_jax_options = compiler.get_compile_options
compiler.get_compile_options = _compile_options


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where all processes of this session keep what they compile, or several sessions."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = Path(os.environ.setdefault(_CACHE, str(folder / "compiled")))
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> Iterator[None]:
    """Programs that stay compiled are not looked at again by every garbage collection."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _imported() -> None:
    """What takes more than a second to import on a busy machine, of which users are told."""
    importlib.import_module("bpframe_plugins.optimisers")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium, for tests of pages."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        message = "no chromium on the PATH: the tests of pages in a browser need it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    flags = ("no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run")
    flags = (*flags, "disable-component-update", "disable-sync")
    with sync_playwright() as playwright:
        arguments = [f"--{flag}" for flag in flags]
        started = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield started
        started.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, in CI, all but a share: another one every day.

    That is one of n cases of what is marked `share(n)`, and one of twenty of the other slow tests.
    """
    if os.environ.get("CI") != "true":
        return
    seen: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        marker = item.get_closest_marker("share")
        is_slow = item.get_closest_marker("slow") is not None
        of = item.nodeid.partition("[")[0] if marker else "the slow ones"
        share = marker.args[0] if marker else 20 if is_slow else 1
        (left_out if (seen[of] + DAY) % share else kept).append(item)
        seen[of] += is_slow or marker is not None
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def pytest_report_header() -> str | None:
    """Say that cases are left out, and what runs them."""
    if os.environ.get("CI") != "true":
        return None
    return f"a share of the slow tests, that of day {DAY}; CI=false pytest -m slow runs all"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compile without most optimisations: compiling is most of the time of these tests.

    Tests marked `optimised` are about what is compiled, or about the same bits by two ways;
    `optimised(False)` takes a test out of a file that is marked.
    """
    marker = item.get_closest_marker("optimised")
    short = marker is None or marker.args == (False,)
    if jax.config.values[_SHORT] != short:
        jax.clear_caches()  # which take no account of it
        jax.config.update(_SHORT, short)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real MNIST, which is not part of the project."""
    folder = os.environ.get("BPFRAME_DATA_DIR")
    if folder:
        return Path(folder)
    message = "BPFRAME_DATA_DIR is not set: the tests on the real MNIST need it"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
