"""Commands that are nearly right; see `mutations`."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import mutations
import pytest
from mutations import Case, Ended
from test_cli import environment


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [("--sound",), ("--count", "80")], ids=" ".join)
def test_commands_that_are_nearly_right_end_as_promised(
    chosen: tuple[str, ...], tmp_path: Path
) -> None:
    """Slow: each is a fork that composes a config, and some train."""
    done = subprocess.run(
        [sys.executable, mutations.__file__, *chosen],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_seed_makes_the_same_cases() -> None:
    first, again, other = (list(mutations.cases(300, seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert len({(case.arguments, case.study) for case in first}) > 280
    kinds = Counter(case.file for case in first)
    assert min(kinds.values()) > 50


@pytest.mark.parametrize(
    ("status", "err", "fault"),
    [
        (None, "", "hangs"),
        (-11, "", "status -11"),
        (1, "Traceback (most recent call last):\n", "traceback"),
        (1, "", "says something else first"),
        (1, "bpframe: seed: wrong\nbpframe: seed: again\n", "more than one line"),
        (1, "bpframe: seed: TypeError: wrong\n", "raw exception"),
        (1, "bpframe: seed: 'NoneType' object has no attribute 'get'\n", "raw exception"),
        (1, "bpframe: optimiser: wrong\n", "name the culprit"),
        (1, f"bpframe: seed: {'x' * 5000}\n", "long line"),
        (0, "bpframe: seed: wrong\n", "writes to stderr"),
    ],
)
def test_the_judge_finds_a_bad_end(
    status: int | None, err: str, fault: str, tmp_path: Path
) -> None:
    case = Case(("explain", "seed=x"), culprits=("seed=x", "seed", "x "))
    found = mutations.judge(case, Ended(status, "", err), tmp_path)
    assert any(fault in each for each in found), found


def test_the_judge_finds_what_is_half_written(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").touch()
    assert mutations.judge(Case(()), Ended(0, "", ""), tmp_path) == [
        "leaves run/metrics.jsonl half-written"
    ]


@pytest.mark.parametrize("shown", ["seed: 1\n", "optimiser: {name: sgd}\n", ""])
def test_the_judge_finds_what_is_ignored(shown: str, tmp_path: Path) -> None:
    case = Case(("--cfg", "job", "seed=2"))
    assert len(mutations.judge(case, Ended(0, shown, ""), tmp_path)) == 1
    assert mutations.judge(case, Ended(0, "seed: 2\n", ""), tmp_path) == []
