"""Where compiled programs are kept, and how a user decides otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from bpframe.training import compilation

KEYS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


def settings() -> dict[str, object]:
    return {key: jax.config.values[key] for key in KEYS}


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A process whose user has set nothing; yields the user's cache folder."""
    monkeypatch.delenv(KEYS[1].upper(), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = settings()
    jax.config.update(KEYS[0], None)
    yield tmp_path / "cache"
    for key, value in before.items():
        jax.config.update(key, value)


def test_programs_are_kept_in_the_users_cache_however_short_their_compilation(fresh: Path) -> None:
    compilation.use_cache()
    assert compilation.folder().is_dir()
    assert compilation.folder().is_relative_to(fresh)
    assert settings() == {KEYS[0]: str(compilation.folder()), KEYS[1]: 0.0}


def test_the_users_own_settings_stay(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jax.config.update(KEYS[0], str(tmp_path / "mine"))  # as JAX_COMPILATION_CACHE_DIR does
    jax.config.update(KEYS[1], 7.0)
    monkeypatch.setenv(KEYS[1].upper(), "7")
    compilation.use_cache()
    assert settings() == {KEYS[0]: str(tmp_path / "mine"), KEYS[1]: 7.0}
    assert not compilation.folder().exists()


def test_without_a_folder_that_can_be_written_nothing_is_kept(fresh: Path) -> None:
    fresh.write_text("a file where the folder should be")
    compilation.use_cache()
    assert settings()[KEYS[0]] is None
