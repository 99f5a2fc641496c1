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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from omegaconf import DictConfig, OmegaConf, open_dict

from bpframe import composition, config, schemas
from bpframe.component import check_fields
from bpframe.experiment import Experiment
from bpframe.registry import Registry

_NUMBERED = tuple(group for group in schemas.GROUPS if group not in ("data", "cost"))
"""The groups whose component stands in the Experiment as it is, under the group's name."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One combination of a sweep, composed and assembled.

    Attributes:
        num: counted from 0.
        overrides: what was swept and what was given for all, as texts.
        settings: the same by key, as values.
        experiment: what to run.
        plots: whether to draw its learning curves.
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
    folder: Path
    subdir: str
    config: Mapping[str, Any]
    hydra: Mapping[str, Any]
    logging: Mapping[str, Any]
    hash: str


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
        self._parsed = functools.cache(self._parse)
        self._is_group = functools.cache(
            lambda key: bool(loader.get_group_options(key, results_filter=ObjectType.CONFIG))
        )

    def job(self, num: int, overrides: Sequence[str]) -> Job:
        """The job with these overrides.

        Raises:
            ConfigError: it cannot be composed or assembled.

        """
        with self._registry.explaining(), composition.composing(overrides):
            parsed = [self._parsed(text) for text in overrides]
            values = self._patched(parsed)
            static = tuple(t for t, p in zip(overrides, parsed, strict=True) if p not in values)
            key = (static, tuple(override.key_or_group for override in values))
            if key not in self._templates:
                self._templates[key] = self._template(overrides)
            return self._templates[key].job(num, overrides, parsed, values)

    def _parse(self, text: str) -> Override:
        return OverridesParser.create(self._loader).parse_override(text)

    def _patched(self, overrides: Sequence[Override]) -> list[Override]:
        """The overrides that set a value, not a part of it, and on which no other one bears."""
        keys = [override.key_or_group for override in overrides]
        return [
            override
            for override in overrides
            if override.type is OverrideType.CHANGE
            and override.value_type is ValueType.ELEMENT
            and not isinstance(override.value(), dict)
            and not override.is_hydra_override()
            and not self._is_group(override.key_or_group)
            and not any(_bears_on(key, override.key_or_group) for key in keys)
            and keys.count(override.key_or_group) == 1
        ]

    def _template(self, overrides: Sequence[str]) -> _Template:
        cfg = self._loader.load_sweep_config(self._master, list(overrides))
        return _Template(cfg, self._registry, self._folder)


class _Template:
    """A composed config, to be patched for every job of the same static overrides."""

    def __init__(self, cfg: DictConfig, registry: Registry, folder: Path) -> None:
        self._cfg = cfg
        self._registry = registry
        self._folder = folder
        self._task = _without_hydra(cfg)
        with open_dict(cfg.hydra):
            cfg.hydra.job.id = cfg.hydra.job.num = 0
            cfg.hydra.runtime.output_dir = str(folder)
        self._hydra = OmegaConf.to_container(cfg.hydra, resolve=False, enum_to_str=True)
        self._interpolates = "${" in json.dumps(OmegaConf.to_container(self._task), default=str)
        self._bases: dict[str, Experiment] = {}
        self._components: dict[str, Any] = {}

    def job(
        self,
        num: int,
        overrides: Sequence[str],
        parsed: Sequence[Override],
        values: Sequence[Override],
    ) -> Job:
        cfg, task = self._cfg, self._task
        for override in values:
            for node in (cfg, task):
                OmegaConf.update(node, override.key_or_group, override.value(), merge=True)
        experiment = self._experiment(values)
        dirname = cfg.hydra.job.config.override_dirname
        cfg.hydra.job.id = cfg.hydra.job.num = num
        cfg.hydra.overrides.task = list(overrides)
        cfg.hydra.job.override_dirname = get_overrides_dirname(
            overrides=[override for override in parsed if not override.is_hydra_override()],
            kv_sep=dirname.kv_sep,
            item_sep=dirname.item_sep,
            exclude_keys=dirname.exclude_keys,
        )
        # Not by set_config, which copies everything; `${hydra:...}` reads it from here.
        HydraConfig.instance().cfg = cfg  # pyright: ignore[reportAttributeAccessIssue]
        subdir = str(cfg.hydra.sweep.subdir)
        folder = self._folder / subdir
        cfg.hydra.runtime.output_dir = str(folder)
        raw = OmegaConf.to_container(task, resolve=False, enum_to_str=True)
        resolved = OmegaConf.to_container(task, resolve=True) if self._interpolates else raw
        hydra = {
            **self._hydra,  # pyright: ignore[reportGeneralTypeIssues]
            **{
                name: OmegaConf.to_container(cfg.hydra[name], resolve=False, enum_to_str=True)
                for name in ("job", "overrides", "runtime")
            },
        }
        return Job(
            num=num,
            overrides=tuple(overrides),
            settings={o.get_key_element(): o.value() for o in parsed if not o.is_hydra_override()},
            experiment=experiment,
            plots=task.plots is True,
            folder=folder,
            subdir=subdir,
            config=raw,  # pyright: ignore[reportArgumentType]
            hydra=hydra,
            logging=OmegaConf.to_container(cfg.hydra.job_logging, resolve=True),  # pyright: ignore
            hash=_hash(resolved),
        )

    def _experiment(self, values: Sequence[Override]) -> Experiment:
        """The experiment, made from the parts that an earlier job has made where it can be."""
        if self._interpolates:
            return config.assemble(self._task, self._registry)
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
            base = self._bases[repr(rest)] = config.assemble(self._task, self._registry)
        for group in changes:
            changes[group] = self._component(group)
        experiment = dataclasses.replace(base, seed=self._task.seed, **changes)
        check_fields(experiment, "")
        return experiment

    def _component(self, group: str) -> Any:
        node = self._task[group]
        key = f"{group} {OmegaConf.to_container(node)!r}"
        if key not in self._components:
            self._components[key] = config.component(node, group, self._registry)
        return self._components[key]


def _bears_on(key: str, other: str) -> bool:
    return key != other and (key.startswith(f"{other}.") or other.startswith(f"{key}."))


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
