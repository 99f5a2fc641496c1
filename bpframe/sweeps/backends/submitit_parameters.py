"""What is passed to submitit: the node hydra.launcher.submitit."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bpframe.errors import ConfigError, unknown

SLURM, LOCAL = "slurm", "local"

_OF_ANY_CLUSTER = (
    "cpus_per_task",
    "gpus_per_node",
    "mem_gb",
    "name",
    "nodes",
    "stderr_to_stdout",
    "tasks_per_node",
    "timeout_min",
)
_OF_THE_EXECUTOR = ("max_num_timeout", "max_pickle_size_gb", "python")


class Parameters:
    """The node hydra.launcher.submitit: `cluster` ("slurm" or "local"), and submitit's own.

    What is no parameter of every cluster is one of Slurm, with or without `slurm_` before it.

    Raises:
        ConfigError: submitit is not installed, or refuses them.

    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        values = {name: value for name, value in given.items() if value is not None}
        self.cluster = str(values.pop("cluster", SLURM))
        if self.cluster not in (SLURM, LOCAL):
            raise unknown("hydra.launcher.submitit.cluster", self.cluster, (SLURM, LOCAL))
        prefixes = (f"{SLURM}_", f"{LOCAL}_")
        self._values = {
            name if name in _OF_ANY_CLUSTER or name.startswith(prefixes) else f"{SLURM}_{name}": v
            for name, v in values.items()
        }
        for name in ("nodes", "tasks_per_node"):
            if self.of(name, 1) != 1:
                raise ConfigError(
                    f"hydra.launcher.submitit.{name}: {self.of(name, 1)!r} is out of range; "
                    "allowed: 1, for a unit of a sweep is trained by one process"
                )
        with tempfile.TemporaryDirectory() as folder:
            self.executor(Path(folder))

    def of(self, name: str, default: Any) -> Any:
        """A parameter that every cluster has."""
        return self._values.get(f"{self.cluster}_{name}", self._values.get(name, default))

    def executor(self, folder: Path) -> Any:
        """The executor of submitit with these parameters."""
        try:
            import submitit
        except ImportError as error:
            raise ConfigError(
                "hydra.launcher.backend: submitit is not installed; pip install 'bpframe[submitit]'"
            ) from error
        makes = {f"{SLURM}_{name}" for name in _OF_THE_EXECUTOR} & self._values.keys()
        try:
            executor = submitit.AutoExecutor(
                folder, cluster=self.cluster, **{name: self._values[name] for name in makes}
            )
            others = {name: v for name, v in self._values.items() if name not in makes}
            executor.update_parameters(**{"name": "bpframe", **others})
        except (AssertionError, NameError, RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(f"hydra.launcher.submitit: {str(error).splitlines()[0]}") from error
        return executor
