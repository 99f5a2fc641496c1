"""Lanes that are cut off go on from the checkpoint of their chunk, bit for bit."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import test_sweep_lanes
from test_sweep_lanes import SMALL, sweep

from bpframe.errors import OutputError, OutputWarning
from bpframe.runs import provenance
from bpframe.sweeps.lanes import group
from bpframe.sweeps.lanes.chunk import Chunk
from bpframe.sweeps.lanes.halving import Halving

logging_stays = test_sweep_lanes.logging_stays

STATIC = (
    *SMALL,
    "training.epochs=8",
    "checkpoint.epochs=2",
    "optimiser=adam",
    "schedule=cosine",
    "stopping=no_improvement",
    "stopping.patience=3",
)
JOBS = [[f"optimiser.eta={eta}", f"seed={seed}"] for eta in (0.01, 0.3) for seed in (0, 1)]
DIVERGING = [*JOBS, ["optimiser.eta=1e38", "seed=0"]]


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[range]]:
    """Has training end before so many further turns; notes what was trained."""

    def after(turns: int) -> list[range]:
        trained: list[range] = []

        def limited(self: Chunk, epochs: range, *, evaluated: bool) -> None:
            if len(trained) == turns:
                raise KeyboardInterrupt
            trained.append(epochs)
            train(self, epochs, evaluated=evaluated)

        monkeypatch.setattr(Chunk, "_train", limited)
        return trained

    train = Chunk._train
    return after


@pytest.mark.parametrize("jobs", [JOBS, DIVERGING], ids=["all finite", "one diverges"])
@pytest.mark.slow
def test_a_chunk_goes_on_from_its_checkpoint(
    jobs: list[list[str]], tmp_path: Path, cut_off: Callable[[int], list[range]]
) -> None:
    """Slow: compiles programs of two sweeps."""
    whole = sweep(tmp_path / "whole", STATIC, *jobs)
    trained = cut_off(5)
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "cut", STATIC, *jobs)
    assert [epochs[-1] for epochs in trained] == [1, 2, 3, 4, 5]
    assert list((tmp_path / "cut" / ".checkpoints").iterdir())
    trained = cut_off(99)
    cut = sweep(tmp_path / "cut", STATIC, *jobs, resumes=True)
    assert [epochs[-1] for epochs in trained][:1] == [5], "from the checkpoint after epoch 4"
    for num in range(len(jobs)):
        assert cut.bits(num) == whole.bits(num)
    assert not (tmp_path / "cut" / ".checkpoints").exists()


HALVED = [
    [f"optimiser.eta={eta}", f"seed={seed}"] for eta in (0.01, 0.1, 0.3) for seed in (0, 1, 2)
]


@pytest.mark.parametrize("most", [None, 4], ids=["one chunk", "several chunks"])
@pytest.mark.slow
def test_halving_goes_on_from_its_checkpoints(
    most: int | None, tmp_path: Path, cut_off: Callable[[int], list[range]]
) -> None:
    """Cut off in every turn, and resumed. Slow: compiles programs of two sweeps."""
    halving = Halving(first=2, factor=2)
    static = (*SMALL, "training.epochs=5", "checkpoint.epochs=1", "optimiser=adam")
    trained = cut_off(99)
    whole = sweep(tmp_path / "whole", static, *HALVED, most=most, halving=halving)
    turns = list(trained)
    cut = None
    for resumed in range(len(turns)):
        trained = cut_off(1)
        with contextlib.suppress(KeyboardInterrupt):
            cut = sweep(
                tmp_path / "cut", static, *HALVED, most=most, resumes=resumed > 0, halving=halving
            )
        assert trained == [turns[resumed]], "each turn is made once"
    assert cut
    for num in range(len(HALVED)):
        assert cut.bits(num) == whole.bits(num)
    assert not (tmp_path / "cut" / ".checkpoints").exists()


@pytest.mark.slow
def test_a_damaged_checkpoint_is_told_and_the_chunk_begins_again(
    tmp_path: Path, cut_off: Callable[[int], list[range]]
) -> None:
    """Slow: compiles programs of two sweeps."""
    whole = sweep(tmp_path / "whole", STATIC, *JOBS)
    cut_off(3)
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "cut", STATIC, *JOBS)
    (path,) = (tmp_path / "cut" / ".checkpoints").iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    trained = cut_off(99)
    with pytest.warns(OutputWarning, match=r"\.npz: is damaged .*; its jobs begin again"):
        cut = sweep(tmp_path / "cut", STATIC, *JOBS, resumes=True)
    assert trained[0] == range(1, 2)
    for num in range(len(JOBS)):
        assert cut.bits(num) == whole.bits(num)


@pytest.mark.slow
def test_other_data_are_refused_or_accepted_and_told(
    tmp_path: Path, cut_off: Callable[[int], list[range]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: compiles programs of a sweep that goes on twice."""
    folder = tmp_path / "cut"
    cut_off(3)
    with pytest.raises(KeyboardInterrupt):
        sweep(folder, STATIC, *JOBS)
    cut_off(99)
    found = provenance.origin
    monkeypatch.setattr(group, "origin", lambda *given: {**found(*given), "the data": "others"})
    with pytest.raises(OutputError, match=f"{folder}: the data has changed since it began"):
        sweep(folder, STATIC, *JOBS, resumes=True)
    swept = sweep(folder, STATIC, *JOBS, resumes=True, accepts_changes=True)
    assert {row.changed for row in swept.rows} == {"the data has changed"}
    table = (folder / "results.csv").read_text().splitlines()
    assert table[0].endswith(",changed")
    assert table[1].endswith(",the data has changed")
