"""From the overrides of a job to all that it needs: composed once for many, then patched.

Hydra takes a tenth of a second to compose a config. Jobs that differ only in values of the same
keys get one composed config, in which those values are set as Hydra itself would set them.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from omegaconf import DictConfig, OmegaConf, open_dict

from bpframe.component import check_field
from bpframe.configuration import (
    assembly,
    components,
    composition,
    hydra_internals,
    job_logging,
    schemas,
    suggestions,
)
from bpframe.configuration.trackers import Named, of_config, ready
from bpframe.plugin_host.registry import Registry
from bpframe.runs.trackers import Tracking
from bpframe.training.experiment import Experiment

_NUMBERED = tuple(group for group in schemas.GROUPS if group not in ("data", "cost"))
"""The groups whose component stands in the Experiment as it is, under the group's name."""

_SEED = next(field for field in dataclasses.fields(Experiment) if field.name == "seed")

_INTERPOLATION = re.compile(r"\$\{[^}]*\}?")
_OF_THE_FOLDER = {
    f"${{hydra{sign}{name}}}" for sign in ".:" for name in ("runtime.output_dir", "job.name")
}
_NUMBER = "${hydra.job.num}"


@dataclasses.dataclass(frozen=True)
class Job:
    """One combination of a sweep, composed and assembled.

    Attributes:
        num: counted from 0.
        overrides: what was swept and what was given for all, as texts.
        settings: the same by key, as values.
        experiment: what to run.
        plots: whether to draw its learning curves.
        show: whether to write a page about it.
        trackers: what follows it, by name.
        folder: its run folder.
        subdir: the same, relative to the folder of the sweep.
        config: the composed config, with its interpolations.
        hydra: the node `hydra` that belongs to it.
        logging: Hydra's `job_logging`, resolved.
        hash: tells whether two jobs are the same, of the resolved config.

    """

    num: int
    overrides: tuple[str, ...]
    settings: Mapping[str, Any]
    experiment: Experiment
    plots: bool
    show: bool
    trackers: tuple[Named, ...]
    folder: Path
    subdir: str
    config: Mapping[str, Any]
    hydra: Mapping[str, Any]
    logging: Mapping[str, Any]
    hash: str

    @property
    def sweep(self) -> Path:
        """The folder of the sweep."""
        return self.folder.parents[len(Path(self.subdir).parts) - 1]

    @property
    def tracking(self) -> Tracking:
        """What follows it, with what that is told."""
        return of_config(self.trackers, self.config, self.sweep)


class JobComposer:
    """Makes the jobs of one sweep.

    `master` is the config of the sweep, `folder` its folder.
    """

    def __init__(
        self, master: DictConfig, loader: ConfigLoader, registry: Registry, folder: Path
    ) -> None:
        self._master = master
        self._loader = loader
        self._registry = registry
        self._folder = folder
        self._templates: dict[Any, _Template] = {}
        self._is_group = functools.cache(
            lambda key: bool(loader.get_group_options(key, results_filter=ObjectType.CONFIG))
        )

    def job(self, num: int, overrides: Sequence[str]) -> Job:
        """The job with these overrides.

        Raises:
            ConfigError: it cannot be composed or assembled.

        """
        with suggestions.explaining(self._registry), composition.composing(overrides):
            parsed = list(map(composition.parsed, overrides))
            values = self._patched(parsed)
            static = tuple(t for t, p in zip(overrides, parsed, strict=True) if p not in values)
            key = (static, tuple(override.key_or_group for override in values))
            if key not in self._templates:
                self._templates[key] = self._template(overrides)
            return self._templates[key].job(num, overrides, parsed, values)

    def _patched(self, overrides: Sequence[Override]) -> list[Override]:
        """The overrides that set a whole value which no other override touches."""
        keys = [o.key_or_group for o in overrides if not self._is_group(o.key_or_group)]
        return [
            override
            for override in overrides
            if override.type is OverrideType.CHANGE
            and override.value_type is ValueType.ELEMENT
            and not isinstance(override.value(), dict)
            and "${" not in f"{override.input_line} {override.value()}"
            and not override.is_hydra_override()
            and not self._is_group(override.key_or_group)
            and not any(_bears_on(key, override.key_or_group) for key in keys)
            and keys.count(override.key_or_group) == 1
        ]

    def _template(self, overrides: Sequence[str]) -> _Template:
        cfg = self._loader.load_sweep_config(self._master, list(overrides))
        return _Template(cfg, self._registry, self._folder)


class _Template:
    """A composed config, to be patched for every job of the same static overrides.

    OmegaConf checks and converts a value when it first occurs; the containers that a job keeps are
    copied only along the paths that change, for a container of the whole takes a millisecond.
    """

    def __init__(self, cfg: DictConfig, registry: Registry, folder: Path) -> None:
        self._cfg = cfg
        self._registry = registry
        self._folder = folder
        self._task = _without_hydra(cfg)
        self._config = _container(self._task)
        self._hydra = _container(cfg.hydra)
        self._interpolates = "${" in repr(self._config)
        # These two alone are resolved for every job.
        used = set(_INTERPOLATION.findall(repr(self._hydra["job_logging"])))
        self._numbered_only = used <= _OF_THE_FOLDER and self._hydra["sweep"]["subdir"] == _NUMBER
        with open_dict(cfg.hydra):
            cfg.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().cfg = cfg  # pyright: ignore[reportAttributeAccessIssue]
        self._logging = _container(cfg.hydra.job_logging, resolve=True)
        job_logging.check(self._logging, folder)
        self._values: dict[str, Any] = {}
        self._bases: dict[str, Experiment] = {}
        self._components: dict[str, Any] = {}
        self._ready: dict[str, tuple[Named, ...]] = {}

    def job(
        self,
        num: int,
        overrides: Sequence[str],
        parsed: Sequence[Override],
        values: Sequence[Override],
    ) -> Job:
        raw = self._config
        for override in values:
            raw = _with(raw, override.key_or_group.split("."), self._value(override))
        experiment = self._experiment(values, raw)
        hydra, logging = self._hydra_of(num, overrides, parsed, values)
        folder = Path(hydra["runtime"]["output_dir"])
        return Job(
            num=num,
            overrides=tuple(overrides),
            settings={o.get_key_element(): o.value() for o in parsed if not o.is_hydra_override()},
            experiment=experiment,
            plots=raw["plots"] is True,
            show=raw["show"],
            trackers=self._trackers(values, raw),
            folder=folder,
            subdir=Path(os.path.relpath(folder, self._folder)).as_posix(),
            config=raw,
            hydra=hydra,
            logging=logging,
            hash=_hash(_container(self._task, resolve=True) if self._interpolates else raw),
        )

    def _value(self, override: Override) -> Any:
        """What an override sets, checked and converted."""
        text = str(override.input_line)
        if text not in self._values:
            self._task_with([override])
            self._values[text] = hydra_internals.raw_value(self._task, override.key_or_group)
        return self._values[text]

    def _task_with(self, values: Sequence[Override]) -> DictConfig:
        """The config without Hydra's node, with some values set; the others are any job's."""
        for override in values:
            OmegaConf.update(self._task, override.key_or_group, override.value(), merge=True)
        return self._task

    def _hydra_of(
        self,
        num: int,
        overrides: Sequence[str],
        parsed: Sequence[Override],
        values: Sequence[Override],
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The node `hydra` of a job, and its job_logging with all interpolations resolved."""
        names = self._hydra["job"]["config"]["override_dirname"]
        own = [override for override in parsed if not override.is_hydra_override()]
        dirname = hydra_internals.override_dirname(own, names)
        job = {**self._hydra["job"], "id": str(num), "num": num, "override_dirname": dirname}
        given = {**self._hydra["overrides"], "task": list(overrides)}
        if self._numbered_only:
            folder = self._folder / str(num)
            logging = moved(self._logging, str(self._folder), str(folder))
        else:
            cfg = self._cfg
            for override in values:
                OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True)
            with open_dict(cfg.hydra):
                cfg.hydra.job.id, cfg.hydra.job.num = str(num), num
                cfg.hydra.job.override_dirname = dirname
                cfg.hydra.overrides.task = list(overrides)
                # Not by set_config, which copies everything; `${hydra:...}` reads it from here.
                HydraConfig.instance().cfg = cfg  # pyright: ignore[reportAttributeAccessIssue]
                folder = self._folder / str(cfg.hydra.sweep.subdir)
                cfg.hydra.runtime.output_dir = str(folder)
            logging = _container(cfg.hydra.job_logging, resolve=True)
        runtime = {**self._hydra["runtime"], "output_dir": str(folder)}
        return {**self._hydra, "job": job, "overrides": given, "runtime": runtime}, logging

    def _experiment(self, values: Sequence[Override], raw: Mapping[str, Any]) -> Experiment:
        """The experiment, made from the parts that an earlier job has made where it can be."""
        if self._interpolates:
            return assembly.assemble(self._task_with(values), self._registry)
        changes: dict[str, Any] = {}
        rest: list[Any] = []
        for override in values:
            group, _, field = override.key_or_group.partition(".")
            if group in _NUMBERED and "." not in field:
                changes[group] = None
            elif override.key_or_group != "seed":
                rest.append((override.key_or_group, override.value()))
        base = self._bases.get(repr(rest))
        if base is None:
            task = self._task_with(values)
            base = self._bases[repr(rest)] = assembly.assemble(task, self._registry)
        for group in changes:
            changes[group] = self._component(group, values, raw)
        experiment = dataclasses.replace(base, seed=raw["seed"], **changes)
        check_field(experiment, _SEED, "seed")  # the parts were checked when they were made
        return experiment

    def _trackers(self, values: Sequence[Override], raw: Mapping[str, Any]) -> tuple[Named, ...]:
        key = repr(raw["trackers"])
        if key not in self._ready:
            self._ready[key] = ready(self._task_with(values).trackers, self._registry)
        return self._ready[key]

    def _component(self, group: str, values: Sequence[Override], raw: Mapping[str, Any]) -> Any:
        key = f"{group} {raw[group]!r}"
        if key not in self._components:
            node = self._task_with(values)[group]
            self._components[key] = components.component(node, group, self._registry)
        return self._components[key]


def _bears_on(key: str, other: str) -> bool:
    return key != other and (key.startswith(f"{other}.") or other.startswith(f"{key}."))


def _container(node: DictConfig, *, resolve: bool = False) -> dict[str, Any]:
    container = OmegaConf.to_container(node, resolve=resolve, enum_to_str=True)
    assert isinstance(container, dict)
    return container  # pyright: ignore[reportReturnType]


def _with(container: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy in which the value at a path is another."""
    first, *rest = path
    return {**container, first: _with(container[first], rest, value) if rest else value}


def moved(tree: Any, old: str, new: str) -> Any:
    """A copy of nested containers, with `new` for `old` in all texts."""
    if isinstance(tree, dict):
        return {key: moved(part, old, new) for key, part in tree.items()}
    if isinstance(tree, list):
        return [moved(part, old, new) for part in tree]
    return tree.replace(old, new) if isinstance(tree, str) else tree


def _without_hydra(cfg: DictConfig) -> DictConfig:
    hydra = cfg.hydra
    with open_dict(cfg):
        del cfg["hydra"]
        task = copy.deepcopy(cfg)
        cfg["hydra"] = hydra
    OmegaConf.set_struct(task, True)
    return task


def _hash(resolved: Any) -> str:
    text = json.dumps(resolved, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
