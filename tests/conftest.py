"""Every test runs in float64, with strict promotion, and with rank promotion as an error."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from bpframe.plugin_host.host import load_registry
from bpframe.plugin_host.registry import Registry

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder where the subprocesses of this session keep what they compile."""
    folder = tmp_path_factory.mktemp("compilation_cache")
    os.environ["BPFRAME_TEST_COMPILATION_CACHE"] = str(folder)


@pytest.fixture
def short_compilation() -> Iterator[None]:
    """Programs are compiled without most optimisations, where compiling is most of the time."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


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
