"""The configuration of a run that was written, composed again."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from omegaconf import DictConfig, OmegaConf

from bpframe.configuration import assembly, composition, schemas, suggestions, trust
from bpframe.configuration.networks import Sizes
from bpframe.configuration.plugin_settings import plugin_settings
from bpframe.configuration.primary import PATH_FIELD, begun_in, chosen_groups, primary
from bpframe.errors import ConfigError, OutputError
from bpframe.files import check_no_link
from bpframe.plugin_host import host
from bpframe.plugin_host.registry import Registry
from bpframe.runs.layout import METRICS
from bpframe.runs.locks import LOCK
from bpframe.tables.in_memory import GIVEN
from bpframe.training.experiment import Experiment

PRIMARY = "saved"
_ALLOWED = (
    *("training.epochs=", "training.devices=", "training.hosts=", "training.shard="),
    *("checkpoint.", "plots=", "record_limit=", "show=", "trackers="),
)


class Composed(NamedTuple):
    """The configuration of a run, all components by name, and the experiment made of them."""

    cfg: DictConfig
    registry: Registry
    experiment: Experiment


def check_run(folder: Path, or_else: str = "") -> None:
    """Raise an OutputError unless a run has begun in a folder."""
    has_begun = (folder / METRICS).exists()
    if not has_begun and (folder / LOCK).exists():
        raise OutputError(
            f"{folder}: its run was cut off before it began; give the command of the run again"
        )
    if not (has_begun and (folder / ".hydra").is_dir()):
        holds = "neither a run" if or_else else "no run"
        raise OutputError(f"{folder}: holds {holds} ({METRICS} and .hydra){or_else}")


def check_changes(overrides: Sequence[str]) -> None:
    """Raise a ConfigError if settings are among these that cannot change when a run goes on."""
    for text in overrides:
        if not text.startswith(_ALLOWED):
            raise ConfigError(
                f"{text}: a run stays as it is; only training.epochs, training.devices, "
                "training.hosts, training.shard, checkpoint, plots, record_limit, show and "
                "trackers can be set when it is resumed"
            )


def changed_files(folder: Path, cfg: DictConfig, overrides: Sequence[str]) -> dict[str, str]:
    """What .hydra is to hold of a run that goes on with other settings, by the names of files.

    Raises:
        OutputError: what it holds cannot be read.

    """
    if not overrides:
        return {}
    task = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    path = folder / ".hydra" / "overrides.yaml"
    try:
        check_no_link(path.parent)
        before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else []
        texts = yaml.safe_dump([*before, *overrides], allow_unicode=True)
    except (OSError, TypeError, yaml.YAMLError) as error:
        raise OutputError(f"{path}: cannot be read, or is damaged: {error}") from error
    return {"config.yaml": OmegaConf.to_yaml(task), "overrides.yaml": texts}


def from_here(text: str, node: str, here: Path | None = None) -> str:
    """An override whose path, if it is one, starts where the user is, not where the run was.

    Paths in a node are its fields of `PATH_FIELD`.
    """
    found = re.fullmatch(rf"(\+*{re.escape(node)}\.{PATH_FIELD})=(.+)", text)
    value = found[2].strip("'\"") if found else "null"
    if found is None or value == "null" or value[0] in "~/[{" or value.startswith("$"):
        return text
    # What is given may hold interpolations, and so is left as it is.
    return f"{found[1]}={composition.quoted(str(here or Path.cwd()))[:-1]}/{value}'"


def enter(folder: Path, *, if_there: bool = False) -> None:
    """Make the working directory that in which the run of a folder began.

    With `if_there` it may be gone, where nothing is read from there.
    """
    cwd = begun_in(folder)
    if if_there and not os.path.isdir(cwd):
        return
    enter_as(cwd, folder, "the run")


def enter_as(cwd: str, folder: Path, what: str) -> None:
    """Make the working directory that in which something began."""
    try:
        os.chdir(cwd)
    except OSError as error:
        raise OutputError(
            f"{folder}: {what} was begun in {cwd}, which cannot be entered: {error.strerror}; "
            "relative paths in its configuration start there"
        ) from error


def composed(
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    trusting: Callable[[list[str]], None],
    sizes: Sizes | None = None,
    plugins: Sequence[object] = (),
    given: bool = False,
) -> Composed:
    """A run's configuration with `overrides`, in the working directory in which it began.

    Args:
        folder: the run.
        overrides: settings that change.
        trusting: is told first which code the configuration names.
        sizes: those of the data; unset, the data set is asked. With them the working directory may
            be gone.
        plugins: objects with hooks, besides those installed.
        given: whether these offer the data that were given in Python.

    Raises:
        ConfigError: it cannot be composed.
        OutputError: it cannot be read.

    """
    with as_primary(folder, overrides, given=given, if_there=sizes is not None) as place:
        settings = plugin_settings(overrides, name=PRIMARY, config_dir=place)
        trusting(trust.code_of(settings.paths, (), overrides))
        registry = schemas.store(
            host.load_registry(plugins, paths=settings.paths, prefer=settings.prefer)
        )
        host.warn_of_faults(registry)
        with composition.initialised(None, place), suggestions.explaining(registry):
            cfg = composition.compose_config(overrides, name=PRIMARY)
            return Composed(cfg, registry, assembly.assemble(cfg, registry, sizes))


@contextlib.contextmanager
def as_primary(
    folder: Path, overrides: Sequence[str] = (), *, given: bool = False, if_there: bool = False
) -> Iterator[str]:
    """A folder with the configuration of a run as the primary config `saved.yaml`.

    The working directory is that in which the run began, where paths in it start. `given` says
    whether someone offers the data that were given in Python; for `if_there` see `enter`.

    Raises:
        ConfigError: it is no configuration of a run, or its data are in no file.
        OutputError: it cannot be read.

    """
    text = primary(folder / ".hydra" / "config.yaml", overrides)
    given = given or "data" in chosen_groups(overrides)
    if not given and {"override data": GIVEN} in yaml.safe_load(text)["defaults"]:
        raise ConfigError(
            f"{folder}: its data were given in Python, and no file has them; go on there, with "
            "bpframe.resume(folder, data=...) or bpframe.load(folder)"
        )
    enter(folder, if_there=if_there)
    with tempfile.TemporaryDirectory(prefix="bpframe-") as place:
        (Path(place) / f"{PRIMARY}.yaml").write_text(text, encoding="utf-8")
        yield place


def plugin_paths(place: str, overrides: Sequence[str]) -> tuple[str, ...]:
    """The files of plugins that the configuration in `place` names."""
    return plugin_settings(overrides, name=PRIMARY, config_dir=place).paths
