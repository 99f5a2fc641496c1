"""A notebook run from its first cell to its last; `notebooks.py FILE` stores what it shows."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs that its cells have when they are run in a folder."""
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook,
        timeout=60,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return notebook


def store(path: Path) -> None:
    """Run the notebook and write it again, without what belongs to the machine that ran it."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(path, Path(folder))
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        text = nbformat.writes(notebook).replace(f"{Path(folder).resolve()}/", "")
    path.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    store(Path(sys.argv[1]))
