"""Which share of the machine's best matrix product lanes reach, over their number and width."""

from __future__ import annotations

import statistics
import time
from typing import Any

import lanes
import numpy as np
import timing
from tasks import Task, images

import bpframe
from bpframe.training import loading

SECONDS = 0.25
"""About how long a timed epoch of all lanes takes at a third of the limit."""
LEAST = 20
"""Steps of an epoch, beside which its evaluation and the copy of all states take no time."""


def measure(quick: bool) -> dict[str, Any]:
    """Microseconds a step of all lanes of 784-width-10, m 10, and the share of the limit."""
    widths, numbers = ((10, 30), (1, 8)) if quick else ((10, 30, 100, 300), (1, 8, 64, 256, 1000))
    rounds = 1 if quick else 5
    limit = timing.best_product(timing.interleaved(timing.matrix_products(), rounds))
    points = [
        _point(Task((width,), 10), number, limit, rounds) for width in widths for number in numbers
    ]
    return {"limit_gflops": limit / 1e9, "points": points}


def _point(task: Task, number: int, limit: float, rounds: int) -> dict[str, float]:
    flops = task.step_flops * number
    steps = min(1000, max(LEAST, int(SECONDS * limit / (3 * flops))))
    experiment = bpframe.compose(
        [f"network.hidden=[{task.hidden[0]}]", "training.batch_size=10"], data=_data(10 * steps)
    )
    started = time.perf_counter()
    epoch = lanes.of_lanes(experiment, loading.load(experiment), number)
    samples = timing.interleaved({"lanes": epoch}, rounds)["lanes"]
    seconds = statistics.median(samples) / steps
    return {
        "lanes": number,
        "width": task.hidden[0],
        "us_per_step": 1e6 * seconds,
        "share": flops / limit / seconds,
        "total_s": time.perf_counter() - started,
    }


def _data(n: int) -> bpframe.Data:
    """MNIST's first images to train on, and few to evaluate, which is not what is timed."""
    found = images()

    def part(first: int, size: int) -> bpframe.Examples:
        chosen = slice(first, first + size)
        return bpframe.Examples(found.x[chosen], found.labels[chosen].astype(np.int32), n_out=10)

    return bpframe.Data(part(0, n), part(40_000, 10), part(45_000, 10))
