"""The README's code runs, and what it says is printed is printed."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from examples import run_example

import bpframe
from bpframe.explanation.algorithm import explain

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.S)


@pytest.fixture
def as_users_have_it():
    """JAX as it is out of the box, instead of as the other tests set it."""
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def test_first_lines_are_the_two_commands():
    first, second = README.split("```sh\n")[1].split("```")[0].strip().splitlines()
    assert first == "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/bpframe"
    assert second == ".venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert README.split("```sh\n")[0].strip() == "# bpframe"


@pytest.mark.usefixtures("as_users_have_it")
def test_plugin_in_ten_lines_runs(tmp_path, monkeypatch, capsys):
    plugin, use = PYTHON[0], PYTHON[1]
    assert len([line for line in plugin.splitlines() if line.strip()]) <= 10
    (tmp_path / "sine.py").write_text(plugin)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    exec(use, {})
    assert float(capsys.readouterr().out.rstrip("%\n")) > 90


@pytest.mark.slow
@pytest.mark.share(1)
def test_deltas_can_be_looked_at(tmp_path):
    """Slow: trains a run and a sweep of six."""
    lines = run_example([sys.executable, "-c", PYTHON[2]], tmp_path).splitlines()
    assert [line.split(" (")[0] for line in lines[:3]] == ["2", "3", "4"]
    assert lines[3] == "(30, 64)"
    assert float(lines[4].rpartition(" ")[2]) > 0.9
    assert lines[-1].startswith(str(tmp_path / "sweeps" / "eta"))


@pytest.mark.slow
@pytest.mark.share(1)
def test_own_data_on_the_first_screen(tmp_path):
    """Slow: runs whole commands."""
    frame = pd.DataFrame({"bill": np.linspace(1, 2, 40), "species": ["gentoo", "adelie"] * 20})
    frame.to_csv(tmp_path / "penguins.csv", index=False)
    frame.head(3).to_csv(tmp_path / "new.csv", index=False)
    commands = README.split("```sh\n")[2].split("```")[0].replace("bpframe ", "python -m bpframe ")
    assert README.index("bpframe predict") < 1200
    printed = run_example(["bash", "-euo", "pipefail", "-c", commands], tmp_path)
    answers = printed[printed.index("answer,adelie,gentoo") :].splitlines()
    assert len(answers) == 1 + 3


@pytest.mark.parametrize("block", CONSOLE)
def test_explanations_are_printed_as_quoted(block):
    command, *quoted = block.strip().splitlines()
    _, program, word, *overrides = shlex.split(command)
    assert (program, word) == ("bpframe", "explain")
    printed = explain(bpframe.compose(overrides))
    for part in "\n".join(quoted).split("...\n"):
        assert part.removesuffix("\n...").strip("\n") in printed
