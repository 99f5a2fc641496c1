"""Compiled programs in files, each with a checksum; what JAX keeps of them goes through here.

JAX takes what it finds: a damaged entry ends the process inside XLA or costs a page of warnings in
every later run, and an entry under another one's name computes something else. Here an entry
that is not what was written under its name is none, and the next compilation replaces it.

The checksum tells of damage and not of intent: an entry is code, as trusted as its folder.
"""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import hashlib
import logging
import os
import stat
import warnings
from importlib.metadata import version
from pathlib import Path

import jax

from bpframe.errors import OutputWarning
from bpframe.files import write_whole

log = logging.getLogger(__name__)

SUFFIX = "-bpframe"
"""Not JAX's own, so that programs which share the folder do not read each other's entries."""

_FORMAT = b"bpframe1"
_HEAD = len(_FORMAT) + hashlib.sha256().digest_size


class ProgramCache:
    """JAX's cache of compiled programs: bytes by key.

    What cannot be written is not kept, which is told once.
    """

    def __init__(self, folder: Path, *, private: bool) -> None:
        self._path = folder  # JAX names it when it lets go of a cache
        self._private = private
        self._has_warned = False

    def get(self, key: str) -> bytes | None:
        """What was put under a key; None if nothing was, or if it has changed since."""
        try:
            with self._file(key).open("rb") as file:
                if self._private and os.fstat(file.fileno()).st_uid != _user():
                    return None
                content = file.read()
        except OSError:
            return None
        value = content[_HEAD:]
        if content[:_HEAD] != _head(key, value):
            log.info("%s: is damaged, and is made again", self._file(key))
            return None
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keep a value in place of what is there."""
        mode = 0o700 if self._private else 0o777
        try:  # the folder can be deleted at any time
            self._path.mkdir(mode, parents=True, exist_ok=True)
            write_whole(self._file(key), _head(key, value) + value, durable=False)
        except OSError as error:
            if not self._has_warned:
                _warn(f"{self._path}: compiled programs are not kept: {error.strerror}")
            self._has_warned = True

    def _file(self, key: str) -> Path:
        return self._path / f"{key}{SUFFIX}"


def install(folder: Path, *, private: bool) -> None:
    """Have JAX keep compiled programs in a folder, through a ProgramCache.

    In a `private` folder only the user's own files are read. With a version of JAX that has changed
    what this relies on, none are kept, and a warning says so.
    """
    try:
        from jax._src import compilation_cache

        assert callable(compilation_cache.get_file_cache)
        assert callable(compilation_cache.reset_cache)
    except (ImportError, AttributeError, AssertionError) as error:
        _warn(f"compiled programs are not kept: jax {version('jax')} has changed: {error}")
        jax.config.update("jax_enable_compilation_cache", False)
        return
    compilation_cache.reset_cache()
    cache = ProgramCache(folder, private=private)
    compilation_cache.get_file_cache = lambda path: (cache, path)
    jax.config.update("jax_compilation_cache_dir", str(folder))


def made_private(folder: Path) -> bool:
    """Make a folder in which the user alone can read and write; whether there is one now."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != _user():
            _warn(f"{folder}: compiled programs are not kept: the folder is another user's")
            return False
        if stat.S_IMODE(found.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        log.info("compiled programs are not kept: %s: %s", folder, error.strerror)
        return False
    if not os.access(folder, os.W_OK):
        log.info("compiled programs are not kept: %s cannot be written", folder)
        return False
    return True


def _head(key: str, value: bytes) -> bytes:
    """What stands before a value: it binds the value to its key."""
    digest = hashlib.sha256(key.encode() + b"\0")
    digest.update(value)
    return _FORMAT + digest.digest()


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0  # on Windows a file belongs to 0


def _warn(text: str) -> None:
    warnings.warn(text, OutputWarning, stacklevel=3)
