"""TensorBoard: event files, by tensorboardX, which needs neither TensorBoard nor a framework."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from bpframe import EpochRecord, Listener, RunInfo, RunResult, Tracker
from bpframe_plugins.trackers.batches import (
    PARAMS,
    BatchedListener,
    final_numbers,
    short_name,
)


class TensorBoard(Tracker):
    """Writes event files for TensorBoard: scalars, hyperparameters, curves, histograms of w and b.

    They are written into the run folder, so that `tensorboard --logdir SWEEP` shows the jobs of a
    sweep side by side, or into a folder below `folder`. A run that goes on writes another file with
    all its records, which takes the place of those before.
    """

    folder: str | None = None

    library = ("tensorboardX", "bpframe[tensorboard]")

    def listener(self, run: RunInfo) -> Listener:
        """See the contract."""
        return _EventFile(self, run)


class _EventFile(BatchedListener):
    def __init__(self, tracker: TensorBoard, run: RunInfo) -> None:
        super().__init__(run)
        own = self.folder
        self._logdir = Path(tracker.folder) / short_name(own) if tracker.folder else own
        self._writer: Any = None

    def begin(self) -> None:
        from tensorboardX import SummaryWriter

        earlier = self.run.earlier
        self._writer = SummaryWriter(
            str(self._logdir),
            purge_step=None if earlier is None else 0,
            filename_suffix="" if earlier is None else f".{len(earlier)}",
        )
        rows = [f"| {key} | {value} |" for key, value in self.run.settings.items()]
        self._writer.add_text("settings", "\n".join(("| key | value |", "| --- | --- |", *rows)))

    def add(self, records: Sequence[EpochRecord]) -> None:
        for record in records:
            for name, value in record.scalars().items():
                self._writer.add_scalar(name, value, record.epoch)
        self._writer.flush()

    def end(self, result: RunResult) -> None:
        from tensorboardX.summary import hparams

        summary, epoch = result.summary, result.summary.epochs
        for name, value in final_numbers(result).items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.add_text("status", f"{summary.status}: {summary.error or 'no error'}", epoch)
        told = {key: _plain(value) for key, value in self.run.settings.items()}
        for part in hparams(told, final_numbers(result)):
            self._writer.file_writer.add_summary(part)
        if self.curves is not None:
            from matplotlib.image import imread  # as the picture was drawn by it

            self._writer.add_image("learning_curves", imread(self.curves), epoch, dataformats="HWC")
        for name, array in load_file(self.folder / PARAMS).items():
            if np.isfinite(array).all():
                self._writer.add_histogram(f"params/{name}", array, epoch)
        self._writer.close()


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else str(value)
