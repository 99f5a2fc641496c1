"""What a run has written, as far as it can be read, and what is missing."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import yaml
from safetensors import SafetensorError
from safetensors.numpy import load as from_safetensors

from bpframe.errors import OutputError
from bpframe.runs.checksums import checksum, opened
from bpframe.runs.layout import BEST, CONFIG, METRICS, PARAMS, SUMMARY

FOUND = "page.json"
"""What the page shows and only the run itself can tell: examples, and the algorithm."""
OVERRIDES, HYDRA = ".hydra/overrides.yaml", ".hydra/hydra.yaml"
_TEMPORARY = "saved"
"""The name of the config of a run that was composed again, which stands in no file."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True)
class Written:
    """A run folder.

    Attributes:
        folder: where it is.
        config: the composed configuration; empty if it cannot be read.
        command: the command that gives it, word by word; empty if it did not begin with one.
        summary: how the run ended; empty if it has not, or cannot be read.
        records: the lines of metrics.jsonl, in which only finite numbers, lists of them and None
            are left.
        params: the parameters after the last epoch, by name.
        found: what `bpframe show --examples` has added.
        missing: what cannot be shown, and why, a sentence each.

    """

    folder: Path
    config: Mapping[str, Any]
    command: Sequence[str]
    summary: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]
    params: Mapping[str, np.ndarray]
    found: Mapping[str, Any]
    missing: Sequence[str]

    @property
    def task(self) -> Mapping[str, Any]:
        """What an answer is, as in summary.json."""
        return mapping(self.data.get("task"))

    @property
    def data(self) -> Mapping[str, Any]:
        """What is known of the data, as in summary.json."""
        return mapping(self.summary.get("data"))

    @property
    def names(self) -> Sequence[str]:
        """Those of the classes; empty if they are numbers."""
        names = self.task.get("names")
        return [str(name) for name in names] if isinstance(names, list) else []

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose parameters are the best by the objective."""
        best = self.summary.get("best_epoch")
        return best if _is_epoch(best) else None

    @property
    def algorithm(self) -> Sequence[Mapping[str, Any]]:
        """What `bpframe explain` says, item by item; empty if it was not kept."""
        kept = self.summary.get("algorithm") or self.found.get("algorithm")
        return [mapping(item) for item in kept] if isinstance(kept, list) else []


def read(folder: Path) -> Written:
    """What is in the folder of a run, however the run ended.

    Raises:
        OutputError: it is no folder, or no run has begun in it.

    """
    if not folder.is_dir():
        raise OutputError(f"{folder}: is not a folder; give the folder of a run")
    if not any((folder / name).exists() for name in (METRICS, SUMMARY, CONFIG)):
        sweep = (folder / "sweep.jsonl").exists()
        what = f"is a sweep; bpframe report {folder} writes its page" if sweep else "holds no run"
        raise OutputError(f"{folder}: {what} ({METRICS}, {SUMMARY} or {CONFIG} would be one)")
    missing: list[str] = []
    summary = _json(folder / SUMMARY, missing, "the run has not ended, or was killed")
    files = mapping(summary.get("files"))
    return Written(
        folder=folder,
        config=mapping(_yaml(folder / CONFIG, missing)),
        command=_command(folder),
        summary=summary,
        records=_records(folder / METRICS, missing, files.get(METRICS)),
        params=_params(folder / PARAMS, missing, files.get(PARAMS)),
        found=_json(folder / FOUND, missing, None),
        missing=missing + _lost(folder, files),
    )


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping as it is, and nothing for what is none."""
    return value if isinstance(value, Mapping) else {}


def number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number, and no boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**1000


def _content(path: Path, missing: list[str], absent: str | None) -> bytes | None:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            missing.append(f"{path.name} is no ordinary file.")
            return None
        return path.read_bytes()
    except FileNotFoundError:
        if absent is not None:
            missing.append(f"{path.name} is missing: {absent}.")
    except OSError as error:
        missing.append(f"{path.name} cannot be read: {error.strerror}.")
    return None


def _json(path: Path, missing: list[str], absent: str | None) -> Mapping[str, Any]:
    content = _content(path, missing, absent)
    try:
        return {} if content is None else opened(content)
    except (ValueError, RecursionError):
        missing.append(f"{path.name} is damaged, and nothing of it is shown.")
        return {}


def _yaml(path: Path, missing: list[str]) -> Any:
    content = _content(path, missing, "what was configured is not known")
    try:
        return {} if content is None else yaml.load(content, Loader=_LOADER)
    except (yaml.YAMLError, ValueError, RecursionError):
        missing.append(f"{path.name} is damaged: what was configured is not known.")
        return {}


def _command(folder: Path) -> list[str]:
    own = mapping(mapping(_yaml(folder / HYDRA, [])).get("hydra"))
    sources = mapping(own.get("runtime")).get("config_sources")
    name = mapping(own.get("job")).get("config_name")
    if not isinstance(sources, list) or name == _TEMPORARY:
        return []
    given = [mapping(source) for source in sources]
    folders = [each.get("path") for each in given if each.get("provider") == "command-line"]
    found = _yaml(folder / OVERRIDES, [])
    return [
        "bpframe",
        *(word for path in folders for word in ("-cd", str(path))),
        *(("-cn", str(name)) if name not in (None, "config") else ()),
        *_last_of_each(found if isinstance(found, list) else ()),
    ]


def _last_of_each(overrides: Iterable[Any]) -> list[str]:
    """Overrides without those whose key a later one sets again, as a run that goes on does."""
    last = {text.partition("=")[0]: text for text in map(str, overrides)}
    return list(last.values())


def _records(path: Path, missing: list[str], expected: Any) -> list[Mapping[str, Any]]:
    content = _content(path, missing, "no epoch was finished, or the curves were lost")
    if content is None:
        return []
    records: list[Mapping[str, Any]] = []
    for place, line in enumerate(content.splitlines(), start=1):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not _is_epoch(found.get("epoch")):
            missing.append(f"{path.name}: line {place} is damaged; what follows it is not shown.")
            return records
        records.append({str(name): _plain(value) for name, value in found.items()})
    if expected not in (None, checksum(content)):
        missing.append(f"{path.name} is not as the run wrote it: it does not fit {SUMMARY}.")
    return records


def _is_epoch(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if number(value) else None


def _params(path: Path, missing: list[str], expected: Any) -> Mapping[str, np.ndarray]:
    content = _content(path, missing, "the weights are not shown")
    if content is None:
        return {}
    if expected not in (None, checksum(content)):
        missing.append(f"{path.name} is damaged, or of another run: the weights are not shown.")
        return {}
    try:
        return from_safetensors(content)
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        missing.append(f"{path.name} cannot be read ({error}): the weights are not shown.")
        return {}


def _lost(folder: Path, files: Mapping[str, Any]) -> list[str]:
    known = (METRICS, PARAMS, CONFIG)  # of which it has been said already
    lost = [name for name in files if name not in known and not (folder / name).exists()]
    return [f"{name} is missing." for name in lost if name == BEST]
