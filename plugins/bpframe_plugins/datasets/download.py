"""Download a file, trying its mirrors in turn and keeping it only if its checksum is right."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bpframe import DataError

_TIMEOUT = 30.0
"""Seconds without an answer after which a mirror is given up."""


def download(name: str, md5: str, mirrors: tuple[str, ...], folder: Path) -> Path:
    """Fetch `name` into `folder` from the first of the mirrors that serves it with this MD5 sum.

    The file appears under its name only when it is complete and its checksum is right, so
    processes that download at the same time do no harm.

    Raises:
        DataError: no mirror serves the file, or the folder cannot be written.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(
            f"{folder}: cannot write {name} there: {error.strerror}; "
            "set data.root or BPFRAME_DATA_DIR to one that can be written"
        ) from error
    reasons: list[str] = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}"
        try:
            return _fetch(url, md5, folder, name)
        except OSError as error:  # all that requests raises, and a disk that is full
            reasons.append(f"{url}: {' '.join(str(error).split())}")
        except ValueError:  # what pooch raises for a wrong checksum
            reasons.append(f"{url}: its MD5 checksum is not {md5}")
    why = "; ".join(reasons) or "no mirrors are set"
    raise DataError(
        f"{name} could not be downloaded to {folder}: {why}; "
        "put the file there by hand, or set data.mirrors=[URL]"
    )


def _fetch(url: str, md5: str, folder: Path, name: str) -> Path:
    import pooch  # here, because only a download needs it

    downloader: Any = pooch.HTTPDownloader(timeout=_TIMEOUT)  # pooch's own hints disagree on it
    with _quiet(pooch.get_logger()):
        path = pooch.retrieve(
            url,
            known_hash=f"md5:{md5}",
            fname=name,
            path=folder,
            downloader=downloader,
            progressbar=False,
        )
    Path(path).chmod(0o644)  # pooch leaves it readable by its owner alone
    return Path(path)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Hold back what the logger says below a warning."""
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)
