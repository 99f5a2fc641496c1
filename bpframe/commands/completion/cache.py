"""The catalogue of all that can be chosen, kept in a file until what it was made of changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import platformdirs

import bpframe
from bpframe.commands.completion.candidates import Catalogue
from bpframe.commands.completion.lines import Line
from bpframe.files import write_whole

PLUGINS_PATH = "plugins.path="
PATH_VARIABLE = "BPFRAME_PLUGINS_PATH"
_FOLDERS = ("-cd", "--config-dir", "-cp", "--config-path")
_PACKAGE = Path(__file__).parents[2]
_INSTALLED = ("site-packages", "dist-packages")
_OWN = ("__init__.py",)
_KEPT = 20
"""So many catalogues are kept, one for each set of plugins and configs that a line names."""


def catalogue(line: Line) -> Catalogue:
    """The catalogue for what a line names: plugins by plugins.path, configs by --config-dir."""
    plugins, folders = _plugins(line), _folders(line)
    path = _file(plugins, folders)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if all(_stamp(Path(name)) == stamp for name, stamp in kept["stamps"].items()):
            return kept["catalogue"]
    # Imported here: it takes a second, and the other tabs do without.
    from bpframe.commands.completion.catalogue import made

    variable = os.environ.get(PATH_VARIABLE, "").split(os.pathsep)
    sources = [*_sources(folders), *_inside(map(Path, filter(None, (*variable, *plugins))))]
    stamps = {str(source): _stamp(source) for source in sources}
    found, files = made(plugins, folders)
    stamps |= {str(file): _stamp(file) for file in _inside(files)}
    text = json.dumps({"stamps": stamps, "catalogue": found})
    with contextlib.suppress(OSError):  # without a place to keep it the answer takes its time
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear(path.parent)
        write_whole(path, text.encode(), durable=False)
    return found


def _plugins(line: Line) -> list[str]:
    """The plugins that the words before name; half a path, which is being typed, names none."""
    texts = [
        word.removeprefix(PLUGINS_PATH) for word in line.words if word.startswith(PLUGINS_PATH)
    ]
    names = [part.strip(" '\"") for text in texts for part in text.strip("[]").split(",")]
    paths = [Path(name).expanduser().absolute() for name in names if name]
    return [str(path) for path in paths if path.suffix == ".py" or path.is_dir() if path.exists()]


def _folders(line: Line) -> list[str]:
    pairs = zip(line.words, line.words[1:], strict=False)
    folders = [Path(value).expanduser() for option, value in pairs if option in _FOLDERS]
    return [str(folder.absolute()) for folder in folders if folder.is_dir()]


def _file(plugins: Iterable[str], folders: Iterable[str]) -> Path:
    variables = {name: os.environ[name] for name in sorted(os.environ) if "BPFRAME_" in name}
    variables.pop("BPFRAME_COMP_WORD", None)
    where = os.getcwd() if PATH_VARIABLE in variables else ""
    about = [bpframe.__version__, sys.version, sys.prefix, sys.path[1:], variables, where]
    text = json.dumps([about, list(plugins), list(folders)])
    name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return platformdirs.user_cache_path("bpframe") / "completion" / f"{name}.json"


def _sources(folders: Iterable[str]) -> Iterator[Path]:
    """Where versions, installed plugins, the settings' own fields and configs change."""
    yield from (path for path in map(Path, sys.path) if path.name in _INSTALLED)
    conf = [place for place in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if place.is_dir()]
    yield from _inside([_PACKAGE, *conf[:1], *map(Path, folders)])


def _inside(paths: Iterable[Path]) -> Iterator[Path]:
    """Files, and folders with all code and configs in them."""
    for path in paths:
        yield path
        for folder, folders, names in os.walk(path):
            folders[:] = [name for name in folders if name[0] not in "._"]
            yield Path(folder)
            yield from (Path(folder, name) for name in names if name.endswith((".py", ".yaml")))


def _stamp(path: Path) -> list[int] | None:
    """What changes with a file or a folder; None: it is gone."""
    try:
        found = path.stat()
        if not stat.S_ISDIR(found.st_mode) or path.name in _INSTALLED:
            return [found.st_mtime_ns, found.st_size]
        # What Python compiles into it changes nothing.
        names = (name for name in os.listdir(path) if name[0] not in "._" or name in _OWN)
        return [zlib.crc32("\n".join(sorted(names)).encode("utf-8", "surrogateescape"))]
    except OSError:
        return None


def _clear(folder: Path) -> None:
    """Remove the oldest catalogues."""
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[_KEPT - 1 :]:
        file.unlink(missing_ok=True)
