"""The config of a run as a primary config, with which it can be composed again."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bpframe.configuration import schemas
from bpframe.errors import ConfigError, OutputError

PATH_FIELD = r"(?:\w+_)?(?:path|root|dir)"
"""Fields that hold paths: path, root, dir, and those that end so, such as test_path."""


def primary(path: Path, overrides: Sequence[str] = (), *, begun_in: str | None = None) -> str:
    """The YAML of a primary config that says what the composed config in a file says.

    Where `overrides` choose another component, the settings of the one in the file are left out.
    It needs nothing but bpframe's own configs. Interpolations stay as they are: what stands in a
    variable of the environment may be a secret. Relative paths start in `begun_in`, if it is given.

    Raises:
        ConfigError: the file is missing, cannot be read, or is no config of a run.

    """
    try:
        loaded: Any = OmegaConf.load(path)
        config = OmegaConf.to_container(loaded, resolve=False)
        assert isinstance(config, dict)
        groups = [{f"override {group}": loaded[group].name} for group in schemas.GROUPS]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, OmegaConfBaseException, AssertionError, AttributeError) as error:
        raise ConfigError(f"{path}: is no configuration of a run") from error
    if foreign := config.keys() & {"defaults", "hydra"}:  # which would compose, and call, others
        raise ConfigError(
            f"{path}: is no configuration of a run: it has {min(map(str, foreign))!r}"
        )
    chosen = chosen_groups(overrides)
    values = {
        key: {field: part for field, part in value.items() if field != "name"}
        if key in schemas.GROUPS
        else value
        for key, value in config.items()
        if key not in chosen
    }
    values = {key: value for key, value in values.items() if value != {}}
    if begun_in is not None:
        values = {key: _anchored(value, begun_in) for key, value in values.items()}
    head = {"defaults": ["config", *groups, "_self_"]}
    return yaml.safe_dump({**head, **values}, sort_keys=False, allow_unicode=True)


def _anchored(node: Any, begun_in: str) -> Any:
    """The settings of a node, with the relative paths among them made absolute."""
    if not isinstance(node, dict):
        return node

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(part) for part in value]
        is_relative = isinstance(value, str) and value and value[0] not in "~$/"
        return os.path.join(begun_in, value) if is_relative else value

    return {
        field: absolute(value) if re.fullmatch(PATH_FIELD, str(field)) else value
        for field, value in node.items()
    }


def begun_in(folder: Path) -> str:
    """The working directory in which the run of a folder began.

    Raises:
        OutputError: what Hydra wrote of it cannot be read.

    """
    path = folder / ".hydra" / "hydra.yaml"
    try:
        return str(yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]["runtime"]["cwd"])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise OutputError(f"{path}: cannot be read, or is damaged") from error


def chosen_groups(overrides: Sequence[str]) -> set[str]:
    """The groups of which overrides choose a component, such as optimiser=adam."""
    given = (text.lstrip("+").partition("=") for text in overrides)
    return {name for name, _, value in given if name in schemas.GROUPS and value[:1] != "{"}
