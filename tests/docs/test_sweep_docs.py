"""The examples of docs/sweeps.md run, in the order in which they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import environment

DOCS = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", DOCS, re.S)
CONSOLE = re.findall(r"```console\n(.*?)```", DOCS, re.S)
WORDS = re.compile(
    r"^\d+ jobs in \d+ groups?|^jobs \d+/\d+|^best: job \d+, \w+ [.\d]+ with .*|^written to"
)


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path):
    """Slow: a dozen commands from shell to exit, one after another."""
    executable = Path(sys.executable).parent
    printed = []
    for block in SHELL:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=environment(tmp_path, PATH=f"{executable}:/usr/bin:/bin"),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    quoted = [WORDS.match(line) for line in CONSOLE[0].splitlines()]
    first = [WORDS.match(line) for line in printed[0].splitlines()]
    assert [match and match[0] for match in first] == [match and match[0] for match in quoted]
    for name in ("report.html", "results.png", "results.csv", "best.yaml", "sweep.jsonl"):
        assert (tmp_path / "sweeps" / "eta" / name).is_file(), name
    assert (tmp_path / "both" / "report.html").is_file()
