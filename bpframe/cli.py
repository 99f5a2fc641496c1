"""The command line: argv -> plugins -> Hydra -> run."""

from __future__ import annotations

import atexit
import gc
import importlib.metadata
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VERSIONED = ("bpframe", "hydra-core", "jax")
FULL_ERROR = "HYDRA_FULL_ERROR"
LONGEST = 2000
"""The most characters of a line of an error; it may quote what was given, of any length."""


def main() -> None:
    """Run bpframe with the arguments of the process; the process ends with an exit status.

    0 is success; 1 is an error, told in one line; 130 is an interruption with ctrl-C, and 143 one
    with SIGTERM. A run or a sweep has then been written as far as it came.
    """
    arguments = sys.argv[1:]
    if "--version" in arguments:
        print(*(f"{name} {importlib.metadata.version(name)}" for name in VERSIONED), sep="\n")
        return
    # Everything heavy is imported below, so that --version does not wait for it.
    from bpframe.commands.lenient_output import lenient, lenient_logs
    from bpframe.errors import (
        AdviceWarning,
        BpframeError,
        HostError,
        OutputWarning,
        PluginWarning,
        described,
        printable,
    )

    def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        is_hydras = category is UserWarning and "hydra" in Path(place[0]).parts
        if is_hydras or issubclass(category, AdviceWarning | PluginWarning | OutputWarning):
            text = printable(" ".join(str(message).split()))
            print(f"bpframe: warning: {text}", file=sys.stderr)
        else:
            others(printable(str(message)), category, *place, **more)  # pyright: ignore[reportArgumentType]

    wants_traceback = os.environ.get(FULL_ERROR) == "1"
    # Hydra then raises its errors instead of printing them, and they become one line here.
    os.environ[FULL_ERROR] = "1"
    others = warnings.showwarning
    try:
        with _rarely_collecting(), warnings.catch_warnings(), lenient_logs(), lenient() as output:
            warnings.simplefilter("always", PluginWarning)
            warnings.simplefilter("always", OutputWarning)
            warnings.simplefilter("always", AdviceWarning)
            warnings.showwarning = show
            _dispatch(arguments)
        # A reader that has gone (`bpframe ... | head`) has seen what it wanted.
        if output.error is not None and not isinstance(output.error, BrokenPipeError):
            _fail(f"standard output: {output.error.strerror}; the rest was not shown")
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except SystemExit as error:
        if isinstance(error.__cause__, BpframeError):
            _fail(str(error.__cause__), error.__cause__.status)
        if wants_traceback or _is_meant(error):
            raise
        _fail(f"{described(error)} (set {FULL_ERROR}=1 to see the traceback)")
    except HostError as error:
        from bpframe.training import hosts

        _say(str(error))
        sys.stdout.flush()
        sys.stderr.flush()
        hosts.last_words("")
        os._exit(error.status)  # as JAX leaves, it waits for the host that is gone, and then aborts
    except BpframeError as error:
        if wants_traceback:
            raise
        _fail(str(error), error.status)
    except BaseException as error:
        if wants_traceback:
            raise
        text = " ".join(str(error).split())
        _fail(f"{type(error).__name__}: {text} (set {FULL_ERROR}=1 to see the traceback)")


@contextmanager
def _rarely_collecting() -> Iterator[None]:
    """Collect garbage after a million objects, and not at the end of the process.

    To look for cycles among all that is imported and traced takes a fifth of a short command.
    """
    before = gc.get_threshold()
    gc.set_threshold(1_000_000, *before[1:])
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _is_meant(error: SystemExit) -> bool:
    """Whether the program itself ends here, and not some plugin's component."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    module = str(place.tb_frame.f_globals.get("__name__")) if place is not None else ""
    return module.partition(".")[0] in ("argparse", "bpframe", "hydra")


def _fail(message: str, status: int = 1) -> None:
    _say(message)
    sys.exit(status)


def _say(message: str) -> None:
    from bpframe.errors import printable

    lines = [_shortened(line) for line in printable(message).split("\n")]
    print("bpframe:", "\n".join(lines), file=sys.stderr)


def _shortened(line: str) -> str:
    """A line that a screen can hold, without the middle of what is longer."""
    left = len(line) - LONGEST
    return f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}" if left > 0 else line


def _dispatch(arguments: list[str]) -> None:
    from bpframe.commands import completion
    from bpframe.commands.subcommands import SUBCOMMANDS

    if any(word in completion.OPTIONS for word in arguments):
        completion.run(arguments)
        return
    if arguments and arguments[0] == "help":  # bpframe help, bpframe help check
        unknown = [word for word in arguments[1:2] if word not in SUBCOMMANDS]
        arguments = unknown or [*arguments[1:], "--help"]
    if arguments and arguments[0] in SUBCOMMANDS:
        SUBCOMMANDS[arguments[0]].run(arguments[1:])
        return
    from bpframe.commands import train

    train.train(arguments)
