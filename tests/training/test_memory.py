"""What cannot fit the memory is refused before anything is allocated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import bpframe
from bpframe.errors import ConfigError, DataError
from bpframe.sweeps.lanes.data import DataCache
from bpframe.training import memory

SIZES = [1197, 300, 300]


@pytest.mark.parametrize("neurons", [10**9, 10**12, 10**18])
@pytest.mark.parametrize("initialiser", ["scaled", "constant"])
def test_a_network_that_cannot_fit_is_refused(
    neurons: int, initialiser: str, tmp_path: Path
) -> None:
    experiment = bpframe.compose([f"network.hidden=[{neurons}]", f"initialiser={initialiser}"])
    with pytest.raises(ConfigError) as caught:
        bpframe.run(experiment, tmp_path)
    message = str(caught.value)
    parameters = 75 * neurons + 10
    assert message.startswith(
        f"network: 64-{neurons}-10 has {parameters:,} parameters, and training it takes at least "
        f"{2 * 4 * parameters / 1e9:,.1f} GB; this machine has "
    )
    assert "network.hidden" in message
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"parameters, and training it"):
        DataCache().acquire(experiment)  # as a sweep does


def test_activations_that_cannot_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_bytes", lambda: 25_000_000_000)
    overrides = ["network.hidden=[10000000,20]", "training.batch_size=null"]
    with pytest.raises(ConfigError) as caught:
        memory.check(bpframe.compose(overrides), SIZES)
    assert str(caught.value).startswith(
        "training.batch_size: the activations of 1,197 examples in 64-10000000-20-10 take at least "
    )


@pytest.mark.parametrize(
    ("overrides", "states"),
    [
        ((), 2),
        (("optimiser=adam",), 4),
        (("optimiser=momentum",), 3),
        (("optimiser=momentum", "training.dtype=float64"), 6),
    ],
)
def test_the_estimate_knows_the_optimiser_and_the_dtype(
    overrides: tuple[str, ...], states: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state before and after a step: last and best parameters, and the optimiser's."""
    experiment = bpframe.compose(["network.hidden=[1000,1000]", *overrides])
    parameters = 1000 * 65 + 1000 * 1001 + 10 * 1001
    needed = 2 * states * 4 * parameters
    monkeypatch.setattr(memory, "machine_bytes", lambda: needed + 1000)
    memory.check(experiment, SIZES)
    monkeypatch.setattr(memory, "machine_bytes", lambda: needed - 1)
    with pytest.raises(ConfigError, match=r"^network: "):
        memory.check(experiment, SIZES)


def test_what_is_common_passes() -> None:
    memory.check(bpframe.compose(["network.hidden=[1024,1024]", "optimiser=adam"]), SIZES)


@pytest.mark.parametrize(("content", "limit"), [("1000000\n", 1_000_000), ("max\n", None)])
def test_a_container_may_have_less(
    content: str, limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "memory.max"
    path.write_text(content)
    monkeypatch.setattr(memory, "_CONTAINER_LIMIT", path)
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory.machine_bytes() == (limit or physical)


def test_data_that_find_no_room_are_told_in_one_line() -> None:
    experiment = bpframe.compose(
        ["data=whitened", "data.inputs=10000000", "data.size=10000001", "training.batch_size=1"]
    )
    with pytest.raises(DataError, match=r"^data: Whitened finds no room in the memory"):
        bpframe.run(experiment)
