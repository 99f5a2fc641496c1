"""Many epochs without evaluation are trained in portions, bit for bit as in one go."""

from __future__ import annotations

import signal
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_sweep_lanes
from test_checkpoints import assert_same, told
from test_sweep_lanes import sweep

import bpframe
from bpframe.errors import DivergenceError
from bpframe.runs import checkpoint, layout, loop
from bpframe.training import portions, programs
from bpframe.training.orders import epoch_orders
from bpframe.training.portions import ORDER_BYTES, longest_portion

pytestmark = pytest.mark.optimised
logging_stays = test_sweep_lanes.logging_stays

SMALL = ("data.train_size=40", "network.hidden=[5]", "training.epochs=13")
RARELY = "training.evaluate_every=6"
KINDS = {
    "sgd": (),
    "adam": ("optimiser=adam", "optimiser.eta=0.01", "schedule=cosine", "schedule.warm_up=3"),
    "metrics": ("metrics=[confusion_matrix,{name: delta_norm, over: steps}]", "regulariser=l2"),
}


def in_portions(monkeypatch: pytest.MonkeyPatch, epochs: int, n: int = 40, lanes: int = 1) -> None:
    """Have so many epochs fit at a time."""
    monkeypatch.setattr(portions, "ORDER_BYTES", 4 * n * lanes * epochs)


@pytest.mark.parametrize(
    ("kind", "epochs"),
    [
        ("metrics", 4),
        *(
            pytest.param(kind, epochs, marks=pytest.mark.slow)
            for kind in KINDS
            for epochs in (1, 4)
            if (kind, epochs) != ("metrics", 4)
        ),
    ],
)
def test_portions_change_no_bit(
    kind: str, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: all but one, as each compiles several programs."""
    experiment = bpframe.compose([*SMALL, RARELY, *KINDS[kind]])
    bpframe.run(experiment, tmp_path / "whole")
    in_portions(monkeypatch, epochs)
    asked: list[int] = []

    def noted(experiment: Any, epochs: range, n: int) -> np.ndarray:
        asked.append(len(epochs))
        return epoch_orders(experiment, epochs, n)

    monkeypatch.setattr(programs, "epoch_orders", noted)
    bpframe.run(experiment, tmp_path / "portions")
    assert asked == ([1] * 13 if epochs == 1 else [4, 2, 4, 2, 1])
    assert_same(tmp_path / "whole", tmp_path / "portions")
    assert [line["epoch"] for line in told(tmp_path / "portions")] == [6, 12, 13]


@pytest.mark.share(4)
@pytest.mark.parametrize("every", [1, 10, 1_000_000])
@pytest.mark.parametrize("lanes", [1, 8, 1000])
@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_orders_take_a_bounded_memory(data: str, lanes: int, every: int) -> None:
    experiment = bpframe.compose(
        [f"data={data}", f"training.evaluate_every={every}", "training.epochs=1000000"]
    )
    n = 1_197 if data == "digits" else 50_000
    epochs = longest_portion(experiment, n, lanes)
    assert 1 <= epochs <= every
    assert epochs == 1 or 4 * n * epochs * lanes <= ORDER_BYTES == 64 * 2**20


def test_short_turns_stay_whole() -> None:
    """A hundred epochs of digits take less than a second, and one program as ever."""
    experiment = bpframe.compose(["training.evaluate_every=100", "training.epochs=1000"])
    assert longest_portion(experiment, 1_197) == 100


def interrupting(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Have SIGTERM come while the orders of the portion with this epoch are made."""

    def orders(experiment: Any, epochs: range, n: int) -> np.ndarray:
        if epoch in epochs:
            signal.raise_signal(signal.SIGTERM)
        return epoch_orders(experiment, epochs, n)

    monkeypatch.setattr(programs, "epoch_orders", orders)


@pytest.mark.slow
def test_a_signal_keeps_what_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow: compiles a program."""
    experiment = bpframe.compose([*SMALL, "training.evaluate_every=1000000"])
    bpframe.run(experiment, tmp_path / "whole")
    in_portions(monkeypatch, 2)
    interrupting(monkeypatch, epoch=6)
    with pytest.raises(SystemExit):
        bpframe.run(experiment, tmp_path / "cut")
    saved = checkpoint.latest(tmp_path / "cut")
    assert saved is not None
    assert (saved.epoch, saved.records) == (6, ())
    found = layout.read_summary(tmp_path / "cut")
    assert found is not None
    assert (found["status"], found["epochs"]) == ("interrupted", 6)
    monkeypatch.setattr(programs, "epoch_orders", epoch_orders)
    loop.resume(experiment, tmp_path / "cut")
    assert_same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_divergence_in_a_portion_is_located(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow: compiles a program."""
    experiment = bpframe.compose(
        [*SMALL, RARELY, "optimiser.eta=1e4", "cost=quadratic", "network.output_activation=linear"]
    )
    errors = []
    for epochs in (6, 1):
        in_portions(monkeypatch, epochs)
        with pytest.raises(DivergenceError) as caught:
            bpframe.run(experiment)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


@pytest.mark.slow
def test_a_long_interval_of_digits_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million epochs had their orders made at once, 4.5 GB; the first portion is looked at.

    Slow: compiles a program.
    """
    experiment = bpframe.compose(
        [
            *("training.evaluate_every=1000000", "training.epochs=1000000"),
            *("network.hidden=[]", "training.batch_size=null"),
        ]
    )
    monkeypatch.setattr(portions, "SECONDS", 1e-2)
    interrupting(monkeypatch, epoch=1)
    tracemalloc.start()
    with pytest.raises(SystemExit):
        bpframe.run(experiment)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


@pytest.mark.slow
@pytest.mark.parametrize("shared", ["false", "true"])
def test_lanes_train_in_portions_too(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lane diverges in the first portion. Slow: compiles optimised programs of two sweeps."""
    static = (
        *SMALL,
        RARELY,
        *("cost=quadratic", "network.output_activation=linear", "optimiser=adam"),
        f"sweep.shared_order={shared}",
    )
    jobs = [
        ["optimiser.eta=0.01", "seed=0"],
        ["optimiser.eta=0.1", "seed=1"],
        ["optimiser.eta=1e38"],
    ]
    whole = sweep(tmp_path / "whole", static, *jobs)
    in_portions(monkeypatch, 4, lanes=4)
    cut = sweep(tmp_path / "cut", static, *jobs)
    for num in range(len(jobs)):
        assert cut.bits(num) == whole.bits(num)
