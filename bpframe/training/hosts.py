"""One run on several hosts: a process on each, which JAX's distributed runtime brings together.

All of them run the same command and compute the same turns; the first shows and writes. Where they
meet is told by Slurm, or by two variables of the environment.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from typing import IO

import jax
import numpy as np

from bpframe.errors import BpframeError, ConfigError, HostError
from bpframe.training.experiment import ALL, Training

COORDINATOR, HOST = "BPFRAME_COORDINATOR", "BPFRAME_HOST"
"""The address of the first host, HOST:PORT, and the number of this one, from 0."""

MEETING_S, LEAVING_S, SILENT_S = 120, 10, 5
"""How many seconds hosts wait for each other when a run begins, and when one has ended, and how
many of the first without a word."""

_LAST_WORDS = 'while read -r line; do last=$line; done; [ -z "$last" ] || echo "$last" >&2'
"""In a shell: read lines until whoever writes them is gone, and say the last one then."""


def join(training: Training) -> None:
    """Meet the other hosts of a run, before JAX computes anything; once in a process.

    Raises:
        ConfigError: nothing says where, or there are not as many as `training.hosts` says.
        HostError: they did not come.

    """
    wanted = training.hosts
    if wanted == 1:
        return
    if not jax.distributed.is_initialized():
        _meet(wanted)
    if wanted not in (ALL, count()):
        raise ConfigError(
            f"training.hosts: {wanted} was set, and {count()} have met; set training.hosts={ALL}, "
            "or begin as many"
        )


def _meet(wanted: int | str) -> None:
    address, number = os.environ.get(COORDINATOR), os.environ.get(HOST)
    if (address is None) != (number is None):
        missing = HOST if number is None else COORDINATOR
        raise ConfigError(f"{missing}: is not set; {COORDINATOR} and {HOST} go together")
    if number is not None and not (
        isinstance(wanted, int) and number.isdecimal() and int(number) < wanted
    ):
        raise ConfigError(
            f"{HOST}: {number!r} is out of range; allowed: numbers from 0 on below training.hosts, "
            f"which is {wanted} and has to be a number here"
        )
    if address is not None and not address.rpartition(":")[2].isdecimal():
        raise ConfigError(f"{COORDINATOR}: {address!r} names no port; set it to HOST:PORT")
    told = threading.Timer(SILENT_S, _say_that_it_waits, (wanted,))
    told.start()
    last_words(
        f"bpframe: training.hosts: {wanted} hosts did not meet; begin the same command on all of "
        f"them within {MEETING_S} seconds, with an address of the first that all can reach"
    )
    try:
        jax.distributed.initialize(
            address,
            num_processes=wanted if isinstance(wanted, int) else None,
            process_id=None if number is None else int(number),
            cluster_detection_method=None if number is None else "deactivate",
            initialization_timeout=MEETING_S,
            shutdown_timeout_seconds=LEAVING_S,
        )
    except ValueError as error:
        raise ConfigError(
            f"training.hosts: nothing says where {wanted} hosts meet; begin the command with srun, "
            f"or set {COORDINATOR}=FIRST_HOST:PORT and {HOST}=0, 1, ... on each ({error})"
        ) from error
    except RuntimeError as error:  # one of JAX is a RuntimeError as well
        reason = " ".join(str(error).split())
        raise HostError(f"training.hosts: {wanted} hosts did not meet: {reason}") from error
    finally:
        told.cancel()
    last_words(
        "bpframe: this host has been ended: by JAX, as another one is gone or cannot be reached "
        "(the first, in most cases), or by a signal; bpframe resume RUN training.hosts=N goes on "
        "with N hosts from the last checkpoint"
    )


def _say_that_it_waits(wanted: int | str) -> None:
    text = f"bpframe: waits for the others of {wanted} hosts, {MEETING_S} seconds at most"
    print(text, file=sys.stderr, flush=True)


def last_words(text: str) -> None:
    """Have a line told if this process is ended past Python, as JAX ends it; "" for none."""
    with contextlib.suppress(OSError):
        _shell().write(f"{text}\n".encode())


@functools.cache
def _shell() -> IO[bytes]:
    """What is written to it is told when this process is gone."""
    process = subprocess.Popen(
        ["sh", "-c", _LAST_WORDS],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # a signal from the terminal is not for it
        bufsize=0,
    )
    assert process.stdin
    atexit.register(process.wait)
    atexit.register(process.stdin.close)
    atexit.register(last_words, "")
    return process.stdin


def count() -> int:
    """How many hosts a run is on."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this host is the one that shows and writes."""
    return count() == 1 or jax.process_index() == 0


def most(*values: int) -> list[int]:
    """The largest of each of the values that the hosts give; all hosts have to ask together."""
    return _of_all(*values).max(axis=0).tolist()


def agree(what: str) -> None:
    """See that all hosts are about to do the same, which each says in words.

    Raises:
        ConfigError: some are not, or one has refused to; see `refusing`.

    """
    same, refused = _of_all(zlib.crc32(what.encode()) & 0x7FFFFFFF, 0).T
    if refused.any():
        host = int(np.argmax(refused))
        raise ConfigError(f"training.hosts: host {host} has refused the run, and says why")
    if others := [str(host) for host, value in enumerate(same) if value != same[0]]:
        raise ConfigError(
            f"training.hosts: host {', '.join(others)} has other settings, versions, code or data "
            "than host 0; give the same command on all"
        )


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Let the others, who wait in `agree`, know of an error of this host alone."""
    try:
        yield
    except BpframeError:
        if count() > 1:
            _of_all(0, 1)
        raise


def _of_all(*values: int) -> np.ndarray:
    """The values that each host gives, (hosts, values)."""
    if count() == 1:
        return np.array([values])
    from jax.experimental import multihost_utils  # what a run on one host does not need

    with losing():
        return multihost_utils.process_allgather(np.array(values, np.int32))


@contextlib.contextmanager
def losing() -> Iterator[None]:
    """Tell of a host that is gone in one line.

    Raises:
        HostError: it is.

    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # JAX raises either of them
        if count() == 1:
            raise
        reason = " ".join(str(error).split())[:200]
        raise HostError(
            f"another of the {count()} hosts is gone, or cannot be reached ({reason})"
        ) from error
