"""The errors that bpframe raises on purpose: one clear line each, meant for the user."""

from __future__ import annotations

import difflib
import functools
import os
import traceback
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_SHOWN = MappingProxyType(
    {
        code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
        for code in (
            *(code for code in range(0x20) if chr(code) not in "\t\n"),
            *range(0x7F, 0xA0),
            *(0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)),
            *range(0xD800, 0xE000),
        )
    }
)


def printable(text: str) -> str:
    """A text with its control characters written out, but for tabs and ends of lines.

    They are those that terminals obey (C0, DEL, C1), those that change the direction of what
    follows, and what no encoding can write: the bytes of a file name that are no text.
    """
    return text.translate(_SHOWN)


class BpframeError(Exception):
    """Base of every error whose message is written for the user and needs no traceback.

    The message is one line that can be printed, whatever it quotes.

    Attributes:
        status: the exit status of the command that ends with it.

    """

    status = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


class ConfigError(BpframeError):
    """A configuration that cannot be run: an unknown name, a wrong type, a value out of range."""


class UnknownNameError(ConfigError):
    """A name that is not known where it stands.

    Attributes:
        path: where it stands in the configuration.
        name: the name.

    """

    def __init__(self, message: str, *, path: str, name: str) -> None:
        super().__init__(message)
        self.path = path
        self.name = name


class PluginError(BpframeError):
    """A plugin that breaks its contract; the message names the plugin and the hook."""


class PluginWarning(UserWarning):
    """A plugin that was disabled because it breaks its contract, while others go on."""


class OutputWarning(UserWarning):
    """A file that could not be written and is not needed, such as a picture."""


class AdviceWarning(UserWarning):
    """Something that is allowed, and may not be meant, such as inputs in other units."""


class DataError(BpframeError):
    """A data file that is missing, corrupt or not what it claims to be."""


class ExamplesError(DataError):
    """Arrays that are no examples: shapes that do not fit each other, or values not allowed."""


class OutputError(BpframeError):
    """A run folder that cannot be used, because it holds a run already or is not writable."""


class HostError(BpframeError):
    """Hosts of a run that did not come, or are gone."""


class DivergenceError(BpframeError):
    """Training met a value that is not finite.

    Attributes:
        epoch: the epoch in which it happened, counted from 1.
        layer: the layer where the first such value appeared, as the book numbers them.

    """

    def __init__(self, message: str, *, epoch: int, layer: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.layer = layer


def plainly(function: Callable[P, R]) -> Callable[P, R]:
    """The function, raising a BpframeError without the errors of libraries that led to it.

    HYDRA_FULL_ERROR=1 keeps them.
    """

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BpframeError as error:
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
            raise error.with_traceback(None) from None

    return called


MOST_NAMES = 60
"""Names that a message lists; of more the first ones."""


def unknown(path: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not in `known`, with the nearest match as a suggestion."""
    names, given = sorted(known), str(name)
    text = f"{path}: unknown {given!r}"
    if names:
        some = names if len(names) <= MOST_NAMES else [*names[: MOST_NAMES - 10], "..."]
        text += f"{did_you_mean(given, names) or ';'} known: {', '.join(some)}"
    else:
        text += "; this choice has nothing to set"
    return UnknownNameError(text, path=path, name=given)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The text that suggests the nearest match, such as "; did you mean 'sgd'?", or nothing."""
    plain = {_plain(each): each for each in known}
    close = difflib.get_close_matches(_plain(name), list(plain), n=1)
    return f"; did you mean {plain[close[0]]!r}?" if close else ""


def _plain(name: str) -> str:
    """A name as it is compared: ReLU is relu, and cross-entropy is cross_entropy."""
    return name.lower().replace("-", "_")


def described(error: BaseException) -> str:
    """An error as a line, with the line of code that raised it."""
    place = ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({error.filename}, line {error.lineno})"
        return f"{type(error).__name__}: {error.msg}{place}"
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its message cannot be read)"
    if frames := traceback.extract_tb(error.__traceback__):
        place = f" ({frames[-1].filename}, line {frames[-1].lineno})"
    return f"{type(error).__name__}: {text}{place}"
