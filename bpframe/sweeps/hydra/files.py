"""The folder `.hydra` of a job, as Hydra itself writes it.

Nearly all of it is the same in every job of a sweep, and turning a config into YAML takes ten
milliseconds; so the text of every part is kept and used again.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from bpframe.configuration.hydra_internals import yaml_dumper
from bpframe.sweeps.hydra.jobs import Job

_LEVELS, _INDENT = 3, "  "


def write(job: Job) -> None:
    """Make the run folder of a job, with Hydra's files in it.

    Raises:
        OSError: it cannot be written.

    """
    if job.hydra["output_subdir"] is None:
        job.folder.mkdir(parents=True)
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
            yield from _parts((*path, key), value)
    else:
        yield _text(path, pickle.dumps(content))


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
