"""Where compiled programs are kept, and how a user decides otherwise."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from jax._src import compilation_cache

from bpframe.errors import OutputWarning
from bpframe.training import compilation
from bpframe.training.program_cache import SUFFIX, ProgramCache

KEYS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


def settings() -> dict[str, object]:
    return {key: jax.config.values[key] for key in KEYS}


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A process whose user has set nothing; yields the user's cache folder."""
    monkeypatch.delenv(KEYS[1].upper(), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(compilation_cache, "get_file_cache", compilation_cache.get_file_cache)
    before = settings()
    jax.config.update(KEYS[0], None)
    yield tmp_path / "cache"
    monkeypatch.undo()
    compilation_cache.reset_cache()
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


def test_an_entry_that_is_not_what_was_put_under_its_key_is_none(tmp_path: Path) -> None:
    """Every truncation and every flipped bit of an entry, and each under the other's name."""
    folder = tmp_path / "made" / "anew"
    cache = ProgramCache(folder, private=True)
    cache.put("a", b"one program")
    cache.put("b", b"another one")
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (
        b"one program",
        b"another one",
        None,
    )
    file, other = folder / f"a{SUFFIX}", folder / f"b{SUFFIX}"
    good = file.read_bytes()
    damaged = [good[:end] for end in range(len(good))]
    for place in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[place // 8] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    damaged += [good + b"x", other.read_bytes()]
    for content in damaged:
        file.write_bytes(content)
        assert cache.get("a") is None
    cache.put("a", b"one program")
    assert file.read_bytes() == good


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ProgramCache(tmp_path, private=True)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.warns(OutputWarning, match="not kept: No space left"):
        cache.put("a", b"a program")
    cache.put("b", b"a program")  # a second warning would be an error
    assert cache.get("a") is cache.get("b") is None
    assert not list(tmp_path.iterdir())


def test_the_folder_is_the_users_alone(fresh: Path) -> None:
    compilation.folder().mkdir(parents=True)
    compilation.folder().chmod(0o777)
    compilation.use_cache()
    assert stat.S_IMODE(compilation.folder().stat().st_mode) == 0o700


def test_what_another_user_owns_is_not_read(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ProgramCache(fresh, private=True)
    fresh.mkdir()
    cache.put("a", b"a program")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.get("a") is None
    compilation.folder().mkdir(parents=True)
    with pytest.warns(OutputWarning, match="the folder is another user's"):
        compilation.use_cache()
    assert settings()[KEYS[0]] is None


def test_a_jax_that_has_changed_keeps_nothing(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(compilation_cache, "reset_cache")
    with pytest.warns(OutputWarning, match="are not kept: jax .* has changed"):
        compilation.use_cache()
    assert not jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", True)
    monkeypatch.undo()


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "swapped"])
def test_jax_compiles_anew_what_is_damaged(fresh: Path, damage: str) -> None:
    """JAX's private names are as `program_cache` needs them, and its own files are not used."""
    compilation.use_cache()

    def doubled(x: jax.Array) -> jax.Array:
        return 2 * x

    def squared(x: jax.Array) -> jax.Array:
        return x * x

    def answers() -> list[list[float]]:
        jax.clear_caches()  # so that files are all there is
        x = np.arange(3.0)
        return [np.asarray(jax.jit(f)(x)).tolist() for f in (doubled, squared)]

    def contents() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in compilation.folder().iterdir()}

    right = [[0.0, 2.0, 4.0], [0.0, 1.0, 4.0]]
    assert answers() == right
    good = contents()
    assert {name.split("-")[0] for name in good} == {"jit_doubled", "jit_squared"}
    assert all(name.endswith(SUFFIX) for name in good)
    one, other = (compilation.folder() / name for name in sorted(good))
    spoilt: dict[str, Callable[[bytes], bytes]] = {
        "flipped": lambda content: content[:-9] + bytes([content[-9] ^ 4]) + content[-8:],
        "truncated": lambda content: content[: len(content) // 2],
        "empty": lambda content: b"",
        "swapped": lambda content: other.read_bytes(),
    }
    one.write_bytes(spoilt[damage](one.read_bytes()))
    if damage == "swapped":
        other.write_bytes(good[one.name])
    assert answers() == right
    cache = ProgramCache(compilation.folder(), private=True)
    assert all(cache.get(name.removesuffix(SUFFIX)) for name in good)
    healed = contents()
    assert answers() == right
    assert contents() == healed
