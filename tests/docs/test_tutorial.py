"""docs/tutorial.ipynb runs, shows what its text says, and is stored without marks of a machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from notebooks import executed

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"
STORED: Any = nbformat.read(TUTORIAL, as_version=4)


def outputs(notebook: Any, cell: str) -> Iterator[dict[str, Any]]:
    """What a cell shows, by MIME type."""
    (found,) = (each for each in notebook.cells if each.id == cell)
    return (output.get("data", {"text/plain": output.get("text")}) for output in found.outputs)


def number(notebook: Any, cell: str, pattern: str = r"(.+)") -> float:
    *_, last = outputs(notebook, cell)
    match = re.search(pattern, last["text/plain"])
    assert match
    return float(match[1])


def frame(notebook: Any, cell: str) -> pd.DataFrame:
    """The frame that a cell shows, without its index."""
    *_, last = outputs(notebook, cell)
    rows = re.findall(r"<tr.*?</tr>", last["text/html"], re.S)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows]
    return pd.DataFrame([row[1:] for row in cells[1:] if row[-1]], columns=cells[0][1:])


@pytest.fixture(scope="module")
def run_again(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return executed(TUTORIAL, tmp_path_factory.mktemp("tutorial"))


@pytest.mark.slow
@pytest.mark.share(1)
def test_it_runs_and_shows_what_it_says(run_again: Any):
    """Slow: a kernel is started, and trains a run and a sweep of eighteen."""
    says(run_again)


def test_what_is_stored_is_what_it_says():
    says(STORED)


def says(notebook: Any) -> None:
    """Raise an AssertionError unless the outputs are what the text beside them promises."""
    in_place, result = outputs(notebook, "train")
    assert in_place["text/plain"].startswith("epoch 20/20")
    assert "<table>" in result["text/html"]
    assert all("image/png" in shown for shown in outputs(notebook, "curves"))
    last_norms = frame(notebook, "history").iloc[:, -1].astype(float)
    assert last_norms.is_monotonic_decreasing
    assert number(notebook, "evaluate", r"accuracy=([\d.]+)") > 0.9
    (named,) = outputs(notebook, "predict")
    assert named["text/plain"].startswith("array(['alba', 'rosea', 'nigra']")
    assert number(notebook, "by-hand") < 1e-5
    hardest = frame(notebook, "hard")
    assert np.mean(hardest["species"].to_numpy() != hardest["answer"].to_numpy()) > 0.5
    *_, of_sweep = outputs(notebook, "sweep")
    assert of_sweep["text/plain"] == "(18, [])"
    costs = frame(notebook, "table").astype(float)
    assert (costs.to_numpy()[0] > 2 * costs.to_numpy()[-1]).all()


def test_it_is_stored_whole_and_small():
    code = [cell for cell in STORED.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.outputs for cell in code)
    assert TUTORIAL.stat().st_size < 120_000
    assert set(STORED.metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("mark", ["/tmp", "/home", "/root", "/Users", "\x1b", "202"])
def test_no_path_colour_or_date_is_stored(mark: str):
    shown = [data for cell in STORED.cells for data in cell.get("outputs", ())]
    texts = [text for d in shown for k, text in d.get("data", d).items() if k != "image/png"]
    assert not [text for text in texts if mark in str(text)]
