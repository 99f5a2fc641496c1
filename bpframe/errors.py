"""The errors that bpframe raises on purpose: one clear line each, meant for the user."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BpframeError(Exception):
    """Base of every error whose message is written for the user and needs no traceback.

    The message is one line, whatever it quotes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class ConfigError(BpframeError):
    """A configuration that cannot be run: an unknown name, a wrong type, a value out of range."""


class PluginError(BpframeError):
    """A plugin that breaks its contract; the message names the plugin and the hook."""


class DataError(BpframeError):
    """A data file that is missing, corrupt or not what it claims to be."""


class OutputError(BpframeError):
    """A run folder that cannot be used, because it holds a run already or is not writable."""


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


def unknown(path: str, name: object, known: Iterable[str]) -> ConfigError:
    """The error for a name that is not in `known`, with the nearest match as a suggestion."""
    names = sorted(known)
    if not names:
        return ConfigError(f"{path}: unknown {str(name)!r}; this choice has nothing to set")
    close = difflib.get_close_matches(str(name), names, n=1)
    suggestion = f"; did you mean {close[0]!r}?" if close else ";"
    return ConfigError(f"{path}: unknown {str(name)!r}{suggestion} known: {', '.join(names)}")
