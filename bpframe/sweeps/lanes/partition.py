"""Which jobs share a program, and how many of them are trained at a time."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from bpframe.errors import ConfigError
from bpframe.runs.bookkeeping import TOGETHER_BYTES
from bpframe.sweeps.hydra.jobs import Job
from bpframe.sweeps.lanes.programs import Layout, layout, widest_block
from bpframe.training import devices, evaluation, memory, probes
from bpframe.training.devices import Device
from bpframe.training.experiment import Experiment
from bpframe.training.portions import longest_portion

# How much of the memory lanes may take: of a GPU or a TPU, and of the computer, which others use.
SHARE_OF_DEVICE, SHARE_OF_COMPUTER = 0.6, 0.25


class ChunkPlan(NamedTuple):
    """The jobs that are trained together, by number, and how they are laid out."""

    nums: tuple[int, ...]
    layout: Layout

    def as_entry(self) -> Mapping[str, Any]:
        """For the ledger."""
        return {"jobs": list(self.nums), "layout": list(self.layout)}

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> ChunkPlan:
        """From the ledger."""
        return cls(tuple(entry["jobs"]), Layout(*entry["layout"]))


def devices_of(experiment: Experiment) -> list[Device]:
    """All devices of the platform that the experiment asks for.

    Raises:
        ConfigError: there is none, or a job wants several for itself.

    """
    training = experiment.training
    for name, wanted in (("devices", training.devices), ("hosts", training.hosts)):
        if wanted != 1:
            raise ConfigError(
                f"training.{name}: {wanted} is for a single run; a sweep has a job on one device "
                "and spreads its jobs over all that there are; leave it out"
            )
    return devices.of_platform(experiment.training.device)


def groups(jobs: Iterable[Job]) -> list[list[Job]]:
    """The jobs that can share a program: equal structure, equal data."""
    found: dict[Any, list[Job]] = {}
    for job in jobs:
        experiment = job.experiment
        # A float of a data set is a leaf like any other, but it makes other examples.
        key = (jax.tree.structure(experiment), experiment.data)
        found.setdefault(key, []).append(job)
    return list(found.values())


def chunks(
    jobs: Sequence[Job],
    devices: Sequence[Device],
    sizes: Mapping[str, int],
    most: int | None,
    row_bytes: Sequence[int] = (),
) -> list[ChunkPlan]:
    """The jobs of a group in chunks that fit the memory, of at most `most` jobs.

    `row_bytes` is what the recorders of each probe keep at a time.
    """
    experiment = jobs[0].experiment
    widest = widest_block(experiment, devices)
    fitting = _fitting(experiment, devices, sizes, len(jobs), row_bytes)
    n = max(1, min(fitting, most or len(jobs)))
    number = -(-len(jobs) // n)
    size = -(-len(jobs) // number)
    cut = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    return [_plan([job.num for job in part], len(devices), widest) for part in cut]


def halves(plan: ChunkPlan, experiment: Experiment, devices: Sequence[Device]) -> list[ChunkPlan]:
    """A chunk as two of half its size."""
    middle = (len(plan.nums) + 1) // 2
    widest = min(widest_block(experiment, devices), max(1, plan.layout.width // 2))
    return [_plan(nums, len(devices), widest) for nums in (plan.nums[:middle], plan.nums[middle:])]


def _plan(nums: Sequence[int], devices: int, widest: int) -> ChunkPlan:
    return ChunkPlan(tuple(nums), layout(len(nums), devices, widest))


def _fitting(
    experiment: Experiment,
    devices: Sequence[Device],
    sizes: Mapping[str, int],
    lanes: int,
    row_bytes: Sequence[int],
) -> int:
    """How many lanes fit the memory, by an estimate that halving corrects where it is wrong."""
    n_out = sum(experiment.network.sizes)
    evaluated = 8 * n_out * min(evaluation.EVALUATION_CHUNK, max(sizes.values()))
    # The state before and after an epoch and a gradient; orders of the examples, here and there.
    epochs = longest_portion(experiment, sizes["train"], lanes)
    lane = 4 * memory.state_bytes(experiment) + 8 * sizes["train"] * epochs
    rows = probes.most_rows(experiment, sizes["train"], epochs)
    # What is kept in a turn, on the device and twice on the host, and what waits to be written.
    lane += 3 * sum(map(operator.mul, rows, row_bytes)) + TOGETHER_BYTES * bool(row_bytes)
    width = min(widest_block(experiment, devices), lanes)
    free = _memory(devices) - len(devices) * width * evaluated
    return max(1, int(free // lane))


def _memory(devices: Sequence[Device]) -> float:
    """Bytes that lanes may take on all devices together."""
    is_cpu, stats = devices[0].platform == "cpu", [device.memory_stats() for device in devices]
    share = SHARE_OF_COMPUTER if is_cpu else SHARE_OF_DEVICE
    if is_cpu and not all(stats):
        return share * memory.machine_bytes()
    return share * sum((one or {}).get("bytes_limit", 2**33) for one in stats)
