"""Optuna's samplers, which suggest the trials of a search: a new one for each generation.

A generation's sampler is made anew, from the seed and the number of its first trial. So what it
suggests depends on these and on the trials before, and on nothing that a process remembers.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from hydra_plugins.bpframe import HalvingConf
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GridSampler,
    RandomSampler,
    TPESampler,
)

from bpframe.errors import ConfigError, unknown
from bpframe.sweeps.lanes.halving import Halving
from bpframe.sweeps.sweepers.grid import MOST_JOBS
from bpframe.sweeps.sweepers.spaces import Axis

Axes = Mapping[str, Axis]

N_TRIALS = 64
"""How many trials a search makes that does not say, but for a grid, which makes all."""


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """How a space is searched: the node hydra.sweeper.

    Attributes:
        sampler: a name in SAMPLERS.
        n_trials: how many there are to be, with those of a search that is resumed; None: see
            `total`.
        batch: the trials of a generation.
        seed: of the whole search.
        halving: how trials are given up on the way, if they are.

    """

    sampler: str
    n_trials: int | None
    batch: int
    seed: int
    halving: Halving | None

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> SearchSettings:
        """The settings of a node.

        Raises:
            ConfigError: a setting is out of range, or the sampler is unknown or missing.

        """
        for name, least in (("n_trials", 1), ("batch", 1), ("seed", 0)):
            if node[name] is not None and node[name] < least:
                raise ConfigError(
                    f"hydra.sweeper.{name}: {node[name]} is out of range; allowed: >= {least}"
                )
        if node["batch"] > MOST_JOBS:
            raise ConfigError(
                f"hydra.sweeper.batch: {node['batch']} is out of range; allowed: 1 to {MOST_JOBS}"
            )
        if node["sampler"] not in SAMPLERS:
            raise unknown("hydra.sweeper.sampler", node["sampler"], SAMPLERS)
        if node["sampler"] == "cmaes" and importlib.util.find_spec("cmaes") is None:
            raise ConfigError(
                "hydra.sweeper.sampler: cmaes needs the package cmaes, which is not installed; "
                "pip install cmaes"
            )
        halving = _halving(node["halving"]["first"], node["halving"]["factor"])
        return cls(node["sampler"], node["n_trials"], node["batch"], node["seed"], halving)

    def check(self, axes: Axes) -> None:
        """Raise a ConfigError if the sampler cannot search there."""
        for key, axis in axes.items():
            if self.sampler == "grid" and axis.size() is None:
                raise ConfigError(
                    f"{key}: an interval has no end of values, and hydra.sweeper.sampler=grid "
                    "takes all; give choices or a range, or another sampler"
                )
            if self.sampler == "cmaes" and isinstance(axis.distribution, CategoricalDistribution):
                raise ConfigError(
                    f"{key}: hydra.sweeper.sampler=cmaes has no use for choices; give intervals "
                    "or ranges, or another sampler"
                )

        if self.sampler == "grid" and (points := _points(axes)) > MOST_JOBS:
            raise ConfigError(
                f"hydra.sweeper.sampler: the grid has {points:,} points; allowed: at most "
                f"{MOST_JOBS:,}; search fewer values, or choose another sampler"
            )

    def total(self, axes: Axes) -> int:
        """How many trials the search makes: `n_trials`, but no more than a grid has."""
        if self.sampler != "grid":
            return self.n_trials or N_TRIALS
        size = _points(axes)
        return min(self.n_trials or size, size)

    def generation(self, axes: Axes, first: int) -> BaseSampler:
        """The sampler of the generation whose first trial has the number `first`."""
        return SAMPLERS[self.sampler](self, axes, first)

    def seed_of(self, first: int) -> int:
        """The seed of that generation's sampler."""
        return int(np.random.SeedSequence((self.seed, first)).generate_state(1)[0])


def _points(axes: Axes) -> int:
    """How many points a grid has."""
    return math.prod(axis.size() or 0 for axis in axes.values())


def _halving(first: int | None, factor: int) -> Halving | None:
    """The node hydra.sweeper.halving; without `first` a `factor` of one's own is an error."""
    default = HalvingConf.factor
    if first is None and factor != default:
        raise ConfigError(
            f"hydra.sweeper.halving.factor: {factor} has no effect while "
            f"hydra.sweeper.halving.first is null; set first, or leave factor at {default}"
        )
    return None if first is None else Halving(first, factor)


def _tpe(settings: SearchSettings, axes: Axes, first: int) -> BaseSampler:
    """The tree-structured Parzen estimator; Bergstra et al. (2011).

    Trials of a generation that are still to be trained count as bad ones, so that it spreads.
    """
    del axes
    return TPESampler(seed=settings.seed_of(first))


def _random(settings: SearchSettings, axes: Axes, first: int) -> BaseSampler:
    del axes
    return RandomSampler(settings.seed_of(first))


def _grid(settings: SearchSettings, axes: Axes, first: int) -> BaseSampler:
    """Every combination once. The seed shuffles them, and so is that of the whole search."""
    del first
    return GridSampler({key: axis.values() or [] for key, axis in axes.items()}, seed=settings.seed)


def _cmaes(settings: SearchSettings, axes: Axes, first: int) -> BaseSampler:
    """The covariance matrix adaptation evolution strategy; Hansen and Ostermeier (2001).

    After a random generation, each one of the search is one of the strategy.
    """
    del axes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return CmaEsSampler(
            seed=settings.seed_of(first),
            popsize=max(settings.batch, 4),
            consider_pruned_trials=settings.halving is not None,
            warn_independent_sampling=False,
        )


SAMPLERS: Mapping[str, Callable[[SearchSettings, Axes, int], BaseSampler]] = MappingProxyType(
    {"tpe": _tpe, "random": _random, "grid": _grid, "cmaes": _cmaes}
)
