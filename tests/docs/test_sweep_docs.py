"""The examples of docs/sweeps.md run, and the first prints what is quoted."""

import re
from pathlib import Path

import pytest
from examples import follow

PAGE = Path(__file__).parents[2] / "docs" / "sweeps.md"
CONSOLE = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
WORDS = re.compile(
    r"^\d+ jobs in \d+ groups?|^jobs \d+/\d+|^best: job \d+, \w+ [.\d]+ with .*|^written to"
)


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path):
    """Slow: a dozen commands from shell to exit, one after another."""
    printed = follow(PAGE, tmp_path)
    quoted = [WORDS.match(line) for line in CONSOLE[0].splitlines()]
    first = [WORDS.match(line) for line in printed[0].splitlines()]
    assert [match and match[0] for match in first] == [match and match[0] for match in quoted]
    for name in ("report.html", "results.png", "results.csv", "best.yaml", "sweep.jsonl"):
        assert (tmp_path / "sweeps" / "eta" / name).is_file(), name
    assert (tmp_path / "both" / "report.html").is_file()
