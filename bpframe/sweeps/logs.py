"""The log of each job, while many of them are trained by one process."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hydra.core.utils import configure_log
from omegaconf import OmegaConf


class JobLog(logging.Handler):
    """Keeps what is logged on behalf of one job, until its log file is written."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self._settings = settings
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self._records.append(record)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """What is logged meanwhile belongs to this job."""
        root = logging.getLogger()
        root.addHandler(self)
        try:
            yield
        finally:
            root.removeHandler(self)

    def write(self) -> None:
        """Log what was kept once more, to where Hydra's `job_logging` says."""
        root = logging.getLogger()
        before = root.handlers[:]
        try:
            configure_log(OmegaConf.create(dict(self._settings)))
            for record in self._records:
                logging.getLogger(record.name).handle(record)
        finally:
            for handler in root.handlers[:]:
                root.removeHandler(handler)
                if handler not in before:
                    handler.close()
            for handler in before:
                root.addHandler(handler)
        self._records.clear()


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
