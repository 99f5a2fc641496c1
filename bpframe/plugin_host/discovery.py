"""Finding plugins: the entry points of installed distributions, and files and folders.

Finding one does not import it; `Found.load` does, and may raise anything.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import NamedTuple

from bpframe.errors import ConfigError

ENTRY_POINT_GROUP = "bpframe"
PATH_VARIABLE = "BPFRAME_PLUGINS_PATH"
_PREFIX = "bpframe_plugin_"


class Found(NamedTuple):
    """A plugin before it is imported; see `registry.Plugin` for its fields."""

    name: str
    origin: str
    load: Callable[[], object]
    distribution: str | None = None
    version: str | None = None
    file: Path | None = None


def installed() -> Iterator[Found]:
    """The entry points of the group `bpframe`, each once."""
    points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    # Each look at a name or a version parses the whole metadata again.
    metadata = {dist: dist.metadata for dist in {point.dist for point in points} if dist}
    names = {dist: found["Name"] for dist, found in metadata.items()}
    unique = {(names[point.dist] if point.dist else "?", point.name): point for point in points}
    for (distribution, name), point in sorted(unique.items()):
        version = metadata[point.dist]["Version"] if point.dist else None
        yield Found(f"{distribution}:{name}", point.value, point.load, distribution, version)


def in_files(paths: Iterable[str]) -> Iterator[Found]:
    """The plugins in files and folders, those of BPFRAME_PLUGINS_PATH first, each once.

    A folder's plugins are its files NAME.py and its packages NAME/__init__.py, in alphabetical
    order, but for names that begin with "_" or "." and for tests (test_*.py, conftest.py). A
    folder with an __init__.py is itself a plugin.

    Raises:
        ConfigError: a path does not exist.

    """
    seen: set[Path] = set()
    variable = filter(None, os.environ.get(PATH_VARIABLE, "").split(os.pathsep))
    given = [*((PATH_VARIABLE, text) for text in variable), *(("plugins.path", p) for p in paths)]
    for setting, text in given:
        path = Path(text).expanduser().absolute()
        if not path.exists():
            raise ConfigError(
                f"{setting}: {path} does not exist; give Python files, or folders that hold them"
            )
        if path.is_file() and path.suffix != ".py":
            raise ConfigError(f"{setting}: {path} is not a Python file (NAME.py)")
        for plugin in _plugins_at(path):
            resolved = plugin.resolve()
            if resolved not in seen:
                seen.add(resolved)
                yield Found(
                    plugin.stem,
                    str(plugin),
                    lambda plugin=resolved: load_file(plugin),
                    file=resolved / "__init__.py" if resolved.is_dir() else resolved,
                )


def files_of(modules: Iterable[str]) -> list[str]:
    """The plugins that are files or folders among some modules, by their names in sys.modules."""
    names = {name.partition(".")[0] for name in modules}
    files = [Path(str(sys.modules[name].__file__)) for name in names if name.startswith(_PREFIX)]
    return sorted(str(file.parent if file.name == "__init__.py" else file) for file in files)


def _plugins_at(path: Path) -> Iterator[Path]:
    if path.is_file() or (path / "__init__.py").is_file():
        yield path
        return
    for entry in sorted(path.iterdir()):
        is_test = entry.name == "conftest.py" or entry.name.startswith("test_")
        if entry.name.startswith(("_", ".")) or is_test:
            continue
        if entry.suffix == ".py" or (entry / "__init__.py").is_file():
            yield entry


def load_file(path: Path) -> object:
    """The module in a file, or in a folder with an __init__.py.

    Its name in `sys.modules` is made of the whole path, so that a file called jax.py shadows
    nothing. It is imported again only when its code has changed.
    """
    if _Submodules not in sys.meta_path:
        sys.meta_path.insert(0, _Submodules)
    name = f"{_PREFIX}{_digest(str(path).encode())[:8]}_{path.stem}"
    code = _code_of(path)
    stamp = {file: _digest(file.read_bytes()) for file in code}
    loaded = sys.modules.get(name)
    if loaded is not None and not hasattr(loaded, "__bpframe_stamp__"):
        raise ImportError("it loads plugins while it is imported itself, as a script would")
    if loaded is not None and getattr(loaded, "__bpframe_stamp__", None) == stamp:
        return loaded
    for old in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[old]
    file = str(path / "__init__.py" if path.is_dir() else path)
    loader = _FromSource(name, file)
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    module.__bpframe_stamp__ = stamp  # pyright: ignore[reportAttributeAccessIssue]
    return module


def _code_of(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


class _FromSource(SourceFileLoader):
    """Compiles a file whenever it is imported.

    Python takes its bytecode for current if a file has the same size and the same second as before.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Submodules:
    """Finds the modules inside a plugin that is a folder, with the same loader."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None, target: object = None
    ) -> ModuleSpec | None:
        del target
        if fullname.startswith(_PREFIX):
            for folder in path or ():
                spec = FileFinder(folder, (_FromSource, [".py"])).find_spec(fullname)
                if spec is not None and spec.loader is not None:
                    return spec
        return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
