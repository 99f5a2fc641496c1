"""The folder `.hydra` of a job, as Hydra itself writes it.

Nearly all of it is the same in every job of a sweep, and turning a config into YAML takes ten
milliseconds; so the text of every part is kept and used again.
"""

from __future__ import annotations

import functools
import pickle
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from bpframe.configuration.hydra_internals import yaml_dumper
from bpframe.sweeps.hydra.jobs import Job

_LEVELS, _INDENT = 3, "  "
_WORD = re.compile(r"[A-Za-z/][\w./-]*[=/_][\w./=-]*", re.ASCII)
_KEY = re.compile(r"(?!(?:yes|no|on|off|true|false|null|inf|nan)$)[a-z][a-z_]+")
"""No word that YAML may take for something else than a text, such as yes, null, or inf."""


def write(job: Job) -> None:
    """Make the run folder of a job, with Hydra's files in it.

    Raises:
        OSError: it cannot be written.

    """
    if job.hydra["output_subdir"] is None:
        job.folder.mkdir(parents=True, exist_ok=True)
        return
    folder = job.folder / str(job.hydra["output_subdir"])
    folder.mkdir(parents=True)
    for name, content in (
        ("config.yaml", job.config),
        ("hydra.yaml", {"hydra": job.hydra}),
        ("overrides.yaml", list(job.overrides)),
    ):
        (folder / name).write_text("".join(_parts((), content)), encoding="utf-8")


def _parts(path: tuple[str, ...], content: Any) -> Iterator[str]:
    """The YAML of a config in pieces, one for each line of its upper levels, in order."""
    if isinstance(content, Mapping) and content and len(path) < _LEVELS:
        if path:
            yield f"{_INDENT * (len(path) - 1)}{path[-1]}:\n"
        for key, value in content.items():
            below = (*path, key)
            if len(below) == (2 if below[0] == "hydra" else 1) and isinstance(value, Mapping):
                yield _section(below, pickle.dumps(value))
            else:
                yield from _parts(below, value)
        return
    plain = [_plain(item) for item in (content if isinstance(content, list) else [content])]
    if not plain or None in plain or (path and not _KEY.fullmatch(path[-1])):
        yield _text(path, pickle.dumps(content))
        return
    indent = _INDENT * max(0, len(path) - 1)
    key = f"{indent}{path[-1]}:" if path else ""
    if isinstance(content, list):
        yield f"{key}\n" if path else ""
        yield from (f"{indent}- {item}\n" for item in plain)
    else:
        yield f"{key} {plain[0]}\n"


def _plain(value: Any) -> str | None:
    """A value as YAML writes it; None if that had better be left to the library.

    It is what differs from job to job, and takes a hundredth of the time so.
    """
    if type(value) is int:
        return str(value)
    return value if type(value) is str and _WORD.fullmatch(value) else None


@functools.lru_cache(maxsize=4096)
def _section(path: tuple[str, ...], content: bytes) -> str:
    """A part of a config that is the same in nearly all jobs."""
    return "".join(_parts(path, pickle.loads(content)))


@functools.lru_cache(maxsize=4096)
def _text(path: tuple[str, ...], part: bytes) -> str:
    content = pickle.loads(part)
    for key in reversed(path):
        content = {key: content}
    text = yaml.dump(  # as OmegaConf.to_yaml does
        content,
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
        Dumper=yaml_dumper(),
    )
    lines = text.splitlines(keepends=True)
    return "".join(lines[max(0, len(path) - 1) :])
