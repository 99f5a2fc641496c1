"""Saying in one line, and in the user's words, what Hydra, OmegaConf and YAML found wrong."""

from __future__ import annotations

import difflib
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
_A_LIST = re.compile(r"Value '\[(?P<only>[^,\]]*)\]' of type 'list' could not be converted to \w+")
_NO_MATCH = re.compile(
    r"(?:In '(?P<name>[^']*)': )?Could not override '(?P<key>[^'@]*)(?P<at>@[^']*)?'\.;?"
    r"(?: No match in the defaults list\.| Did you mean .*)",
    re.DOTALL,
)
_TWICE = re.compile(r"Multiple values for (?P<group>[\w/]+)\. To override a value use.*: (\w+)'")
_AMBIGUOUS = re.compile(r"Ambiguous value for argument '(?P<key>[^'=]*)=(?P<values>[^']*)'")
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
    folder, _, own = group.rpartition("/")
    if folder and own in schemas.GROUPS:  # a defaults list is relative to its file's folder
        found = _first_line(error).partition("'")[2].partition("'")[0]
        return ConfigError(f"config {found!r}: there is no {wanted!r}; {_in_a_file(own, name)}")
    if group and (error.options or group in schemas.GROUPS):
        return unknown(group, name, error.options or ())
    near = Path(wanted).with_suffix(".yaml")
    if not group and near.is_file():
        return ConfigError(
            f"config {wanted!r}: stands in the working directory, where no configs are looked for; "
            f"write -cd . -cn {near.stem}, in Python config_dir='.'"
        )
    return ConfigError(
        f"config {wanted!r}: is not in the config path; -cd FOLDER, in Python config_dir, names "
        "the folder that it is in"
    )


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
        text = schemas.one_line(str(error))
        return ConfigError(_of_the_defaults(text) or text or type(error).__name__)
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
        if not key and (groups := _choosing(match["wanted"], match["value"])):
            name = match["value"] if match["value"].isidentifier() else "NAME"
            choices = " or ".join(f"override /{group}: {name}" for group in groups)
            return ConfigError(
                f"{' or '.join(groups)}: {match['value']} is not a mapping; a file chooses a "
                f"component in its defaults list: defaults: - {choices}"
            )
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
        text = f"{cause.value!r} is not a list; write [{cause.value}]"
    if match := _A_LIST.fullmatch(text):
        text = f"a list stands where one value is needed; write {match['only']}"
    return ConfigError(f"{key}: {_CONTAINERS.get(text, text)}")


def _of_the_defaults(text: str) -> str | None:
    """What is wrong with a choice of components, in the words of one who writes a file."""
    if match := _AMBIGUOUS.match(text):
        key, values = match.groups()
        as_list = "" if key in schemas.GROUPS else f", or write {key}=[{values}] for a list"
        return (
            f"{key}={values}: Ambiguous value: several stand where one is; add --multirun to sweep "
            f"over them{as_list}"
        )
    if match := _TWICE.search(text):
        return f"{match['group']}: is chosen twice; {_in_a_file(match['group'], match[2])}"
    if match := _NO_MATCH.match(text):
        key, name = match["key"], match["name"]
        if name is None:
            return f"{key}: is chosen by no defaults list; write +{key}=NAME" if key else None
        if "." in (match["at"] or ""):  # the package of a file that names none is its folder
            return f"config {name!r}: let the file begin with the line # @package _global_"
        own = key.rpartition("/")[2]
        wanted = own if own in schemas.GROUPS else None
        near = wanted or next(iter(difflib.get_close_matches(own, schemas.GROUPS, n=1)), own)
        return f"config {name!r}: there is no {key!r} to override; {_in_a_file(near, 'NAME')}"
    return None


def _in_a_file(group: str, name: str) -> str:
    """How a file chooses a component."""
    return f"in a file write defaults: - override /{group}: {name}"


def _choosing(chosen: str, value: str) -> list[str]:
    """The groups with the component `chosen`, or those of them with the component `value`."""
    hydra = GlobalHydra.instance().hydra
    if hydra is None:
        return []
    options = {group: hydra.config_loader.get_group_options(group) for group in schemas.GROUPS}
    groups = [group for group, names in options.items() if chosen in names]
    return [group for group in groups if value in options[group]] or groups


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
