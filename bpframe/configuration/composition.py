"""Composing a config with Hydra, and saying in one line what went wrong."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig

from bpframe.configuration import hydra_internals, includes, schemas
from bpframe.configuration.translation import translated
from bpframe.errors import ConfigError, UnknownNameError

CONFIG_NAME = "config"
OF_A_RUN = ".hydra"
"""The folder in which Hydra leaves the composed config of a run."""

_OF_A_RUN = ("config.yaml", "hydra.yaml", "overrides.yaml")
VERSION_BASE = "1.3"
_SHORT = ("network.hidden", "network.activation", "network.output_activation")


@contextmanager
def initialised(config_path: Path | None = None, config_dir: str | None = None) -> Iterator[None]:
    """Hydra with the config folder of bpframe, or another one, and with `config_dir` besides.

    Whatever Hydra was initialised with before comes back at the end.
    """
    for given in filter(None, (config_path, config_dir)):
        check_no_run(Path(given).absolute())
    if config_dir and config_path is None:
        own = Path(config_dir).absolute() / f"{CONFIG_NAME}.yaml"
        if own.exists():
            raise ConfigError(
                f"--config-dir: {own} would not be read, for bpframe's own config has its name; "
                "rename it and set --config-name (in Python config_name), or set --config-path "
                f"{own.parent} in its place"
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
        with schemas.hydra_defaults():
            yield
    finally:
        GlobalHydra.instance().hydra = before


def check_no_run(folder: Path) -> None:
    """Raise a ConfigError for a folder with the composed config of a run, which chooses nothing."""
    if folder.name == OF_A_RUN or all((folder / name).is_file() for name in _OF_A_RUN):
        run = folder.parent
        raise ConfigError(
            f"{folder}: holds the configuration of a run, which composes with nothing; run it "
            f"again with bpframe rerun {shlex.quote(str(run))}, or from Python with "
            f"bpframe.run(bpframe.load({str(run)!r}).experiment)"
        )


def compose_config(
    overrides: Sequence[str], *, name: str | None = None, mode: RunMode = RunMode.RUN
) -> DictConfig:
    """The composed config with its `hydra` node; call it inside `initialised`.

    Raises:
        ConfigError: an unknown name or key, a wrong type, an override that cannot be read.

    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    if name and OF_A_RUN in Path(name).parts[:-1]:
        raise ConfigError(
            f"--config-name: {name!r} is the configuration of a run, which composes with nothing; "
            "run it again with bpframe rerun RUN"
        )
    with composing(overrides, name=name or CONFIG_NAME):
        return hydra.compose_config(
            config_name=name or CONFIG_NAME,
            overrides=[*overrides, *(suited(overrides) if name is None else ())],
            run_mode=mode,
            from_shell=False,
        )


def check_single(overrides: Sequence[str]) -> None:
    """Raise a ConfigError for several values, which a program gives to `bpframe.sweep`."""
    with composing(overrides):
        for override in _parsed(overrides):
            if override.is_sweep_override():
                raise ConfigError(
                    f"{override.input_line}: has several values; bpframe.sweep runs them all; a "
                    "list is written [a,b]"
                )


def suited(overrides: Sequence[str]) -> tuple[str, ...]:
    """What a regression needs that says nothing of its cost and of its output layer.

    Those of classes, which bpframe has otherwise, have no meaning there; and a linear output above
    thirty sigmoid neurons diverges with the eta that suits them.
    """
    if "data.task=regression" not in overrides:
        return ()
    elsewhere = ("+", "~")  # a file that is added may say both
    output = ("network.output_activation", "network.layers", "network={")
    suited = {
        "cost=quadratic": ("cost",),
        "network.output_activation=linear": output,
        "optimiser.eta=0.05": ("optimiser",),
    }
    return tuple(
        text
        for text, others in suited.items()
        if not any(given.startswith((*others, *elsewhere)) for given in overrides)
    )


def compose_sweep(overrides: Sequence[str], *, name: str | None = None) -> DictConfig:
    """The composed config of a sweep, with all that is not swept; see `compose_config`.

    A component that is swept is none yet, so that its fields are set, and checked, job by job.
    """
    try:
        return compose_config(overrides, name=name, mode=RunMode.MULTIRUN)
    except UnknownNameError as error:
        group = error.path.partition(".")[0]
        rest = [text for text in overrides if not text.lstrip("+~").startswith(f"{group}.")]
        if group not in schemas.GROUPS or len(rest) == len(overrides):
            raise
        cfg = compose_sweep(rest, name=name)
        params = cfg.hydra.sweeper.get("params") or {}
        given = [o for o in _parsed(overrides) if o.key_or_group == group]
        if group not in params and not any(o.is_sweep_override() for o in given):
            raise
    cfg.hydra.overrides.task = [
        str(o.input_line) for o in _parsed(overrides) if not o.is_hydra_override()
    ]
    return cfg


def _parsed(overrides: Sequence[str]) -> list[Override]:
    return list(map(parsed, overrides))


@functools.lru_cache(maxsize=4096)  # the jobs of a sweep have most of them in common
def parsed(text: str) -> Override:
    """An override as Hydra reads it."""
    return _parser().parse_overrides([text])[0]


@functools.cache
def _parser() -> OverridesParser:  # to make one takes as long as to read an override
    return OverridesParser.create()


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
def composing(
    overrides: Sequence[str], *, name: str | None = None, missing_too: bool = True
) -> Iterator[None]:
    """Check what Hydra would not, and turn its errors into a ConfigError of one line.

    With `name`, that of the primary config, what it includes is looked through. See `translated`.
    """
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
    try:
        with translated(missing_too=missing_too):
            _check_choices(overrides)
            if name is not None:
                includes.check(name, overrides)
            yield
    except KeyError as error:
        raise ConfigError(
            f"hydra.job.env_copy: {error} is not in the environment; set it, or leave it out"
        ) from error
    except RecursionError as error:
        raise ConfigError(
            f"{' '.join(overrides)}: a config includes itself, or values refer to each other"
        ) from error
    except MissingConfigException:  # an OSError too; without `missing_too` it stays as it is
        raise
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    except (ValueError, TypeError, AssertionError) as error:
        told = str(error) and not isinstance(error, AssertionError)  # an assertion says nothing
        reason = f": {error}" if told else ""
        raise ConfigError(f"{' '.join(overrides)}: cannot be composed{reason}") from error


def _check_choices(overrides: Sequence[str]) -> None:
    """Refuse what Hydra takes for the choice of a group, or takes and ignores."""
    for override in _parsed(overrides):
        key = override.key_or_group
        if override.is_sweep_override() or override.is_delete():
            continue
        value = override.value()
        if "." not in key and (known := options(key)):
            if isinstance(value, dict) and value and "/" not in key:
                continue  # settings of the component that is chosen
            if not isinstance(value, str | QuotedString):
                raise ConfigError(
                    f"{override.input_line}: is no name; choose one with {key}=NAME; known: "
                    f"{', '.join(known)}"
                )
        elif value == {} and not key.startswith("hydra."):
            raise ConfigError(f"{override.input_line}: an empty mapping sets nothing; leave it out")


def groups() -> list[str]:
    """The config groups but for Hydra's own; call it inside `initialised`."""
    hydra = GlobalHydra.instance().hydra
    names = hydra.list_all_config_groups() if hydra else ()
    return sorted(name for name in names if name.partition("/")[0] != "hydra")


def options(group: str) -> list[str]:
    """The configs of a group; call it inside `initialised`."""
    hydra = GlobalHydra.instance().hydra
    return _options_of(hydra.config_loader, group) if hydra else []


@functools.lru_cache(maxsize=256)
def _options_of(loader: ConfigLoader, group: str) -> list[str]:
    return loader.get_group_options(group)
