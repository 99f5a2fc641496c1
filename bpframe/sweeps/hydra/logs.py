"""The log of each job, while many of them are trained by one process."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from hydra.core.utils import configure_log
from omegaconf import OmegaConf

from bpframe.sweeps.hydra.jobs import Job, moved


class JobLog(logging.Handler):
    """Keeps what is logged on behalf of one job, until its log file is written."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """What is logged meanwhile belongs to this job."""
        root = logging.getLogger()
        root.addHandler(self)
        try:
            yield
        finally:
            root.removeHandler(self)


class LogFiles:
    """The handlers of Hydra's `job_logging`, set up once and moved from job to job.

    As a context, it takes the place of the handlers there are.
    """

    def __init__(self) -> None:
        self._before: list[logging.Handler] = []
        self._handlers: dict[logging.Logger, list[logging.Handler]] = {}
        self._folder = ""
        self._settings: Any = None

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._before = root.handlers[:]
        root.handlers.clear()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()
        logging.getLogger().handlers[:] = self._before

    def write(self, job: Job, log: JobLog) -> None:
        """Write what was kept of a job to where its `job_logging` says.

        Raises:
            OSError: its log cannot be written.

        """
        folder = str(job.folder)
        settings = moved(job.logging, folder, "")
        if settings != self._settings:
            self._close()
            self._handlers = _configured(job.logging)
            self._settings, self._folder = settings, folder
        for handlers in self._handlers.values():
            for handler in handlers:
                if isinstance(handler, logging.FileHandler):
                    _move(handler, self._folder, folder)
        self._folder = folder
        for record in log.records:
            _emit(record, self._handlers)
        log.records.clear()

    def _close(self) -> None:
        for handlers in self._handlers.values():
            for handler in handlers:
                with contextlib.suppress(OSError):  # on a full disk it has been told of already
                    handler.close()
        self._handlers = {}


def _configured(settings: Mapping[str, Any]) -> dict[logging.Logger, list[logging.Handler]]:
    """The handlers that Hydra sets up, by logger; taken off them, as they serve one job at a time.

    Raises:
        OSError: a file cannot be opened.

    """
    try:
        configure_log(OmegaConf.create(dict(settings)))
    except ValueError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        raise
    found = {}
    for name in (None, *(settings.get("loggers") or {})):
        logger = logging.getLogger(name)
        found[logger], logger.handlers = logger.handlers, []
        for handler in found[logger]:
            handler.handleError = _raise_again
    return found


def _raise_again(record: logging.LogRecord) -> None:
    """Let the error of a handler through, which logging would print and forget."""
    del record
    error = sys.exception()
    assert error is not None
    raise error


def _emit(
    record: logging.LogRecord, handlers: Mapping[logging.Logger, list[logging.Handler]]
) -> None:
    """Give a record to the handlers of its logger and of those above it, as logging would."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger:
        for handler in handlers.get(logger, ()):
            if record.levelno >= handler.level:
                handler.handle(record)
        logger = logger.parent if logger.propagate else None


def _move(handler: logging.FileHandler, old: str, new: str) -> None:
    """Let a handler write to the file of the same name in another folder."""
    if handler.stream is not None:
        handler.stream.close()
        handler.stream = None  # pyright: ignore[reportAttributeAccessIssue]  (opened when needed)
    handler.baseFilename = handler.baseFilename.replace(old, new, 1)


@contextmanager
def levels_of(settings: Mapping[str, Any]) -> Iterator[None]:
    """The levels of Hydra's `job_logging` without its handlers; what was set before comes back."""
    levels = {
        logging.getLogger(name): logger["level"]
        for name, logger in (
            (None, {"level": "INFO", **(settings.get("root") or {})}),
            *(settings.get("loggers") or {}).items(),
        )
        if "level" in logger
    }
    before = {logger: logger.level for logger in levels}
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        for logger, level in levels.items():
            logger.setLevel(level)
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)
        root.handlers = handlers
