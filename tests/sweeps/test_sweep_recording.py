"""Lanes record what single runs record, and each step once when they are cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import test_sweep_checkpoints
import test_sweep_lanes
from test_sweep_lanes import sweep

import bpframe
from bpframe.runs import bookkeeping
from bpframe.sweeps.lanes.halving import Halving

logging_stays = test_sweep_lanes.logging_stays
cut_off = test_sweep_checkpoints.cut_off

EXPERIMENT = (
    *("data.train_size=40", "network.hidden=[5]", "training.epochs=6"),
    "record=[{name: deltas, first: 3, by: steps, every: 3},{name: weights, layers: [3]}]",
)
STATIC = (*EXPERIMENT, "checkpoint.epochs=2")
JOBS = [["optimiser.eta=0.5", "seed=0"], ["optimiser.eta=0.1", "seed=1"], ["optimiser.eta=1e38"]]


def recorded(run: Path) -> dict[str, tuple[list[int], bytes]]:
    recording = bpframe.load(run).recording
    return {
        f"{name}/{key}": (array.steps.tolist(), np.asarray(array).tobytes())
        for name in recording
        for key, array in recording[name].items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("training.evaluate_every=4", "sweep.shared_order=true")])
def test_a_lane_records_what_a_single_run_does(more: tuple[str, ...], tmp_path: Path) -> None:
    """Slow: compiles programs."""
    swept = sweep(tmp_path / "sweep", (*STATIC, *more), *JOBS)
    for num, job in enumerate(JOBS[:2]):
        alone = bpframe.run(bpframe.compose([*EXPERIMENT, *more, *job])).recording
        lane = bpframe.load(swept.folder / str(num)).recording
        assert list(lane) == list(alone) == ["deltas", "weights"]
        for name in alone:
            for key, array in alone[name].items():
                found = lane[name][key]
                assert found.steps.tolist() == array.steps.tolist()
                np.testing.assert_allclose(found, array, rtol=1e-4, atol=1e-6)
    diverged = bpframe.load(swept.folder / "2")
    assert diverged.summary.status == "diverged"
    steps = diverged.recording["deltas"]["layer_2"].steps
    assert steps.tolist() == list(range(0, 4 * (4 if more else 1) + 1, 3))


@pytest.mark.slow
def test_lanes_that_are_cut_off_have_each_step_once(
    tmp_path: Path, cut_off: Callable[[int], list[range]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: compiles programs."""
    monkeypatch.setattr(bookkeeping, "TOGETHER_BYTES", 1)
    whole = sweep(tmp_path / "whole", STATIC, *JOBS)
    cut_off(5)
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "cut", STATIC, *JOBS)
    trained = cut_off(99)
    cut = sweep(tmp_path / "cut", STATIC, *JOBS, resumes=True)
    assert [epochs[-1] for epochs in trained][:1] == [5], "from the checkpoint after epoch 4"
    for num in range(len(JOBS)):
        assert recorded(cut.folder / str(num)) == recorded(whole.folder / str(num))
        assert cut.bits(num) == whole.bits(num)


@pytest.mark.slow
def test_halving_keeps_the_recordings(
    tmp_path: Path, cut_off: Callable[[int], list[range]]
) -> None:
    """Slow: compiles programs."""
    halving = Halving(first=2, factor=2)
    jobs = [[f"optimiser.eta={eta}", f"seed={seed}"] for eta in (0.1, 0.5) for seed in (0, 1)]
    whole = sweep(tmp_path / "whole", STATIC, *jobs, halving=halving)
    cut_off(3)
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "cut", STATIC, *jobs, halving=halving)
    cut_off(99)
    cut = sweep(tmp_path / "cut", STATIC, *jobs, halving=halving, resumes=True)
    lengths = set()
    for num in range(len(jobs)):
        found = recorded(cut.folder / str(num))
        assert found == recorded(whole.folder / str(num))
        lengths.add(len(found["weights/layer_3.w"][0]))
    assert len(lengths) > 1, "some jobs are ended early"
