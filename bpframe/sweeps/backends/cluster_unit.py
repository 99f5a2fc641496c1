"""What is submitted to a cluster.

Only light modules are imported at the top; see worker.py.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bpframe.errors import BpframeError, described
from bpframe.sweeps.backends.messages import FAILED, UnitResult, WorkerSettings
from bpframe.sweeps.backends.worker import Worker

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

_CHECK_S = 1.0


class ClusterUnit:
    """A unit as it is submitted to a cluster.

    A job that is requeued trains the whole unit again, which writes its run folders anew.

    `session` is a file that holds `token` as long as the driver that submitted the unit, or none,
    is there; a unit of an earlier driver writes nothing any more.
    """

    def __init__(self, settings: WorkerSettings, unit: bytes, session: Path, token: str) -> None:
        self._settings = settings
        self._unit = unit
        self._session = session
        self._token = token
        self._checked = -math.inf

    def __call__(self) -> UnitResult:
        """Train the unit."""
        try:
            self._check()
            worker = Worker(self._settings)
        except Exception as error:
            return UnitResult(FAILED, message=described(error))
        return worker.train(self._unit, self._check, lambda *_: None)

    def checkpoint(self) -> DelayedSubmission:
        """What runs when the job is requeued."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(
            ClusterUnit(self._settings, self._unit, self._session, self._token)
        )

    def _check(self) -> None:
        if time.monotonic() - self._checked < _CHECK_S:
            return
        self._checked = time.monotonic()
        # Opening a file asks the server, where the file system is a shared one.
        try:
            current = self._session.read_text()
        except OSError:
            current = None
        if current != self._token:
            raise BpframeError(f"{self._session}: the sweep has ended, or goes on elsewhere")
