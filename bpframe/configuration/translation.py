"""Saying in one line, and in the user's words, what Hydra, OmegaConf and YAML found wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from bpframe.configuration import schemas
from bpframe.errors import ConfigError, UnknownNameError, unknown

_OF_AN_ACTIVATION = re.compile(r"(network\.(?:output_)?activation)\.(\w+)")
_IN_A_FILE = re.compile(r"In '(?P<name>[^']*)': \w+ raised while composing config:")
_NO_MAPPING = re.compile(
    r"(?:Merge error|Invalid type assigned): (?P<type>\w+) is not a subclass of (?P<wanted>\w+)\. "
    r"value: (?P<value>.*)"
)
_UNEXPECTED = re.compile(
    r"^(?:token recognition error at: |(?:no viable alternative|mismatched input|missing \w+|"
    r"extraneous input)(?: at)?(?: input)? )'(.*?)'(?: expecting .*)?$",
    re.DOTALL,
)
_EVALUATED = re.compile(r"^\w+ while evaluating ")
_NO_DELETION = re.compile(r".* does not support deletion")
_RESOLVING = re.compile(r"^\w+ raised while resolving interpolation: ")
_NO_VALUE = re.compile(r"field '.*' is not Optional")
_NO_LIST = re.compile(r"Invalid value assigned: \w+ is not a ListConfig, list or tuple\.")
_CONTAINERS = {
    "Cannot merge DictConfig with ListConfig": "a list stands where a mapping is needed",
    "Cannot merge ListConfig with DictConfig": "a mapping stands where a list is needed",
}


@contextmanager
def translated(*, missing_too: bool = True) -> Iterator[None]:
    """Turn the errors of Hydra, OmegaConf and YAML into a ConfigError of one line.

    Without `missing_too` the error for a config that does not exist stays as it is.
    """
    try:
        yield
    except MissingConfigException as error:
        if not missing_too:
            raise
        raise missing(error) from error
    except OverrideParseException as error:
        raise ConfigError(
            f"{error.override}: cannot be read as key=value: {_of_the_grammar(error)}"
        ) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise _config_error(error) from error
    except yaml.YAMLError as error:
        raise ConfigError(unreadable(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(_undecodable(error)) from error


def missing(error: MissingConfigException) -> ConfigError:
    """The error for a config that does not exist."""
    wanted = error.missing_cfg_file or ""
    group, _, name = wanted.rpartition("/")
    if group and (error.options or group in schemas.GROUPS):
        return unknown(group, name, error.options or ())
    return ConfigError(f"config {wanted!r} is not in the config path: {_first_line(error)}")


def unreadable(error: yaml.YAMLError) -> str:
    """What is wrong with a text that is no YAML: its file, line and column, both from 1."""
    if isinstance(error, yaml.reader.ReaderError):
        character = error.character if isinstance(error.character, int) else ord(error.character)
        place = _place(error.name, error.position)
        return f"{place}: the character U+{character:04X} is not allowed"
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"is no YAML: {schemas.one_line(str(error))}"
    mark = error.problem_mark or error.context_mark
    place = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}" if mark else "a config"
    begun = error.context_mark
    where = f" (line {begun.line + 1}, column {begun.column + 1})" if begun else ""
    context = f", {error.context}{where}" if error.context else ""
    return f"{place}: {error.problem}{context}"


def _place(name: Any, position: int) -> str:
    """A file with the line and the column, both from 1, of a character counted from 0."""
    try:
        before = Path(str(name)).read_text(encoding="utf-8", errors="replace")[:position]
    except OSError:
        return f"{name}, character {position + 1}"
    return f"{name}, line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _undecodable(error: UnicodeDecodeError) -> str:
    """The config file that is not UTF-8, and where; Python does not say which it is."""
    hydra = GlobalHydra.instance().hydra
    sources = hydra.config_loader.get_sources() if hydra else []
    for source in sources:
        folder = Path(source.path)
        for path in sorted(folder.rglob("*.y*ml")) if source.scheme() == "file" else ():
            content = path.read_bytes()
            if content == error.object or error.object in content:
                line = content[: content.find(error.object) + error.start].count(b"\n") + 1
                return f"{path}, line {line}: is not UTF-8 ({error.reason})"
    return f"a config file is not UTF-8: {error.reason}"


def _of_the_grammar(error: OverrideParseException) -> str:
    """Where an override does not follow Hydra's grammar, without the names of its parser."""
    text = _first_line(error.__context__ or error)
    if match := _UNEXPECTED.search(text):
        if "missing EQUAL" in text:
            return "it has no ="
        found = "it ends too early" if match[1] == "<EOF>" else f"unexpected {match[1]!r}"
        return f"{found}; close brackets and quotes, and quote values with such characters"
    return _EVALUATED.sub("", text)


def _config_error(error: Exception) -> ConfigError:
    """The error at the root, with the key and what is known instead of it."""
    cause, place = error, ""
    while True:
        if match := _IN_A_FILE.match(str(cause)):
            place = f"config {match['name']!r}: "
        # Hydra raises its error of a file without `from`.
        following = cause.__cause__ or (cause.__context__ if match else None)
        if not isinstance(following, HydraException | OmegaConfBaseException):
            break
        cause = following
    found = _error_of(cause)
    if found is None:
        return ConfigError(schemas.one_line(str(error)) or type(error).__name__)
    if isinstance(found, UnknownNameError):
        return UnknownNameError(f"{place}{found}", path=found.path, name=found.name)
    return ConfigError(f"{place}{found}")


def _error_of(cause: Exception) -> ConfigError | None:
    """The error for one of OmegaConf's, if it says enough."""
    key, parent = getattr(cause, "full_key", None), getattr(cause, "parent_node", None)
    if isinstance(cause, MissingMandatoryValue):
        return ConfigError(f"{key}: is required; set {key}=...")
    if isinstance(parent, DictConfig) and isinstance(cause, ConfigKeyError | ConfigAttributeError):
        name = str(getattr(cause, "key", key))
        if match := _OF_AN_ACTIVATION.fullmatch(str(key)):
            where, field = match.groups()
            return ConfigError(
                f"{key}: write a field beside its name, {where}={{name: NAME, {field}: VALUE}}"
            )
        if str(key).startswith("hydra.") and not _fields(parent):
            return ConfigError(f"{key}: is not there to be set; add it with +{key}=VALUE")
        if name not in _fields(parent):
            return unknown(str(key), name, _groups(name) or _fields(parent))
    if not isinstance(cause, OmegaConfBaseException):
        return None
    text = _first_line(cause)
    if match := _NO_MAPPING.fullmatch(text):
        node = OmegaConf.select(parent, key) if isinstance(parent, DictConfig) and key else None
        fields = f" with {', '.join(_fields(node))}" if isinstance(node, DictConfig) else ""
        wanted = key or match["wanted"].removesuffix("Config").removesuffix("Conf").lower()
        return ConfigError(f"{wanted}: {match['value']} is not a mapping{fields}")
    if not key:
        return None
    text = _RESOLVING.sub("", text)
    if _NO_VALUE.fullmatch(text):
        text = "null is not allowed"
    if _NO_DELETION.fullmatch(text):
        text = "cannot be taken away; set another value"
    if _NO_LIST.fullmatch(text):
        text = f"{cause.value!r} is not a list"
    return ConfigError(f"{key}: {_CONTAINERS.get(text, text)}")


def _groups(name: str) -> list[str]:
    """The config groups, where a name that is not known looks like one of them."""
    hydra = GlobalHydra.instance().hydra
    if "/" not in name or hydra is None:
        return []
    return list(hydra.list_all_config_groups())


def _fields(node: DictConfig) -> list[str]:
    """The keys that a user may set: a component's name is chosen by its group."""
    return [str(key) for key in node if key not in ("name", "hydra")]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
