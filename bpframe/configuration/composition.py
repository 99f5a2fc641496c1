"""Composing a config with Hydra, and saying in one line what went wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from bpframe.configuration import hydra_internals, schemas
from bpframe.errors import ConfigError, unknown

CONFIG_NAME = "config"
VERSION_BASE = "1.3"
_ELSEWHERE = {"activation": "network.activation=NAME", "metric": "metrics=[NAME]"}
_OF_AN_ACTIVATION = re.compile(r"(network\.(?:output_)?activation)\.(\w+)")
_SHORT = ("network.hidden", "network.activation", "network.output_activation")


@contextmanager
def initialised(config_path: Path | None = None, config_dir: str | None = None) -> Iterator[None]:
    """Hydra with the config folder of bpframe, or another one, and with `config_dir` besides.

    Whatever Hydra was initialised with before comes back at the end.
    """
    if config_dir and config_path is None:
        own = Path(config_dir).absolute() / f"{CONFIG_NAME}.yaml"
        if own.exists():
            raise ConfigError(
                f"--config-dir: {own} would not be read, for bpframe's own config has its name; "
                f"rename it and set --config-name, or set --config-path {own.parent} in its place"
            )
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    folder = (config_path or schemas.directory()).absolute()
    try:
        with translated():
            version.setbase(VERSION_BASE)
            search_path = hydra_internals.search_path(folder)
            if config_dir:
                search_path.prepend(
                    provider="command-line",
                    path=f"file://{Path(config_dir).absolute()}",
                    anchor=SearchPathQuery(provider="schema"),
                )
            hydra_internals.create_hydra("bpframe", search_path)
        with schemas.own_launcher():
            yield
    finally:
        GlobalHydra.instance().hydra = before


def compose_config(
    overrides: Sequence[str], *, name: str | None = None, mode: RunMode = RunMode.RUN
) -> DictConfig:
    """The composed config with its `hydra` node; call it inside `initialised`.

    Raises:
        ConfigError: an unknown name or key, a wrong type, an override that cannot be read.

    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    with composing(overrides):
        return hydra.compose_config(
            config_name=name or CONFIG_NAME,
            overrides=list(overrides),
            run_mode=mode,
            from_shell=False,
        )


def quoted(text: str) -> str:
    r"""A text as the value of an override, whatever characters it has.

    Hydra takes backslashes for escapes only before a quote or at the end, and OmegaConf only
    before ${; anywhere else they stand for themselves.
    """
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return "'" + re.sub(r"(\\*)('|\Z)", lambda found: _escaped(*found.groups()), text) + "'"


def _escaped(backslashes: str, quote: str) -> str:
    return backslashes * 2 + (f"\\{quote}" if quote else "")


@contextmanager
def composing(overrides: Sequence[str]) -> Iterator[None]:
    """Check what Hydra would not, and turn its errors into a ConfigError of one line."""
    layers = [
        text
        for text in overrides
        if text.startswith("network.layers=") and text != "network.layers=null"
    ]
    short = [text for text in overrides if text.split("=")[0] in _SHORT]
    if layers and short:
        raise ConfigError(
            f"network: {short[0]} and network.layers=... exclude each other; "
            "set the layers in one of the two ways"
        )
    for key, instead in _ELSEWHERE.items():
        if given := next((text for text in overrides if text.split("=")[0] == key), None):
            raise ConfigError(f"{given}: there is no key {key!r}; write {instead}")
    try:
        with translated():
            yield
    except (ValueError, TypeError) as error:
        # Hydra says so, without the name, when a group is given something that is not one.
        groups = [text for text in overrides if text.partition("=")[0] in schemas.GROUPS]
        raise ConfigError(
            f"{' '.join(groups or overrides)}: cannot be composed ({error}); a group takes a name, "
            "such as optimiser=sgd"
        ) from error


@contextmanager
def translated(*, missing_too: bool = True) -> Iterator[None]:
    """Turn the errors of Hydra and OmegaConf into a ConfigError of one line.

    Without `missing_too` the error for a config that does not exist stays as it is.
    """
    try:
        yield
    except MissingConfigException as error:
        if not missing_too:
            raise
        raise missing(error) from error
    except OverrideParseException as error:
        message = _first_line(error)
        raise ConfigError(f"{error.override}: cannot be read as key=value: {message}") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_message(error)) from error


def missing(error: MissingConfigException) -> ConfigError:
    """The error for a config that does not exist."""
    wanted = error.missing_cfg_file or ""
    group, _, name = wanted.rpartition("/")
    if group and (error.options or group in schemas.GROUPS):
        return unknown(group, name, error.options or ())
    return ConfigError(f"config {wanted!r} is not in the config path: {_first_line(error)}")


def _message(error: Exception) -> str:
    """The message of the error at the root, with the key and what is known instead of it."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__  # pyright: ignore[reportAssignmentType]
    key, parent = getattr(cause, "full_key", None), getattr(cause, "parent_node", None)
    if isinstance(cause, MissingMandatoryValue):
        return f"{key}: is required; set {key}=..."
    if isinstance(parent, DictConfig) and isinstance(cause, ConfigKeyError | ConfigAttributeError):
        name = str(getattr(cause, "key", key))
        if match := _OF_AN_ACTIVATION.fullmatch(str(key)):
            where, field = match.groups()
            return f"{key}: write a field beside its name, {where}={{name: NAME, {field}: VALUE}}"
        if name not in _fields(parent):
            return str(unknown(str(key), name, _fields(parent)))
    if key and isinstance(cause, OmegaConfBaseException):
        return f"{key}: {_first_line(cause)}"
    return schemas.one_line(str(error))


def _fields(node: DictConfig) -> list[str]:
    """The keys that a user may set: a component's name is chosen by its group."""
    return [str(key) for key in node if key not in ("name", "hydra")]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
