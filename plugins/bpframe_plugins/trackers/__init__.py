"""Trackers: runs in TensorBoard, MLflow and W&B. Each imports its library when it is used."""

from __future__ import annotations

from bpframe import Tracker, hookimpl
from bpframe_plugins.trackers.mlflow import MLflow
from bpframe_plugins.trackers.tensorboard import TensorBoard
from bpframe_plugins.trackers.wandb import Wandb

BPFRAME_API_VERSION = 2


@hookimpl
def bpframe_trackers() -> dict[str, type[Tracker]]:
    """The trackers by name."""
    return {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": Wandb}
