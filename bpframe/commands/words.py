"""Words that are neither options nor overrides: what the shell has split, what lacks its =."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import NoReturn

from bpframe.errors import ConfigError

Places = Callable[[str], list[str]]
"""Gives where a name belongs in the configuration: see `suggestions.places`."""

_CLOSING = {"[": "]", "{": "}", "(": ")"}
_KEY = re.compile(r"[+]{0,2}[A-Za-z_][\w./@]*")
_PAIR = re.compile(r"\w+:[^/{}\[\]]+")
_ALIKE = 0.7
_DATA = (".csv", ".csv.gz", ".npz", ".parquet")
_TRAINING = ("train", "run", "fit")
"""What other programs call what bpframe does without a subcommand."""


def check(words: Sequence[str], subcommands: Sequence[str], places: Places) -> None:
    """Refuse words that are no overrides, and say what may have been meant.

    Raises:
        ConfigError: the shell has split a word at its spaces or expanded its braces, or a word has
            no =.

    """
    _check_braces(words)
    start = 0
    while start < len(words):
        end = _end(words, start)
        if end > start + 1:
            raise ConfigError(_of_spaces(" ".join(words[start:end])))
        if _is_open(words[start]):
            return  # Hydra's parser tells where what is not closed begins
        if not _is_override(words[start]):
            raise ConfigError(_without_equals(words, start, subcommands, places))
        start = end


def refuse_options(
    unknown: Sequence[str],
    words: Sequence[str],
    known: Sequence[str],
    subcommands: Sequence[str],
    places: Places,
) -> NoReturn:
    """Raise a ConfigError for options that are none, such as --epochs 10 or --hlep.

    `words` are all words of the command line, `known` are the options that there are, and
    `subcommands` what a first word may have been meant to be.
    """
    option, equals, value = unknown[0].partition("=")
    text = f"command line: {unknown[0]}: unknown option"
    if near := difflib.get_close_matches(option, known, n=1, cutoff=_ALIKE):
        raise ConfigError(f"{text}; did you mean {near[0]}?")
    first = words[0]
    subcommand = difflib.get_close_matches(first, subcommands, n=1)
    if subcommand and "=" not in first:  # predcit RUN --input FILE
        raise ConfigError(f"command line: {first}: did you mean bpframe {subcommand[0]}?")
    name = option.lstrip("-").replace("-", "_")
    if not _KEY.fullmatch(name):
        raise ConfigError(f"{text}; see bpframe --help")
    after = words[words.index(unknown[0]) + 1 :] if unknown[0] in words else ()
    if not equals and after and not _is_override(after[0]) and not after[0].startswith("-"):
        value = after[0]
    raise ConfigError(
        f"{text}; settings are written without dashes, as {_written(name, value, places)}; see "
        "bpframe --help"
    )


def _is_override(word: str) -> bool:
    return "=" in word[1:] or word.startswith("~")


def _end(words: Sequence[str], start: int) -> int:
    """Behind the last of the words that were one before the shell split them."""
    after = words[start + 1 :]
    if not _is_override(words[start]):  # training.epochs = 10, training.epochs =10
        count = 0
        if after and after[0].startswith("=") and _KEY.fullmatch(words[start]):
            count = 2 if after[0] == "=" and len(after) > 1 else 1
        return start + 1 + count
    text, end = words[start], start + 1
    while end < len(words) and not _is_override(words[end]) and _goes_on(text):
        text += f" {words[end]}"
        end += 1
    return start + 1 if _is_open(text) else end


def _goes_on(text: str) -> bool:
    return text.endswith((",", "=")) or _is_open(text)


def _is_open(text: str) -> bool:
    """Whether a bracket or a quote is not closed."""
    quote, closing, escaped = "", [], False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in _CLOSING:
            closing.append(_CLOSING[character])
        elif closing and character == closing[-1]:
            closing.pop()
    return bool(quote or closing)


def _of_spaces(text: str) -> str:
    key, _, value = (part.strip() for part in text.partition("="))
    quoted = f"put it in quotes: {shlex.quote(f'{key}={value}')}"
    compact = f"write no spaces: {key}={value.replace(' ', '')}"
    if "{" in value or "'" in value or '"' in value:
        ways = quoted  # the shell would expand the braces
    else:
        ways = f"{compact}, or {quoted}" if " " in value else compact
    return f"{text}: the shell splits words at spaces; {ways}"


def _check_braces(words: Sequence[str]) -> None:
    """The shell makes two words of key={a:1,b:2}."""
    for word, following in itertools.pairwise(words):
        key, _, value = word.partition("=")
        if not following.startswith(f"{key}=") or not _PAIR.fullmatch(value):
            continue
        values = [each.partition("=")[2] for each in words if each.startswith(f"{key}=")]
        if all(map(_PAIR.fullmatch, values)):
            quoted = shlex.quote(f"{key}={{{', '.join(values)}}}")
            raise ConfigError(
                f"{key}: the shell makes several words of braces; put it in quotes: {quoted}"
            )


def _without_equals(
    words: Sequence[str], place: int, subcommands: Sequence[str], places: Places
) -> str:
    word, after = words[place], words[place + 1 :]
    text = f"{word}: cannot be read as key=value: it has no ="
    if place == 0 and subcommands and word in _TRAINING:
        return f"{text}, and is no subcommand; bpframe trains without one: leave it out"
    if word.endswith((".yaml", ".yml")):
        path = PurePath(word)
        folder, name = shlex.quote(str(path.parent)), shlex.quote(path.stem)
        return f"{text}; of a config in a file write -cd {folder} -cn {name}"
    if word.endswith(_DATA):
        kind = "csv" if ".csv" in word else word.rpartition(".")[2]
        return f"{text}; of data in a file write data={kind} data.path={shlex.quote(word)}"
    if os.path.isdir(word):
        run = shlex.quote(word)
        return f"{text}; of a run write bpframe show {run}, or bpframe rerun {run}"
    close = difflib.get_close_matches(word, subcommands, n=1)
    if place == 0 and close:
        return f"{text}, and is no subcommand; did you mean {close[0]}?"
    is_key = _KEY.fullmatch(word) and ("." in word or places(word))
    if is_key:
        value = after[0] if after and not _is_override(after[0]) else ""
        return f"{text}; is it missing? write {_written(word, value, places)}"
    if subcommands:
        return f"{text}, and is no subcommand; known: {', '.join(subcommands)}"
    return text


def _written(name: str, value: str, places: Places) -> str:
    """The override that sets a key, or what is called `name` at some place."""
    found = [] if "." in name else [re.split(r"[ =]", place)[0] for place in places(name)]
    return f"{next(iter(found), name)}={value or 'VALUE'}"
