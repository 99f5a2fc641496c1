"""The log of each job, while many of them are trained by one process."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from hydra.core.utils import configure_log
from omegaconf import OmegaConf

from bpframe.sweeps.jobs import Job, moved


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
        self._root = logging.getLogger()
        self._before: list[logging.Handler] = []
        self._folder = ""
        self._settings: Any = None

    def __enter__(self) -> Self:
        self._before = self._root.handlers[:]
        self._root.handlers.clear()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for handler in self._root.handlers:
            handler.close()
        self._root.handlers[:] = self._before

    def write(self, job: Job, log: JobLog) -> None:
        """Log what was kept of a job once more, to where its `job_logging` says."""
        folder = str(job.folder)
        settings = moved(job.logging, folder, "")
        if settings == self._settings:
            for handler in self._root.handlers:
                if isinstance(handler, logging.FileHandler):
                    _move(handler, self._folder, folder)
        else:
            for handler in self._root.handlers:
                handler.close()
            configure_log(OmegaConf.create(dict(job.logging)))
        self._settings, self._folder = settings, folder
        for record in log.records:
            logging.getLogger(record.name).handle(record)
        log.records.clear()


def _move(handler: logging.FileHandler, old: str, new: str) -> None:
    """Let a handler write to the file of the same name in another folder."""
    if handler.stream is not None:
        handler.stream.close()
        handler.stream = None  # pyright: ignore[reportAttributeAccessIssue]  (opened when needed)
    handler.baseFilename = handler.baseFilename.replace(old, new, 1)


@contextmanager
def levels_of(settings: Mapping[str, Any]) -> Iterator[None]:
    """The levels of Hydra's `job_logging` without its handlers; what was set before comes back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    loggers = {
        name: {key: value for key, value in logger.items() if key != "handlers"}
        for name, logger in (settings.get("loggers") or {}).items()
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "root": {"level": (settings.get("root") or {}).get("level", "INFO"), "handlers": []},
            "loggers": loggers,
        }
    )
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.addHandler(handler)
