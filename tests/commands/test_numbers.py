"""How costs are shown: readable at any size."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import test_cli
from test_cli import Main

from bpframe.runs.console import cost_text

main = test_cli.main


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (218775599255840152023465984.0, "2.19e+26"),
        (-218775599255840152023465984.0, "-2.19e+26"),
        (2.7, "2.7000"),
        (-29.123456, "-29.1235"),
        (99999.0, "99999.0000"),
        (100000.0, "1e+05"),
        (123456.7, "1.23e+05"),
        (0.001, "0.0010"),
        (0.00012345, "0.000123"),
        (1.2345e-9, "1.23e-09"),
        (0.0, "0.0000"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (3.4e38, "3.4e+38"),
    ],
)
def test_a_cost_is_short_and_says_something(cost: float, text: str) -> None:
    assert cost_text(cost) == text
    assert len(text) <= 10


LARGE = (
    *("data=inline", "data.x=[[1e12],[2e12]]", "data.y=[[1e13],[2e13]]", "data.task=regression"),
    *("network.hidden=[2]", "network.output_activation=linear", "cost=quadratic"),
    *("optimiser.eta=1e-30", "training.batch_size=2", "training.epochs=2", "plots=false"),
)


@pytest.mark.slow
def test_lines_and_table_show_no_number_of_27_digits(main: Main) -> None:
    """Slow: compiles and runs."""
    ended = main(*LARGE, "hydra.run.dir=run")
    assert (ended.status, ended.err) == (0, "")
    numbers = [word for word in ended.out.split() if "e+2" in word]
    assert len(numbers) >= 8
    assert not re.search(r"\d{13}", ended.out)


@pytest.mark.slow
def test_a_sweep_and_its_page_show_none_either(main: Main, tmp_path: Path) -> None:
    """Slow: compiles and runs a sweep."""
    ended = main("-m", *LARGE, "seed=0,1", "hydra.sweep.dir=sweep")
    assert (ended.status, ended.err) == (0, "")
    assert re.search(r"best_validation_cost \d\.\d+e\+2\d ", ended.out)
    assert not re.search(r"\d{16}", ended.out)
    page = (tmp_path / "sweep" / "report.html").read_text()
    cells = re.findall(r'<td class="number">([^<]*)', page)
    assert any("e+2" in cell for cell in cells)
    assert all(len(cell) <= 10 for cell in cells)
