"""What bpframe uses of Hydra and OmegaConf beyond their public names: here and nowhere else.

Nothing is imported before it is used. A version of Hydra that has changed one of the names stops
only what needs it, in one line, and its test in `test_hydra_internals.py` fails.
"""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bpframe.errors import BpframeError, ConfigError

if TYPE_CHECKING:
    from hydra._internal.callbacks import Callbacks
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.override_parser.types import Override
    from hydra.core.utils import JobReturn
    from hydra.plugins.launcher import Launcher

__all__ = [
    "Callbacks",
    "argument_parser",
    "basic_launcher",
    "callbacks",
    "configure_logging",
    "create_hydra",
    "included",
    "node_at",
    "override_dirname",
    "raw_value",
    "returned",
    "run_hydra",
    "search_path",
    "value_text",
    "yaml_dumper",
]


@contextmanager
def _private() -> Iterator[None]:
    try:
        yield
    except (ImportError, AttributeError) as error:
        raise BpframeError(
            f"hydra-core {version('hydra-core')} and omegaconf {version('omegaconf')}: {error}; "
            "bpframe needs it as it was; pip install 'hydra-core>=1.3.8,<1.4' 'omegaconf>=2.3,<2.4'"
        ) from error


def argument_parser() -> ArgumentParser:
    """The options of Hydra's command line."""
    with _private():
        from hydra._internal.utils import get_args_parser
    return get_args_parser()


def run_hydra(**arguments: Any) -> None:
    """What `hydra.main` does once it has parsed the command line."""
    with _private():
        from hydra._internal.utils import _run_hydra
    _run_hydra(**arguments)


def search_path(folder: Path) -> ConfigSearchPath:
    """Hydra's own search path of configs, with a folder."""
    with _private():
        from hydra._internal.utils import create_config_search_path
    return create_config_search_path(str(folder))


def create_hydra(task_name: str, path: ConfigSearchPath) -> None:
    """Put a Hydra with this search path into `GlobalHydra`."""
    with _private():
        from hydra._internal.hydra import Hydra

        create = Hydra.create_main_hydra2
    create(task_name=task_name, config_search_path=path)


def configure_logging(settings: dict[str, Any]) -> None:
    """Put a logging configuration in force, by Hydra's rules for what it may call."""
    with _private():
        from hydra._internal.logging_config import configure_logging as configure
    configure(settings)


def included(path: str) -> list[str]:
    """The paths of the configs in the defaults list of a config; none if there is no such config.

    Of the Hydra in `GlobalHydra`.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    with _private():
        load = hydra.config_loader.repository.load_config  # pyright: ignore[reportAttributeAccessIssue]
    found = load(path)
    paths: list[str] = []
    for default in (found.defaults_list or []) if found else []:
        if default.is_self() or default.is_override():
            continue
        with _private():
            default.update_parent(path.rpartition("/")[0], "")
            several = isinstance(getattr(default, "value", None), list)
            names = default.get_options() if several else [default.get_name()]
            group = default.get_group_path()
        paths += [f"{group}/{name}".lstrip("/") for name in names if name]
    return paths


def callbacks(cfg: DictConfig | None = None) -> Callbacks:
    """The callbacks in the node hydra.callbacks of a config, to be called together.

    Raises:
        ConfigError: they cannot be made.

    """
    with _private():
        from hydra._internal.callbacks import Callbacks
    try:
        return Callbacks(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        reason = str(error).partition(", set env var")[0]
        raise ConfigError(f"hydra.callbacks: {reason}") from error


def basic_launcher() -> Launcher:
    """Hydra's own launcher, before `setup`."""
    with _private():
        from hydra._internal.core_plugins.basic_launcher import BasicLauncher
    return BasicLauncher()


def override_dirname(overrides: Sequence[Override], names: Mapping[str, Any]) -> str:
    """The value of hydra.job.override_dirname; `names` is hydra.job.config.override_dirname."""
    with _private():
        from hydra._internal.config_loader_impl import get_overrides_dirname
    return get_overrides_dirname(overrides=list(overrides), **names)


def returned(job: JobReturn) -> Any:
    """What a job returned or raised; JobReturn.return_value prints before it raises."""
    with _private():
        return job._return_value


def value_text(value: Any) -> str:
    """A value as it is written in an override."""
    with _private():
        from hydra.core.override_parser.types import Override

        text = Override._get_value_element_as_str
    return text(value)


def node_at(config: DictConfig, key: str) -> Node | None:
    """The node at a dotted key, with its type and unresolved; None if there is none."""
    parent, _, last = key.rpartition(".")
    holder = OmegaConf.select(config, parent) if parent else config
    if not isinstance(holder, DictConfig):
        return None
    with _private():
        get = DictConfig._get_node
    found = get(holder, last)
    return found if isinstance(found, Node) else None


def raw_value(config: DictConfig, key: str) -> Any:
    """The value at a dotted key that exists, as `OmegaConf.to_container` would hold it."""
    found = node_at(config, key)
    assert found is not None
    if OmegaConf.is_config(found):
        return OmegaConf.to_container(found)
    with _private():
        value = type(found)._value
    return value(found)


def yaml_dumper() -> type:
    """The dumper with which `OmegaConf.to_yaml` writes."""
    with _private():
        from omegaconf._utils import get_omega_conf_dumper
    return get_omega_conf_dumper()
