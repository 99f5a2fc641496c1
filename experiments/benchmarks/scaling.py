"""How the cost of a step grows with the width of the layers, their number, and m."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import timing
import ways
from tasks import Task

BASE = Task((256,), 32, cost="cross_entropy", activation="relu", eta=0.01)
SECONDS = 0.15
"""About how long one timed epoch should take, at half of the limit."""


def points(quick: bool) -> dict[str, list[tuple[int, Task]]]:
    """The tasks of each panel, by what grows in it."""
    widths = (30, 128) if quick else (30, 64, 128, 256, 512, 1024, 2048, 4096)
    depths = (1, 2) if quick else (1, 2, 4, 8, 16)
    sizes = (1, 32) if quick else (1, 4, 16, 32, 64, 256, 1024, 4096)
    counts = (1, 4) if quick else (1, 10, 100, 1000)
    return {
        "width": [(n, dataclasses.replace(BASE, hidden=(n, n), m=128)) for n in widths],
        "depth": [(d, dataclasses.replace(BASE, hidden=(256,) * d)) for d in depths],
        "m": [(m, dataclasses.replace(BASE, m=m)) for m in sizes],
        "repeat": [
            (c, dataclasses.replace(BASE, hidden=(30,) * (1 + c), m=10, repeated=True))
            for c in counts
        ],
    }


def measure(quick: bool) -> dict[str, Any]:
    """Microseconds a step at every point, and the FLOP/s of the best matrix product."""
    products = timing.interleaved(timing.matrix_products(), 1 if quick else 7)
    limit = timing.best_product(products)
    panels = {
        axis: [_point(value, task, limit, quick) for value, task in tasks]
        for axis, tasks in points(quick).items()
    }
    return {"limit_gflops": limit / 1e9, "panels": panels}


def _point(value: int, task: Task, limit: float, quick: bool) -> dict[str, float]:
    at_half = 2 * task.step_flops / limit + 5e-6
    steps = min(50_000 // task.m, max(4, int(SECONDS / at_half)))
    task = dataclasses.replace(task, images=steps * task.m)
    way = ways.prepare("bpframe", task)
    samples = timing.interleaved({"bpframe": way.epoch}, 1 if quick else 7)["bpframe"]
    return {
        "value": value,
        "us_per_step": statistics.median(samples) / steps * 1e6,
        "limit_us": task.step_flops / limit * 1e6,
        "compile_s": way.compile_s,
    }
