"""hydra/launcher=vmap and hydra/sweeper=grid: what Hydra sees of the sweeps of bpframe.

Hydra imports this whenever it starts, so everything heavy is imported when it is needed. It does
so before it enters the module into `sys.modules`, so dataclasses here cannot have postponed
annotations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

_SUBMITIT = {
    "cluster": "slurm",
    "partition": None,
    "account": None,
    "timeout_min": 60,
    "cpus_per_task": None,
    "gpus_per_node": None,
    "mem_gb": None,
    "array_parallelism": None,
}


@dataclass
class VmapLauncherConf:
    """hydra/launcher=vmap. At most `lanes` jobs are trained together; null: what fits.

    `backend` is where: "here", in this process; "processes", one for each device; "submitit", jobs
    of a cluster, to which the parameters in `submitit` are passed: those that are not null, and
    any other of sbatch or submitit that is added with `+hydra.launcher.submitit.NAME=...`.
    """

    _target_: str = "hydra_plugins.bpframe.VmapLauncher"
    lanes: int | None = None
    backend: str = "here"
    submitit: dict[str, Any] = field(default_factory=lambda: dict(_SUBMITIT))


@dataclass
class GridSweeperConf:
    """hydra/sweeper=grid. All combinations; see bpframe.sweeps.sweepers.grid."""

    _target_: str = "hydra_plugins.bpframe.GridSweeper"
    params: dict[str, str] | None = field(default_factory=dict)


@dataclass
class HalvingConf:
    """After `first`, `first * factor`, ... epochs the best 1/`factor` go on; null: all do."""

    first: int | None = None
    factor: int = 3


@dataclass
class SearchSweeperConf:
    """hydra/sweeper=search. Optuna suggests the jobs; see bpframe.sweeps.sweepers.search.

    `sampler` is "tpe", "random", "grid" or "cmaes". `n_trials` counts those that a resumed search
    has made already; null: 64, and of a grid all. `batch` trials are asked for and trained
    together: fewer at a time learn from more, and take longer. What is searched for, and in which
    direction, is in the node `sweep`.
    """

    _target_: str = "hydra_plugins.bpframe.SearchSweeper"
    sampler: str = "tpe"
    n_trials: int | None = None
    batch: int = 16
    seed: int = 0
    halving: HalvingConf = field(default_factory=HalvingConf)
    params: dict[str, str] | None = field(default_factory=dict)


for _group, _name, _node in (
    ("launcher", "vmap", VmapLauncherConf),
    ("sweeper", "grid", GridSweeperConf),
    ("sweeper", "search", SearchSweeperConf),
):
    ConfigStore.instance().store(
        group=f"hydra/{_group}", name=_name, node=_node, provider="bpframe_hydra"
    )


class VmapLauncher(Launcher):
    """Trains the jobs of bpframe together; the jobs of other programs one after another."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """See Hydra."""
        from bpframe.sweeps import launching

        self._launch, self.checks_jobs = launching.launcher(
            hydra_context, task_function, config, self._settings
        )

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """See Hydra."""
        return self._launch(job_overrides, initial_job_idx)


class GridSweeper(Sweeper):
    """All combinations of what is swept, each once."""

    def __init__(self, params: dict[str, str] | None = None) -> None:
        self._params = params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """See Hydra."""
        from hydra.core.plugins import Plugins

        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """See Hydra."""
        from bpframe.sweeps.sweepers import grid

        return grid.sweep(self, arguments, self._params)


class SearchSweeper(Sweeper):
    """Jobs that Optuna suggests, a generation at a time."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """See Hydra."""
        from hydra.core.plugins import Plugins

        self.hydra_context = hydra_context
        self.config = config
        self._task = task_function
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """See Hydra."""
        from bpframe.sweeps.sweepers import search

        search.sweep(self, self._task, arguments, self._settings)
